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
	// FeatureLabels: labels of GPU feature discovery, which describe one
	// product per node.
	FeatureLabels Evidence = "FeatureLabels"
	// ProviderLabels: any other node labels.
	ProviderLabels Evidence = "ProviderLabels"
)

// featurePrefix is what the labels of GPU feature discovery begin with.
const featurePrefix = "nvidia.com/"

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

// Facts are what is known of a node. Devices is empty on a node that no agent
// has looked at.
type Facts struct {
	Devices []Device
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

// Classify finds the class of each device, in the order of the devices, or one
// class for the whole node when no device is known.
//
// On one rung the profile of which more conditions hold wins, since it is the
// more specific one; of equals none is chosen. Labels speak for a whole node, so
// that on a node with different devices they classify none of them.
func Classify(profiles []Profile, facts Facts) []DeviceClass {
	if len(facts.Devices) == 0 {
		return []DeviceClass{byLabels(profiles, facts.Labels)}
	}
	alike := !slices.ContainsFunc(facts.Devices, func(d Device) bool { return !sameModel(d, facts.Devices[0]) })
	var labels DeviceClass
	if alike {
		labels = byLabels(profiles, facts.Labels)
	}
	out := make([]DeviceClass, len(facts.Devices))
	for i, d := range facts.Devices {
		class := choose(profiles, DeviceFacts, func(p Profile) int { return p.Match.onDevice(d) })
		if class.Evidence == NoEvidence {
			class = labels
			class.Ambiguous = slices.Clone(labels.Ambiguous)
		}
		class.Device = d.ID
		out[i] = class
	}
	return out
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
	if slices.ContainsFunc(t, func(r Requirement) bool { return strings.HasPrefix(r.Key, featurePrefix) }) {
		return FeatureLabels
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
