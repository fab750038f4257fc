package v1alpha1

// Labels and annotations. Machines read and write them; everything that a
// person sets is a field.
const (
	// LabelGang names the GangSchedulingGroup that a Pod or Service belongs to.
	LabelGang = "k8s4ai.io/gang"
	// LabelRole names the role of the gang that a Pod belongs to.
	LabelRole = "k8s4ai.io/role"
	// LabelRoleIndex is the index of a Pod in its role, from 0.
	LabelRoleIndex = "k8s4ai.io/role-index"
	// LabelRank is the rank of a Pod in its gang, from 0.
	LabelRank = "k8s4ai.io/rank"
	// LabelEpoch is the epoch of the placement that a Pod was created for. A Pod
	// of another epoch than its gang's status.epoch is stale and gets deleted.
	LabelEpoch = "k8s4ai.io/epoch"

	// LabelTopologyPrefix starts the labels that mirror the fabric on Nodes.
	LabelTopologyPrefix = "topology.k8s4ai.io/"
	// LabelBlock names the Block domain of a Node.
	LabelBlock = LabelTopologyPrefix + "block"
	// LabelLeaf names the Leaf domain of a Node.
	LabelLeaf = LabelTopologyPrefix + "leaf"
	// LabelNVLinkDomain names the NVLinkDomain domain of a Node.
	LabelNVLinkDomain = LabelTopologyPrefix + "nvlink-domain"
	// LabelTopologySource is set on TopologyDomains that the manager made, and
	// says from which evidence. A TopologyDomain without it is declared by a
	// person, and the manager never changes its spec or deletes it.
	LabelTopologySource = LabelTopologyPrefix + "source"

	// LabelClassPrefix starts the label that a Node carries for every
	// AcceleratorClass of its devices, with the value "true".
	LabelClassPrefix = "class.k8s4ai.io/"
)

// Values of LabelTopologySource.
const (
	// TopologySourceReported: node agents report the domain.
	TopologySourceReported = "reported"
	// TopologySourceScanned: a scan of the InfiniBand fabric shows the domain.
	TopologySourceScanned = "scanned"
	// TopologySourceLabels: labels of Nodes name the domain.
	TopologySourceLabels = "labels"
)

// LabelFabricScan marks the ConfigMaps in the manager's namespace that hold a
// scan of the InfiniBand fabric. The value is the number of the part.
const LabelFabricScan = "topology.k8s4ai.io/fabric-scan"

// FinalizerGang keeps a GangSchedulingGroup until its Pods are gone, so that
// their room is not given away while they still run.
const FinalizerGang = "k8s4ai.io/gang"

// Environment variables of every container of a gang's Pod. A variable of the
// same name in the template wins.
const (
	// EnvRank is the rank of the Pod in its gang, from 0.
	EnvRank = "RANK"
	// EnvWorldSize is the number of Pods of the gang.
	EnvWorldSize = "WORLD_SIZE"
	// EnvLocalRank is the first local rank of the Pod. A Pod sees only its own
	// devices, so it is always 0; a launcher counts its processes from there.
	EnvLocalRank = "LOCAL_RANK"
	// EnvMasterAddr is the stable host name of rank 0.
	EnvMasterAddr = "MASTER_ADDR"
	// EnvMasterPort is the port on which rank 0 listens.
	EnvMasterPort = "MASTER_PORT"
	// EnvEpoch is the epoch of the placement. It grows with every new start of
	// the gang, so that a process can tell its own generation from an older one.
	EnvEpoch = "K8S4AI_EPOCH"
	// EnvRole is the name of the Pod's role.
	EnvRole = "K8S4AI_ROLE"
	// EnvRoleIndex is the index of the Pod in its role, from 0.
	EnvRoleIndex = "K8S4AI_ROLE_INDEX"
)
