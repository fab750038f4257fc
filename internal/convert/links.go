package convert

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"k8s.io/utils/ptr"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/placement"
)

// classLink is what the profile of a class says of the link between devices.
type classLink struct {
	// gbps is the bandwidth of one device in one direction.
	gbps int64
	// size is the largest number of devices that the link joins.
	size int64
}

// classLinks lists the links of the classes that have a figure for both.
func classLinks(classes []v1alpha1.AcceleratorClass) map[string]classLink {
	out := map[string]classLink{}
	for i := range classes {
		link := classes[i].Spec.Interconnect
		if link != nil && link.BandwidthGBps > 0 && link.DomainSize > 0 {
			// Bytes in both directions to bits in one.
			out[classes[i].Name] = classLink{gbps: link.BandwidthGBps * 8 / 2, size: int64(link.DomainSize)}
		}
	}
	return out
}

// wire says how the node's devices are joined, with each other and with the
// network, as far as that is known.
func (n *SceneNode) wire(report *v1alpha1.NodeReport, resources []string, links map[string]classLink) {
	if report == nil || len(report.Accelerators) == 0 {
		n.LinkGbps = n.classGbps(links)
	} else {
		usable := slices.DeleteFunc(slices.Clone(report.Accelerators), func(a v1alpha1.Accelerator) bool { return !isUsable(a.Health) })
		joined := joinedBy(report.NVLinks, usable)
		n.Islands = n.islands(report, usable, joined, resources)
		n.LinkGbps = n.linkGbps(report.NVLinks, usable, joined, links)
	}
	if report != nil {
		n.NICGbps = nicGbps(report)
	}
}

// islands divides the usable devices of a node by NVLink where that joins fewer
// than all, and else by NUMA node. It is nil when it is not known which devices
// the node's one resource of accelerators hands out, or where they are.
func (n *SceneNode) islands(report *v1alpha1.NodeReport, usable []v1alpha1.Accelerator, joined map[string]string, resources []string) map[string][]int64 {
	offered := slices.DeleteFunc(slices.Clone(resources), func(name string) bool { return n.Capacity[name] <= 0 })
	// A device that is shared, partitioned or held back makes a difference.
	if len(offered) != 1 || n.Capacity[offered[0]] != int64(len(usable)) {
		return nil
	}
	if slices.ContainsFunc(usable, func(a v1alpha1.Accelerator) bool { return a.MIGMode == v1alpha1.MIGEnabled }) {
		return nil
	}
	sizes := map[string]int64{}
	for _, a := range usable {
		sizes[joined[a.UUID]]++
	}
	if len(sizes) == 1 || len(sizes) == len(usable) {
		if sizes = byNUMA(report, usable); sizes == nil {
			return nil
		}
	}
	counts := slices.SortedFunc(maps.Values(sizes), func(a, b int64) int { return cmp.Compare(b, a) })
	if len(counts) > placement.MaxIslands || counts[0] > placement.MaxIslandDevices {
		return nil
	}
	return map[string][]int64{offered[0]: counts}
}

// byNUMA counts devices by NUMA node, nil when that of one is not known. A machine
// with one NUMA node, or one device, needs no telling.
func byNUMA(report *v1alpha1.NodeReport, usable []v1alpha1.Accelerator) map[string]int64 {
	out := map[string]int64{}
	for _, a := range usable {
		switch {
		case len(report.NUMANodes) == 1, len(usable) == 1:
			out[""]++
		case a.NUMANode == nil:
			return nil
		default:
			out[strconv.Itoa(int(*a.NUMANode))]++
		}
	}
	return out
}

// joinedBy gives each device the name of the set of devices that it reaches over
// active NVLinks and NVLink switches.
func joinedBy(links []v1alpha1.NVLink, devices []v1alpha1.Accelerator) map[string]string {
	above := map[string]string{}
	for _, a := range devices {
		above[a.UUID] = a.UUID
	}
	root := func(end string) string {
		for above[end] != end {
			above[end] = above[above[end]]
			end = above[end]
		}
		return end
	}
	for _, l := range links {
		if strings.HasPrefix(l.To, nvSwitchPrefix) && above[l.To] == "" {
			above[l.To] = l.To
		}
		if above[l.From] != "" && above[l.To] != "" && ptr.Deref(l.ActiveLinks, 0) > 0 {
			above[root(l.From)] = root(l.To)
		}
	}
	out := make(map[string]string, len(devices))
	for _, a := range devices {
		out[a.UUID] = root(a.UUID)
	}
	return out
}

// linkGbps is what the weakest usable device exchanges over its active NVLinks. It
// is 0 where NVLink does not join all of them: then what some exchange depends on
// other links. Where no speed is told, the class's counts.
func (n *SceneNode) linkGbps(links []v1alpha1.NVLink, usable []v1alpha1.Accelerator, joined map[string]string, classes map[string]classLink) int64 {
	sums := map[string]int64{}
	for _, l := range links {
		active := int64(ptr.Deref(l.ActiveLinks, 0))
		if active > 0 && l.LinkGbps <= 0 {
			return n.classGbps(classes)
		}
		sums[l.From] += active * int64(l.LinkGbps)
	}
	least := int64(0)
	for i, a := range usable {
		if joined[a.UUID] != joined[usable[0].UUID] {
			return 0
		}
		if i == 0 || sums[a.UUID] < least {
			least = sums[a.UUID]
		}
	}
	return least
}

// classGbps is what the node's classes say one of its devices exchanges with the
// others, the least of several; 0 where one of them does not say, or its link
// joins fewer devices than the node has.
func (n *SceneNode) classGbps(links map[string]classLink) int64 {
	least := int64(0)
	for i, class := range n.Classes {
		link := links[class]
		if link.size < n.Accelerators.Total {
			return 0
		}
		if i == 0 || link.gbps < least {
			least = link.gbps
		}
	}
	return least
}

// nicGbps is what the active network ports of a node carry together, 0 when the
// speed of one is not known. Where every accelerator has a port of its own, other
// ports are for storage or management and do not count.
func nicGbps(report *v1alpha1.NodeReport) int64 {
	rails := map[int32]bool{}
	for _, port := range report.NICs {
		if port.Rail != nil {
			rails[*port.Rail] = true
		}
	}
	hasRails := len(rails) > 0 && len(rails) >= len(report.Accelerators)
	sum := int64(0)
	for _, port := range report.NICs {
		switch {
		case port.State != v1alpha1.NICActive, port.Health == v1alpha1.DeviceUnhealthy, hasRails && port.Rail == nil:
		case port.RateGbps <= 0:
			return 0
		default:
			sum += int64(port.RateGbps)
		}
	}
	return sum
}
