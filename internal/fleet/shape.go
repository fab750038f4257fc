package fleet

import (
	"fmt"
	"maps"
	"slices"
)

const gib = int64(1) << 30
const mib = int64(1) << 20

// shape is one kind of machine. Devices stand in the order of their local index,
// which is also their rail.
type shape struct {
	arch      string
	cpus      int64
	memory    int64
	numaCPUs  []string // the kernel's CPU list of each NUMA node
	gpus      int
	gpu       gpuModel
	gpuBDF    []string // PCI address per GPU
	gpuNUMA   []int32
	nics      []nic
	switches  []int32 // NVLink connections from each GPU to switch i
	linkGbps  int32   // of one connection in one direction
	trays     int     // machines that share one NVLink fabric; 0 means each has its own
	hostNVMes int     // local NVMe devices, the first next to NUMA node 0

	gkeAccelerator string // cloud.google.com/gke-accelerator; empty means not offered
	doksModel      string // doks.digitalocean.com/gpu-model; empty means not offered
}

// gpuModel is what the driver and GPU feature discovery say about a GPU.
type gpuModel struct {
	product      string
	family       string
	pciID        string
	memory       int64 // as the driver reports it, which is below the name's figure
	major, minor int
}

// nic is one RDMA port. gpus are the local indices of the GPUs that share a PCIe
// switch with it.
type nic struct {
	bdf  string
	numa int32
	gpus []int
}

var (
	h100    = gpuModel{product: "NVIDIA H100 80GB HBM3", family: "hopper", pciID: "10de:2330", memory: 81559 * mib, major: 9}
	b200    = gpuModel{product: "NVIDIA B200", family: "blackwell", pciID: "10de:2901", memory: 183359 * mib, major: 10}
	gb200   = gpuModel{product: "NVIDIA GB200", family: "blackwell", pciID: "10de:2941", memory: 189471 * mib, major: 10}
	l40s    = gpuModel{product: "NVIDIA L40S", family: "ada-lovelace", pciID: "10de:26b5", memory: 46068 * mib, major: 8, minor: 9}
	a100pci = gpuModel{product: "NVIDIA A100 80GB PCIe", family: "ampere", pciID: "10de:20b5", memory: 81920 * mib, major: 8}
)

// hgxGPUs and hgxNICs are where an HGX baseboard's eight GPUs and the network
// ports next to them sit in a DGX.
var (
	hgxGPUs = []string{"0000:1b:00.0", "0000:43:00.0", "0000:52:00.0", "0000:61:00.0", "0000:9d:00.0", "0000:c3:00.0", "0000:d1:00.0", "0000:df:00.0"}
	hgxNUMA = []int32{0, 0, 0, 0, 1, 1, 1, 1}
	hgxCPUs = []string{"0-55,112-167", "56-111,168-223"}
	hgxNICs = []nic{
		{"0000:18:00.0", 0, []int{0}}, {"0000:40:00.0", 0, []int{1}}, {"0000:4f:00.0", 0, []int{2}}, {"0000:5e:00.0", 0, []int{3}},
		{"0000:9a:00.0", 1, []int{4}}, {"0000:c0:00.0", 1, []int{5}}, {"0000:ce:00.0", 1, []int{6}}, {"0000:dc:00.0", 1, []int{7}},
	}
)

var shapes = map[string]shape{
	"HGX-H100x8": {
		arch: "amd64", cpus: 224, memory: 2048 * gib, numaCPUs: hgxCPUs, hostNVMes: 2,
		gpus: 8, gpu: h100, gpuBDF: hgxGPUs, gpuNUMA: hgxNUMA, nics: hgxNICs,
		switches: []int32{5, 4, 4, 5}, linkGbps: 200,
		gkeAccelerator: "nvidia-h100-80gb", doksModel: "h100",
	},
	"HGX-B200x8": {
		arch: "amd64", cpus: 224, memory: 2048 * gib, numaCPUs: hgxCPUs, hostNVMes: 2,
		gpus: 8, gpu: b200, gpuBDF: hgxGPUs, gpuNUMA: hgxNUMA, nics: hgxNICs,
		switches: []int32{9, 9}, linkGbps: 400,
		gkeAccelerator: "nvidia-b200",
	},
	// One tray of a rack of 18. Each GPU has one connection to each of the rack's
	// 18 switches.
	"GB200-NVL72": {
		arch: "arm64", cpus: 144, memory: 960 * gib, numaCPUs: []string{"0-71", "72-143"}, hostNVMes: 2,
		gpus: 4, gpu: gb200, gpuNUMA: []int32{0, 0, 1, 1},
		gpuBDF: []string{"0008:01:00.0", "0009:01:00.0", "0018:01:00.0", "0019:01:00.0"},
		nics: []nic{
			{"0000:03:00.0", 0, []int{0}}, {"0002:03:00.0", 0, []int{1}},
			{"0010:03:00.0", 1, []int{2}}, {"0012:03:00.0", 1, []int{3}},
		},
		switches: ones(18), linkGbps: 400, trays: 18,
		gkeAccelerator: "nvidia-gb200",
	},
	"L40S": {
		arch: "amd64", cpus: 32, memory: 256 * gib, numaCPUs: []string{"0-31"}, hostNVMes: 1,
		gpus: 1, gpu: l40s, gpuBDF: []string{"0000:01:00.0"}, gpuNUMA: []int32{0},
		doksModel: "l40s",
	},
	// No NVLink bridges: GPUs talk over PCIe.
	"A100-PCIe": {
		arch: "amd64", cpus: 64, memory: 512 * gib, numaCPUs: []string{"0-31", "32-63"}, hostNVMes: 1,
		gpus: 4, gpu: a100pci, gpuNUMA: []int32{0, 0, 1, 1},
		gpuBDF: []string{"0000:21:00.0", "0000:22:00.0", "0000:a1:00.0", "0000:a2:00.0"},
		nics:   []nic{{"0000:23:00.0", 0, []int{0, 1}}},
	},
	"CPU": {
		arch: "amd64", cpus: 64, memory: 256 * gib, numaCPUs: []string{"0-31", "32-63"}, hostNVMes: 1,
	},
}

// ShapeNames returns the machine shapes in alphabetical order.
func ShapeNames() []string { return slices.Sorted(maps.Keys(shapes)) }

func ones(n int) []int32 {
	all := make([]int32, n)
	for i := range all {
		all[i] = 1
	}
	return all
}

func shapeRackHint(name string, s shape) string {
	return fmt.Sprintf("%s comes in racks: set racks, and nodes to %d", name, s.trays)
}
