// Package topology assembles the fabric above the nodes and shows it.
//
// One pass looks at all of it: declared TopologyDomains, node reports and node
// labels become one forest (topology.Assemble), and what the forest says becomes
// TopologyDomain objects for domains that nobody declared, the status of every
// TopologyDomain, and the labels topology.k8s4ai.io/* on Nodes. Passes are at
// least a second apart.
//
// Reads:  TopologyDomains, Nodes, Pods, AcceleratorClasses, GangSchedulingGroups.
// Writes: TopologyDomains that carry the label topology.k8s4ai.io/source, and no
// other's spec; the manager's part of the status of all; the mirrored labels.
package topology
