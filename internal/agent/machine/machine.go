// Package machine holds what the node agent finds on one machine, as values, and
// turns it into a node report. Nothing here reads a device: internal/agent/nvml
// and internal/agent/sysfs do.
package machine

// Unknown is a number that the machine does not tell, such as the NUMA node of a
// device in a virtual machine. It is never reported as 0.
const Unknown = -1

// Facts is one look at a machine.
type Facts struct {
	// BootID is the kernel's id of the current boot, "" when it is not known.
	BootID string
	// Virtual is true in a virtual machine, where the PCI tree is the
	// hypervisor's invention.
	Virtual bool
	// Driver is the version of the accelerator driver, "" without one.
	Driver    string
	NUMANodes []NUMANode
	// GPUs are in the order of their local index.
	GPUs  []GPU
	Links []Link
	NICs  []NIC
	NVMes []NVMe
	// Relations hold the pairs of one GPU and one GPU, NIC or NVMe device.
	Relations []Relation
	// Problems name what could not be read. A device that has one may be missing
	// above; the others are there.
	Problems []Problem
}

// Problem is something that could not be read or cannot be true.
type Problem struct {
	// Device names what it is about, such as "mlx5_3" or "GPU 2".
	Device string
	// What says what is wrong, in printable text of at most 200 bytes.
	What string
}

// NUMANode is one memory node.
type NUMANode struct {
	ID int
	// CPUs is the kernel's CPU list, such as "0-47,96-143".
	CPUs        string
	MemoryBytes int64
}

// GPU is one accelerator.
type GPU struct {
	// UUID identifies the device for its lifetime.
	UUID string
	// Index is the driver's number of the device.
	Index int
	Name  string
	// PCIAddress is domain:bus:device.function in lower case with a domain of 4
	// digits where that is enough, such as "0000:1b:00.0".
	PCIAddress string
	// PCIID is vendor:device in lower-case hexadecimal, such as "10de:2330".
	PCIID string
	// NUMANode is Unknown when neither driver nor kernel tells it.
	NUMANode int
	// Memory figures are in bytes; Unknown when the driver does not tell.
	MemoryTotal, MemoryReserved, MemoryUsed int64
	// ComputeCapability is such as "9.0", or the gfx name of an AMD device.
	ComputeCapability string
	// MIGMode is nil when the device has no MIG.
	MIGMode *bool
	// MIGProfiles are the instances that exist, such as "1g.10gb".
	MIGProfiles []string
	// MIGSupported are the profiles that the device offers.
	MIGSupported []string
	// C2CLinks counts the active chip-to-chip links to the CPU; C2CGBps is what
	// they carry together in one direction, 0 when that is not known.
	C2CLinks, C2CGBps int
	// Fabric is nil when the driver or the device knows no NVLink fabric.
	Fabric *Fabric
	// Peers are the other GPUs of the machine as the driver relates them.
	Peers []Peer
	// RemapPending and RemapFailure tell of memory rows that were replaced: a
	// reset is due, or the device has no spare rows left.
	RemapPending, RemapFailure bool
	// UncorrectableECC counts memory errors since the driver was loaded.
	UncorrectableECC int64
	// Recovery is what the driver asks for to bring the device back, "" or one of
	// "GPUReset", "NodeReboot", "DrainP2P", "DrainAndReset".
	Recovery string
	// Lost is true when the device is there and answers no call.
	Lost bool
	// TemperatureC is Unknown when the driver does not tell.
	TemperatureC int
	// Throttle are the reasons for which clocks are held down now, such as
	// "HwThermalSlowdown".
	Throttle []string
}

// Fabric is what a GPU says of the multi-node NVLink fabric.
type Fabric struct {
	// ClusterUUID is in the usual form; all zero on a machine without a fabric.
	ClusterUUID string
	CliqueID    uint32
	// State is NotSupported, NotStarted, InProgress, Completed, or "" for unknown.
	State string
	// Health is Healthy, Unhealthy, Limited, or "" for unknown.
	Health string
	// Rack is the id of the rack that the machine is a tray of, "" when the
	// driver knows none.
	Rack string
}

// Peer relates a GPU to another one of the machine, as the driver sees them.
type Peer struct {
	UUID string
	// Path is PIX, PXB, PHB, NODE, SYS, or "" for unknown. Devices on one board
	// are PIX.
	Path string
	// Access is whether peer reads work, nil for unknown.
	Access *bool
	// NVLinkAccess is whether they work over NVLink, nil for unknown.
	NVLinkAccess *bool
}

// Link is a bundle of NVLink or XGMI connections from a GPU.
type Link struct {
	// From is the UUID of a GPU.
	From string
	// To is the UUID of a GPU, or "switch-" with the PCI address of an NVLink
	// switch, or "switch-unknown".
	To string
	// Total counts the connections, Active those that carry traffic.
	Total, Active int
	// Gbps is the speed of one connection in one direction, 0 when not known.
	Gbps int
	// Version is such as "4.0", "" when it is not known.
	Version string
}

// NIC is one port of an RDMA adapter.
type NIC struct {
	// Name is the kernel's name of the device and, beyond port 1, the port:
	// "mlx5_0" or "mlx5_0/2".
	Name string
	// GUID and SystemGUID are in the kernel's form "0a7f:bc12:0034:5678", "" when
	// they are missing or all zero.
	GUID, SystemGUID string
	PCIAddress       string
	NUMANode         int
	// LinkLayer is InfiniBand or Ethernet.
	LinkLayer string
	// Gbps is the speed of the port, 0 when not known.
	Gbps int
	// State is Active, Down or Unknown.
	State string
	// Interface is the network interface of an Ethernet port, "" when not known.
	Interface string
	// Subnet is the network of the interface's address, such as "10.8.0.0/16".
	Subnet string
}

// NVMe is one local NVMe controller.
type NVMe struct {
	Name, Model, PCIAddress string
	NUMANode                int
	SizeBytes               int64
}

// Relation is how near two PCI devices are.
type Relation struct {
	// From is the UUID of a GPU.
	From string
	// To is the UUID of a GPU, or the name of a NIC without its port or of an
	// NVMe controller.
	To string
	// Path is PIX, PXB, PHB, NODE or SYS, in the words of `nvidia-smi topo -m`.
	Path string
}
