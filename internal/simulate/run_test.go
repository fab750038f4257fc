package simulate

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/k8s4ai/k8s4ai/internal/placement"
	"github.com/k8s4ai/k8s4ai/internal/queueing"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// read is a trace from its text.
func read(t *testing.T, text string) []Arrival {
	t.Helper()
	trace, err := ReadTrace(strings.NewReader(text), "")
	if err != nil {
		t.Fatal(err)
	}
	return trace
}

func policy(t *testing.T, name string) queueing.Policy {
	t.Helper()
	p, err := ParsePolicy(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// lifeOf lists what happens to each gang, as "Started 10, Ended 15".
func lifeOf(events []Event) map[string]string {
	out := map[string]string{}
	for _, e := range events {
		if e.Kind == Arrived {
			continue
		}
		if out[e.Gang] != "" {
			out[e.Gang] += ", "
		}
		out[e.Gang] += fmt.Sprintf("%s %g", e.Kind, e.At.Seconds())
		if e.Backfilled {
			out[e.Gang] += " early"
		}
		if e.For != "" {
			out[e.Gang] += " for " + e.For
		}
	}
	return out
}

// Every figure here is worked out by hand, on two nodes of 8 devices.
func TestRunByHand(t *testing.T) {
	const (
		header = "name,arrival,duration,roles,priority,estimate,checkpoint,restart\n"
		// wide needs both nodes and arrives while a and b have one each.
		wide = header + "a,0,10,w=1x8,,,,\nb,0,20,w=1x8,,,,\nwide,1,10,w=2x8,,,,\n"
		// low has both nodes for 100 s when high comes for 10 s.
		low = header + "low,0,100,w=2x8,,,30,5\nhigh,50,10,w=1x8,10,,,\n"
		// x and y share a node and z is on the other; y ends; whole needs a node.
		dust = header + "x,0,100,w=1x4,,,,7\ny,0,10,w=1x4,,,,\nz,1,100,w=1x4,,,,7\nwhole,20,10,w=1x8,,,,\n"
	)
	cases := map[string]struct {
		policy, trace string
		want          map[string]string
	}{
		"instants are since the first arrival": {
			"fifo", header + "a,1700000000,10,w=1x8,,,,\nb,1700000005.5,1,w=1x8,,,,\n",
			map[string]string{"a": "Started 0, Ended 10", "b": "Started 5.5, Ended 6.5"},
		},
		"FIFO stands still behind the first that does not fit": {
			"fifo", wide + "d,2,5,w=1x8,,,,\n",
			map[string]string{"a": "Started 0, Ended 10", "b": "Started 0, Ended 20", "wide": "Started 20, Ended 30", "d": "Started 30, Ended 35"},
		},
		"EASY lets the short one go first": {
			"easy", wide + "d,2,5,w=1x8,,,,\n",
			map[string]string{"a": "Started 0, Ended 10", "b": "Started 0, Ended 20", "wide": "Started 20, Ended 30", "d": "Started 10 early, Ended 15"},
		},
		"EASY lets one go first that ends just in time": {
			"easy", wide + "d,2,10,w=1x8,,,,\n",
			map[string]string{"a": "Started 0, Ended 10", "b": "Started 0, Ended 20", "wide": "Started 20, Ended 30", "d": "Started 10 early, Ended 20"},
		},
		"EASY holds one back that could delay": {
			"easy", wide + "d,2,5,w=1x8,,11,,\n",
			map[string]string{"a": "Started 0, Ended 10", "b": "Started 0, Ended 20", "wide": "Started 20, Ended 30", "d": "Started 30, Ended 35"},
		},
		"EASY holds one back that tells nothing": {
			"easy", wide + "d,2,5,w=1x8,,unknown,,\n",
			map[string]string{"a": "Started 0, Ended 10", "b": "Started 0, Ended 20", "wide": "Started 20, Ended 30", "d": "Started 30, Ended 35"},
		},
		"an estimate that was too short delays": {
			"easy", wide + "d,2,15,w=1x8,,5,,\n",
			map[string]string{"a": "Started 0, Ended 10", "b": "Started 0, Ended 20", "wide": "Started 25, Ended 35", "d": "Started 10 early, Ended 25"},
		},
		"an early end starts the reserved gang early": {
			"easy", header + "a,0,10,w=1x8,,,,\nb,0,20,w=1x8,,40,,\nwide,1,10,w=2x8,,,,\nd,2,5,w=1x8,,30,,\n",
			map[string]string{"a": "Started 0, Ended 10", "b": "Started 0, Ended 20", "wide": "Started 20, Ended 30", "d": "Started 10 early, Ended 15"},
		},
		"a larger priority is served first": {
			"fifo", header + "a,0,10,w=2x8,,,,\nb,1,10,w=2x8,,,,\nc,2,10,w=2x8,1,,,\n",
			map[string]string{"a": "Started 0, Ended 10", "b": "Started 20, Ended 30", "c": "Started 10, Ended 20"},
		},
		"without preemption priority waits": {
			"fifo", low,
			map[string]string{"low": "Started 0, Ended 100", "high": "Started 100, Ended 110"},
		},
		"a victim loses its work since the checkpoint and restarts": {
			// 30 of 50 s are kept; 5 s of restart and 70 s of work follow at 60.
			"fifo+preempt", low,
			map[string]string{"low": "Started 0, Evicted 50 for high, Started 60, Ended 135", "high": "Started 50, Ended 60"},
		},
		"equals are no victims": {
			"fifo+preempt", strings.Replace(low, ",10,,,\n", ",0,,,\n", 1),
			map[string]string{"low": "Started 0, Ended 100", "high": "Started 100, Ended 110"},
		},
		"without moves whole waits for the dust": {
			"fifo", dust,
			map[string]string{"x": "Started 0, Ended 100", "y": "Started 0, Ended 10", "z": "Started 1, Ended 101", "whole": "Started 100, Ended 110"},
		},
		"a move costs its restart time": {
			"fifo+defrag", dust,
			map[string]string{"x": "Started 0, Moved 20 for whole, Ended 107", "y": "Started 0, Ended 10", "z": "Started 1, Ended 101", "whole": "Started 20, Ended 30"},
		},
		"what never fits is refused and blocks nobody": {
			"fifo", header + "huge,0,10,w=3x8,,,,\nodd,0,10,w=1x9,,,,\na,0,10,w=1x8,,,,\n",
			map[string]string{"huge": "Refused 0", "odd": "Refused 0", "a": "Started 0, Ended 10"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var events []Event
			trace := read(t, tc.trace)
			report, err := Run(Uniform(2, 2, 1, 8), trace, Options{Policy: policy(t, tc.policy), Observe: func(e Event) { events = append(events, e) }})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, lifeOf(events)); diff != "" {
				t.Errorf("lives (-want +got):\n%s", diff)
			}
			check(t, Uniform(2, 2, 1, 8), trace, events, report)
		})
	}
}

// b said 20 s and takes 100: from 30 s on nobody can tell when wide will fit, and
// d goes first. Nothing arrives or ends at 30 s; the expiry itself wakes the queue.
func TestReservationExpires(t *testing.T) {
	trace := read(t, "name,arrival,duration,roles,estimate\na,0,10,w=1x8,\nb,0,100,w=1x8,20\nwide,1,10,w=2x8,\nd,2,50,w=1x8,\n")
	cases := map[string]struct {
		expiry time.Duration
		want   string
	}{
		"never":      {0, "Started 110, Ended 160"},
		"after 10 s": {10 * time.Second, "Started 30 early, Ended 80"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var events []Event
			p := policy(t, "easy")
			p.Expiry = tc.expiry
			if _, err := Run(Uniform(2, 2, 1, 8), trace, Options{Policy: p, Observe: func(e Event) { events = append(events, e) }}); err != nil {
				t.Fatal(err)
			}
			if got := lifeOf(events)["d"]; got != tc.want {
				t.Errorf("d: %s, want %s", got, tc.want)
			}
		})
	}
}

// The whole report of the victim's case above, by hand: 16 devices, the last
// arrival at 50 s.
func TestReportByHand(t *testing.T) {
	const trace = "name,arrival,duration,roles,priority,estimate,checkpoint,restart\n" +
		"low,0,100,w=2x8,,,30,5\nhigh,50,10,w=1x8,10,,,\nhuge,50,1,w=3x8,,,,\n"
	got, err := Run(Uniform(2, 1, 2, 8), read(t, trace), Options{Policy: policy(t, "easy+preempt")})
	if err != nil {
		t.Fatal(err)
	}
	want := Report{
		Policy: "easy+preempt", Gangs: 3, Finished: 2, Devices: 16,
		Waits: []Waits{
			{Size: "1-7"},
			{Size: "8-63", Gangs: 2, MeanSeconds: 5, P50Seconds: 0, P95Seconds: 10, MaxSeconds: 10},
			{Size: "64-511"},
			{Size: "512+"},
		},
		Large:       Waits{Size: "64+"},
		OfferedLoad: (100*16 + 10*8) / (50. * 16), Utilisation: 1, MakespanSeconds: 135,
		WorkDeviceSeconds: 100*16 + 10*8, LostDeviceSeconds: 20 * 16, RestartDeviceSeconds: 5 * 16,
		Levels: []LevelFigures{
			{Level: "Fabric", MeanDomains: 1, InOne: 1},
			{Level: "Block", MeanDomains: 1, InOne: 1},
			{Level: "Leaf", MeanDomains: 2},
			{Level: "Node", MeanDomains: 2},
		},
		Evictions: 1,
		Refused:   1, Refusals: []Refusal{{"huge", "the fleet holds 2 of 3 at best: too little nvidia.com/gpu"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Run() (-want +got):\n%s", diff)
	}
}

// Fragmentation by hand: from 0 to 100 s each of two nodes has 4 of 8 devices
// free, so no gang of whole nodes fits, and at 100 s nothing more is looked at.
func TestFragmentationByHand(t *testing.T) {
	fleet := Uniform(2, 2, 1, 8)
	for i := range fleet.Nodes {
		fleet.Nodes[i].Used = placement.Resources{DefaultDevice: 4}
	}
	trace := read(t, "arrival,duration,roles\n0,50,w=2x4\n100,1,w=1x1\n")
	got, err := Run(fleet, trace, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, level := range got.Levels {
		// Half of the time nothing is free, and then nothing is lost.
		if level.Fragmentation != 0.5 {
			t.Errorf("%s: fragmentation %g, want 0.5", level.Level, level.Fragmentation)
		}
	}
	if got.Devices != 8 || got.Utilisation != 0.5 {
		t.Errorf("%g devices used to %g, want 8 to 0.5", got.Devices, got.Utilisation)
	}
}

func TestRunRefusesBadInput(t *testing.T) {
	good := read(t, "arrival,duration,roles\n0,1,w=1x1\n")[0]
	with := func(edit func(*Arrival)) []Arrival {
		a := good
		edit(&a)
		return []Arrival{a}
	}
	long := []Arrival{}
	for i := range 4 {
		a := good
		a.Name, a.Duration = fmt.Sprint(i), MaxTime
		a.Request.Root.Roles = []placement.Role{{Name: "w", Count: 1, Shape: placement.Shape{Resources: placement.Resources{DefaultDevice: 8}}}}
		long = append(long, a)
	}
	bound := `gang "gang-0000001": no time is negative or beyond 1111111h6m40s, and the duration is above 0`
	cases := map[string]struct {
		fleet Fleet
		trace []Arrival
		want  string
	}{
		"a fleet with a cycle":    {Fleet{Domains: []topology.Vertex{{Name: "a", Level: topology.Leaf, Parent: "a"}}}, nil, "simulating: domain a: parent a is not wider"},
		"a name twice":            {Uniform(1, 1, 1, 8), []Arrival{good, good}, `simulating: gang "gang-0000001": a name is not empty and not used twice`},
		"no name":                 {Uniform(1, 1, 1, 8), with(func(a *Arrival) { a.Name = "" }), `simulating: gang "": a name is not empty and not used twice`},
		"no duration":             {Uniform(1, 1, 1, 8), with(func(a *Arrival) { a.Duration = 0 }), "simulating: " + bound},
		"the shortest duration":   {Uniform(1, 1, 1, 8), with(func(a *Arrival) { a.Duration = math.MinInt64 }), "simulating: " + bound},
		"a negative arrival":      {Uniform(1, 1, 1, 8), with(func(a *Arrival) { a.At = -1 }), "simulating: " + bound},
		"a restart beyond all":    {Uniform(1, 1, 1, 8), with(func(a *Arrival) { a.Restart = math.MaxInt64 }), "simulating: " + bound},
		"the end of time":         {Uniform(1, 1, 1, 8), long, `simulating: 2222222h13m20s after the first arrival: gang "2" ends more than 292 years after the first arrival: shorten the trace`},
		"a fleet without nodes":   {Fleet{}, []Arrival{good}, ""},
		"nothing to do":           {Uniform(1, 1, 1, 8), nil, ""},
		"a request of no sense":   {Uniform(1, 1, 1, 8), with(func(a *Arrival) { a.Request.Root.Copies = -1 }), ""},
		"a request without roles": {Uniform(1, 1, 1, 8), with(func(a *Arrival) { a.Request = placement.Request{} }), ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := ""
			report, err := Run(tc.fleet, tc.trace, Options{})
			if err != nil {
				got = err.Error()
			}
			if got != tc.want {
				t.Errorf("Run() = %q, want %q", got, tc.want)
			}
			if err == nil && report.Refused != len(tc.trace) {
				t.Errorf("%d gangs are refused, want %d", report.Refused, len(tc.trace))
			}
		})
	}
}

// A queue that contradicts itself stops the run, and does not hang it.
func TestRunStopsAtDecisionsThatCannotBe(t *testing.T) {
	evict := func(gang string) queueing.Pass {
		return queueing.Pass{Evictions: []queueing.Eviction{{For: "b", Victims: []queueing.Victim{{Gang: gang}}}}}
	}
	cases := map[string]struct {
		next func(queueing.Input) queueing.Pass
		want string
	}{
		"starting a stranger": {func(queueing.Input) queueing.Pass {
			return queueing.Pass{Starts: []queueing.Start{{Gang: "c", Placement: &placement.Placement{}}}}
		}, `gang "c" starts without waiting`},
		"starting nowhere": {func(queueing.Input) queueing.Pass {
			return queueing.Pass{Starts: []queueing.Start{{Gang: "a"}}}
		}, `gang "a" is to run nowhere`},
		"starting twice": {func(in queueing.Input) queueing.Pass {
			out := firstComeFirstServed(in)
			out.Starts = append(out.Starts, out.Starts...)
			return out
		}, `gang "a" starts without waiting`},
		"evicting who does not run": {func(queueing.Input) queueing.Pass { return evict("a") }, `gang "a" is evicted without running`},
		"moving who does not run": {func(queueing.Input) queueing.Pass {
			return queueing.Pass{Moves: []queueing.Move{{Gang: "b"}}}
		}, `gang "b" moves without running`},
		"going in circles": {func(in queueing.Input) queueing.Pass {
			starts := firstComeFirstServed(in).Starts
			out := evict(starts[0].Gang)
			out.Starts = starts
			return out
		}, errUnsettled.Error()},
		"promising again and again": {func(in queueing.Input) queueing.Pass {
			out := firstComeFirstServed(in)
			out.Held = &queueing.Reservation{Gang: "b", At: in.Now + 1}
			return out
		}, errUnsettled.Error()},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			trace := read(t, "name,arrival,duration,roles\na,0,10,w=1x8\nb,0,10,w=1x8\n")
			_, err := run(Uniform(1, 1, 1, 8), trace, Options{}, tc.next)
			if err == nil || !strings.HasSuffix(err.Error(), " after the first arrival: "+tc.want) {
				t.Errorf("Run() = %v, want %s", err, tc.want)
			}
		})
	}
	t.Run("who never starts is told at the end", func(t *testing.T) {
		trace := read(t, "name,arrival,duration,roles\na,0,10,w=1x8\n")
		got, err := run(Uniform(1, 1, 1, 8), trace, Options{}, func(queueing.Input) queueing.Pass {
			return queueing.Pass{Waits: []queueing.Wait{{Gang: "a", Reason: queueing.NoRoom}}}
		})
		want := []Refusal{{"a", "still waiting at the end: NoRoom"}}
		if diff := cmp.Diff(want, got.Refusals); err != nil || diff != "" {
			t.Errorf("Run() = %v, refusals (-want +got):\n%s", err, diff)
		}
	})
}
