package topology

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

const (
	// scanKey and railKey stand where evidence from labels has the label's key.
	scanKey = "the InfiniBand scan"
	railKey = "the subnets of RoCE ports"
)

// hint is what one source says of a node at one level. The zero value says
// nothing.
type hint struct {
	source Source
	// key is the label key; cliqueKey for both the label and the driver, which
	// name the same thing; scanKey or railKey.
	key   string
	value string
}

func (h hint) String() string {
	switch {
	case h.key == scanKey:
		return scanKey + " says " + quote(h.value)
	case h.key == railKey:
		return "RoCE ports reach " + quote(h.value)
	case h.source == Reported:
		return "NVML says clique " + quote(h.value)
	}
	return "label " + h.key + " says " + quote(h.value)
}

// labelPath is what the labels of one provider say.
type labelPath struct {
	// provider names the entry of providers that the path comes from.
	provider string
	// at is indexed by level; Fabric to NVLinkDomain are used.
	at [Node]hint
}

// reading is what a node's labels and report say on their own.
type reading struct {
	labels labelPath
	// clique is what the clique label says, driver what NVML does. settled means
	// that NVML has spoken, so that an empty driver is knowledge and not the lack
	// of it.
	clique, driver hint
	settled        bool
	// guids are of InfiniBand adapters and their cards, subnets of RoCE ports;
	// both sorted.
	guids    []uint64
	subnets  []string
	problems []Problem
}

// read takes from a node's labels and report what places the node.
func read(node Labelled, report *Report) reading {
	var r reading
	r.labels, r.problems = readLabels(node.Name, node.Labels)
	var found []Problem
	r.clique, found = readClique(node.Name, node.Labels)
	r.problems = append(r.problems, found...)
	if report == nil {
		return r
	}
	if report.Fabric != nil {
		r.driver, r.settled, found = readFabric(node.Name, *report.Fabric)
		r.problems = append(r.problems, found...)
	}
	if r.settled {
		r.weigh(node.Name)
	}
	r.ports(node.Name, report.NICs)
	return r
}

const noCliqueFact = "NVML says that there is no clique"

// weigh compares the driver with the clique label, which both name the domain by
// the same pair of ids, and with labels of a domain where it says there is none.
func (r *reading) weigh(node string) {
	fact := noCliqueFact
	if r.driver.key != "" {
		fact = r.driver.String()
	}
	if r.clique.key != "" && r.clique.value != r.driver.value {
		r.problems = append(r.problems, nodeProblem(Disagreement, node, fact, r.clique.String()))
	}
	if provided := r.labels.at[NVLinkDomain]; provided.key != "" && r.driver.key == "" {
		r.problems = append(r.problems, nodeProblem(Disagreement, node, fact, provided.String()))
	}
}

// ports takes the GUIDs by which a scan knows the machine, and the subnets that
// it shares with others. A port that is down counts: wiring does not change with
// the state of a link.
func (r *reading) ports(node string, nics []NIC) {
	for _, n := range nics[:min(len(nics), MaxNICs)] {
		if n.LinkLayer == "Ethernet" {
			if n.Subnet != "" && len(n.Subnet) <= MaxNameBytes {
				r.subnets = append(r.subnets, n.Subnet)
			}
			continue
		}
		for _, text := range []string{n.GUID, n.SystemGUID} {
			guid, ok := parseGUID(text)
			switch {
			case !ok:
				r.problems = append(r.problems, nodeProblem(InvalidValue, node, "NIC "+quote(n.Name)+": "+quote(text)+" is no GUID"))
			case guid != 0:
				r.guids = append(r.guids, guid)
			}
		}
	}
	slices.Sort(r.guids)
	r.guids = slices.Compact(r.guids)
	slices.Sort(r.subnets)
	r.subnets = slices.Compact(r.subnets)
}

// parseGUID reads the kernel's form, such as "0a7f:bc12:0034:5678", and the plain
// one. No text is no GUID, which is 0.
func parseGUID(text string) (uint64, bool) {
	if text == "" {
		return 0, true
	}
	digits := strings.ReplaceAll(text, ":", "")
	if len(digits) != 16 {
		return 0, false
	}
	guid, err := strconv.ParseUint(digits, 16, 64)
	return guid, err == nil
}

// formatGUID is the kernel's form.
func formatGUID(guid uint64) string {
	digits := fmt.Sprintf("%016x", guid)
	return digits[:4] + ":" + digits[4:8] + ":" + digits[8:12] + ":" + digits[12:]
}
