package oracle

import (
	"fmt"

	"github.com/k8s4ai/k8s4ai/internal/placement"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// Finding is what trying everything says about a verdict.
type Finding struct {
	// Feasible: a placement exists, at some size that the request allows.
	Feasible bool
	// Missed says what was refused, or placed smaller, although it fits.
	Missed string
	// Wrong says what is not sound about the placement or the verdict.
	Wrong string
	// Worse says which better placement exists: in a tighter domain, with a group
	// nearer to its preferred level, with a class named earlier and, for a gang of
	// one role, on fewer children of the domain, or on fewer children of those.
	Worse string
	// Deeper says that a gang of one role fits on as many children, and children of
	// those, and on fewer domains of a level further below. The engine counts no
	// further, and not even that far where copies end between the domain and its
	// children.
	Deeper string
	// Untrue says which figure of a refusal is not what the fleet shows.
	Untrue string
	// NotProven: the verdict is not proven.
	NotProven bool
	// GreedyMissed: a placement exists, and the greedy rule finds none at any size.
	GreedyMissed bool
}

// Judge compares a verdict on the case with what trying everything finds. ok is
// false for a case that is too large.
func Judge(c Case, v placement.Verdict) (found Finding, ok bool) {
	return (&judge{solver: &solver{}}).judge(c, v)
}

// judge keeps its solver from case to case.
type judge struct{ *solver }

func (j *judge) judge(c Case, v placement.Verdict) (found Finding, ok bool) {
	if len(c.Nodes) > MaxNodes {
		return found, false
	}
	f := newFleet(c)
	best, at, ok := j.largest(c, f)
	if !ok {
		return found, false
	}
	found.Feasible, found.NotProven = best != nil, v.Proof != placement.Exact
	found.GreedyMissed = found.Feasible && !isGreedy(c, f)
	switch {
	case v.Invalid != "" || (v.Placement == nil) == (v.Refusal == nil):
		found.Wrong = fmt.Sprintf("not one of placement and refusal, or invalid: %q", v.Invalid)
	case v.Refusal != nil && found.Feasible:
		found.Missed = fmt.Sprintf("size %d of %d fits", at.step, at.of)
	case v.Refusal != nil:
		found.Untrue = j.untrue(c, f, v.Refusal)
	default:
		read, problem := check(c, f, v.Placement)
		if problem == "" {
			problem = untrueQuality(f, read, v.Placement.Quality)
		}
		switch got := read.at; {
		case problem != "":
			found.Wrong = problem
		case best == nil || got.step > at.step:
			found.Wrong = "trying everything finds nothing as large: the oracle is wrong"
		case got.step < at.step:
			found.Missed = fmt.Sprintf("size %d fits, %d of %d is placed", at.step, got.step, got.of)
		default:
			found.Worse, found.Deeper = j.worse(f, best, read, v.Placement.Quality)
		}
	}
	return found, true
}

// largest returns the gang at the largest size at which it fits, with the first
// classes that let it, or nil.
func (j *judge) largest(c Case, f *fleet) (best *gang, at size, ok bool) {
	of := sizesOf(&c.Request.Root)
	for at = (size{of, of}); at.step >= 0; at.step-- {
		for _, classes := range classChoices(newGang(&c.Request.Root, at, nil)) {
			g := newGang(&c.Request.Root, at, classes)
			if !j.prepare(f, g) {
				return nil, at, false
			}
			if j.holds() {
				return g, at, true
			}
		}
	}
	return nil, at, true
}

// isGreedy reports whether the greedy rule finds a placement at any size.
func isGreedy(c Case, f *fleet) bool {
	of := sizesOf(&c.Request.Root)
	for at := (size{of, of}); at.step >= 0; at.step-- {
		for _, classes := range classChoices(newGang(&c.Request.Root, at, nil)) {
			if fitsGreedily(f, newGang(&c.Request.Root, at, classes)) {
				return true
			}
		}
	}
	return false
}

// worse says in which way a sound placement of the largest size could be better.
func (j *judge) worse(f *fleet, best *gang, read placed, q placement.Quality) (worse, deeper string) {
	g := read.gang
	for i, r := range g.roles {
		if r.class != best.roles[i].class {
			return fmt.Sprintf("role %s is on class %q, and %q lets the gang fit", r.in.Name, r.class, best.roles[i].class), ""
		}
	}
	// What a group reached of its preference is a demand from here on: the rest has
	// to be as good as these levels allow.
	levels := make([]topology.Level, len(g.groups))
	for i := range q.Groups {
		levels[i+1] = min(q.Groups[i].Level, g.groups[i+1].in.Preferred)
	}
	for i := range q.Groups {
		if next := levels[i+1] + 1; next <= g.groups[i+1].in.Preferred && next > g.groups[i+1].level {
			levels[i+1] = next
			if j.prepare(f, g.raised(levels)) && j.holds() {
				return fmt.Sprintf("group %s is in one %s, and fits into one %s", q.Groups[i].Name, q.Groups[i].Level, next), ""
			}
			levels[i+1]--
		}
	}
	if q.Level == topology.Node {
		return "", ""
	}
	levels[0] = q.Level + 1
	if j.prepare(f, g.raised(levels)) && j.holds() {
		return fmt.Sprintf("the gang is in one %s, and fits into one %s", q.Level, levels[0]), ""
	}
	levels[0] = topology.Cluster
	if len(g.roles) > 1 {
		return "", ""
	}
	return j.wider(f, g.raised(levels), read.slots[0])
}
