package queueing

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/k8s4ai/k8s4ai/internal/placement"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

func TestNext(t *testing.T) {
	easy, strict := Policy{Backfill: true}, Policy{}
	at := func(s int) time.Duration { return time.Duration(s) * time.Second }
	// Two leaves of two nodes of 8 devices; it is 100 s.
	cases := map[string]struct {
		waiting []Gang
		running []Running
		policy  Policy
		want    string
	}{
		"nothing": {nil, nil, easy, ""},
		"all fit": {[]Gang{waits("a", 2), waits("b", 2)}, nil, easy, "start a; start b"},
		"priority, arrival, name": {[]Gang{
			waits("d", 1, arrival(1)), waits("c", 1), waits("b", 1), waits("a", 1, priority(1), arrival(2))}, nil, easy,
			"start a; start b; start c; start d"},
		"the queue stands still without backfill": {[]Gang{waits("a", 5-1), waits("b", 1)}, []Running{runs("r", []string{"n0"})}, strict,
			"a NoRoom; b BehindOthers"},
		"short ones pass": {[]Gang{waits("a", 4), waits("b", 1, runtime(at(50))), waits("c", 1, runtime(at(51)))},
			[]Running{runs("r", []string{"n0"}, until(at(150)))}, easy,
			"hold a at 150s behind [r]; backfill b; a NoRoom; c BehindReservation"},
		"of unknown runtime does not": {[]Gang{waits("a", 4), waits("b", 1), waits("c", 1, runtime(-1))},
			[]Running{runs("r", []string{"n0"}, until(at(150)))}, easy,
			"hold a at 150s behind [r]; a NoRoom; b BehindReservation; c BehindReservation"},
		"what fits beside passes": {[]Gang{waits("a", 2, within(topology.Leaf)), waits("b", 1), waits("c", 1)},
			[]Running{runs("r", []string{"n0"}, until(at(150))), runs("s", []string{"n3"})}, easy,
			"hold a at 150s behind [r]; backfill b; a NoRoom; c BehindReservation"},
		"the earliest end is enough": {[]Gang{waits("a", 2)},
			[]Running{runs("r", []string{"n0"}, until(at(150))), runs("s", []string{"n1"}, until(at(140))), runs("t", []string{"n2"}, until(at(160)))}, easy,
			"hold a at 140s behind [s]; a NoRoom"},
		"one that is late has no end": {[]Gang{waits("a", 4), waits("b", 1, runtime(at(50))), waits("c", 1)},
			[]Running{runs("r", []string{"n0"}, until(at(90)))}, easy,
			"hold a at never behind [r]; backfill b; a NoRoom; c BehindReservation"},
		"the oldest without an end": {[]Gang{waits("a", 3), waits("b", 2)},
			[]Running{runs("r", []string{"n0"}, since(at(3))), runs("s", []string{"n1"}, since(at(2)))}, easy,
			"hold a at never behind [s]; a NoRoom; b BehindReservation"},
		"patience": {[]Gang{waits("a", 4, arrival(at(60))), waits("b", 1)},
			[]Running{runs("r", []string{"n0"})}, Policy{Backfill: true, Patience: at(41)},
			"start b; a NoRoom"},
		"no patience left": {[]Gang{waits("a", 4, arrival(at(60))), waits("b", 1, arrival(at(61)))},
			[]Running{runs("r", []string{"n0"})}, Policy{Backfill: true, Patience: at(40)},
			"hold a at never behind [r]; a NoRoom; b BehindReservation"},
		"one that can never fit blocks nobody": {[]Gang{waits("a", 5), waits("b", 4)}, nil, strict,
			"start b; a Unsatisfiable"},
		"one that makes no sense blocks nobody": {[]Gang{waits("a", 0), waits("b", 4), waits("c", -1, arrival(1))}, nil, easy,
			"start b; a Invalid count; c Invalid count"},
		"nonsense behind the head": {[]Gang{waits("a", 4), waits("b", 0)}, []Running{runs("r", []string{"n0"}, until(at(150)))}, easy,
			"hold a at 150s behind [r]; a NoRoom; b Invalid count"},
		"names that are taken": {[]Gang{waits("a", 1), waits("a", 1), waits("b", 1), waits("r", 1)}, []Running{runs("r", []string{"n0"})}, easy,
			"start b; a Invalid name; a Invalid name; r Invalid name"},
		"preemption": {[]Gang{waits("a", 4, priority(1), preempts), waits("b", 1, runtime(1)), waits("c", 1)},
			[]Running{runs("r", []string{"n0"}, until(at(150)))}, Policy{Backfill: true, Preempt: true},
			"hold a at 100s behind [r]; evict r for a; a NoRoom; b BehindReservation; c BehindReservation"},
		"no preemption without the policy": {[]Gang{waits("a", 4, priority(1), preempts)}, []Running{runs("r", []string{"n0"})}, strict, "a NoRoom"},
		"no preemption without the right":  {[]Gang{waits("a", 4, priority(1))}, []Running{runs("r", []string{"n0"})}, Policy{Preempt: true}, "a NoRoom"},
		"nobody is evicted for room that comes": {[]Gang{waits("a", 3, priority(1), preempts)},
			[]Running{runs("r", []string{"n0"}, stopping), runs("s", []string{"n1"})}, Policy{Backfill: true, Preempt: true, Defragment: true},
			"hold a at 100s behind [r]; a NoRoom"},
		"nobody moves for room that comes": {[]Gang{waits("a", 2)}, []Running{
			runsWith(4, "r", []string{"n0"}, stopping), runsWith(4, "s", []string{"n1"}), runsWith(4, "t", []string{"n2"})},
			Policy{Defragment: true}, "a NoRoom"},
		"moves before evictions": {[]Gang{waits("a", 3, priority(1), preempts)},
			[]Running{runsWith(4, "r", []string{"n0"}), runsWith(4, "s", []string{"n1"})}, Policy{Preempt: true, Defragment: true},
			"move r for a; a NoRoom"},
		"evictions where nothing can move": {[]Gang{waits("a", 3, priority(1), preempts)},
			[]Running{runsWith(4, "r", []string{"n0"}, fixed), runsWith(4, "s", []string{"n1"}, fixed)}, Policy{Preempt: true, Defragment: true},
			"evict r for a; a NoRoom"},
		"a long life": {[]Gang{waits("a", 4), waits("b", 1, runtime(math.MaxInt64))},
			[]Running{runs("r", []string{"n0"}, func(r *Running) { r.Start, r.Runtime = at(99), math.MaxInt64 })}, easy,
			fmt.Sprintf("hold a at %.0fs behind [r]; a NoRoom; b BehindReservation", time.Duration(math.MaxInt64-1).Seconds())},
		"started in the future": {[]Gang{waits("a", 4)},
			[]Running{runs("r", []string{"n0"}, since(at(200)), until(at(250)))}, easy, "hold a at 250s behind [r]; a NoRoom"},
		"room on nodes that nobody knows": {[]Gang{waits("a", 4)},
			[]Running{runs("r", []string{"n0", "n9"}, until(at(150)))}, easy, "hold a at 150s behind [r]; a NoRoom"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			in := Input{Now: at(100), Snapshot: holding(fleet(8, 2, 2), tc.running), Waiting: tc.waiting, Running: tc.running, Policy: tc.policy}
			if got := readsPass(Next(in)); got != tc.want {
				t.Errorf("Next() =\n%s\nwant\n%s", got, tc.want)
			}
			in.Running = slices.Clone(in.Running)
			slices.Reverse(in.Running)
			if got := readsPass(Next(in)); got != tc.want {
				t.Errorf("Next() with the running gangs in another order =\n%s", got)
			}
		})
	}
}

// readsPass tells a pass in one line.
func readsPass(p Pass) string {
	var out []string
	for _, s := range p.Starts {
		if !s.Backfilled {
			out = append(out, "start "+s.Gang)
		}
	}
	if h := p.Held; h != nil {
		when := fmt.Sprintf("%.0fs", h.At.Seconds())
		if h.At == Never {
			when = "never"
		}
		out = append(out, fmt.Sprintf("hold %s at %s behind %v", h.Gang, when, h.Behind))
		for _, s := range p.Starts {
			if s.Backfilled {
				out = append(out, "backfill "+s.Gang)
			}
		}
	}
	for _, e := range p.Evictions {
		for _, v := range e.Victims {
			out = append(out, "evict "+v.Gang+" for "+e.For)
		}
	}
	for _, m := range p.Moves {
		out = append(out, "move "+m.Gang+" for "+m.For)
	}
	for _, w := range p.Waits {
		text := w.Gang + " " + w.Reason
		if invalid := w.Verdict.Invalid; invalid != "" {
			field, _, _ := strings.Cut(invalid, ":")
			text += " " + field[strings.LastIndex(field, ".")+1:]
		}
		out = append(out, text)
	}
	return strings.Join(out, "; ")
}

// What becomes of a reservation in the passes after it.
func TestHeld(t *testing.T) {
	at := func(s int) time.Duration { return time.Duration(s) * time.Second }
	first := Input{
		Now: at(100), Waiting: []Gang{waits("a", 4), waits("b", 1, runtime(at(10)))}, Policy: Policy{Backfill: true, Expiry: at(30)},
		Running: []Running{runs("r", []string{"n0"}, until(at(150))), runs("s", []string{"n1"}, until(at(120))), runs("u", []string{"n2", "n3"}, until(at(110)))},
	}
	cases := map[string]struct {
		change func(in *Input)
		want   string
	}{
		"nothing happens": {func(*Input) {}, "hold a at 150s behind [r s u]; a NoRoom; b NoRoom"},
		"a gang ends early": {func(in *Input) {
			in.Running = in.Running[1:]
			in.Snapshot = holding(fleet(8, 2, 2), in.Running)
		}, "hold a at 120s behind [s u]; backfill b; a NoRoom"},
		"a gang is late": {func(in *Input) { in.Now = at(151) }, "hold a at 150s behind [r s u]; a NoRoom; b NoRoom"},
		"a gang is late and there is room beside": {func(in *Input) {
			in.Now = at(151)
			in.Running = in.Running[:1]
			in.Snapshot = holding(fleet(8, 2, 2), in.Running)
		}, "hold a at 150s behind [r]; a NoRoom; b BehindReservation"},
		"it expires": {func(in *Input) {
			in.Now = at(180)
			in.Running = in.Running[:1]
			in.Snapshot = holding(fleet(8, 2, 2), in.Running)
		}, "hold a at never behind [r]; backfill b; a NoRoom"},
		"another gang is first": {func(in *Input) { in.Waiting = append(in.Waiting, waits("z", 3, priority(1))) },
			"hold z at 120s behind [s u]; z NoRoom; a NoRoom; b NoRoom"},
		"its node is gone": {func(in *Input) {
			in.Waiting = []Gang{waits("a", 3), waits("b", 1, runtime(at(10)))}
			in.Snapshot = holding(fleet(8, 2, 1), in.Running)
		}, "hold a at 150s behind [r s u]; a NoRoom; b NoRoom"},
		"it never fits any more": {func(in *Input) { in.Snapshot = holding(fleet(8, 2, 1), in.Running) },
			"hold b at 110s behind [u]; a Unsatisfiable; b NoRoom"},
		"it is not one":   {func(in *Input) { in.Held = &Reservation{Gang: "a"} }, "hold a at 150s behind [r s u]; a NoRoom; b NoRoom"},
		"it is of nobody": {func(in *Input) { in.Held.Gang = "gone" }, "hold a at 150s behind [r s u]; a NoRoom; b NoRoom"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			in := first
			in.Snapshot = holding(fleet(8, 2, 2), in.Running)
			p := Next(in)
			if p.Held == nil || p.Held.Until != at(180) {
				t.Fatalf("held %+v", p.Held)
			}
			in.Held = p.Held
			tc.change(&in)
			if got := readsPass(Next(in)); got != tc.want {
				t.Errorf("Next() =\n%s\nwant\n%s", got, tc.want)
			}
		})
	}
}

func TestUnblock(t *testing.T) {
	running := []Running{
		runs("r", []string{"n0"}, until(150*time.Second)), runsWith(4, "s", []string{"n1"}, until(140*time.Second)),
		runsWith(4, "t", []string{"n2"}), runs("v", []string{"n3"}, ranked(9), fixed),
	}
	cases := map[string]struct {
		gang Gang
		want string
	}{
		"it fits":             {asks("a", 1, 4), ""},
		"by waiting":          {waits("a", 1), "WaitForEnd [s] 140s; MoveGangs [s]"},
		"by evicting":         {waits("a", 1, priority(1)), "WaitForEnd [s] 140s; MoveGangs [s]; Evict [s]"},
		"by an end not known": {waits("a", 3), "WaitForUnknown [r s t]"},
		"not at all":          {waits("a", 5), ""},
		"makes no sense":      {waits("a", 0), ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, r := range Unblock(holding(fleet(8, 2, 2), running), tc.gang, running, 100*time.Second) {
				text := fmt.Sprintf("%s %v", r.Kind, r.Gangs)
				if r.At != 0 {
					text += fmt.Sprintf(" %.0fs", r.At.Seconds())
				}
				got = append(got, text)
			}
			if text := strings.Join(got, "; "); text != tc.want {
				t.Errorf("Unblock() = %q, want %q", text, tc.want)
			}
		})
	}
}

func asks(name string, pods int, devices int64) Gang {
	return waits(name, pods, asking(ask(topology.Cluster, pods, devices)))
}

func TestUses(t *testing.T) {
	r := ask(topology.Cluster, 3, 2)
	r.Root.Groups = []placement.Group{{Name: "g", Roles: []placement.Role{
		{Name: "huge", Count: 2, Shape: placement.Shape{Resources: placement.Resources{gpu: math.MaxInt64}}}}}}
	roles := []placement.RolePlacement{
		{Name: "worker", Nodes: []string{"n1", "n0", "n1"}, Spares: []string{"n2"}},
		{Name: "huge", Nodes: []string{"n3", "n3"}}, {Name: "unknown", Nodes: []string{"n4"}},
	}
	want := []placement.Use{
		{Node: "n1", Resources: placement.Resources{gpu: 4, "pods": 2}},
		{Node: "n0", Resources: placement.Resources{gpu: 2, "pods": 1}},
		{Node: "n2", Resources: placement.Resources{gpu: 2, "pods": 1}},
		{Node: "n3", Resources: placement.Resources{gpu: math.MaxInt64, "pods": 2}},
	}
	if diff := cmp.Diff(want, Uses(r, roles)); diff != "" {
		t.Errorf("Uses() (-want +got):\n%s", diff)
	}
}
