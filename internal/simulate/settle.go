package simulate

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/k8s4ai/k8s4ai/internal/placement"
	"github.com/k8s4ai/k8s4ai/internal/queueing"
)

// errUnsettled is a queue that evicts and starts in circles.
var errUnsettled = errors.New("the queue goes in circles: please report this with the fleet and the trace")

// settle passes over the queue until nothing more happens at this instant. Only
// evictions and moves ask for another pass: they make room for a gang that
// starts in it.
func (s *simulation) settle() error {
	if s.idle > 2*len(s.running)+4 {
		return errUnsettled
	}
	for passes := 0; ; passes++ {
		if len(s.waiting) == 0 {
			s.held = nil
			return nil
		}
		if passes > 2*(len(s.waiting)+len(s.running))+4 {
			return errUnsettled
		}
		for i := range s.running {
			r := &s.running[i]
			r.Saved = s.jobs[r.Name].saved(s.now)
		}
		pass := s.next(queueing.Input{
			Now: s.now, Snapshot: s.snapshot, Waiting: s.waiting, Running: s.running,
			Held: s.held, Policy: s.options.Policy,
		})
		s.held = pass.Held
		s.reasons = map[string]string{}
		for _, wait := range pass.Waits {
			s.reasons[wait.Gang] = wait.Reason
		}
		if err := s.apply(&pass); err != nil {
			return err
		}
		if len(pass.Evictions)+len(pass.Moves) == 0 {
			return nil
		}
	}
}

// apply does what a pass has decided. An error is a decision that cannot be.
//
// Where room is made for a gang, nothing is backfilled before that gang had its
// turn: moves were decided before the backfills behind them, and could need the
// same room. The next pass, at the same instant, decides again.
func (s *simulation) apply(pass *queueing.Pass) error {
	starts := pass.Starts
	if len(pass.Evictions)+len(pass.Moves) > 0 {
		starts = slices.DeleteFunc(slices.Clone(starts), func(start queueing.Start) bool { return start.Backfilled })
	}
	if err := s.start(starts); err != nil {
		return err
	}
	for _, eviction := range pass.Evictions {
		for _, victim := range eviction.Victims {
			if err := s.evict(victim.Gang, eviction.For); err != nil {
				return err
			}
		}
	}
	return s.move(pass.Moves)
}

// start starts gangs that wait.
func (s *simulation) start(starts []queueing.Start) error {
	var taken []placement.Use
	started := map[string]bool{}
	for _, start := range starts {
		at := slices.IndexFunc(s.waiting, func(g queueing.Gang) bool { return g.Name == start.Gang })
		if at < 0 || started[start.Gang] {
			return fmt.Errorf("gang %q starts without waiting", start.Gang)
		}
		started[start.Gang] = true
		j := s.jobs[start.Gang]
		j.pause = j.pauseAtStart()
		j.waited += s.now - j.queued
		j.starts++
		running, err := s.begin(j, start.Placement)
		if err != nil {
			return err
		}
		s.running = append(s.running, running)
		taken = append(taken, running.Uses...)
		s.tally.start(start)
		s.observe(Event{Kind: Started, Gang: start.Gang, Uses: running.Uses, Backfilled: start.Backfilled})
	}
	if len(started) > 0 {
		s.snapshot = s.snapshot.With(taken...)
		s.waiting = slices.DeleteFunc(s.waiting, func(g queueing.Gang) bool { return started[g.Name] })
	}
	return nil
}

// begin begins a stretch of the job, with its pause.
func (s *simulation) begin(j *job, to *placement.Placement) (queueing.Running, error) {
	if to == nil {
		return queueing.Running{}, fmt.Errorf("gang %q is to run nowhere", j.arrival.Name)
	}
	j.began, j.end = s.now, later(later(s.now, j.pause), j.left)
	if j.end == math.MaxInt64 {
		return queueing.Running{}, fmt.Errorf("gang %q ends more than 292 years after the first arrival: shorten the trace", j.arrival.Name)
	}
	uses := queueing.Uses(j.arrival.Request, to.Roles)
	j.back = returned(uses)
	j.devices = devicesIn(uses, s.options.Device)
	s.schedule(j)
	return j.running(s.options.Policy, to.Roles, uses), nil
}

// close ends a stretch in which kept was worked for good.
func (s *simulation) close(j *job, kept time.Duration) {
	s.tally.stretch(j, s.now, kept)
	s.unschedule(j)
	j.left -= kept
}

// evict stops a gang and puts it back into the queue.
func (s *simulation) evict(name, beneficiary string) error {
	at := s.runningIndex(name)
	if at < 0 {
		return fmt.Errorf("gang %q is evicted without running", name)
	}
	s.running = slices.Delete(s.running, at, at+1)
	j := s.jobs[name]
	s.close(j, j.kept(s.now))
	s.snapshot = s.snapshot.With(j.back...)
	j.stopped, j.queued = true, s.now
	s.waiting = append(s.waiting, j.waiting(s.options.Policy))
	s.tally.evictions++
	s.observe(Event{Kind: Evicted, Gang: name, For: beneficiary})
	return nil
}

// move moves gangs, all at once: one may go where another was.
func (s *simulation) move(moves []queueing.Move) error {
	var back, taken []placement.Use
	moved := map[string]bool{}
	for _, m := range moves {
		at := s.runningIndex(m.Gang)
		if at < 0 || moved[m.Gang] {
			return fmt.Errorf("gang %q moves without running", m.Gang)
		}
		moved[m.Gang] = true
		j := s.jobs[m.Gang]
		s.close(j, j.worked(s.now))
		back = append(back, j.back...)
		j.pause = j.arrival.Restart
		running, err := s.begin(j, m.To)
		if err != nil {
			return err
		}
		s.running[at] = running
		taken = append(taken, running.Uses...)
		s.tally.moves++
		s.observe(Event{Kind: Moved, Gang: m.Gang, Uses: running.Uses, For: m.For})
	}
	if len(moves) > 0 {
		s.snapshot = s.snapshot.With(append(back, taken...)...)
	}
	return nil
}

func (s *simulation) runningIndex(name string) int {
	return slices.IndexFunc(s.running, func(r queueing.Running) bool { return r.Name == name })
}
