package main

import (
	"slices"

	"github.com/k8s4ai/k8s4ai/test/bench"
)

// The peers of a row.
const (
	kueueNew    = "kueue-tas-new"
	kueueRepeat = "kueue-tas-repeat"
	kueueFresh  = "kueue-tas-fresh"
	kaiPeer     = "kai"
	lowerBound  = "lower-bound"
)

// beside is a figure with that of a peer. Less is better in all of them.
func beside(name, metric, unit string, ours float64, peer string, theirs float64) bench.Row {
	row := bench.Row{Case: name, Metric: metric, Value: ours, Unit: unit, Peer: peer, PeerValue: &theirs}
	if ours > 0 {
		ratio := theirs / ours
		row.Ratio = &ratio
	}
	return row
}

// rows are the figures of one case.
func (r *result) rows() []bench.Row {
	half := func(values []float64) float64 { return percentile(values, 0.5) }
	most := func(values []float64) float64 { return percentile(values, 0.99) }
	rows := []bench.Row{
		beside(r.name, "decision_p50", "us", half(r.decision), kueueNew, half(r.kueueNew)),
		beside(r.name, "decision_p50", "us", half(r.decision), kueueRepeat, half(r.kueueSame)),
		beside(r.name, "decision_p99", "us", most(r.decision), kueueNew, most(r.kueueNew)),
		beside(r.name, "decision_p99", "us", most(r.decision), kueueRepeat, most(r.kueueSame)),
		beside(r.name, "decision_unchanged", "us", half(r.unchanged), kueueNew, half(r.kueueNew)),
		beside(r.name, "decision_unchanged", "us", half(r.unchanged), kueueRepeat, half(r.kueueSame)),
		beside(r.name, "decision_new_shape", "us", half(r.newShape), kueueNew, half(r.kueueNew)),
		beside(r.name, "decision_first", "us", half(r.first), kueueFresh, half(r.kueueFresh)),
		beside(r.name, "cycle_p50", "us", half(r.cycle), kueueFresh, half(r.kueueCycle)),
		beside(r.name, "cycle_p99", "us", most(r.cycle), kueueFresh, most(r.kueueCycle)),
		beside(r.name, "snapshot_us", "us", half(r.snapshot), kueueNew, half(r.kueueSnapshot)),
		beside(r.name, "snapshot_p99", "us", most(r.snapshot), kueueNew, most(r.kueueSnapshot)),
		{Case: r.name, Metric: "churn_us_per_change", Value: half(r.churn), Unit: "us"},
		beside(r.name, "allocs", "allocations", half(r.allocs), kueueNew, half(r.kueueNewAllocs)),
		beside(r.name, "allocs", "allocations", half(r.allocs), kueueRepeat, half(r.kueueSameAllocs)),
		beside(r.name, "alloc_bytes", "bytes", half(r.bytes), kueueNew, half(r.kueueNewBytes)),
	}
	if len(r.kaiTimes) > 0 {
		rows = append(rows,
			beside(r.name, "decision_p50", "us", half(r.decision), kaiPeer, half(r.kaiTimes)),
			beside(r.name, "snapshot_us", "us", half(r.snapshot), kaiPeer, half(r.kaiSession)),
			beside(r.name, "allocs", "allocations", half(r.allocs), kaiPeer, half(r.kaiAllocs)))
	}
	return append(rows, r.spreadRows()...)
}

// spreadRows are the racks and blocks of the answers, where there are two.
func (r *result) spreadRows() []bench.Row {
	if !r.ours.placed() {
		return nil
	}
	racks, blocks := r.fabric.spread(r.ours)
	rows := []bench.Row{
		beside(r.name, "racks", "racks", float64(racks), lowerBound, float64(r.bound.racks)),
		beside(r.name, "blocks", "blocks", float64(blocks), lowerBound, float64(r.bound.blocks)),
	}
	for _, peer := range []struct {
		name   string
		answer Answer
	}{{kueueNew, r.kueue}, {kueueRepeat, r.kueueRepeat}, {kaiPeer, r.kai.Answer}} {
		if !peer.answer.placed() {
			continue
		}
		theirRacks, theirBlocks := r.fabric.spread(peer.answer)
		rows = append(rows,
			beside(r.name, "racks", "racks", float64(racks), peer.name, float64(theirRacks)),
			beside(r.name, "blocks", "blocks", float64(blocks), peer.name, float64(theirBlocks)))
	}
	return rows
}

// tally counts over all cases who found what.
type tally struct {
	cases, feasible, kaiCases, kaiLate      int
	onlyOurs, onlyKueue, onlyOursNotKAI     int
	onlyKAI, missed, kueueMissed, kaiMissed int
	// above counts the answers with more racks or blocks than the lower bound, by
	// engine, and worse those of ours with more than Kueue's or KAI's.
	oursAbove, kueueAbove, kaiAbove, worse int
}

func (t *tally) add(r *result) {
	t.cases++
	for _, one := range []struct {
		counter *int
		is      bool
	}{
		{&t.feasible, r.bound.feasible},
		{&t.onlyOurs, r.ours.placed() && !r.kueue.placed()}, {&t.onlyKueue, !r.ours.placed() && r.kueue.placed()},
		{&t.missed, r.bound.feasible && !r.ours.placed()}, {&t.kueueMissed, r.bound.feasible && !r.kueue.placed()},
		{&t.oursAbove, r.above(r.ours)}, {&t.kueueAbove, r.above(r.kueue)},
		{&t.worse, slices.ContainsFunc([]Answer{r.kueue, r.kai.Answer}, func(a Answer) bool { return r.worse(a) })},
	} {
		if one.is {
			*one.counter++
		}
	}
	if !r.askedKAI {
		return
	}
	t.kaiCases++
	if r.kai.late {
		t.kaiLate++
		return
	}
	for _, one := range []struct {
		counter *int
		is      bool
	}{
		{&t.onlyOursNotKAI, r.ours.placed() && !r.kai.placed()}, {&t.onlyKAI, !r.ours.placed() && r.kai.placed()},
		{&t.kaiMissed, r.bound.feasible && !r.kai.placed()}, {&t.kaiAbove, r.above(r.kai.Answer)},
	} {
		if one.is {
			*one.counter++
		}
	}
}

// above reports whether an answer uses more than the lower bound.
func (r *result) above(a Answer) bool {
	racks, blocks := r.fabric.spread(a)
	return a.placed() && (blocks > r.bound.blocks || racks > r.bound.racks)
}

// worse reports whether ours uses more racks or blocks than another answer.
func (r *result) worse(other Answer) bool {
	if !r.ours.placed() || !other.placed() {
		return false
	}
	racks, blocks := r.fabric.spread(r.ours)
	theirRacks, theirBlocks := r.fabric.spread(other)
	return blocks > theirBlocks || racks > theirRacks
}

func (t *tally) rows() []bench.Row {
	if t.cases == 0 {
		return nil
	}
	row := func(metric string, value int) bench.Row {
		return bench.Row{Case: "all", Metric: metric, Value: float64(value), Unit: "cases"}
	}
	rows := []bench.Row{
		row("cases", t.cases), row("feasible", t.feasible),
		row("found_only_ours", t.onlyOurs), row("found_only_kueue", t.onlyKueue),
		row("worse_than_a_peer", t.worse),
		beside("all", "missed", "cases", float64(t.missed), kueueNew, float64(t.kueueMissed)),
		beside("all", "above_lower_bound", "cases", float64(t.oursAbove), kueueNew, float64(t.kueueAbove)),
	}
	if t.kaiCases > 0 {
		rows = append(rows,
			row("kai_cases", t.kaiCases), row("kai_too_late", t.kaiLate),
			row("found_only_ours_not_kai", t.onlyOursNotKAI), row("found_only_kai", t.onlyKAI),
			row("kai_missed", t.kaiMissed), row("kai_above_lower_bound", t.kaiAbove))
	}
	return rows
}
