package machine

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
)

// paths are the PCIe relations, near to far.
var paths = []string{"PIX", "PXB", "PHB", "NODE", "SYS"}

// farPath is the first of paths that a report leaves out: such pairs are most of
// all pairs and all alike, and the API server keeps every report in memory.
const farPath = 3

func (b *builder) addNICs() {
	known := map[string]bool{}
	nics := slices.Clone(head(b, "RDMA ports", b.facts.NICs, maxNICs))
	slices.SortStableFunc(nics, func(x, y NIC) int { return compareNatural(x.Name, y.Name) })
	for _, n := range nics {
		device := cmp.Or(n.Name, "an RDMA port")
		if !b.identity(device, "name", n.Name, maxName) {
			continue
		}
		layer := v1alpha1.LinkLayer(n.LinkLayer)
		switch {
		case known[n.Name]:
			b.problem(device, "it is there twice, and left out once")
			continue
		case layer != v1alpha1.LinkLayerInfiniBand && layer != v1alpha1.LinkLayerEthernet:
			b.problem(device, "its link layer %q is neither InfiniBand nor Ethernet: it is left out", clean(n.LinkLayer, 32))
			continue
		}
		known[n.Name] = true
		state := v1alpha1.NICState(n.State)
		if state != v1alpha1.NICActive && state != v1alpha1.NICDown {
			state = v1alpha1.NICUnknown
		}
		b.ports = append(b.ports, n)
		b.report.NICs = append(b.report.NICs, v1alpha1.NIC{
			Name: n.Name, GUID: b.guid(device, n.GUID), SystemGUID: b.guid(device, n.SystemGUID),
			InterfaceName: clean(n.Interface, maxName), Subnet: clean(n.Subnet, maxName),
			PCIAddress: b.address(device, n.PCIAddress), NUMANode: b.numa(device, n.NUMANode),
			LinkLayer: layer, RateGbps: int32(b.positive(device, "speed", int64(n.Gbps), maxGbps)), State: state,
		})
	}
	b.addRails()
}

func (b *builder) guid(device, text string) string {
	if text == "" || len(text) == 19 && guid.MatchString(text) {
		return text
	}
	b.problem(device, "%q is no GUID", clean(text, 32))
	return ""
}

// addRails numbers the rail of each port: the index of the GPU on the same PCIe
// switch or host bridge. Where the tree tells nothing, ports and GPUs of equal
// number stand in one order.
func (b *builder) addRails() {
	if len(b.gpus) == 0 {
		return
	}
	near := b.nearGPUs()
	for i := range b.report.NICs {
		gpu := -1
		if near != nil {
			gpu = near[deviceOf(b.report.NICs[i].Name)] - 1
		} else if len(b.gpus) == len(b.ports) {
			gpu = i
		}
		if gpu >= 0 && b.gpus[gpu].Index <= maxRail {
			b.report.NICs[i].Rail = new(int32(b.gpus[gpu].Index))
		}
	}
}

// nearGPUs gives, by name of an adapter, the nearest GPU that is not far, as its
// position plus 1; of several the first. It is nil when no relation is known.
func (b *builder) nearGPUs() map[string]int {
	rank := map[string]int{}
	var out map[string]int
	for _, r := range b.treeRelations() {
		gpu, isGPU := b.position[r.From]
		if !isGPU || !b.isAdapter(r.To) {
			continue
		}
		if out == nil {
			out = map[string]int{}
		}
		path := slices.Index(paths, r.Path)
		was, found := rank[r.To]
		if path >= 0 && path < farPath && (!found || path < was || path == was && gpu+1 < out[r.To]) {
			rank[r.To], out[r.To] = path, gpu+1
		}
	}
	return out
}

// treeRelations are the relations that follow from the PCI tree: none where the
// tree is the hypervisor's invention.
func (b *builder) treeRelations() []Relation {
	if b.facts.Virtual {
		return nil
	}
	return b.facts.Relations
}

func (b *builder) isAdapter(name string) bool {
	return slices.ContainsFunc(b.ports, func(n NIC) bool { return deviceOf(n.Name) == name })
}

// deviceOf is the adapter of a port.
func deviceOf(port string) string {
	device, _, _ := strings.Cut(port, "/")
	return device
}

// nearestPorts gives, for each GPU, the ports that its traffic takes, as positions
// in report.NICs. Ports that were never up take none.
func (b *builder) nearestPorts() [][]int {
	var used []int
	for i, n := range b.report.NICs {
		if b.history.Up[n.Name] {
			used = append(used, i)
		}
	}
	out := make([][]int, len(b.gpus))
	if len(used) == 0 {
		return out
	}
	if b.byTree(out, used) {
		return out
	}
	for i := range out {
		switch gpus := len(b.gpus); {
		case len(used)%gpus == 0:
			each := len(used) / gpus
			out[i] = used[i*each : (i+1)*each]
		case gpus%len(used) == 0:
			at := i / (gpus / len(used))
			out[i] = used[at : at+1]
		default:
			out[i] = used
		}
	}
	return out
}

// byTree fills in the nearest ports by the PCI tree; false when it tells none.
func (b *builder) byTree(out [][]int, used []int) bool {
	best := make([]int, len(out))
	found := false
	for _, r := range b.treeRelations() {
		gpu, isGPU := b.position[r.From]
		path := slices.Index(paths, r.Path)
		if !isGPU || path < 0 {
			continue
		}
		for _, i := range used {
			if deviceOf(b.report.NICs[i].Name) != r.To {
				continue
			}
			found = true
			switch {
			case len(out[gpu]) == 0 || path < best[gpu]:
				best[gpu], out[gpu] = path, []int{i}
			case path == best[gpu]:
				out[gpu] = append(out[gpu], i)
			}
		}
	}
	return found
}

// addRelations reports the pairs that are near, and the pairs of GPUs whose access
// to each other is worth knowing.
func (b *builder) addRelations() {
	var all []v1alpha1.PCIeRelation
	for _, r := range b.treeRelations() {
		path := slices.Index(paths, r.Path)
		_, isGPU := b.position[r.From]
		_, isPair := b.position[r.To]
		isDevice := b.isAdapter(r.To) || slices.ContainsFunc(b.report.NVMes, func(n v1alpha1.NVMe) bool { return n.Name == r.To })
		if isGPU && isDevice && !isPair && path >= 0 && path < farPath {
			all = append(all, v1alpha1.PCIeRelation{From: r.From, To: r.To, Path: v1alpha1.PCIePath(r.Path)})
		}
	}
	all = append(all, b.pairs()...)
	slices.SortFunc(all, func(x, y v1alpha1.PCIeRelation) int {
		return cmp.Or(
			cmp.Compare(slices.Index(paths, string(x.Path)), slices.Index(paths, string(y.Path))),
			cmp.Compare(b.position[x.From], b.position[y.From]), cmp.Compare(b.rank(x.To), b.rank(y.To)),
			compareNatural(x.To, y.To), cmp.Compare(x.PeerAccess, y.PeerAccess),
		)
	})
	all = slices.CompactFunc(all, func(x, y v1alpha1.PCIeRelation) bool { return x.From == y.From && x.To == y.To })
	b.report.PCIeRelations = head(b, "PCIe relations", all, maxRelations)
}

// rank orders the ends of relations: GPUs as they stand, then the other devices.
func (b *builder) rank(device string) int {
	if at, isGPU := b.position[device]; isGPU {
		return at
	}
	return len(b.gpus)
}

// pairs are the relations of two GPUs, each once. Far ones are left out unless the
// driver denies the access, or the tree tells nothing and the driver does.
func (b *builder) pairs() []v1alpha1.PCIeRelation {
	tree := map[[2]int]string{}
	for _, r := range b.treeRelations() {
		x, isFrom := b.position[r.From]
		y, isTo := b.position[r.To]
		if isFrom && isTo && x != y {
			tree[[2]int{min(x, y), max(x, y)}] = r.Path
		}
	}
	var out []v1alpha1.PCIeRelation
	for i := range b.gpus {
		for j := i + 1; j < len(b.gpus); j++ {
			x, y := b.peer(i, j), b.peer(j, i)
			path := slices.Index(paths, cmp.Or(x.Path, y.Path, tree[[2]int{i, j}]))
			access := accessOf(x, y)
			isTold := path >= 0 && path < farPath || access == v1alpha1.PeerAccessNotSupported
			if b.facts.Virtual {
				isTold = access != ""
			}
			if isTold {
				if path < 0 {
					path = len(paths) - 1
				}
				out = append(out, v1alpha1.PCIeRelation{
					From: b.gpus[i].UUID, To: b.gpus[j].UUID, Path: v1alpha1.PCIePath(paths[path]), PeerAccess: access,
				})
			}
		}
	}
	return out
}

// accessOf sums up what two GPUs tell of each other.
func accessOf(x, y Peer) v1alpha1.PeerAccess {
	switch {
	case isFalse(x.Access) || isFalse(y.Access):
		return v1alpha1.PeerAccessNotSupported
	case isTrue(x.Access) || isTrue(y.Access):
		return v1alpha1.PeerAccessSupported
	}
	return ""
}

// peer is what GPU i tells of GPU j.
func (b *builder) peer(i, j int) Peer {
	for _, p := range b.gpus[i].Peers {
		if p.UUID == b.gpus[j].UUID {
			return p
		}
	}
	return Peer{}
}

func isTrue(b *bool) bool  { return b != nil && *b }
func isFalse(b *bool) bool { return b != nil && !*b }

// judgePorts sets the health of ports: one that has worked and is down is broken.
func (b *builder) judgePorts() {
	for i := range b.report.NICs {
		n := &b.report.NICs[i]
		if n.State == v1alpha1.NICActive {
			remember(b.history.Up, n.Name, true)
		}
		switch {
		case n.State == v1alpha1.NICActive:
			n.Health = v1alpha1.DeviceHealthy
		case n.State == v1alpha1.NICDown && b.history.Up[n.Name]:
			n.Health = v1alpha1.DeviceUnhealthy
		default:
			n.Health = v1alpha1.DeviceUnknown
		}
	}
}

// tellsFabric says whether what a GPU tells of its fabric is about one of several
// machines. A single machine's driver may speak of a Completed fabric with an id,
// too: only a chip-to-chip link to a Grace CPU, or the id of a rack, makes a machine
// a part of a wider one.
func tellsFabric(gpu *GPU) bool {
	return gpu.Fabric != nil && gpu.Fabric.State != "" && !gpu.Lost && (gpu.C2CLinks > 0 || gpu.Fabric.Rack != "")
}

// addFabric reports the multi-node NVLink fabric.
func (b *builder) addFabric() {
	var first, outside *GPU
	var health []string
	for i := range b.gpus {
		gpu := &b.gpus[i]
		f := gpu.Fabric
		if !tellsFabric(gpu) {
			continue
		}
		device := fmt.Sprintf("GPU %d", gpu.Index)
		switch {
		case f.State != "Completed" || strings.Trim(f.ClusterUUID, "0-") == "":
			outside = gpu
		case len(f.ClusterUUID) > maxName || clean(f.ClusterUUID, maxName) != f.ClusterUUID:
			b.problem(device, "the UUID of its NVLink fabric is no UUID")
			return
		case first == nil:
			first = gpu
		case first.Fabric.ClusterUUID != f.ClusterUUID || first.Fabric.CliqueID != f.CliqueID:
			b.problem(device, "its NVLink fabric %s.%d is not the %s.%d of GPU %d: the machine is reported without one",
				f.ClusterUUID, f.CliqueID, first.Fabric.ClusterUUID, first.Fabric.CliqueID, first.Index)
			return
		}
		health = append(health, f.Health)
	}
	if first == nil {
		return
	}
	if outside != nil {
		b.problem(fmt.Sprintf("GPU %d", outside.Index), "it is outside of the NVLink fabric that GPU %d is in (%s): the machine is reported without one",
			first.Index, outside.Fabric.State)
		return
	}
	b.report.NVLinkFabric = &v1alpha1.NVLinkFabric{
		ClusterUUID: first.Fabric.ClusterUUID, CliqueID: new(int64(first.Fabric.CliqueID)), Health: fabricHealth(health),
	}
}

// fabricHealth sums up what the GPUs say: a fabric can be Completed and broken.
func fabricHealth(said []string) v1alpha1.DeviceHealth {
	switch {
	case slices.Contains(said, "Unhealthy"), slices.Contains(said, "Limited"):
		return v1alpha1.DeviceUnhealthy
	case slices.ContainsFunc(said, func(s string) bool { return s != "Healthy" }):
		return v1alpha1.DeviceUnknown
	}
	return v1alpha1.DeviceHealthy
}
