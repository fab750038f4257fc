package fleet

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

const gib = int64(1) << 30
const mib = int64(1) << 20

// shape is one kind of machine. Devices stand in the order of their local index,
// which is also their rail.
type shape struct {
	arch        string
	cpus        int64
	memory      int64
	numaCPUs    []string // the kernel's CPU list of each NUMA node
	gpus        int
	gpu         gpuModel
	gpuBDF      []string // PCI address per GPU
	gpuNUMA     []int32
	nics        []nic
	switches    []int32  // NVLink connections from each GPU to switch i
	switchBDF   []string // PCI address per NVLink switch; empty where switches are no PCI devices of the machine
	peerLinks   int32    // XGMI connections from each GPU to each other one
	linkGbps    int32    // of one connection in one direction
	linkVersion string   // of NVLink; empty for XGMI
	trays       int      // machines that share one NVLink fabric; 0 means each has its own
	hostNVMes   int      // local NVMe devices, the first next to NUMA node 0

	gkeAccelerator string // cloud.google.com/gke-accelerator; empty means not offered
	doksModel      string // doks.digitalocean.com/gpu-model; empty means not offered
}

// gpuModel is what the driver and the maker's feature discovery say about a GPU.
type gpuModel struct {
	product      string
	family       string
	pciID        string
	memory       int64  // as the driver reports it, which is below the name's figure
	major, minor int    // compute capability; 0 for AMD
	gfx          string // the instruction set of an AMD device; empty for NVIDIA
	hasMIG       bool
	c2cGBps      int32 // to the CPU, in one direction; 0 means no chip-to-chip link
}

// isAMD says which vendor's labels, resource and driver go with the model.
func (g *gpuModel) isAMD() bool { return g.gfx != "" }

// brand is the vendor in DOKS's words.
func (g *gpuModel) brand() string {
	if g.isAMD() {
		return "amd"
	}
	return "nvidia"
}

// resource is the extended resource by which nodes offer the model.
func (g *gpuModel) resource() corev1.ResourceName {
	if g.isAMD() {
		return resourceAMD
	}
	return resourceNVIDIA
}

// computeCapability is what a node report says of the model.
func (g *gpuModel) computeCapability() string {
	if g.isAMD() {
		return g.gfx
	}
	return fmt.Sprintf("%d.%d", g.major, g.minor)
}

// nic is one RDMA port. gpus are the local indices of the GPUs that share a PCIe
// switch with it.
type nic struct {
	bdf  string
	numa int32
	gpus []int
}

var (
	h100    = gpuModel{product: "NVIDIA H100 80GB HBM3", family: "hopper", pciID: "10de:2330", memory: 81559 * mib, major: 9, hasMIG: true}
	h200    = gpuModel{product: "NVIDIA H200", family: "hopper", pciID: "10de:2335", memory: 143771 * mib, major: 9, hasMIG: true}
	b200    = gpuModel{product: "NVIDIA B200", family: "blackwell", pciID: "10de:2901", memory: 183359 * mib, major: 10, hasMIG: true}
	gb200   = gpuModel{product: "NVIDIA GB200", family: "blackwell", pciID: "10de:2941", memory: 189471 * mib, major: 10, hasMIG: true, c2cGBps: 450}
	l40s    = gpuModel{product: "NVIDIA L40S", family: "ada-lovelace", pciID: "10de:26b9", memory: 46068 * mib, major: 8, minor: 9}
	a100pci = gpuModel{product: "NVIDIA A100 80GB PCIe", family: "ampere", pciID: "10de:20b5", memory: 81920 * mib, major: 8, hasMIG: true}
	mi300x  = gpuModel{product: "AMD Instinct MI300X OAM", family: "AI", pciID: "1002:74a1", memory: 196592 * mib, gfx: "gfx942"}
)

// hgxGPUs, hgxSwitches and hgxNICs are where an HGX baseboard's eight GPUs, its
// NVLink switches and the network ports next to the GPUs sit in a DGX.
var (
	hgxGPUs     = []string{"0000:1b:00.0", "0000:43:00.0", "0000:52:00.0", "0000:61:00.0", "0000:9d:00.0", "0000:c3:00.0", "0000:d1:00.0", "0000:df:00.0"}
	hgxSwitches = []string{"0000:07:00.0", "0000:08:00.0", "0000:09:00.0", "0000:0a:00.0"}
	hgxNUMA     = []int32{0, 0, 0, 0, 1, 1, 1, 1}
	hgxCPUs     = []string{"0-55,112-167", "56-111,168-223"}
	hgxNICs     = []nic{
		{"0000:18:00.0", 0, []int{0}}, {"0000:40:00.0", 0, []int{1}}, {"0000:4f:00.0", 0, []int{2}}, {"0000:5e:00.0", 0, []int{3}},
		{"0000:9a:00.0", 1, []int{4}}, {"0000:c0:00.0", 1, []int{5}}, {"0000:ce:00.0", 1, []int{6}}, {"0000:dc:00.0", 1, []int{7}},
	}
)

var shapes = map[string]shape{
	"HGX-H100x8": {
		arch: "amd64", cpus: 224, memory: 2048 * gib, numaCPUs: hgxCPUs, hostNVMes: 2,
		gpus: 8, gpu: h100, gpuBDF: hgxGPUs, gpuNUMA: hgxNUMA, nics: hgxNICs,
		switches: []int32{5, 4, 4, 5}, switchBDF: hgxSwitches, linkGbps: 200, linkVersion: "4.0",
		gkeAccelerator: "nvidia-h100-80gb", doksModel: "h100",
	},
	"HGX-H200x8": {
		arch: "amd64", cpus: 224, memory: 2048 * gib, numaCPUs: hgxCPUs, hostNVMes: 2,
		gpus: 8, gpu: h200, gpuBDF: hgxGPUs, gpuNUMA: hgxNUMA, nics: hgxNICs,
		switches: []int32{5, 4, 4, 5}, switchBDF: hgxSwitches, linkGbps: 200, linkVersion: "4.0",
		gkeAccelerator: "nvidia-h200-141gb", doksModel: "h200",
	},
	"HGX-B200x8": {
		arch: "amd64", cpus: 224, memory: 2048 * gib, numaCPUs: hgxCPUs, hostNVMes: 2,
		gpus: 8, gpu: b200, gpuBDF: hgxGPUs, gpuNUMA: hgxNUMA, nics: hgxNICs,
		switches: []int32{9, 9}, linkGbps: 400, linkVersion: "5.0",
		gkeAccelerator: "nvidia-b200",
	},
	// Every GPU is connected with every other one by XGMI; there are no switches.
	"MI300Xx8": {
		arch: "amd64", cpus: 192, memory: 2048 * gib, numaCPUs: []string{"0-47,96-143", "48-95,144-191"}, hostNVMes: 2,
		gpus: 8, gpu: mi300x, gpuNUMA: hgxNUMA,
		gpuBDF: []string{"0000:05:00.0", "0000:26:00.0", "0000:46:00.0", "0000:65:00.0", "0000:85:00.0", "0000:a6:00.0", "0000:c6:00.0", "0000:e5:00.0"},
		nics: []nic{
			{"0000:08:00.0", 0, []int{0}}, {"0000:29:00.0", 0, []int{1}}, {"0000:49:00.0", 0, []int{2}}, {"0000:68:00.0", 0, []int{3}},
			{"0000:88:00.0", 1, []int{4}}, {"0000:a9:00.0", 1, []int{5}}, {"0000:c9:00.0", 1, []int{6}}, {"0000:e8:00.0", 1, []int{7}},
		},
		peerLinks: 1, linkGbps: 512,
		doksModel: "mi300x",
	},
	// One tray of a rack of 18. Each GPU has one connection to each of the rack's
	// 18 switches. Every GPU and every port has a PCI domain of its own.
	"GB200-NVL72": {
		arch: "arm64", cpus: 144, memory: 960 * gib, numaCPUs: []string{"0-71", "72-143"}, hostNVMes: 2,
		gpus: 4, gpu: gb200, gpuNUMA: []int32{0, 0, 1, 1},
		gpuBDF: []string{"0008:01:00.0", "0009:01:00.0", "0018:01:00.0", "0019:01:00.0"},
		nics: []nic{
			{"0000:03:00.0", 0, nil}, {"0002:03:00.0", 0, nil},
			{"0010:03:00.0", 1, nil}, {"0012:03:00.0", 1, nil},
		},
		switches: ones(18), linkGbps: 400, linkVersion: "5.0", trays: 18,
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
