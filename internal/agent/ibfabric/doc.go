// Package ibfabric finds the switch tree of an InfiniBand fabric in what
// ibnetdiscover prints, and tells which adapters sit on which leaf switch:
//
//	ibnetdiscover --text--> Read --sections--> switches and links
//	                                 |
//	                                 v
//	               tree: leaf switches, blocks, fabrics --> topology.Scan
//
// Machines are not in it. The manager joins them by the GUIDs of their adapters,
// which work where nobody has set a node description.
package ibfabric
