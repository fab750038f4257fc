package topology

import (
	"cmp"
	"maps"
	"math"
	"math/bits"
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
	// Classes count the node's devices by AcceleratorClass.
	Classes []ClassCount
	// Reasons say why the node is not healthy; none means that it is.
	Reasons []string
}

// ClassCount is how many devices are of a class.
type ClassCount struct {
	Class   string
	Devices int64
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
	// Classes are in the order of their names.
	Classes []ClassCount
	// Healthy is false when a node has a reason or an unhealthy accelerator.
	Healthy bool
	// Reasons are the most frequent ones, at most 16, then by name.
	Reasons []ReasonCount
}

// Total is the summary of one node alone.
func Total(room NodeRoom) Summary {
	var t tally
	t.add(room.clamped())
	return t.summary()
}

// clamped makes a node's figures possible ones, and its reasons and classes
// distinct and sorted.
func (r NodeRoom) clamped() NodeRoom {
	a := &r.Accelerators
	a.Total = max(a.Total, 0)
	a.Free = min(max(a.Free, 0), a.Total)
	a.Unhealthy = min(max(a.Unhealthy, 0), a.Total)
	r.Reasons = slices.Compact(slices.Sorted(slices.Values(r.Reasons)))
	r.Classes = slices.Clone(r.Classes)
	slices.SortStableFunc(r.Classes, func(x, y ClassCount) int { return cmp.Compare(x.Class, y.Class) })
	r.Classes = slices.CompactFunc(r.Classes, func(x, y ClassCount) bool { return x.Class == y.Class })
	for i := range r.Classes {
		r.Classes[i].Devices = max(r.Classes[i].Devices, 0)
	}
	return r
}

func (r NodeRoom) equal(o NodeRoom) bool {
	return r.Ready == o.Ready && r.Accelerators == o.Accelerators && slices.Equal(r.Reasons, o.Reasons) && slices.Equal(r.Classes, o.Classes)
}

// tally adds up nodes, and takes them away again.
type tally struct {
	nodes, ready, unhealthy int
	total, free, broken     sum
	reasons                 map[string]int
	classes                 map[string]sum
}

func (t *tally) add(r NodeRoom)    { t.change(r, 1) }
func (t *tally) remove(r NodeRoom) { t.change(r, -1) }

// change counts a node's room, which is clamped, once more or less.
func (t *tally) change(r NodeRoom, by int) {
	t.nodes += by
	if r.Ready {
		t.ready += by
	}
	if len(r.Reasons) > 0 || r.Accelerators.Unhealthy > 0 {
		t.unhealthy += by
	}
	t.total.change(r.Accelerators.Total, by)
	t.free.change(r.Accelerators.Free, by)
	t.broken.change(r.Accelerators.Unhealthy, by)
	for _, reason := range r.Reasons {
		if t.reasons == nil {
			t.reasons = map[string]int{}
		}
		if t.reasons[reason] += by; t.reasons[reason] == 0 {
			delete(t.reasons, reason)
		}
	}
	for _, c := range r.Classes {
		if t.classes == nil {
			t.classes = map[string]sum{}
		}
		devices := t.classes[c.Class]
		devices.change(c.Devices, by)
		if devices.terms += by; devices.terms == 0 {
			delete(t.classes, c.Class)
		} else {
			t.classes[c.Class] = devices
		}
	}
}

func (t *tally) summary() Summary {
	out := Summary{
		Nodes: t.nodes, ReadyNodes: t.ready, Healthy: t.unhealthy == 0, Reasons: mostFrequent(t.reasons),
		Accelerators: Accelerators{Total: t.total.capped(), Free: t.free.capped(), Unhealthy: t.broken.capped()},
	}
	for _, class := range slices.Sorted(maps.Keys(t.classes)) {
		devices := t.classes[class]
		out.Classes = append(out.Classes, ClassCount{Class: class, Devices: devices.capped()})
	}
	return out
}

// sum adds figures that are not negative in 128 bits, so that what was added can
// be taken away whatever the figures are.
type sum struct {
	high, low uint64
	// terms counts figures, where zeros matter.
	terms int
}

func (s *sum) change(v int64, by int) {
	var carry uint64
	if by > 0 {
		s.low, carry = bits.Add64(s.low, uint64(v), 0)
		s.high += carry
	} else {
		s.low, carry = bits.Sub64(s.low, uint64(v), 0)
		s.high -= carry
	}
}

// capped is the sum, and the largest figure for one that is larger.
func (s *sum) capped() int64 {
	if s.high > 0 || s.low > math.MaxInt64 {
		return math.MaxInt64
	}
	return int64(s.low)
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
