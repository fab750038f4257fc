package topology

// FabricState is how far the driver has come with joining the NVLink fabric.
type FabricState string

// The states of a fabric. Any other value counts as FabricUnknown.
const (
	FabricUnknown      FabricState = ""
	FabricNotSupported FabricState = "NotSupported"
	FabricNotStarted   FabricState = "NotStarted"
	FabricInProgress   FabricState = "InProgress"
	FabricCompleted    FabricState = "Completed"
)

// FabricHealth is the driver's summary of the NVLink fabric.
type FabricHealth string

// The health of a fabric. A fabric can be Completed and Unhealthy at once.
const (
	HealthUnknown FabricHealth = ""
	Healthy       FabricHealth = "Healthy"
	Limited       FabricHealth = "Limited"
	Unhealthy     FabricHealth = "Unhealthy"
)

// NVLinkFabric is the multi-node NVLink fabric that a node's GPUs have joined.
// Only the pair of both ids names a domain: clique ids repeat in every cluster.
type NVLinkFabric struct {
	// ClusterUUID is empty or all zero on a machine without such a fabric.
	ClusterUUID string
	CliqueID    uint32
	State       FabricState
	Health      FabricHealth
}

// Report is what the agent of a node has found on it.
type Report struct {
	Node string
	GPUs []GPU
	// Switches are the names (PCI addresses) of the NVLink switches.
	Switches []string
	Links    []Link
	NICs     []NIC
	// Fabric is nil when the driver has no such call.
	Fabric *NVLinkFabric
}

// GPU is one accelerator.
type GPU struct {
	UUID       string
	PCIAddress string
	// NUMANode is -1 when it is not known.
	NUMANode    int
	MemoryBytes int64
	FreeBytes   int64
	// Class is the name of the AcceleratorClass, "" when it is not known.
	Class   string
	Healthy bool
}

// Link is a bundle of equal NVLinks between two devices. An end is the UUID of
// a GPU or the name of a switch; order has no meaning.
type Link struct {
	A, B string
	// Count is the number of links in the bundle.
	Count int
	// GbpsPerLink is the rate of one link in one direction, 0 when not known.
	GbpsPerLink int64
}

// NIC is one port of a network adapter.
type NIC struct {
	Name string
	// GUID identifies the port's adapter in the fabric, "" or all zero when it
	// has none.
	GUID string
	// SystemGUID identifies the card that the adapter is on, "" or all zero when
	// it is not known.
	SystemGUID string
	// Subnet is the network of the port's address in its canonical form, "" when
	// it has none that other machines could share.
	Subnet string
	// LinkLayer is InfiniBand, Ethernet, or "" when it is not known.
	LinkLayer string
	// RateGbps is 0 when the port is down or the rate is not known.
	RateGbps int64
	Active   bool
	// NUMANode is -1 when it is not known.
	NUMANode int
}
