// Package sysfs reads what the kernel says of a machine: NUMA nodes, RDMA ports,
// NVMe controllers, the PCI tree, and AMD accelerators, whose driver publishes
// everything there.
//
//	host's root ──Read──> Host ──Relate(gpus)──> how near each GPU is to each NIC and NVMe
//	                           ──NUMAOf(pci)───> NUMA node of one PCI device
//
// The kernel is trusted to be honest and not to be complete: a device that cannot
// be read, or that says what cannot be true, becomes a Problem and hides no other
// one. Everything that is read is bounded.
package sysfs
