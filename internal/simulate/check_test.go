package simulate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/k8s4ai/k8s4ai/internal/placement"
	"github.com/k8s4ai/k8s4ai/internal/queueing"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// witness replays the log of a run and knows nothing of how it came about: only
// the fleet, the trace and the rules.
type witness struct {
	t     *testing.T
	now   time.Duration
	free  map[string]placement.Resources
	trace map[string]*Arrival
	state map[string]EventKind
	uses  map[string][]placement.Use
	// began, pause and done are of the stretch that runs; queued is when the wait
	// began that runs, waited all before it.
	began, pause, done, queued, waited map[string]time.Duration
	stopped                            map[string]bool
	// held, work, lost and paused are in device-seconds.
	held, work, lost, paused     float64
	evictions, moves, backfilled int
}

// check fails the test unless the log keeps the rules and the report its figures.
func check(t *testing.T, fleet Fleet, trace []Arrival, events []Event, report Report) {
	t.Helper()
	w := &witness{
		t: t, free: map[string]placement.Resources{}, trace: map[string]*Arrival{}, state: map[string]EventKind{},
		uses: map[string][]placement.Use{}, began: map[string]time.Duration{}, pause: map[string]time.Duration{},
		done: map[string]time.Duration{}, queued: map[string]time.Duration{}, waited: map[string]time.Duration{}, stopped: map[string]bool{},
	}
	for _, n := range fleet.Nodes {
		w.free[n.Name] = placement.Resources{DefaultDevice: n.Capacity[DefaultDevice] - n.Used[DefaultDevice]}
	}
	first := time.Duration(math.MaxInt64)
	for i := range trace {
		w.trace[trace[i].Name] = &trace[i]
		first = min(first, trace[i].At)
	}
	for _, e := range events {
		if e.At < w.now {
			t.Fatalf("%v is before %s", e, w.now)
		}
		if e.At > w.now {
			w.room()
		}
		w.now = e.At
		w.see(e, first)
	}
	w.room()
	finished, waits := 0, 0.0
	for name := range w.trace {
		switch w.state[name] {
		case Ended:
			finished++
			waits += w.waited[name].Seconds()
		case Refused:
		default:
			t.Errorf("gang %s is left %s", name, w.state[name])
		}
	}
	w.compare(report, finished, waits)
}

// compare holds the report against what was seen.
func (w *witness) compare(report Report, finished int, waits float64) {
	gangs, reported := 0, 0.0
	for _, class := range report.Waits {
		gangs += class.Gangs
		reported += class.MeanSeconds * float64(class.Gangs)
	}
	for name, pair := range map[string][2]float64{
		"finished": {float64(report.Finished), float64(finished)}, "refused": {float64(report.Refused), float64(len(w.trace) - finished)},
		"in size classes": {float64(gangs), float64(finished)}, "waits": {reported, waits},
		"work": {report.WorkDeviceSeconds, w.work}, "lost": {report.LostDeviceSeconds, w.lost}, "restarts": {report.RestartDeviceSeconds, w.paused},
		"held": {report.WorkDeviceSeconds + report.LostDeviceSeconds + report.RestartDeviceSeconds, w.held},
		"ends": {report.MakespanSeconds, w.now.Seconds()}, "evictions": {float64(report.Evictions), float64(w.evictions)},
		"moves": {float64(report.Moves), float64(w.moves)}, "backfilled": {float64(report.Backfilled), float64(w.backfilled)},
	} {
		if math.Abs(pair[0]-pair[1]) > 1e-6*max(1, math.Abs(pair[1])) {
			w.t.Errorf("%s: the report says %g, the log %g", name, pair[0], pair[1])
		}
	}
	if report.Utilisation < 0 || report.Utilisation > 1+1e-9 {
		w.t.Errorf("utilisation %g", report.Utilisation)
	}
}

// from lists the states in which an event may happen.
var from = map[EventKind][]EventKind{
	Arrived: {""}, Refused: {Arrived}, Started: {Arrived, Evicted},
	Ended: {Started, Moved}, Evicted: {Started, Moved}, Moved: {Started, Moved},
}

func (w *witness) see(e Event, first time.Duration) {
	a := w.trace[e.Gang]
	if a == nil || !slices.Contains(from[e.Kind], w.state[e.Gang]) {
		w.t.Fatalf("%v after %q", e, w.state[e.Gang])
	}
	w.state[e.Gang] = e.Kind
	if e.Kind == Ended || e.Kind == Evicted || e.Kind == Moved {
		w.stop(e, a)
	}
	switch e.Kind {
	case Arrived:
		if e.At != a.At-first {
			w.t.Errorf("%v, want at %s", e, a.At-first)
		}
		w.queued[e.Gang] = e.At
	case Started:
		w.waited[e.Gang] += e.At - w.queued[e.Gang]
		w.pause[e.Gang] = 0
		if w.stopped[e.Gang] {
			w.pause[e.Gang] = a.Restart
		}
		if e.Backfilled {
			w.backfilled++
		}
		w.take(e, a)
	case Moved:
		w.moves++
		w.pause[e.Gang] = a.Restart
		w.take(e, a)
	case Evicted:
		w.evictions++
		w.stopped[e.Gang] = true
		w.queued[e.Gang] = e.At
	case Refused, Ended:
	}
}

// stop ends the stretch of a gang.
func (w *witness) stop(e Event, a *Arrival) {
	devices := 0.0
	for _, use := range w.uses[e.Gang] {
		w.free[use.Node][DefaultDevice] += use.Resources[DefaultDevice]
		devices += float64(use.Resources[DefaultDevice])
	}
	elapsed := e.At - w.began[e.Gang]
	paused := min(elapsed, w.pause[e.Gang])
	worked := elapsed - paused
	kept := worked
	if e.Kind == Evicted {
		kept = 0
		if a.Checkpoint > 0 {
			kept = worked / a.Checkpoint * a.Checkpoint
		}
	}
	w.done[e.Gang] += kept
	w.held += devices * elapsed.Seconds()
	w.paused += devices * paused.Seconds()
	w.work += devices * kept.Seconds()
	w.lost += devices * (worked - kept).Seconds()
	if e.Kind == Ended && w.done[e.Gang] != a.Duration || w.done[e.Gang] > a.Duration {
		w.t.Errorf("%s has done %s of %s at %s", e.Gang, w.done[e.Gang], a.Duration, e.Kind)
	}
}

// room checks at the end of an instant that nothing is taken twice. Within one,
// moves happen at once but are logged one after another.
func (w *witness) room() {
	for node, free := range w.free {
		if free[DefaultDevice] < 0 {
			w.t.Errorf("%s: %s is taken twice", w.now, node)
		}
	}
}

// take begins a stretch.
func (w *witness) take(e Event, a *Arrival) {
	w.began[e.Gang], w.uses[e.Gang] = e.At, e.Uses
	pods := int64(0)
	for _, use := range e.Uses {
		w.free[use.Node][DefaultDevice] -= use.Resources[DefaultDevice]
		pods += use.Resources["pods"]
	}
	if want := int64(a.Request.Root.Roles[0].Count); pods != want {
		w.t.Errorf("%v: %d pods, want %d", e, pods, want)
	}
}

// randomTrace is a short trace in which everything happens.
func randomTrace(random *rand.Rand) []Arrival {
	var out []Arrival
	at := time.Duration(0)
	for i := range 5 + random.IntN(40) {
		at += time.Duration(random.IntN(20)) * time.Second
		pods, each := 1+random.IntN(5), int64(1+random.IntN(8))
		a := Arrival{
			Name: fmt.Sprintf("g%d", i), At: at, Duration: time.Duration(1+random.IntN(60)) * time.Second,
			Priority: int32(random.IntN(3)), Checkpoint: time.Duration(random.IntN(3)*7) * time.Second, Restart: time.Duration(random.IntN(4)) * time.Second,
			Request: placement.Request{Root: placement.Group{Roles: []placement.Role{{
				Name: "w", Count: pods, Shape: placement.Shape{Resources: placement.Resources{DefaultDevice: each}},
			}}}},
		}
		a.Request.Root.Required = []topology.Level{topology.Cluster, topology.Block, topology.Leaf, topology.Node}[random.IntN(4)]
		if a.Estimate = a.Duration; random.IntN(3) == 0 {
			a.Estimate = time.Duration(random.IntN(90)) * time.Second
		}
		out = append(out, a)
	}
	return out
}

var policies = []string{"fifo", "easy", "fifo+preempt", "easy+preempt", "fifo+defrag", "easy+defrag", "fifo+preempt+defrag", "easy+preempt+defrag"}

func TestRunsOfRandomTracesKeepTheRules(t *testing.T) {
	fleet := Uniform(6, 2, 2, 8)
	var evictions, moves, backfilled, refused int
	for seed := range uint64(60) {
		trace := randomTrace(rand.New(rand.NewPCG(seed, 1)))
		for _, name := range policies {
			p := policy(t, name)
			p.Expiry = time.Duration(seed%3) * 10 * time.Second
			var events []Event
			report, err := Run(fleet, trace, Options{Policy: p, Observe: func(e Event) { events = append(events, e) }})
			if err != nil {
				t.Fatalf("seed %d, %s: %v", seed, name, err)
			}
			check(t, fleet, trace, events, report)
			if t.Failed() {
				t.Fatalf("seed %d, %s", seed, name)
			}
			evictions, moves = evictions+report.Evictions, moves+report.Moves
			backfilled, refused = backfilled+report.Backfilled, refused+report.Refused
		}
	}
	if min(evictions, moves, backfilled, refused) < 100 {
		t.Errorf("%d evictions, %d moves, %d backfilled, %d refused: too few to say anything", evictions, moves, backfilled, refused)
	}
}

func TestRunIsDeterministic(t *testing.T) {
	fleet := Uniform(6, 2, 2, 8)
	for seed := range uint64(10) {
		random := rand.New(rand.NewPCG(seed, 2))
		trace := randomTrace(random)
		replay := func() (events []Event, report Report) {
			report, err := Run(fleet, trace, Options{Policy: policy(t, "easy+preempt+defrag"), Observe: func(e Event) { events = append(events, e) }})
			if err != nil {
				t.Fatal(err)
			}
			return events, report
		}
		before := slices.Clone(trace)
		events, report := replay()
		if diff := cmp.Diff(before, trace); diff != "" {
			t.Errorf("seed %d: Run changed its input (-before +after):\n%s", seed, diff)
		}
		again, same := replay()
		if diff := cmp.Diff(events, again); diff != "" {
			t.Errorf("seed %d: another log (-first +second):\n%s", seed, diff)
		}
		if diff := cmp.Diff(report, same); diff != "" {
			t.Errorf("seed %d: another report (-first +second):\n%s", seed, diff)
		}
	}
}

// With exact estimates and equal priorities, whoever is promised room at an
// instant starts by then, whatever is backfilled.
func TestBackfillNeverDelaysTheHead(t *testing.T) {
	fleet := Uniform(6, 2, 2, 8)
	promises, backfilled := 0, 0
	for seed := range uint64(600) {
		trace := randomTrace(rand.New(rand.NewPCG(seed, 3)))
		for i := range trace {
			trace[i].Estimate, trace[i].Priority = trace[i].Duration, 0
		}
		promised := map[string]time.Duration{}
		_, err := run(fleet, trace, Options{
			Policy: policy(t, "easy"),
			Observe: func(e Event) {
				if by, was := promised[e.Gang]; was && e.Kind == Started && e.At > by {
					t.Errorf("seed %d: %s was promised %s and starts at %s", seed, e.Gang, by, e.At)
				}
				if e.Backfilled {
					backfilled++
				}
			},
		}, func(in queueing.Input) queueing.Pass {
			out := queueing.Next(in)
			if out.Held != nil {
				if _, was := promised[out.Held.Gang]; !was {
					promised[out.Held.Gang] = out.Held.At
					promises++
				}
			}
			return out
		})
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
	if min(promises, backfilled) < 1000 {
		t.Errorf("%d promises, %d backfilled: too few to say anything", promises, backfilled)
	}
}
