package topology

import (
	"fmt"
	"strconv"
	"strings"
)

// MaxValueBytes is the longest label value or cluster UUID that counts as
// evidence. The API server allows label values of 63 bytes; the bound holds for
// what did not pass through it.
const MaxValueBytes = 1024

// cliqueKey is the label by which GPU feature discovery names the NVLink
// domain. Its value is <ClusterUUID>.<CliqueID>.
const cliqueKey = "nvidia.com/gpu.clique"

// provider is one source of topology labels.
type provider struct {
	name string
	// keys are tried in order; the first one that a node has gives its level.
	keys []labelKey
}

type labelKey struct {
	key   string
	level Level
}

// providers is in order of precedence: the first one of which a node has any
// key gives the node's path. Labels that name the host, or levels wider than a
// Fabric, are left out. The mirrored labels of this project are never in it:
// they would make an earlier answer evidence for itself.
//
// An AWS node below a fourth layer counts by the third, which every instance
// type has, so that leaves of a mixed fleet mean the same.
var providers = []provider{
	{"gke", []labelKey{
		{"cloud.google.com/gce-topology-block", Block},
		{"cloud.google.com/gce-topology-subblock", Leaf},
	}},
	{"aws", []labelKey{
		{"topology.k8s.aws/network-node-layer-1", Fabric},
		{"topology.k8s.aws/network-node-layer-2", Block},
		{"topology.k8s.aws/network-node-layer-3", Leaf},
		{"topology.k8s.aws/ultraserver-id", NVLinkDomain},
	}},
	{"oci-rdma", []labelKey{
		{"oci.oraclecloud.com/rdma.hpc_island_id", Fabric},
		{"oci.oraclecloud.com/rdma.network_block_id", Block},
		{"oci.oraclecloud.com/rdma.local_block_id", Leaf},
	}},
	{"oci-host", []labelKey{
		{"oci.oraclecloud.com/host.network_block_id", Block},
		{"oci.oraclecloud.com/host.rack_id", Leaf},
	}},
	{"coreweave", []labelKey{
		{"backend.coreweave.cloud/fabric", Fabric},
		{"backend.coreweave.cloud/superpod", Block},
		{"backend.coreweave.cloud/leafgroup", Leaf},
		{"ds.coreweave.com/nvlink.domain", NVLinkDomain},
	}},
	{"nebius", []labelKey{
		{"topology.nebius.com/gpu-cluster-id", Fabric},
		{"topology.nebius.com/tier-2", Block},
		{"topology.nebius.com/tier-1", Leaf},
		{"topology.nebius.com/nvl-instance-group-id", NVLinkDomain},
		{"topology.nebius.com/tier-0", NVLinkDomain},
	}},
	{"topograph", []labelKey{
		{"fabric.topograph.run/tier-2", Fabric},
		{"fabric.topograph.run/tier-1", Block},
		{"fabric.topograph.run/tier-0", Leaf},
		{"accelerator.topograph.run/domain", NVLinkDomain},
	}},
	{"topograph-v0", []labelKey{
		{"network.topology.nvidia.com/core", Fabric},
		{"network.topology.nvidia.com/spine", Block},
		{"network.topology.nvidia.com/leaf", Leaf},
		{"network.topology.nvidia.com/accelerator", NVLinkDomain},
	}},
}

// readLabels takes the path of the first provider with any key on the node. A
// provider's own name for the NVLink domain yields to the clique, see claimsOf.
func readLabels(node string, labels map[string]string) (path labelPath, found []Problem) {
	for _, p := range providers {
		var problems []Problem
		has := false
		for _, k := range p.keys {
			value := labels[k.key]
			if value == "" {
				continue
			}
			has = true
			if problem, long := tooLong(node, "label "+k.key, value); long {
				problems = append(problems, problem)
				continue
			}
			if path.at[k.level].key == "" {
				path.at[k.level] = hint{source: Labels, key: k.key, value: value}
			}
		}
		if has {
			path.provider = p.name
			return path, problems
		}
	}
	return path, nil
}

func tooLong(node, what, value string) (Problem, bool) {
	if len(value) <= MaxValueBytes {
		return Problem{}, false
	}
	return nodeProblem(ValueTooLong, node, fmt.Sprintf("%s has %d bytes, at most %d count", what, len(value), MaxValueBytes)), true
}

// readClique takes the NVLink domain from the label of feature discovery.
func readClique(node string, labels map[string]string) (hint, []Problem) {
	value := labels[cliqueKey]
	if value == "" {
		return hint{}, nil
	}
	if problem, long := tooLong(node, "label "+cliqueKey, value); long {
		return hint{}, []Problem{problem}
	}
	dot := strings.LastIndexByte(value, '.')
	if dot > 0 {
		if id, err := strconv.ParseUint(value[dot+1:], 10, 32); err == nil {
			return cliqueHint(Labels, value[:dot], uint32(id)), nil
		}
	}
	fact := "label " + cliqueKey + " is " + quote(value) + ", not <cluster UUID>.<clique id>"
	return hint{}, []Problem{nodeProblem(InvalidValue, node, fact)}
}

// readFabric takes the NVLink domain from the driver. settled is false when the
// driver does not know, so that weaker evidence may speak; it is true with an
// empty hint when the driver says that there is no such fabric.
func readFabric(node string, f NVLinkFabric) (h hint, settled bool, problems []Problem) {
	if f.Health == Unhealthy || f.Health == Limited {
		problems = append(problems, nodeProblem(FabricUnhealthy, node, "NVML says the NVLink fabric is "+string(f.Health)))
	}
	if problem, long := tooLong(node, "fabric cluster UUID", f.ClusterUUID); long {
		return hint{}, false, append(problems, problem)
	}
	switch f.State {
	case FabricCompleted:
		return cliqueHint(Reported, f.ClusterUUID, f.CliqueID), true, problems
	case FabricNotSupported:
		return hint{}, true, problems
	default:
		return hint{}, false, problems
	}
}

// cliqueHint is empty where there is no cluster to be a clique of. The id 32766,
// which drivers give to the partition that holds a whole rack, is a clique like
// any other: unrelated racks share it, and differ in the cluster.
func cliqueHint(source Source, uuid string, id uint32) hint {
	if strings.Trim(uuid, "0-") == "" {
		return hint{}
	}
	value := strings.ToLower(uuid) + "." + strconv.FormatUint(uint64(id), 10)
	return hint{source: source, key: cliqueKey, value: value}
}
