package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TopologyLevel is one rung of the fabric, outer to inner.
//
// +kubebuilder:validation:Enum=Fabric;Block;Leaf;NVLinkDomain;Node
type TopologyLevel string

// The levels of a fabric, outer to inner.
const (
	LevelFabric       TopologyLevel = "Fabric"
	LevelBlock        TopologyLevel = "Block"
	LevelLeaf         TopologyLevel = "Leaf"
	LevelNVLinkDomain TopologyLevel = "NVLinkDomain"
	LevelNode         TopologyLevel = "Node"
)

// TopologyDomainSpec places one vertex in the fabric tree.
//
// +kubebuilder:validation:XValidation:rule="has(self.nodeName) == (self.level == 'Node')",message="nodeName is for level Node, and required there: write the name of the Node, or list the nodes of a wider domain in members.nodeNames"
// +kubebuilder:validation:XValidation:rule="!has(self.members) || self.level != 'Node'",message="members is for levels Fabric to NVLinkDomain: a Node vertex names its machine in nodeName"
// +kubebuilder:validation:XValidation:rule="!has(self.parentName) || self.level != 'Fabric'",message="a Fabric is the outermost level: remove parentName, or choose a narrower level"
// +kubebuilder:validation:XValidation:rule="self.level == oldSelf.level",message="level is immutable: delete the TopologyDomain and create it with the other level"
// +kubebuilder:validation:XValidation:rule="has(self.nodeName) == has(oldSelf.nodeName) && (!has(self.nodeName) || self.nodeName == oldSelf.nodeName)",message="nodeName is immutable: create a TopologyDomain for the other node"
type TopologyDomainSpec struct {
	// level is the rung of the fabric on which this domain stands.
	//
	// +required
	Level TopologyLevel `json:"level,omitempty"`

	// parentName is the TopologyDomain that holds this one. Its level must be
	// outside this domain's level. Unset means that the domain is a root, or, for
	// level Node, that the place follows from the members of wider domains and
	// from node labels.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	ParentName string `json:"parentName,omitempty"`

	// nodeName is the Node that a domain of level Node stands for.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	NodeName string `json:"nodeName,omitempty"`

	// members declares which nodes lie directly in this domain. Declared
	// membership is stronger than every discovered one. Unset means that nodes
	// come from narrower domains, from discovery, or from labels.
	//
	// +optional
	Members *TopologyDomainMembers `json:"members,omitempty"`

	// uplinkGbps is the bandwidth from this domain to its parent, in gigabits
	// per second and one direction. Unset means unknown.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000000
	UplinkGbps int64 `json:"uplinkGbps,omitempty"`
}

// TopologyDomainMembers names nodes directly, by selector, or both.
//
// +kubebuilder:validation:XValidation:rule="has(self.nodeNames) || has(self.nodeSelector)",message="members needs nodeNames, nodeSelector or both: remove members when the nodes come from elsewhere"
type TopologyDomainMembers struct {
	// nodeNames are the Nodes of the domain.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=4096
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	NodeNames []string `json:"nodeNames,omitempty"`

	// nodeSelector adds every Node with matching labels. An empty selector
	// matches every Node.
	//
	// +optional
	NodeSelector *metav1.LabelSelector `json:"nodeSelector,omitempty"`
}

// TopologyDomainStatus is what is known about the domain. The node agent
// writes node, measurements and the conditions Healthy and Discovered of its own
// node's domain; everything else is the manager's.
//
// +kubebuilder:validation:MinProperties=1
type TopologyDomainStatus struct {
	// conditions are Ready, Reconciling, Stalled and Healthy, and on level Node
	// also Discovered and Stale.
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// parentName is the TopologyDomain that holds this one, from spec or
	// evidence. Unset means that the domain is a root.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	ParentName string `json:"parentName,omitempty"`

	// nodes counts the machines below the domain.
	//
	// +optional
	Nodes *NodeCounts `json:"nodes,omitempty"`

	// accelerators counts the accelerators below the domain.
	//
	// +optional
	Accelerators *DeviceCounts `json:"accelerators,omitempty"`

	// classes are the AcceleratorClasses of the accelerators below the domain.
	// The manager matches them; a device that is in no class is not listed.
	//
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	Classes []DomainClass `json:"classes,omitempty"`

	// node is what the node agent sees on the machine. Only level Node has it.
	//
	// +optional
	Node *NodeReport `json:"node,omitempty"`

	// measurements are what accelerators of the machine were measured to deliver.
	// Only level Node has them.
	//
	// +optional
	// +listType=map
	// +listMapKey=uuid
	// +kubebuilder:validation:MaxItems=64
	Measurements []DeviceMeasurement `json:"measurements,omitempty"`
}

// DeviceMeasurement is what one accelerator was measured to deliver.
type DeviceMeasurement struct {
	// uuid is the accelerator.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	UUID string `json:"uuid,omitempty"`

	// time is when the measurement ended.
	//
	// +required
	Time *metav1.Time `json:"time,omitempty"`

	// figures are the results.
	//
	// +required
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Figures []DeviceFigure `json:"figures,omitempty"`
}

// DeviceFigure is one measured throughput.
type DeviceFigure struct {
	// name says what was measured and in which unit.
	//
	// +required
	Name FigureName `json:"name,omitempty"`

	// value is the result, the median of several runs.
	//
	// +required
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).isGreaterThan(quantity('0'))",message="value must be more than 0: leave the figure out when it was not measured"
	Value *resource.Quantity `json:"value,omitempty"`

	// method says how, such as "cuBLASLt", "GPUDirectStorage" or "ThroughHost".
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Method string `json:"method,omitempty"`
}

// NodeCounts counts machines.
type NodeCounts struct {
	// total is the number of machines.
	//
	// +required
	// +kubebuilder:validation:Minimum=0
	Total *int32 `json:"total,omitempty"`

	// ready is the number of machines that are Ready, schedulable and healthy.
	//
	// +required
	// +kubebuilder:validation:Minimum=0
	Ready *int32 `json:"ready,omitempty"`
}

// DeviceCounts counts accelerators.
type DeviceCounts struct {
	// total is the number of accelerators, broken ones included.
	//
	// +required
	// +kubebuilder:validation:Minimum=0
	Total *int32 `json:"total,omitempty"`

	// free is the number of healthy accelerators, on nodes that take new Pods,
	// that no Pod has and no placement holds.
	//
	// +required
	// +kubebuilder:validation:Minimum=0
	Free *int32 `json:"free,omitempty"`

	// unhealthy is the number of accelerators that cannot be used.
	//
	// +required
	// +kubebuilder:validation:Minimum=0
	Unhealthy *int32 `json:"unhealthy,omitempty"`
}

// DomainClass counts the accelerators of one class.
type DomainClass struct {
	// name is the AcceleratorClass.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name,omitempty"`

	// devices is the number of accelerators of the class.
	//
	// +required
	// +kubebuilder:validation:Minimum=0
	Devices *int32 `json:"devices,omitempty"`

	// uuids are the devices of the class. Only level Node has them, and only
	// where a node agent reports.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=128
	UUIDs []string `json:"uuids,omitempty"`
}

// NodeReport is the hardware of one machine as its node agent sees it.
type NodeReport struct {
	// observedTime is when the agent last saw a material change.
	//
	// +optional
	ObservedTime *metav1.Time `json:"observedTime,omitempty"`

	// bootID is the kernel's id of the machine's current boot. Faults that only a
	// reset clears are forgotten when it changes.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	BootID string `json:"bootID,omitempty"`

	// agentVersion is the version of the agent that wrote the report.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	AgentVersion string `json:"agentVersion,omitempty"`

	// driverVersion is the version of the accelerator driver.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	DriverVersion string `json:"driverVersion,omitempty"`

	// pciTopology says whether the PCI tree is the machine's own. Unset means
	// unknown. In a Virtualized tree the PCIe relations mean nothing.
	//
	// +optional
	PCITopology PCITopology `json:"pciTopology,omitempty"`

	// numaNodes are the NUMA nodes of the machine.
	//
	// +optional
	// +listType=map
	// +listMapKey=id
	// +kubebuilder:validation:MaxItems=64
	NUMANodes []NUMANode `json:"numaNodes,omitempty"`

	// accelerators are the accelerators of the machine, in the order of their
	// local index, which is also the rail in a rail-optimised fabric.
	//
	// +optional
	// +listType=map
	// +listMapKey=uuid
	// +kubebuilder:validation:MaxItems=64
	Accelerators []Accelerator `json:"accelerators,omitempty"`

	// nvLinks are the NVLink connections between devices of this machine and
	// NVLink switches.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=1152
	NVLinks []NVLink `json:"nvLinks,omitempty"`

	// nvLinkFabric is the multi-node NVLink fabric that the machine belongs to.
	// Unset means none.
	//
	// +optional
	NVLinkFabric *NVLinkFabric `json:"nvLinkFabric,omitempty"`

	// nics are the RDMA-capable network interfaces.
	//
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	NICs []NIC `json:"nics,omitempty"`

	// nvmes are the local NVMe devices.
	//
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	NVMes []NVMe `json:"nvmes,omitempty"`

	// pcieRelations tell how near two PCI devices are.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=4096
	PCIeRelations []PCIeRelation `json:"pcieRelations,omitempty"`
}

// PCITopology says whether the PCI tree is the machine's own.
//
// +kubebuilder:validation:Enum=Physical;Virtualized
type PCITopology string

// The kinds of PCI tree.
const (
	PCITopologyPhysical    PCITopology = "Physical"
	PCITopologyVirtualized PCITopology = "Virtualized"
)

// NUMANode is one memory node of a machine.
type NUMANode struct {
	// id is the number that the kernel gives the NUMA node.
	//
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1023
	ID *int32 `json:"id,omitempty"`

	// cpus is the kernel's CPU list, such as "0-47,96-143".
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	CPUs string `json:"cpus,omitempty"`

	// memoryBytes is the memory of the NUMA node.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	MemoryBytes int64 `json:"memoryBytes,omitempty"`
}

// DeviceHealth says whether a device can be used. A value that this version
// does not know counts as Unhealthy.
//
// +kubebuilder:validation:Enum=Healthy;Unhealthy;Unknown
type DeviceHealth string

// The health of a device.
const (
	DeviceHealthy   DeviceHealth = "Healthy"
	DeviceUnhealthy DeviceHealth = "Unhealthy"
	// DeviceUnknown counts as usable: absence of a health source is not a fault.
	DeviceUnknown DeviceHealth = "Unknown"
)

// Accelerator is one physical accelerator.
type Accelerator struct {
	// uuid identifies the device for its lifetime, such as "GPU-5d5b…".
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	UUID string `json:"uuid,omitempty"`

	// index is the local index of the device.
	//
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1023
	Index *int32 `json:"index,omitempty"`

	// productName is the name that the driver gives the device.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	ProductName string `json:"productName,omitempty"`

	// pciAddress is domain:bus:device.function in lower case, such as
	// "0000:1b:00.0".
	//
	// +optional
	// +kubebuilder:validation:Pattern=`^[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$`
	// +kubebuilder:validation:MinLength=12
	// +kubebuilder:validation:MaxLength=16
	PCIAddress string `json:"pciAddress,omitempty"`

	// pciID is vendor:device in lower-case hexadecimal, such as "10de:2330".
	//
	// +optional
	// +kubebuilder:validation:Pattern=`^[0-9a-f]{4}:[0-9a-f]{4}$`
	// +kubebuilder:validation:MinLength=9
	// +kubebuilder:validation:MaxLength=9
	PCIID string `json:"pciID,omitempty"`

	// numaNode is the NUMA node next to the device. Unset means unknown, as in
	// many virtual machines.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1023
	NUMANode *int32 `json:"numaNode,omitempty"`

	// memoryBytes is the memory of the device, what the driver reserves included.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	MemoryBytes int64 `json:"memoryBytes,omitempty"`

	// memoryReservedBytes is what the driver keeps for itself. Unset means
	// unknown.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	MemoryReservedBytes *int64 `json:"memoryReservedBytes,omitempty"`

	// computeCapability is the CUDA compute capability, such as "9.0", or the gfx
	// name of an AMD device.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	ComputeCapability string `json:"computeCapability,omitempty"`

	// health says whether the device can be used.
	//
	// +required
	Health DeviceHealth `json:"health,omitempty"`

	// healthReason says why the device is not healthy, in one word, such as
	// "Xid79" or "RowRemapFailure".
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	HealthReason string `json:"healthReason,omitempty"`

	// c2cGBps is the bandwidth of the chip-to-chip link between the device and its
	// CPU, in gigabytes per second and one direction. Unset means none.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100000
	C2CGBps int32 `json:"c2cGBps,omitempty"`

	// migMode says whether the device is partitioned. Unset means that it cannot
	// be, or that this is not known.
	//
	// +optional
	MIGMode MIGMode `json:"migMode,omitempty"`

	// migProfiles are the MIG instances that exist on the device, such as
	// "1g.10gb".
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=32
	MIGProfiles []string `json:"migProfiles,omitempty"`
}

// MIGMode says whether a device is partitioned into MIG instances.
//
// +kubebuilder:validation:Enum=Enabled;Disabled
type MIGMode string

// The MIG modes of a device.
const (
	MIGEnabled  MIGMode = "Enabled"
	MIGDisabled MIGMode = "Disabled"
)

// NVLink is a bundle of NVLink connections between two ends. AMD devices report
// their XGMI links here.
type NVLink struct {
	// from is the UUID of an accelerator of this machine.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	From string `json:"from,omitempty"`

	// to is the UUID of an accelerator, or a name that starts with "switch-" for
	// an NVLink switch.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	To string `json:"to,omitempty"`

	// links is the number of connections in the bundle.
	//
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=36
	Links int32 `json:"links,omitempty"`

	// activeLinks is how many of them carry traffic.
	//
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=36
	ActiveLinks *int32 `json:"activeLinks,omitempty"`

	// linkGbps is the speed of one connection in one direction. Unset means
	// unknown.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100000
	LinkGbps int32 `json:"linkGbps,omitempty"`

	// version is the version of the link, such as "4.0".
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=16
	Version string `json:"version,omitempty"`
}

// NVLinkFabric is the multi-node NVLink fabric of a machine.
type NVLinkFabric struct {
	// clusterUUID identifies the NVLink fabric.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	ClusterUUID string `json:"clusterUUID,omitempty"`

	// cliqueID identifies the partition of the fabric.
	//
	// +required
	// +kubebuilder:validation:Minimum=0
	CliqueID *int64 `json:"cliqueID,omitempty"`

	// health is the driver's summary of the fabric.
	//
	// +required
	Health DeviceHealth `json:"health,omitempty"`
}

// LinkLayer is the protocol of a network interface.
//
// +kubebuilder:validation:Enum=InfiniBand;Ethernet
type LinkLayer string

// The link layers of RDMA interfaces.
const (
	LinkLayerInfiniBand LinkLayer = "InfiniBand"
	LinkLayerEthernet   LinkLayer = "Ethernet"
)

// NICState is the state of a network port.
//
// +kubebuilder:validation:Enum=Active;Down;Unknown
type NICState string

// The states of a network port.
const (
	NICActive  NICState = "Active"
	NICDown    NICState = "Down"
	NICUnknown NICState = "Unknown"
)

// NIC is one port of an RDMA-capable network interface.
type NIC struct {
	// name is the kernel's name of the device and, beyond port 1, the port, such
	// as "mlx5_0" or "mlx5_0/2".
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Name string `json:"name,omitempty"`

	// guid is the node GUID, such as "0a7f:bc12:0034:5678".
	//
	// +optional
	// +kubebuilder:validation:Pattern=`^[0-9a-f]{4}(:[0-9a-f]{4}){3}$`
	// +kubebuilder:validation:MinLength=19
	// +kubebuilder:validation:MaxLength=19
	GUID string `json:"guid,omitempty"`

	// systemGUID is the system image GUID, which all adapters of one card share.
	//
	// +optional
	// +kubebuilder:validation:Pattern=`^[0-9a-f]{4}(:[0-9a-f]{4}){3}$`
	// +kubebuilder:validation:MinLength=19
	// +kubebuilder:validation:MaxLength=19
	SystemGUID string `json:"systemGUID,omitempty"`

	// interfaceName is the network interface of an Ethernet port, such as "eth2".
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	InterfaceName string `json:"interfaceName,omitempty"`

	// subnet is the network of an Ethernet port's address, such as
	// "10.8.0.0/16". Ports with one subnet reach each other.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Subnet string `json:"subnet,omitempty"`

	// pciAddress is domain:bus:device.function in lower case.
	//
	// +optional
	// +kubebuilder:validation:Pattern=`^[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$`
	// +kubebuilder:validation:MinLength=12
	// +kubebuilder:validation:MaxLength=16
	PCIAddress string `json:"pciAddress,omitempty"`

	// numaNode is the NUMA node next to the device. Unset means unknown.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1023
	NUMANode *int32 `json:"numaNode,omitempty"`

	// linkLayer is the protocol of the port.
	//
	// +required
	LinkLayer LinkLayer `json:"linkLayer,omitempty"`

	// rateGbps is the speed of the port. Unset means unknown.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100000
	RateGbps int32 `json:"rateGbps,omitempty"`

	// state is the state of the port.
	//
	// +required
	State NICState `json:"state,omitempty"`

	// health says whether a port works that has worked before. A port that was
	// never up is Unknown: nothing may be plugged in. Unset means unknown.
	//
	// +optional
	Health DeviceHealth `json:"health,omitempty"`

	// rail is the rail that the port is on in a rail-optimised fabric. Unset
	// means unknown.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=63
	Rail *int32 `json:"rail,omitempty"`
}

// NVMe is one local NVMe device.
type NVMe struct {
	// name is the kernel's name of the controller, such as "nvme0".
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Name string `json:"name,omitempty"`

	// model is the name that the maker gives the device.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Model string `json:"model,omitempty"`

	// pciAddress is domain:bus:device.function in lower case. Unset for a device
	// that is not on the PCI bus.
	//
	// +optional
	// +kubebuilder:validation:Pattern=`^[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$`
	// +kubebuilder:validation:MinLength=12
	// +kubebuilder:validation:MaxLength=16
	PCIAddress string `json:"pciAddress,omitempty"`

	// numaNode is the NUMA node next to the device. Unset means unknown.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1023
	NUMANode *int32 `json:"numaNode,omitempty"`

	// sizeBytes is the capacity of all namespaces together. Unset means unknown.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	SizeBytes int64 `json:"sizeBytes,omitempty"`
}

// PCIePath is the nearest common part of two PCI devices, in the words of
// `nvidia-smi topo -m`.
//
// +kubebuilder:validation:Enum=PIX;PXB;PHB;NODE;SYS
type PCIePath string

// The PCIe relations, near to far.
const (
	// PCIePIX crosses at most one PCIe bridge.
	PCIePIX PCIePath = "PIX"
	// PCIePXB crosses several bridges and no host bridge.
	PCIePXB PCIePath = "PXB"
	// PCIePHB crosses a host bridge.
	PCIePHB PCIePath = "PHB"
	// PCIeNODE crosses host bridges of one NUMA node.
	PCIeNODE PCIePath = "NODE"
	// PCIeSYS crosses NUMA nodes.
	PCIeSYS PCIePath = "SYS"
)

// PCIeRelation tells how near two PCI devices of one machine are.
type PCIeRelation struct {
	// from is the UUID of an accelerator.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	From string `json:"from,omitempty"`

	// to is the UUID of an accelerator, the name of a NIC or of an NVMe device.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	To string `json:"to,omitempty"`

	// path is the nearest common part of the two.
	//
	// +required
	Path PCIePath `json:"path,omitempty"`

	// peerAccess says whether the driver lets two accelerators read each other's
	// memory. It holds where the PCI tree is virtualized, too. Unset means
	// unknown, or that one end is no accelerator.
	//
	// +optional
	PeerAccess PeerAccess `json:"peerAccess,omitempty"`
}

// PeerAccess says whether two accelerators reach each other's memory.
//
// +kubebuilder:validation:Enum=Supported;NotSupported
type PeerAccess string

// The kinds of access between two accelerators.
const (
	PeerAccessSupported    PeerAccess = "Supported"
	PeerAccessNotSupported PeerAccess = "NotSupported"
)

// TopologyDomain is one vertex of the fabric tree.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=td,categories=k8s4ai
// +kubebuilder:printcolumn:name="Level",type=string,JSONPath=`.spec.level`
// +kubebuilder:printcolumn:name="Parent",type=string,JSONPath=`.status.parentName`
// +kubebuilder:printcolumn:name="Nodes",type=integer,JSONPath=`.status.nodes.total`
// +kubebuilder:printcolumn:name="Accelerators",type=integer,JSONPath=`.status.accelerators.total`
// +kubebuilder:printcolumn:name="Free",type=integer,JSONPath=`.status.accelerators.free`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Healthy",type=string,JSONPath=`.status.conditions[?(@.type=="Healthy")].status`
// +kubebuilder:printcolumn:name="Stale",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Stale")].status`
// +kubebuilder:printcolumn:name="Observed",type=date,priority=1,JSONPath=`.status.node.observedTime`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="!has(self.spec.parentName) || self.spec.parentName != self.metadata.name",message="a TopologyDomain cannot be its own parent: write the name of a wider domain in parentName",fieldPath=".spec.parentName"
type TopologyDomain struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object metadata.
	//
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec places the vertex in the fabric.
	//
	// +required
	Spec TopologyDomainSpec `json:"spec,omitzero"`

	// status is what is known about the domain.
	//
	// +optional
	Status TopologyDomainStatus `json:"status,omitzero"`
}

// TopologyDomainList is a list of TopologyDomains.
//
// +kubebuilder:object:root=true
type TopologyDomainList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []TopologyDomain `json:"items"`
}
