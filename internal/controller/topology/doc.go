// Package topology assembles the fabric above the nodes and shows it.
//
// The Reconciler keeps a topology.State of declared TopologyDomains, node
// reports, the scan of the InfiniBand fabric and node labels. Events go into an
// inbox by the name of what they are about; a moment later one call of Reconcile
// tells the State of all of them, and compares what the State names as changed
// with what is stored: derived TopologyDomain objects, the status of every
// TopologyDomain, and the labels topology.k8s4ai.io/* on Nodes. The work for a
// node's change is that for the domains above it. From time to time, at the
// start, and when something changes that bears on every node, everything is read
// and compared.
//
// Reads:  TopologyDomains, Nodes, Pods, AcceleratorClasses, GangSchedulingGroups,
// the Leases of agents in their namespace, and the ConfigMaps of the scan in the
// manager's own.
// Writes: TopologyDomains that carry the label topology.k8s4ai.io/source, and no
// other's spec; the manager's part of the status of all; the mirrored labels.
package topology
