package capability

import (
	"slices"
	"strings"
)

// Evidence is the rung of the ladder that a class was found on, strongest
// first. A lower rung is asked only when no profile matches on a higher one.
type Evidence string

const (
	// NoEvidence: no profile matches.
	NoEvidence Evidence = ""
	// DeviceFacts: PCI id or product name, with memory and compute capability.
	DeviceFacts Evidence = "DeviceFacts"
	// DRAAttributes: a selector that holds for what a DRA driver publishes of the
	// device.
	DRAAttributes Evidence = "DRAAttributes"
	// FeatureLabels: labels of the vendors' feature discovery, which describe one
	// product per node.
	FeatureLabels Evidence = "FeatureLabels"
	// ProviderLabels: any other node labels.
	ProviderLabels Evidence = "ProviderLabels"
)

// featurePrefixes are what the labels of the vendors' feature discovery begin
// with.
var featurePrefixes = []string{"nvidia.com/", "amd.com/"}

// Device is what the driver says of one accelerator. A zero value is unknown and
// meets no condition.
type Device struct {
	// ID is the device's own name, such as its UUID.
	ID                string
	PCIID             string
	Product           string
	MemoryBytes       int64
	ComputeCapability string
}

// DRADevice is a device that a DRA driver publishes and a class selects.
type DRADevice struct {
	// ID names the device among those of the node.
	ID string
	// Device is the ID of the Device that this one is, "" when the driver's is
	// the only word of it.
	Device string
	// Classes are the profiles whose selector holds for the device.
	Classes []string
}

// Facts are what is known of a node. Devices is empty on a node that no agent
// has looked at. Devices that no class selects are not in DRA: a driver publishes
// network ports, too.
type Facts struct {
	Devices []Device
	DRA     []DRADevice
	Labels  map[string]string
}

// DeviceClass is the class of one device.
type DeviceClass struct {
	// Device is the device's ID, "" for all devices of a node without Devices.
	Device string
	// Class is the name of the profile, "" when there is none or several.
	Class    string
	Evidence Evidence
	// Conditions are how many conditions of the profile hold.
	Conditions int
	// Ambiguous names, sorted, the profiles that match equally well. Class is
	// empty then.
	Ambiguous []string
}

// Classify finds the class of each device: the Devices in their order, then the
// devices that DRA alone knows, in theirs. Where no device is known, it is one
// class for the whole node.
//
// On one rung the profile of which more conditions hold wins, since it is the
// more specific one; of equals none is chosen. Labels speak for a whole node, so
// that on a node with different devices they classify none of them.
func Classify(profiles []Profile, facts Facts) []DeviceClass {
	selected := map[string][]string{}
	var own []DRADevice
	for _, d := range facts.DRA {
		if d.Device == "" {
			own = append(own, d)
		} else {
			selected[d.Device] = append(selected[d.Device], d.Classes...)
		}
	}
	if len(facts.Devices)+len(own) == 0 {
		return []DeviceClass{byLabels(profiles, facts.Labels)}
	}
	var labels DeviceClass
	if len(own) == 0 && alike(facts.Devices) {
		labels = byLabels(profiles, facts.Labels)
	}
	out := make([]DeviceClass, 0, len(facts.Devices)+len(own))
	for _, d := range facts.Devices {
		class := choose(profiles, DeviceFacts, func(p Profile) int { return p.Match.onDevice(d) })
		if class.Evidence == NoEvidence {
			class = bySelectors(profiles, selected[d.ID])
		}
		if class.Evidence == NoEvidence {
			class = labels
			class.Ambiguous = slices.Clone(labels.Ambiguous)
		}
		class.Device = d.ID
		out = append(out, class)
	}
	for _, d := range own {
		class := bySelectors(profiles, d.Classes)
		class.Device = d.ID
		out = append(out, class)
	}
	return out
}

func alike(devices []Device) bool {
	return !slices.ContainsFunc(devices, func(d Device) bool { return !sameModel(d, devices[0]) })
}

// bySelectors is the class whose selector holds. A selector is one condition,
// however long it is: nobody can tell which of two is the more specific one.
func bySelectors(profiles []Profile, names []string) DeviceClass {
	return choose(profiles, DRAAttributes, func(p Profile) int {
		if slices.Contains(names, p.Name) {
			return 1
		}
		return 0
	})
}

// sameModel compares what tells products apart. Memory is left out: devices of
// one product differ in it by a few pages.
func sameModel(a, b Device) bool {
	return pciID(a.PCIID) == pciID(b.PCIID) && a.Product == b.Product && a.ComputeCapability == b.ComputeCapability
}

func byLabels(profiles []Profile, labels map[string]string) DeviceClass {
	for _, rung := range []Evidence{FeatureLabels, ProviderLabels} {
		class := choose(profiles, rung, func(p Profile) int { return p.Match.onLabels(labels, rung) })
		if class.Evidence != NoEvidence {
			return class
		}
	}
	return DeviceClass{}
}

// choose takes the profile with the most conditions on one rung.
func choose(profiles []Profile, rung Evidence, conditions func(Profile) int) DeviceClass {
	var names []string
	best := 0
	for _, p := range profiles {
		n := conditions(p)
		switch {
		case n == 0 || n < best:
		case n > best:
			names, best = []string{p.Name}, n
		default:
			names = append(names, p.Name)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	switch len(names) {
	case 0:
		return DeviceClass{}
	case 1:
		return DeviceClass{Class: names[0], Evidence: rung, Conditions: best}
	default:
		return DeviceClass{Evidence: rung, Conditions: best, Ambiguous: names}
	}
}

// onDevice counts the device conditions when all of them hold, else it is 0.
func (m Match) onDevice(d Device) int {
	if len(m.PCIIDs) == 0 && len(m.Products) == 0 {
		return 0
	}
	conditions := []struct{ set, holds bool }{
		{len(m.PCIIDs) > 0, d.PCIID != "" && slices.ContainsFunc(m.PCIIDs, func(id string) bool { return pciID(id) == pciID(d.PCIID) })},
		{len(m.Products) > 0, d.Product != "" && slices.Contains(m.Products, d.Product)},
		{m.MinMemoryBytes > 0, d.MemoryBytes >= m.MinMemoryBytes},
		{m.MaxMemoryBytes > 0, d.MemoryBytes > 0 && d.MemoryBytes <= m.MaxMemoryBytes},
		{m.ComputeCapability != "", d.ComputeCapability == m.ComputeCapability},
	}
	n := 0
	for _, c := range conditions {
		if c.set && !c.holds {
			return 0
		}
		if c.set {
			n++
		}
	}
	return n
}

// onLabels is the size of the largest term of that rung which the labels meet.
// A term with any label of feature discovery is on that rung.
func (m Match) onLabels(labels map[string]string, rung Evidence) int {
	best := 0
	for _, term := range m.NodeLabels {
		if term.rung() == rung && term.holds(labels) {
			best = max(best, len(term))
		}
	}
	return best
}

func (t Term) rung() Evidence {
	for _, r := range t {
		if slices.ContainsFunc(featurePrefixes, func(prefix string) bool { return strings.HasPrefix(r.Key, prefix) }) {
			return FeatureLabels
		}
	}
	return ProviderLabels
}

func (t Term) holds(labels map[string]string) bool {
	for _, r := range t {
		value, ok := labels[r.Key]
		if !ok || !slices.Contains(r.Values, value) {
			return false
		}
	}
	return len(t) > 0
}

// pciID is an id without the ways in which people write it differently.
func pciID(id string) string {
	return strings.ReplaceAll(strings.ToLower(strings.TrimSpace(id)), "0x", "")
}
