package sysfs

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strconv"

	"github.com/k8s4ai/k8s4ai/internal/agent/machine"
)

const (
	kfdNodes = "sys/class/kfd/kfd/topology/nodes"
	amdgpu   = "sys/module/amdgpu/version"

	ioLinkXGMI = 11
	maxLinks   = 36
)

// heapPublic and heapPrivate are the kinds of memory bank that are the device's
// own.
const (
	heapPublic  = 1
	heapPrivate = 2
)

// amd reads the accelerators that the AMD compute driver lists. A device that is
// split into partitions has a node for each; the first stands for the device.
func (r *reader) amd() (gpus []machine.GPU, links []machine.Link, driver string) {
	nodes := r.names(kfdNodes)
	if len(nodes) == 0 {
		return nil, nil, ""
	}
	driver, err := r.text(amdgpu)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.problem("amdgpu", "version: %v", err)
	}
	devices := map[string]device{} // by UUID
	owner := map[string]int{}      // PCI address to index in gpus
	uuidOf := map[uint64]string{}  // of a node, "" for a CPU
	var listed []int               // the node of each of gpus
	for _, name := range nodes {
		number, isNumber := numbered(name, "")
		if !isNumber {
			continue
		}
		gpu, d, err := r.kfdNode(kfdNodes + "/" + name)
		if err != nil {
			r.problem("AMD node "+name, "%v", err)
			continue
		}
		if gpu == nil {
			uuidOf[uint64(number)] = ""
			continue
		}
		if first, isPartition := owner[gpu.PCIAddress]; isPartition {
			uuidOf[uint64(number)] = gpus[first].UUID
			continue
		}
		if _, taken := devices[gpu.UUID]; taken || gpu.UUID == "" {
			gpu.UUID = r.madeUUID(gpu.PCIAddress)
		}
		owner[gpu.PCIAddress], uuidOf[uint64(number)], devices[gpu.UUID] = len(gpus), gpu.UUID, d
		gpu.Index = len(gpus)
		listed = append(listed, number)
		gpus = append(gpus, *gpu)
	}
	for i := range gpus {
		gpus[i].Peers = peersOf(gpus, i, devices)
	}
	for _, number := range listed {
		links = append(links, r.xgmi(number, uuidOf)...)
	}
	return gpus, links, printable(driver, maxName)
}

func peersOf(gpus []machine.GPU, i int, devices map[string]device) []machine.Peer {
	var peers []machine.Peer
	for j := range gpus {
		if j != i {
			peers = append(peers, machine.Peer{UUID: gpus[j].UUID, Path: relation(devices[gpus[i].UUID], devices[gpus[j].UUID])})
		}
	}
	return peers
}

// kfdNode reads one node of the topology, nil for a CPU. UUID is "" when the
// device has no unique id.
func (r *reader) kfdNode(dir string) (*machine.GPU, device, error) {
	text, err := r.text(dir + "/properties")
	if err != nil {
		return nil, device{}, fmt.Errorf("its properties: %w", err)
	}
	properties := parseProperties(text)
	if _, isNode := properties["simd_count"]; !isNode {
		return nil, device{}, errors.New("its properties have no simd_count")
	}
	if properties["simd_count"] == 0 && properties["gfx_target_version"] == 0 {
		return nil, device{}, nil
	}
	gfx, err := gfxName(properties["gfx_target_version"])
	if err != nil {
		return nil, device{}, err
	}
	vendor, product := properties["vendor_id"], properties["device_id"]
	// The upper half of the location is the number of the partition.
	domain, location := properties["domain"], properties["location_id"]&math.MaxUint16
	if vendor == 0 || vendor > math.MaxUint16 || product > math.MaxUint16 || domain > math.MaxUint32 {
		return nil, device{}, fmt.Errorf("vendor %d, device %d and domain %d are no PCI device", vendor, product, domain)
	}
	gpu := &machine.GPU{
		PCIAddress: fmt.Sprintf("%04x:%02x:%02x.%d", domain, location>>8, location>>3&0x1f, location&7),
		PCIID:      fmt.Sprintf("%04x:%04x", vendor, product), ComputeCapability: gfx,
		MemoryReserved: machine.Unknown, TemperatureC: machine.Unknown,
	}
	if id := properties["unique_id"]; id != 0 {
		gpu.UUID = fmt.Sprintf("GPU-%016x", id)
	}
	d := r.pciDevice(gpu.PCIAddress)
	if d.chain == nil {
		r.problem(gpu.PCIAddress, "the compute driver lists it and the PCI bus does not")
	}
	gpu.NUMANode = d.numa
	at := pciDevices + "/" + gpu.PCIAddress
	gpu.Name = r.firstText(at+"/product_name", dir+"/name")
	gpu.MemoryTotal, gpu.MemoryUsed = r.bytes(at+"/mem_info_vram_total"), r.bytes(at+"/mem_info_vram_used")
	if gpu.MemoryTotal == machine.Unknown {
		gpu.MemoryTotal = r.bankBytes(dir + "/mem_banks")
	}
	return gpu, d, nil
}

func (r *reader) firstText(names ...string) string {
	for _, name := range names {
		if text, err := r.text(name); err == nil && text != "" {
			return printable(text, maxText)
		}
	}
	return ""
}

// bytes reads a number of bytes, Unknown when it is not there or is none.
func (r *reader) bytes(name string) int64 {
	text, err := r.text(name)
	if err != nil {
		return machine.Unknown
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && n >= 0 {
		return n
	}
	return machine.Unknown
}

// bankBytes adds up the banks of the device's own memory.
func (r *reader) bankBytes(dir string) int64 {
	total := uint64(0)
	for _, name := range r.names(dir) {
		text, err := r.text(dir + "/" + name + "/properties")
		if err != nil {
			continue
		}
		bank := parseProperties(text)
		if heap := bank["heap_type"]; heap != heapPublic && heap != heapPrivate {
			continue
		}
		if bank["size_in_bytes"] > math.MaxInt64-total {
			return machine.Unknown
		}
		total += bank["size_in_bytes"]
	}
	if total == 0 {
		return machine.Unknown
	}
	return int64(total)
}

// madeUUID names a device without a unique id of its own, as in some virtual
// machines, by its place: it stays the same until the device is moved.
func (r *reader) madeUUID(address string) string {
	host := r.firstText("sys/class/dmi/id/product_uuid", "etc/machine-id")
	if host == "" {
		r.problem(address, "neither the device nor the machine has a unique id: its name is not unique in the cluster")
	}
	sum := sha256.Sum256([]byte(host + " " + address))
	return fmt.Sprintf("GPU-%x", sum[:8])
}

// xgmi returns the XGMI connections of a node to other accelerators. The kernel
// gives the bandwidth of one connection and of all that lead to the same device,
// in megabytes per second.
func (r *reader) xgmi(number int, uuidOf map[uint64]string) []machine.Link {
	var links []machine.Link
	node := strconv.Itoa(number)
	dir := kfdNodes + "/" + node + "/io_links"
	from := uuidOf[uint64(number)]
	seen := map[string]bool{"": true, from: true}
	for _, name := range r.names(dir) {
		text, err := r.text(dir + "/" + name + "/properties")
		if err != nil {
			r.problem("AMD node "+node, "link %s: %v", name, err)
			continue
		}
		properties := parseProperties(text)
		if properties["type"] != ioLinkXGMI {
			continue
		}
		to, isNode := uuidOf[properties["node_to"]]
		if !isNode {
			r.problem("AMD node "+node, "link %s leads to node %d, which cannot be read", name, properties["node_to"])
		}
		if seen[to] {
			continue
		}
		seen[to] = true
		count, gbps := linkSpeed(properties["min_bandwidth"], properties["max_bandwidth"])
		links = append(links, machine.Link{From: from, To: to, Total: count, Active: count, Gbps: gbps})
	}
	return links
}

// linkSpeed returns the number of connections and the speed of one, 0 for
// unknown, from the megabytes per second of one and of all.
func linkSpeed(one, all uint64) (count, gbps int) {
	const megabytes = 125 // per second and gigabit
	if one == 0 || one > maxGbps*megabytes {
		return 1, 0
	}
	return int(max(1, min(all/one, maxLinks))), int(one / megabytes)
}
