package simulate

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/k8s4ai/k8s4ai/internal/placement"
	"github.com/k8s4ai/k8s4ai/internal/queueing"
)

// Options are how a trace is replayed.
type Options struct {
	// Policy is given to every pass over the queue. With Preempt every gang may
	// evict gangs of lower priority, with Defragment every gang consents to moves.
	Policy queueing.Policy
	// Device is the resource that is counted, "" for DefaultDevice.
	Device string
	// Observe is told of every event, in order. nil is told nothing.
	Observe func(Event)
}

// EventKind says what happened to a gang.
type EventKind string

// The kinds of events.
const (
	Arrived EventKind = "Arrived"
	Refused EventKind = "Refused"
	Started EventKind = "Started"
	Ended   EventKind = "Ended"
	Evicted EventKind = "Evicted"
	Moved   EventKind = "Moved"
)

// Event is one thing that happens to one gang.
type Event struct {
	// At is since the first arrival.
	At   time.Duration
	Kind EventKind
	Gang string
	// Uses is the room that it has from now on: of Started and Moved.
	Uses []placement.Use
	// Backfilled says that it started ahead of the gang with the reservation.
	Backfilled bool
	// For is the gang that it makes room for: of Evicted and Moved.
	For string
}

// Run replays the trace, in the order of arrival, and returns what became of it.
// Instants are since the first arrival.
//
// A gang that does not fit on the fleet as it is at first is refused for ever.
// Victims lose their work since their last checkpoint, go back to their place in
// the queue at once, and later start with their restart time; gangs that move stop
// for their restart time and lose nothing else.
//
// It returns an error for a fleet that placement.NewSnapshot refuses, for a trace
// beyond its limits, when a gang would end more than 292 years after the first
// arrival, and when the queue's decisions contradict themselves.
func Run(fleet Fleet, trace []Arrival, o Options) (Report, error) {
	return run(fleet, trace, o, queueing.Next)
}

func run(fleet Fleet, trace []Arrival, o Options, next func(queueing.Input) queueing.Pass) (Report, error) {
	if o.Device == "" {
		o.Device = DefaultDevice
	}
	snapshot, err := placement.NewSnapshot(fleet.Domains, fleet.Nodes)
	if err != nil {
		return Report{}, fmt.Errorf("simulating: %w", err)
	}
	arrivals, err := inOrder(trace)
	if err != nil {
		return Report{}, fmt.Errorf("simulating: %w", err)
	}
	s := &simulation{
		next: next, options: o, initial: snapshot, snapshot: snapshot, arrivals: arrivals,
		jobs: map[string]*job{}, unfit: map[string]string{},
		tally: newTally(fleet, o, arrivals),
	}
	for s.advance() {
		if err := s.settle(); err != nil {
			return Report{}, fmt.Errorf("simulating: %s after the first arrival: %w", s.now, err)
		}
	}
	for _, gang := range s.waiting {
		s.tally.refuse(gang.Name, "still waiting at the end: "+s.reasons[gang.Name])
	}
	return s.tally.report(s.now), nil
}

// inOrder checks the arrivals and returns them in order, the first at 0.
func inOrder(trace []Arrival) ([]Arrival, error) {
	if len(trace) > MaxArrivals {
		return nil, fmt.Errorf("%d gangs, at most %d", len(trace), MaxArrivals)
	}
	names := map[string]bool{}
	for i := range trace {
		a := &trace[i]
		if names[a.Name] || a.Name == "" {
			return nil, fmt.Errorf("gang %q: a name is not empty and not used twice", a.Name)
		}
		names[a.Name] = true
		for _, at := range []time.Duration{a.At, a.Duration - 1, a.Estimate, a.Checkpoint, a.Restart} {
			if at < 0 || at > MaxTime {
				return nil, fmt.Errorf("gang %q: no time is negative or beyond %s, and the duration is above 0", a.Name, MaxTime)
			}
		}
	}
	out := slices.Clone(trace)
	slices.SortStableFunc(out, func(a, b Arrival) int { return cmp.Compare(a.At, b.At) })
	for i := range slices.Backward(out) {
		out[i].At -= out[0].At
	}
	return out, nil
}

// simulation is one run.
type simulation struct {
	next    func(queueing.Input) queueing.Pass
	options Options
	// initial is the fleet before the first arrival; it never has more room.
	initial, snapshot *placement.Snapshot
	// arrivals are those to come, of all.
	arrivals []Arrival
	jobs     map[string]*job
	// unfit remembers why requests do not fit on the fleet, by their text; "" for
	// those that do.
	unfit   map[string]string
	waiting []queueing.Gang
	running []queueing.Running
	// ends are the running jobs, the next to end last.
	ends    []*job
	held    *queueing.Reservation
	reasons map[string]string
	now     time.Duration
	// idle counts instants in a row at which nothing arrived or ended.
	idle  int
	tally *tally
}

// advance goes to the next instant at which something arrives or ends, or the
// reservation does, and lets that happen. It is false when nothing will.
func (s *simulation) advance() bool {
	at := time.Duration(math.MaxInt64)
	if len(s.arrivals) > 0 {
		at = s.arrivals[0].At
	}
	if len(s.ends) > 0 {
		at = min(at, s.ends[len(s.ends)-1].end)
	}
	s.idle++
	if s.held != nil && len(s.ends) > 0 {
		for _, due := range []time.Duration{s.held.At, s.held.Until} {
			if due > s.now {
				at = min(at, due)
			}
		}
	}
	if at == math.MaxInt64 {
		return false
	}
	s.tally.fragments.hold(s.snapshot, at)
	s.now = at
	s.finish()
	for len(s.arrivals) > 0 && s.arrivals[0].At == s.now {
		s.arrive(&s.arrivals[0])
		s.arrivals = s.arrivals[1:]
		s.idle = 0
	}
	return true
}

// finish ends the jobs whose end is now.
func (s *simulation) finish() {
	var back []placement.Use
	ended := map[string]bool{}
	for len(s.ends) > 0 && s.ends[len(s.ends)-1].end == s.now {
		j := s.ends[len(s.ends)-1]
		s.ends = s.ends[:len(s.ends)-1]
		back = append(back, j.back...)
		ended[j.arrival.Name] = true
		s.tally.stretch(j, s.now, j.left)
		s.tally.finish(j)
		s.observe(Event{Kind: Ended, Gang: j.arrival.Name})
		s.idle = 0
	}
	if len(ended) > 0 {
		s.snapshot = s.snapshot.With(back...)
		s.running = slices.DeleteFunc(s.running, func(r queueing.Running) bool { return ended[r.Name] })
	}
}

// arrive puts a gang into the queue, or refuses it for ever.
func (s *simulation) arrive(a *Arrival) {
	j := &job{arrival: a, asked: devicesAsked(&a.Request.Root, s.options.Device), left: a.Duration, queued: s.now}
	s.observe(Event{Kind: Arrived, Gang: a.Name})
	text := fmt.Sprint(a.Request)
	why, known := s.unfit[text]
	if !known {
		why = unfit(placement.Place(s.initial, a.Request))
		s.unfit[text] = why
	}
	if why != "" {
		s.tally.refuse(a.Name, why)
		s.observe(Event{Kind: Refused, Gang: a.Name})
		return
	}
	s.jobs[a.Name] = j
	s.waiting = append(s.waiting, j.waiting(s.options.Policy))
}

// unfit says why a verdict is no placement, and is empty for one.
func unfit(v placement.Verdict) string {
	switch {
	case v.Invalid != "":
		return v.Invalid
	case v.Refusal != nil:
		r := v.Refusal
		where := "the fleet"
		if r.Domain != "" {
			where = r.Level.String() + " " + r.Domain
		}
		return fmt.Sprintf("%s holds %d of %d at best: too little %s", where, r.Found, r.Needed, r.Limiting)
	}
	return ""
}

func (s *simulation) observe(e Event) {
	if s.options.Observe != nil {
		e.At = s.now
		s.options.Observe(e)
	}
}

// schedule remembers when the job ends.
func (s *simulation) schedule(j *job) {
	at, _ := slices.BinarySearchFunc(s.ends, j, byEnd)
	s.ends = slices.Insert(s.ends, at, j)
}

func (s *simulation) unschedule(j *job) {
	if at, found := slices.BinarySearchFunc(s.ends, j, byEnd); found {
		s.ends = slices.Delete(s.ends, at, at+1)
	}
}

// byEnd is latest end first.
func byEnd(a, b *job) int {
	return cmp.Or(-cmp.Compare(a.end, b.end), cmp.Compare(a.arrival.Name, b.arrival.Name))
}
