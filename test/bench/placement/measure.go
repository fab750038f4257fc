package main

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/k8s4ai/k8s4ai/internal/placement"
)

// effort is how often things are measured. Rounds interleave the engines.
type effort struct {
	rounds int
	// decisions are ours a round, each after churn; kueue is how many decisions of
	// each sort Kueue takes a round.
	decisions, kueue int
	// fresh is how many times a State is built for a first decision.
	fresh int
	// kai is how often KAI places a gang of up to 64 pods.
	kai int
}

var (
	full  = effort{rounds: 5, decisions: 40, kueue: 16, fresh: 3, kai: 3}
	quick = effort{rounds: 2, decisions: 10, kueue: 3, fresh: 1, kai: 1}
)

const (
	// churnChanges are bound and unbound between two decisions.
	churnChanges = 1000
	// allocRuns is how many decisions are counted for allocations.
	allocRuns = 5
)

// result is all that was measured in one case. Times are in microseconds.
type result struct {
	name   string
	fabric *Fabric
	gang   Gang
	bound  bound

	ours, kueue, kueueRepeat Answer
	kai                      kaiAnswer
	askedKAI                 bool

	// decision is Place of a shape that the State knows, newShape of one that it does
	// not, first the same on a State that never placed anything. Changes and a
	// snapshot come before each of them, but no changes before those of unchanged.
	// cycle is snapshot and decision together.
	decision, newShape, first, unchanged []float64
	snapshot, cycle, churn               []float64
	allocs, bytes                        []float64

	// kueueFresh is the first decision on a snapshot, and kueueCycle both together.
	kueueNew, kueueSame, kueueFresh, kueueSnapshot, kueueCycle []float64
	kueueNewAllocs, kueueNewBytes, kueueSameAllocs             []float64
	kaiTimes, kaiSession, kaiAllocs                            []float64
}

// micros is the time since start.
func micros(start time.Time) float64 { return float64(time.Since(start).Nanoseconds()) / 1000 }

// percentile returns the value that a share of the values does not exceed.
func percentile(values []float64, share float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(len(sorted)-1, int(share*float64(len(sorted))))]
}

// counted runs f and returns how many objects and bytes it allocated.
func counted(f func()) (objects, bytes float64) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs - before.Mallocs), float64(after.TotalAlloc - before.TotalAlloc)
}

// site is a fabric with the engines of this process on it.
type site struct {
	fabric  *Fabric
	planner *planner
	kueue   *kueueCache
	effort  effort
	// seed makes every new shape another one.
	seed int64
}

func newSite(ctx context.Context, f *Fabric, e effort) (*site, error) {
	s := &site{fabric: f, effort: e}
	var err error
	if s.planner, err = newPlanner(f); err != nil {
		return nil, err
	}
	if s.kueue, err = newKueue(ctx, f); err != nil {
		return nil, err
	}
	return s, nil
}

// measure lets both engines decide on one gang, in turns.
func (s *site) measure(ctx context.Context, name string, g Gang) (*result, error) {
	r := &result{name: name, fabric: s.fabric, gang: g, bound: s.fabric.lowerBound(g)}
	var err error
	if r.ours, err = answerOf(placement.Place(s.planner.state.Snapshot(), s.fabric.ask(g, 0))); err != nil {
		return nil, err
	}
	for range s.effort.rounds {
		runtime.GC()
		s.planner.measure(r, s.fabric.ask(g, 0), s.effort.decisions)
		r.unchanged = append(r.unchanged, s.planner.measureUnchanged(s.fabric.ask(g, 0), s.effort.decisions)...)
		s.planner.measureNew(r, g, &s.seed, max(1, s.effort.decisions/4))
		runtime.GC()
		if err := s.kueue.measure(ctx, r, s.effort.kueue); err != nil {
			return nil, err
		}
	}
	for range s.effort.fresh {
		if err := s.measureFirst(r); err != nil {
			return nil, err
		}
	}
	s.planner.countAllocs(r)
	if err := s.planner.settle(r); err != nil {
		return nil, err
	}
	return r, s.checkAll(r)
}

// checkAll returns an error when an answer is not one.
func (s *site) checkAll(r *result) error {
	for engine, a := range map[string]Answer{"ours": r.ours, "kueue": r.kueue, "kueue on repeat": r.kueueRepeat} {
		if err := s.fabric.check(r.gang, a); err != nil {
			return fmt.Errorf("the answer of %s: %w", engine, err)
		}
		if a.placed() && !r.bound.feasible {
			return fmt.Errorf("%s placed what the lower bound calls impossible", engine)
		}
	}
	if r.ours.placed() && r.gang.Kind == sliced {
		return s.fabric.checkRanks(r.ours)
	}
	return nil
}

// measure takes decisions with changes in between.
func (p *planner) measure(r *result, ask placement.Request, decisions int) {
	for range decisions {
		r.churn = append(r.churn, p.change())
		start := time.Now()
		snapshot := p.state.Snapshot()
		r.snapshot = append(r.snapshot, micros(start))
		decide := time.Now()
		placement.Place(snapshot, ask)
		r.decision = append(r.decision, micros(decide))
		r.cycle = append(r.cycle, micros(start))
	}
}

// measureUnchanged takes decisions on a State that has seen the last changes.
func (p *planner) measureUnchanged(ask placement.Request, decisions int) []float64 {
	var out []float64
	placement.Place(p.state.Snapshot(), ask)
	for range decisions {
		snapshot := p.state.Snapshot()
		start := time.Now()
		placement.Place(snapshot, ask)
		out = append(out, micros(start))
	}
	return out
}

// measureNew does what measure does, with shapes that the State has never seen.
func (p *planner) measureNew(r *result, g Gang, seed *int64, decisions int) {
	for range decisions {
		*seed++
		ask := p.fabric.ask(g, *seed)
		p.change()
		snapshot := p.state.Snapshot()
		start := time.Now()
		placement.Place(snapshot, ask)
		r.newShape = append(r.newShape, micros(start))
	}
}

// change tells the State of one round of churn, a change at a time, and returns
// what a change takes.
func (p *planner) change() float64 {
	uses := p.churn(churnChanges)
	start := time.Now()
	for _, use := range uses {
		p.state.Take(use)
	}
	return micros(start) / float64(len(uses))
}

// measureFirst takes the first decision of a State.
func (s *site) measureFirst(r *result) error {
	p, err := newPlanner(s.fabric)
	if err != nil {
		return err
	}
	ask := s.fabric.ask(r.gang, 0)
	snapshot := p.state.Snapshot()
	runtime.GC()
	start := time.Now()
	placement.Place(snapshot, ask)
	r.first = append(r.first, micros(start))
	return nil
}

// countAllocs counts what a decision allocates.
func (p *planner) countAllocs(r *result) {
	ask := p.fabric.ask(r.gang, 0)
	for range allocRuns {
		p.change()
		snapshot := p.state.Snapshot()
		objects, bytes := counted(func() { placement.Place(snapshot, ask) })
		r.allocs, r.bytes = append(r.allocs, objects), append(r.bytes, bytes)
	}
}

// settle takes the last churn back, and returns an error when the answer then
// is not what it was before all changes.
func (p *planner) settle(r *result) error {
	if len(p.moved) > 0 {
		p.change()
	}
	again, err := answerOf(placement.Place(p.state.Snapshot(), p.fabric.ask(r.gang, 0)))
	if err != nil {
		return err
	}
	if !slices.Equal(again.Nodes, r.ours.Nodes) {
		return fmt.Errorf("%s: the answer differs after changes that were taken back", r.name)
	}
	return nil
}

// measure takes one snapshot, and decisions of each sort on it.
func (k *kueueCache) measure(ctx context.Context, r *result, decisions int) error {
	start := time.Now()
	queue, err := k.snapshot(ctx)
	if err != nil {
		return err
	}
	r.kueueSnapshot = append(r.kueueSnapshot, micros(start))
	ask := k.ask(r.gang)
	start = time.Now()
	answer := ask.find(ctx, queue)
	r.kueueFresh = append(r.kueueFresh, micros(start))
	r.kueueCycle = append(r.kueueCycle, r.kueueFresh[len(r.kueueFresh)-1]+r.kueueSnapshot[len(r.kueueSnapshot)-1])
	r.kueue = kueueAnswer(answer)
	for range decisions {
		ask := k.ask(r.gang)
		start := time.Now()
		ask.find(ctx, queue)
		r.kueueNew = append(r.kueueNew, micros(start))
		start = time.Now()
		answer = ask.find(ctx, queue)
		r.kueueSame = append(r.kueueSame, micros(start))
	}
	r.kueueRepeat = kueueAnswer(answer)
	another := k.ask(r.gang)
	objects, bytes := counted(func() { another.find(ctx, queue) })
	r.kueueNewAllocs, r.kueueNewBytes = append(r.kueueNewAllocs, objects), append(r.kueueNewBytes, bytes)
	objects, _ = counted(func() { another.find(ctx, queue) })
	r.kueueSameAllocs = append(r.kueueSameAllocs, objects)
	return nil
}
