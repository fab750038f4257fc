//go:build cgo

package nvml

import (
	"cmp"
	"slices"

	gonvml "github.com/NVIDIA/go-nvml/pkg/nvml"

	"github.com/k8s4ai/k8s4ai/internal/agent/machine"
)

// end is where a link leads.
type end struct {
	isKnown bool
	kind    gonvml.IntNvLinkDeviceType
	// address is the PCI address there, "" when it is not told. Switches outside
	// the machine have none.
	address string
	version string
}

const switchPrefix = "switch-"

// readLinks bundles the links of all GPUs by their ends.
func (l *look) readLinks() {
	active := make([][]bool, len(l.gpus))
	for i, g := range l.gpus {
		active[i] = g.readLinks()
	}
	uuids := map[string]string{}
	for _, g := range l.gpus {
		if g.facts.PCIAddress != "" {
			uuids[g.facts.PCIAddress] = g.facts.UUID
		}
	}
	for i, g := range l.gpus {
		l.reading.Links = append(l.reading.Links, g.bundles(active[i], uuids)...)
	}
}

// readLinks says which links carry traffic, and remembers the ends of those.
func (g *gpu) readLinks() []bool {
	active := make([]bool, 0, g.known.linkCount)
	if g.isLost {
		return active[:g.known.linkCount] // None carries traffic.
	}
	for link := range g.known.linkCount {
		state, ret := g.device.GetNvLinkState(link)
		isActive := ret == gonvml.SUCCESS && state == gonvml.FEATURE_ENABLED
		if ret != gonvml.ERROR_INVALID_ARGUMENT {
			g.ok("NVLink", ret)
		}
		if active = append(active, isActive); isActive && !g.known.ends[link].isKnown {
			g.known.ends[link] = g.endOf(link)
		}
	}
	if g.known.linkGbps == 0 {
		g.known.linkGbps = g.speedOf(slices.Index(active, true))
	}
	return active
}

// endOf asks where a link leads.
func (g *gpu) endOf(link int) end {
	e := end{kind: gonvml.NVLINK_DEVICE_TYPE_UNKNOWN}
	isComplete := true
	if g.driver.has[symbolRemoteDeviceType] {
		kind, ret := g.device.GetNvLinkRemoteDeviceType(link)
		if isComplete = ret == gonvml.SUCCESS || ret == gonvml.ERROR_NOT_SUPPORTED; ret == gonvml.SUCCESS {
			e.kind = kind
		}
	}
	if remote, ret := g.device.GetNvLinkRemotePciInfo(link); ret == gonvml.SUCCESS {
		e.address = pciAddress(cString(remote.BusId[:]))
	} else {
		isComplete = isComplete && ret == gonvml.ERROR_NOT_SUPPORTED
	}
	if version, ret := g.device.GetNvLinkVersion(link); ret == gonvml.SUCCESS {
		e.version = linkVersions[version]
	}
	e.isKnown = isComplete && (e.kind != gonvml.NVLINK_DEVICE_TYPE_UNKNOWN || e.address != "")
	if e.isKnown && e.kind == gonvml.NVLINK_DEVICE_TYPE_SWITCH {
		g.driver.memory.isSwitched[g.facts.PCIID] = true
	}
	return e
}

// speedOf asks one link for its speed, for drivers that know none for all.
func (g *gpu) speedOf(link int) int {
	if link < 0 {
		return 0
	}
	field := []gonvml.FieldValue{{FieldId: gonvml.FI_DEV_NVLINK_GET_SPEED, ScopeId: uint32(link)}}
	if !g.ok("NVLink speed", g.device.GetFieldValues(field)) {
		return 0
	}
	speed, _ := numberOf(&field[0])
	return gbps(speed)
}

// bundles are the links of a GPU by their ends, in the order of the ends' names.
func (g *gpu) bundles(active []bool, uuids map[string]string) []machine.Link {
	bundles := map[string]*machine.Link{}
	for i, isActive := range active {
		to := g.endName(&g.known.ends[i], isActive, uuids)
		if to == "" {
			continue
		}
		bundle := bundles[to]
		if bundle == nil {
			bundle = &machine.Link{From: g.facts.UUID, To: to, Gbps: g.known.linkGbps}
			bundles[to] = bundle
		}
		bundle.Version = cmp.Or(bundle.Version, g.known.ends[i].version)
		bundle.Total++
		if isActive {
			bundle.Active++
		}
	}
	var out []machine.Link
	for _, bundle := range bundles {
		out = append(out, *bundle)
	}
	slices.SortFunc(out, func(a, b machine.Link) int { return cmp.Compare(a.To, b.To) })
	return out
}

// endName names the end of a link, "" for one that does not count: a link that
// leads to a CPU or to a GPU of another machine, and one that carries no traffic
// and may not be connected. Boards have links that lead nowhere, such as those of
// a PCIe card without a bridge. A link that is silent counts as broken when it has
// worked since the driver was opened, or when links of such GPUs end on switches,
// because then all are wired; under MIG it never does, for MIG switches links off.
func (g *gpu) endName(e *end, isActive bool, uuids map[string]string) string {
	isPartitioned := g.facts.MIGMode != nil && *g.facts.MIGMode
	if !isActive && isPartitioned {
		return ""
	}
	if !e.isKnown {
		if isActive || g.driver.memory.isSwitched[g.facts.PCIID] {
			return switchPrefix + "unknown"
		}
		return ""
	}
	switch e.kind {
	case gonvml.NVLINK_DEVICE_TYPE_GPU:
		return uuids[e.address]
	case gonvml.NVLINK_DEVICE_TYPE_IBMNPU:
		return ""
	case gonvml.NVLINK_DEVICE_TYPE_SWITCH:
		return switchPrefix + cmp.Or(e.address, "unknown")
	default: // The driver does not tell what is at the end, only where it is.
		return cmp.Or(uuids[e.address], switchPrefix+cmp.Or(e.address, "unknown"))
	}
}
