package main

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
)

const (
	nodesPerRack   = 32
	racksPerBlock  = 16
	devicesPerNode = 8

	cpu     = "cpu"
	memory  = "memory"
	device  = "nvidia.com/gpu"
	adapter = "rdma/ib"
	pods    = "pods"

	blockLabel = "cloud.google.com/gce-topology-block"
	rackLabel  = "cloud.google.com/gce-topology-subblock"
	hostLabel  = "kubernetes.io/hostname"
	poolLabel  = "cloud.google.com/gke-nodepool"
	pool       = "hgx"
	taintKey   = device
	taintValue = "present"
)

// The ways to fill a fabric.
const (
	// empty has no pods.
	empty = "empty"
	// scatter has pods of 1, 2, 4 and 8 devices on random nodes.
	scatter = "scatter"
	// packed has the same pods, each on the fullest node that holds it, and a new
	// node at random when none does.
	packed = "packed"
)

// podSizes are the devices of the pods, each as often as it stands here: half of
// the pods take a whole node.
var podSizes = [...]int{1, 2, 4, 8, 8, 8}

// fillShare is how many of the devices the pods of scatter and packed take.
const fillShare = 0.7

// Fabric is the one description that every engine reads: a block of racks of
// machines, all alike, and the pods that run there. KAI gets it as JSON.
type Fabric struct {
	// Capacity is what each node offers, and PerDevice what a pod asks for with
	// every device: millicores, bytes, pieces.
	Capacity  map[string]int64 `json:"capacity"`
	PerDevice map[string]int64 `json:"perDevice"`
	// Labels are those of every node, beside Block, Rack and its name.
	Labels map[string]string `json:"labels"`
	// Selector and Taint are what a gang selects and tolerates.
	Selector map[string]string `json:"selector"`
	Taint    Taint             `json:"taint"`
	// BlockLabel, RackLabel and HostLabel are the keys of the levels.
	BlockLabel string `json:"blockLabel"`
	RackLabel  string `json:"rackLabel"`
	HostLabel  string `json:"hostLabel"`
	Nodes      []Node `json:"nodes"`
	Pods       []Pod  `json:"pods"`
}

// Taint is the NoSchedule taint of every node.
type Taint struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Node is one machine of the fabric.
type Node struct {
	Name  string `json:"name"`
	Block string `json:"block"`
	Rack  string `json:"rack"`
}

// Pod is a running pod of so many devices.
type Pod struct {
	Name    string `json:"name"`
	Node    int    `json:"node"`
	Devices int    `json:"devices"`
}

// newFabric makes a fabric of so many nodes. Equal arguments give equal fabrics.
func newFabric(nodes int, fill string) *Fabric {
	f := &Fabric{
		Capacity:  map[string]int64{cpu: 192_000, memory: 2 << 40, device: devicesPerNode, adapter: devicesPerNode, pods: 110},
		PerDevice: map[string]int64{cpu: 16_000, memory: 128 << 30, device: 1, adapter: 1},
		Labels:    commonLabels(), Selector: map[string]string{poolLabel: pool}, Taint: Taint{taintKey, taintValue},
		BlockLabel: blockLabel, RackLabel: rackLabel, HostLabel: hostLabel,
	}
	for i := range nodes {
		rack := i / nodesPerRack
		f.Nodes = append(f.Nodes, Node{
			Name: fmt.Sprintf("node-%06d", i), Block: fmt.Sprintf("block-%03d", rack/racksPerBlock), Rack: fmt.Sprintf("rack-%04d", rack),
		})
	}
	if fill != empty {
		f.fill(fill, rand.New(rand.NewPCG(7, uint64(nodes))))
	}
	return f
}

// fill starts pods until fillShare of the devices is taken.
func (f *Fabric) fill(how string, random *rand.Rand) {
	free := make([]int, len(f.Nodes))
	for i := range free {
		free[i] = devicesPerNode
	}
	for left := int(fillShare * float64(len(free)*devicesPerNode)); left > 0; {
		size := podSizes[random.IntN(len(podSizes))]
		node := random.IntN(len(free))
		if how == packed {
			node = fullest(free, size, random)
		}
		for free[node] < size {
			node = random.IntN(len(free))
		}
		free[node] -= size
		left -= size
		f.Pods = append(f.Pods, Pod{Name: fmt.Sprintf("pod-%06d", len(f.Pods)), Node: node, Devices: size})
	}
}

// fullest is the node that a pod leaves with least room; of the empty ones, a
// random one.
func fullest(free []int, size int, random *rand.Rand) int {
	best := -1
	for i, n := range free {
		if n >= size && n < devicesPerNode && (best < 0 || n < free[best]) {
			best = i
		}
	}
	for best < 0 {
		if i := random.IntN(len(free)); free[i] == devicesPerNode {
			best = i
		}
	}
	return best
}

// commonLabels are what a cloud's node carries: about thirty labels.
func commonLabels() map[string]string {
	out := map[string]string{
		poolLabel: pool, "kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux",
		"node.kubernetes.io/instance-type": "hgx-h100-8", "topology.kubernetes.io/region": "region-1", "topology.kubernetes.io/zone": "region-1-a",
	}
	for _, fact := range []string{
		"product", "count", "memory", "family", "machine", "replicas", "sharing-strategy", "compute.major", "compute.minor",
		"mig.capable", "mig.strategy", "mps.capable", "deploy.driver", "deploy.dcgm", "deploy.device-plugin",
	} {
		out["nvidia.com/gpu."+fact] = "same-everywhere"
	}
	out["nvidia.com/gpu.count"], out["nvidia.com/gpu.memory"] = "8", "81559"
	for _, fact := range []string{"driver.major", "driver.minor", "driver.rev", "runtime.major", "runtime.minor", "runtime.full"} {
		out["nvidia.com/cuda."+fact] = "12"
	}
	return out
}

// labels are all labels of a node.
func (f *Fabric) labels(n *Node) map[string]string {
	out := maps.Clone(f.Labels)
	out[f.BlockLabel], out[f.RackLabel], out[f.HostLabel] = n.Block, n.Rack, n.Name
	return out
}

// requests is what a pod of so many devices asks for.
func (f *Fabric) requests(devices int) map[string]int64 {
	out := map[string]int64{}
	for name, amount := range f.PerDevice {
		out[name] = amount * int64(devices)
	}
	return out
}

// used is what runs on every node, pods counted.
func (f *Fabric) used() []map[string]int64 {
	out := make([]map[string]int64, len(f.Nodes))
	for i := range out {
		out[i] = map[string]int64{}
	}
	for _, p := range f.Pods {
		out[p.Node][pods]++
		for name, amount := range f.requests(p.Devices) {
			out[p.Node][name] += amount
		}
	}
	return out
}

// blocks are the names of the blocks in order, and racks those of the racks with
// their blocks.
func (f *Fabric) blocks() []string {
	var out []string
	for _, n := range f.Nodes {
		out = append(out, n.Block)
	}
	return slices.Compact(out)
}

func (f *Fabric) racks() (racks, blocks []string) {
	for _, n := range f.Nodes {
		if len(racks) == 0 || racks[len(racks)-1] != n.Rack {
			racks, blocks = append(racks, n.Rack), append(blocks, n.Block)
		}
	}
	return racks, blocks
}
