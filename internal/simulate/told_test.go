package simulate

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/k8s4ai/k8s4ai/internal/queueing"
)

// told is what the queue knows of one gang, in seconds.
type told struct {
	Arrival, Runtime, Start, Saved float64
	Preemptible, Movable, Preempts bool
}

func tell(g *queueing.Gang, r *queueing.Running) told {
	out := told{Arrival: g.Arrival.Seconds(), Runtime: g.Runtime.Seconds(), Preempts: g.Preempts}
	if r != nil {
		out.Start, out.Saved = r.Start.Seconds(), r.Saved.Seconds()
		out.Preemptible, out.Movable = r.Preemptible, r.Movable
	}
	return out
}

// A gang of 100 s that says 40 s, with a checkpoint every 30 s of work and 50 s to
// restart, is evicted at 50 and at 150, and moved at 235.
func TestWhatTheQueueIsTold(t *testing.T) {
	trace := read(t, "name,arrival,duration,roles,estimate,checkpoint,restart\na,0,100,w=1x8,40,30,50\n"+
		"b,50,1,w=1x8,,,\nc,150,1,w=1x8,,,\nd,235,1,w=1x8,,,\ne,286,1,w=1x8,,,\n")
	var got []told
	end := 0.0
	seen := func(e Event) {
		if e.Kind == Ended && e.Gang == "a" {
			end = e.At.Seconds()
		}
	}
	// The queue of this test starts a, and does with it what is written above.
	_, err := run(Uniform(1, 1, 1, 8), trace, Options{Policy: queueing.Policy{Preempt: true, Defragment: true}, Observe: seen}, func(in queueing.Input) queueing.Pass {
		for i := range in.Waiting {
			if in.Waiting[i].Name == "a" {
				got = append(got, tell(&in.Waiting[i], nil))
				in.Waiting = in.Waiting[i : i+1]
				return firstComeFirstServed(in)
			}
		}
		for i := range in.Running {
			r := &in.Running[i]
			got = append(got, tell(&r.Gang, r))
			switch {
			case in.Now == 50*time.Second && r.Start == 0, in.Now == 150*time.Second && r.Start != in.Now:
				return queueing.Pass{Evictions: []queueing.Eviction{{Victims: []queueing.Victim{{Gang: "a"}}}}}
			case in.Now == 235*time.Second && r.Start != in.Now:
				return queueing.Pass{Moves: []queueing.Move{{Gang: "a", To: firstComeFirstServed(queueing.Input{
					Snapshot: in.Snapshot.Emptied(), Waiting: in.Waiting[:1],
				}).Starts[0].Placement}}}
			}
		}
		return queueing.Pass{}
	})
	if err != nil {
		t.Fatal(err)
	}
	runs := told{Preemptible: true, Movable: true, Preempts: true}
	with := func(base told, runtime, start, saved float64) told {
		base.Runtime, base.Start, base.Saved = runtime, start, saved
		return base
	}
	want := []told{
		with(told{Preempts: true}, 40, 0, 0), // waits at 0
		with(runs, 40, 0, 30),                // runs at 50, and is evicted
		with(told{Preempts: true}, 60, 0, 0), // 10 s are left of the estimate
		with(runs, 60, 50, 130),              // works from 100; at 150 it is evicted
		with(told{Preempts: true}, 0, 0, 0),  // 60 s are kept, and nothing of the estimate
		with(runs, 0, 150, 230),              // works from 200; at 235 it is moved
		with(runs, 0, 235, 235),              // is where it went
		with(runs, 0, 235, 235),              // at 286 the last 5 s of work began a second ago
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the queue is told (-want +got):\n%s", diff)
	}
	if end != 290 {
		t.Errorf("a ends at %g, want 290", end)
	}
}
