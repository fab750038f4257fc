package topology

import (
	"fmt"
	"strings"
)

// Bounds of a report. They are generous: beyond them a figure is a fault, not a
// machine.
const (
	MaxGPUs     = 64
	MaxSwitches = 64
	MaxNICs     = 64
	// MaxLinks bounds the bundles of a report: 18 for each of 64 GPUs.
	MaxLinks = 1152
	// MaxLinksPerGPU is the most NVLinks that the driver's interface can number.
	MaxLinksPerGPU = 36
	// MaxGPUMemoryBytes is 16 TiB.
	MaxGPUMemoryBytes = 16 << 40
	// MaxNUMANode is the highest number that the kernel is built for.
	MaxNUMANode = 1023
	// MaxNICGbps and MaxLinkGbps are several generations above what exists.
	MaxNICGbps  = 12800
	MaxLinkGbps = 12800
	// MaxNameBytes bounds every name and address in a report.
	MaxNameBytes = 253
)

// ValidateReport returns what cannot be true in a report, sorted; nothing for a
// sound one. Its work is bounded by the bounds above, not by the report.
func ValidateReport(r Report) []Problem {
	c := reportCheck{node: r.Node, ends: map[string]bool{}}
	c.name("node", r.Node)
	c.gpus(head(&c, "GPUs", r.GPUs, MaxGPUs))
	c.switches(head(&c, "switches", r.Switches, MaxSwitches))
	c.links(head(&c, "NVLink bundles", r.Links, MaxLinks))
	c.nics(head(&c, "NICs", r.NICs, MaxNICs))
	if f := r.Fabric; f != nil && len(f.ClusterUUID) > MaxNameBytes {
		c.add(ValueTooLong, fmt.Sprintf("fabric cluster UUID has %d bytes, at most %d count", len(f.ClusterUUID), MaxNameBytes))
	}
	return tidy(c.problems)
}

type reportCheck struct {
	node string
	// ends are the devices that a link can end on; true for a GPU.
	ends     map[string]bool
	problems []Problem
}

func (c *reportCheck) add(kind ProblemKind, facts ...string) {
	c.problems = append(c.problems, nodeProblem(kind, c.node, facts...))
}

// head cuts a list to its bound and says so.
func head[T any](c *reportCheck, what string, list []T, most int) []T {
	if len(list) <= most {
		return list
	}
	c.add(TooMany, fmt.Sprintf("%d %s, at most %d count", len(list), what, most))
	return list[:most]
}

// between checks a figure; least and most are allowed.
func (c *reportCheck) between(of, what string, value, least, most int64) {
	if value < least || value > most {
		c.add(OutOfRange, fmt.Sprintf("%s: %s is %d, possible are %d to %d", of, what, value, least, most))
	}
}

// name checks an identity; it reports whether the identity can be used.
func (c *reportCheck) name(what, name string) bool {
	switch {
	case name == "":
		c.add(InvalidValue, what+" has no name")
		return false
	case len(name) > MaxNameBytes:
		c.add(ValueTooLong, fmt.Sprintf("%s name has %d bytes, at most %d count", what, len(name), MaxNameBytes))
		return false
	}
	return true
}

func (c *reportCheck) gpus(gpus []GPU) {
	addresses := map[string]bool{}
	for i, g := range gpus {
		of := fmt.Sprintf("GPU %d", i)
		if c.name(of, g.UUID) {
			of = "GPU " + quote(g.UUID)
			if _, twice := c.ends[g.UUID]; twice {
				c.add(DuplicateDevice, of+" is listed twice")
			}
			c.ends[g.UUID] = true
		}
		if address := strings.ToLower(g.PCIAddress); address != "" && c.name(of+": PCI address", address) {
			if addresses[address] {
				c.add(DuplicateDevice, of+": PCI address "+quote(address)+" is taken")
			}
			addresses[address] = true
		}
		c.between(of, "memory", g.MemoryBytes, 0, MaxGPUMemoryBytes)
		c.between(of, "free memory", g.FreeBytes, 0, max(g.MemoryBytes, 0))
		c.between(of, "NUMA node", int64(g.NUMANode), -1, MaxNUMANode)
	}
}

func (c *reportCheck) switches(names []string) {
	for i, s := range names {
		of := fmt.Sprintf("switch %d", i)
		if !c.name(of, s) {
			continue
		}
		if _, twice := c.ends[s]; twice {
			c.add(DuplicateDevice, "switch "+quote(s)+" is listed twice")
			continue
		}
		c.ends[s] = false
	}
}

func (c *reportCheck) links(links []Link) {
	perGPU := map[string]int64{}
	for _, l := range links {
		of := "link " + shortQuote(l.A) + " to " + shortQuote(l.B)
		for _, end := range []string{l.A, l.B} {
			isGPU, known := c.ends[end]
			if !known {
				c.add(UnknownDevice, of+": no device "+quote(end))
			}
			if isGPU {
				perGPU[end] += int64(min(max(l.Count, 0), MaxLinksPerGPU+1))
			}
		}
		if l.A == l.B {
			c.add(OutOfRange, of+": both ends are one device")
		}
		c.between(of, "count", int64(l.Count), 1, MaxLinksPerGPU)
		c.between(of, "rate in Gb/s", l.GbpsPerLink, 0, MaxLinkGbps)
	}
	for _, gpu := range sortedKeys(perGPU) {
		if perGPU[gpu] > MaxLinksPerGPU {
			c.add(OutOfRange, fmt.Sprintf("GPU %s: more than %d NVLinks", quote(gpu), MaxLinksPerGPU))
		}
	}
}

func (c *reportCheck) nics(nics []NIC) {
	names := map[string]bool{}
	for i, n := range nics {
		of := fmt.Sprintf("NIC %d", i)
		if c.name(of, n.Name) {
			of = "NIC " + quote(n.Name)
			if names[n.Name] {
				c.add(DuplicateDevice, of+" is listed twice")
			}
			names[n.Name] = true
		}
		// Two ports of one adapter share its GUID, so that a repetition is sound.
		for _, text := range []string{n.GUID, n.SystemGUID, n.Subnet} {
			if text != "" {
				c.name(of+": GUID or subnet", text)
			}
		}
		switch n.LinkLayer {
		case "", "InfiniBand", "Ethernet":
		default:
			c.add(InvalidValue, of+": link layer "+quote(n.LinkLayer)+" is neither InfiniBand nor Ethernet")
		}
		c.between(of, "rate in Gb/s", n.RateGbps, 0, MaxNICGbps)
		c.between(of, "NUMA node", int64(n.NUMANode), -1, MaxNUMANode)
	}
}
