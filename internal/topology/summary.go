package topology

import (
	"cmp"
	"math"
	"slices"
)

// MaxReasons bounds the reasons of a Summary.
const MaxReasons = 16

// Accelerators counts devices.
type Accelerators struct {
	Total     int64
	Free      int64
	Unhealthy int64
}

// NodeRoom is what a node adds to the domains above it. Figures below zero
// count as zero, and neither Free nor Unhealthy counts beyond Total.
type NodeRoom struct {
	Node         string
	Ready        bool
	Accelerators Accelerators
	// Reasons say why the node is not healthy; none means that it is.
	Reasons []string
}

// ReasonCount is how many nodes have a reason.
type ReasonCount struct {
	Reason string
	Nodes  int
}

// Summary adds up a domain.
type Summary struct {
	Nodes        int
	ReadyNodes   int
	Accelerators Accelerators
	// Healthy is false when a node has a reason or an unhealthy accelerator.
	Healthy bool
	// Reasons are the most frequent ones, at most 16, then by name.
	Reasons []ReasonCount
}

// Summarise adds up the nodes of each domain. A node that no NodeRoom names
// counts as a node that is not ready; of several for one node the first counts.
func Summarise(a Assembly, rooms []NodeRoom) map[string]Summary {
	byNode := make(map[string]NodeRoom, len(rooms))
	for _, r := range rooms {
		if _, twice := byNode[r.Node]; !twice {
			byNode[r.Node] = r
		}
	}
	out := make(map[string]Summary, len(a.Domains))
	reasons := make(map[string]map[string]int, len(a.Domains))
	for _, d := range a.Domains {
		out[d.Name] = Summary{Healthy: true}
		reasons[d.Name] = map[string]int{}
	}
	for _, n := range a.Nodes {
		room := byNode[n.Node].clamped()
		for _, domain := range n.Path[Fabric:Node] {
			if s, ok := out[domain]; ok {
				out[domain] = s.plus(room)
				for _, r := range room.Reasons {
					reasons[domain][r]++
				}
			}
		}
	}
	for name, s := range out {
		s.Reasons = mostFrequent(reasons[name])
		out[name] = s
	}
	return out
}

// clamped makes a node's figures possible ones and its reasons distinct.
func (r NodeRoom) clamped() NodeRoom {
	a := &r.Accelerators
	a.Total = max(a.Total, 0)
	a.Free = min(max(a.Free, 0), a.Total)
	a.Unhealthy = min(max(a.Unhealthy, 0), a.Total)
	r.Reasons = slices.Compact(slices.Sorted(slices.Values(r.Reasons)))
	return r
}

func (s Summary) plus(r NodeRoom) Summary {
	s.Nodes++
	if r.Ready {
		s.ReadyNodes++
	}
	s.Accelerators.Total = addCapped(s.Accelerators.Total, r.Accelerators.Total)
	s.Accelerators.Free = addCapped(s.Accelerators.Free, r.Accelerators.Free)
	s.Accelerators.Unhealthy = addCapped(s.Accelerators.Unhealthy, r.Accelerators.Unhealthy)
	if len(r.Reasons) > 0 || r.Accelerators.Unhealthy > 0 {
		s.Healthy = false
	}
	return s
}

// addCapped adds two figures that are not negative and never wraps around.
func addCapped(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

func mostFrequent(counts map[string]int) []ReasonCount {
	var out []ReasonCount
	for reason, n := range counts {
		out = append(out, ReasonCount{Reason: reason, Nodes: n})
	}
	slices.SortFunc(out, func(a, b ReasonCount) int {
		return cmp.Or(cmp.Compare(b.Nodes, a.Nodes), cmp.Compare(a.Reason, b.Reason))
	})
	return slices.Clip(out[:min(len(out), MaxReasons)])
}
