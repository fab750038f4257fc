// Package acceleratorclass finds which nodes have accelerators of which class.
//
// One pass looks at all nodes and classes together, because a device that two
// classes claim equally belongs to neither. It writes the counts of each class
// and the label class.k8s4ai.io/<name>=true on the nodes that have it. Passes are
// at least a second apart.
//
// Reads:  AcceleratorClasses, Nodes, TopologyDomains, Pods, GangSchedulingGroups.
// Writes: the status of AcceleratorClasses; the labels class.k8s4ai.io/*.
package acceleratorclass
