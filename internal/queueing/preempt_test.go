package queueing

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/k8s4ai/k8s4ai/internal/placement"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

func TestPreempt(t *testing.T) {
	hour := time.Hour
	urgent := func(pods int, more ...func(*Gang)) Gang {
		return waits("urgent", pods, append([]func(*Gang){priority(10), preempts}, more...)...)
	}
	// Two leaves of two nodes; an hour of work on one node is 28800 device-seconds.
	cases := map[string]struct {
		gang    Gang
		running []Running
		want    string
	}{
		"it fits anyway": {urgent(1), []Running{runs("a", []string{"n0"})}, "none"},
		"the least work is lost": {urgent(1), []Running{
			runs("a", []string{"n0"}), runs("b", []string{"n1"}, since(hour/2)), runs("c", []string{"n2"}), runs("d", []string{"n3"})},
			"n1: b 14400 Exact"},
		"a restart counts": {urgent(1), []Running{
			runs("a", []string{"n0"}), runs("b", []string{"n1"}, since(hour/2), restarts(hour)), runs("c", []string{"n2"}), runs("d", []string{"n3"})},
			"n0: a 28800 Exact"},
		"low priority before little work": {urgent(1), []Running{
			runs("a", []string{"n0"}, ranked(-1)), runs("b", []string{"n1"}, since(hour)), runs("c", []string{"n2"}, since(hour)), runs("d", []string{"n3"})},
			"n0: a 28800 Exact"},
		"one domain of the level": {urgent(2, within(topology.Leaf)), []Running{
			runs("a", []string{"n0"}, since(hour)), runs("b", []string{"n1"}), runs("c", []string{"n2"}, since(hour/2)), runs("d", []string{"n3"}, since(hour/2))},
			"leaf0: a 0 b 28800 Exact"},
		"whole gangs": {urgent(1), []Running{
			runs("a", []string{"n0", "n1", "n2"}, since(hour-1)), runs("b", []string{"n3"}, since(hour/2))},
			"n2: a 0 Exact"},
		"none that is of no use": {urgent(2), []Running{
			runsWith(1, "a", []string{"n0"}, since(hour)), runs("b", []string{"n1"}), runsWith(1, "c", []string{"n2"}, since(hour)), runs("d", []string{"n3"})},
			"block: a 0 c 0 Exact"},
		"not of the same priority":        {urgent(4), []Running{runs("a", []string{"n0"}, ranked(10))}, "none"},
		"not one that may not":            {urgent(4), []Running{runs("a", []string{"n0"}, keeps)}, "none"},
		"not where one is stopping":       {urgent(4), []Running{runs("a", []string{"n0"}, stopping)}, "none"},
		"what one that stops is short of": {urgent(4), []Running{runs("a", []string{"n0"}, stopping), runs("b", []string{"n1"}, since(hour))}, "block: b 0 Exact"},
		"two of one name":                 {urgent(4), []Running{runs("a", []string{"n0"}), runs("a", []string{"n1"})}, "none"},
		"a gang that can never fit":       {urgent(5), []Running{runs("a", []string{"n0"})}, "none"},
		"a request that makes no sense":   {urgent(0), []Running{runs("a", []string{"n0"})}, "none"},
		"instants that cannot be":         {urgent(4), []Running{runs("a", []string{"n0"}, since(2*hour), restarts(-hour))}, "block: a 0 Exact"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := holding(fleet(8, 2, 2), tc.running)
			got, ok := Preempt(s, tc.gang, tc.running, hour)
			if text := readsEviction(got, ok); text != tc.want {
				t.Errorf("Preempt() = %q, want %q", text, tc.want)
			}
			shuffled := slices.Clone(tc.running)
			slices.Reverse(shuffled)
			again, ok := Preempt(s, tc.gang, shuffled, hour)
			if text := readsEviction(again, ok); text != tc.want {
				t.Errorf("Preempt() of the same in another order = %q", text)
			}
		})
	}
}

func readsEviction(e Eviction, ok bool) string {
	if !ok {
		return "none"
	}
	var out strings.Builder
	out.WriteString(e.Domain + ":")
	for _, v := range e.Victims {
		fmt.Fprintf(&out, " %s %.0f", v.Gang, v.Lost)
	}
	return out.String() + " " + string(e.Proof)
}

// crowd is a fleet full of gangs, and one that wants in.
func crowd(r *rand.Rand, most int) (*placement.Snapshot, Gang, []Running) {
	s := fleet(4, 1+r.IntN(3), 1+r.IntN(3), r.IntN(3))
	var running []Running
	for i := range 2 + r.IntN(most-1) {
		request := ask([]topology.Level{0, 0, topology.Leaf}[r.IntN(3)], 1+r.IntN(3), 1+r.Int64N(3))
		at := placement.Place(s, request).Placement
		if at == nil {
			continue
		}
		g := Running{Gang: Gang{Name: fmt.Sprintf("r%02d", i), Request: request, Priority: int32(r.IntN(3))}, Roles: at.Roles}
		g.Uses = Uses(request, at.Roles)
		g.Saved = time.Duration(r.IntN(100)) * time.Second
		g.Restart = time.Duration(r.IntN(10)) * time.Second
		g.Preemptible, g.Movable = r.IntN(8) > 0, r.IntN(4) > 0
		running = append(running, g)
		s = s.With(g.Uses...)
	}
	g := Gang{Name: "new", Priority: int32(1 + r.IntN(3)), Preempts: true}
	g.Request = ask([]topology.Level{0, topology.Leaf, topology.Leaf, topology.Node}[r.IntN(4)], 1+r.IntN(5), 1+r.Int64N(4))
	if r.IntN(4) == 0 {
		g.Request.Root = placement.Group{Groups: []placement.Group{{Name: "tp", Copies: 2, Required: topology.Leaf, Roles: g.Request.Root.Roles}}}
	}
	return s, g, running
}

// price is the cost of a set of victims as documented.
type price struct {
	priority int32
	lost     float64
	gangs    int
}

func (a price) compare(b price) int {
	return cmp.Or(cmp.Compare(a.priority, b.priority), cmp.Compare(a.lost, b.lost), cmp.Compare(a.gangs, b.gangs))
}

// Preempt against all sets of victims.
func TestPreemptAgainstBruteForce(t *testing.T) {
	cases := 3000
	if testing.Short() {
		cases = 600
	}
	now := 100 * time.Second
	var found, exact, greedyWorse int
	var worst, sum float64
	for seed := range uint64(cases) {
		s, g, running := crowd(rand.New(rand.NewPCG(seed, 3)), 9)
		if placement.Place(s, g.Request).Placement != nil {
			continue
		}
		var allowed []int
		for i, r := range running {
			if r.Preemptible && r.Priority < g.Priority {
				allowed = append(allowed, i)
			}
		}
		best, possible := cheapestSet(allowed, func(set []int) (price, bool) {
			p := price{gangs: len(set), priority: -1}
			after := s
			for _, i := range set {
				p.priority = max(p.priority, running[i].Priority)
				p.lost += lost(&running[i], now)
				after = after.With(returned(running[i].Uses)...)
			}
			return p, placement.Place(after, g.Request).Placement != nil
		})
		got, ok := Preempt(s, g, running, now)
		if ok != possible {
			t.Fatalf("case %d: Preempt() finds %v, brute force %v", seed, ok, possible)
		}
		if !ok {
			continue
		}
		found++
		cost := price{gangs: len(got.Victims), priority: -1}
		for _, v := range got.Victims {
			cost.priority, cost.lost = max(cost.priority, v.Priority), cost.lost+v.Lost
		}
		if got.Proof == placement.Exact {
			exact++
			if near := cost; cost.compare(best) != 0 && (near.lost-best.lost > 1e-6 || cost.priority != best.priority) {
				t.Errorf("case %d: Preempt() costs %v, the cheapest %v", seed, cost, best)
			}
		}
		if greedy := greedyLost(s, g, running, now, best.priority); greedy > best.lost+1e-6 {
			greedyWorse++
			sum += greedy/max(best.lost, 1) - 1
			worst = max(worst, greedy/max(best.lost, 1))
		}
	}
	t.Logf("%d evictions, %d exact; greedy and reverse delete alone: %d dearer, by %.0f%% in the mean, at most %.1f times",
		found, exact, greedyWorse, 100*sum/float64(max(1, greedyWorse)), worst)
	if found < cases/10 || exact < found*9/10 {
		t.Error("the cases do not test much")
	}
}

// greedyLost is what the greedy sets alone lose.
func greedyLost(s *placement.Snapshot, g Gang, running []Running, now time.Duration, limit int32) float64 {
	var all []candidate
	for i := range running {
		if r := &running[i]; r.Preemptible && r.Priority <= limit && r.Priority < g.Priority {
			all = append(all, candidate{r, lost(r, now)})
		}
	}
	c := newCheapest(all, nil)
	c.enough = func(set []int) bool {
		return placement.Place(without(s, c.holdersOf(set)), g.Request).Placement != nil
	}
	for _, p := range c.pools(s, g.Request.Root.Required) {
		if set, ok := c.greedy(p); ok {
			c.consider(set)
		}
	}
	return c.cost(c.best)
}

// cheapestSet tries all subsets.
func cheapestSet(all []int, try func(set []int) (price, bool)) (best price, found bool) {
	for bits := range 1 << len(all) {
		var set []int
		for i, n := range all {
			if bits>>i&1 == 1 {
				set = append(set, n)
			}
		}
		if p, ok := try(set); ok && (!found || p.compare(best) < 0) {
			best, found = p, true
		}
	}
	return best, found
}

// A set of victims stays small in work however many gangs run, and none of them
// can be left out.
func TestPreemptAmongMany(t *testing.T) {
	s := fleet(8, 20, 20)
	var running []Running
	for i := range 320 {
		r := runsWith(1, fmt.Sprintf("r%03d", i), []string{fmt.Sprintf("n%d", i/8)}, since(time.Duration(i*7919%977)*time.Second))
		running = append(running, r)
	}
	s = holding(s, running)
	g := waits("urgent", 8, priority(1), preempts, within(topology.Leaf))
	now := 1000 * time.Second
	got, ok := Preempt(s, g, running, now)
	if !ok || got.Proof != placement.None {
		t.Fatalf("Preempt() = %v, %v", got, ok)
	}
	gone := map[string]Running{}
	for _, r := range running {
		gone[r.Name] = r
	}
	for _, kept := range got.Victims {
		after := s
		for _, v := range got.Victims {
			if v.Gang != kept.Gang {
				after = after.With(returned(gone[v.Gang].Uses)...)
			}
		}
		if placement.Place(after, g.Request).Placement != nil {
			t.Errorf("victim %s is not needed", kept.Gang)
		}
	}
}
