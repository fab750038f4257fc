package measure

import (
	"context"
	"fmt"
	"time"

	"github.com/k8s4ai/k8s4ai/internal/agent/cuda"
)

// Clock is the time of the host. A test can set it.
type Clock struct {
	Now   func() time.Time
	Sleep func(time.Duration)
}

// errHung is work that does not end. Nothing of the device may be given back
// after it: that would wait for the work.
var errHung = &gapError{ReasonHung, "work that should take less than a second does not end: look for Xid errors in the kernel's log, and reset the device"}

// limits are when the measuring of one device ends.
type limits struct {
	clock    Clock
	deadline time.Time
	// stall is how long a piece of work may last beyond the deadline.
	stall time.Duration
}

// check is a gapError when no more work may be started.
func (l limits) check(ctx context.Context) error {
	if ctx.Err() != nil {
		return &gapError{ReasonCancelled, "stopped before it was measured"}
	}
	if !l.clock.Now().Before(l.deadline) {
		return &gapError{ReasonTimeLimit, "the time limit of the device was over: raise --time-limit, or ask for fewer figures"}
	}
	return nil
}

// wait waits for the end of a queue's stopwatch. It looks and sleeps, because a
// call that waits would never return from a device that hangs.
func (l limits) wait(q *cuda.Queue) error {
	pause := 50 * time.Microsecond
	for {
		stopped, err := q.Stopped()
		if err != nil || stopped {
			return err
		}
		if l.clock.Now().After(l.deadline.Add(l.stall)) {
			return errHung
		}
		l.clock.Sleep(pause)
		pause = min(2*pause, 2*time.Millisecond)
	}
}

// timed runs work so often, one after the other, and returns the seconds of one.
func (l limits) timed(q *cuda.Queue, times int, work func() error) (float64, error) {
	if err := q.Start(); err != nil {
		return 0, err
	}
	for range times {
		if err := work(); err != nil {
			return 0, err
		}
	}
	if err := q.Stop(); err != nil {
		return 0, err
	}
	if err := l.wait(q); err != nil {
		return 0, err
	}
	seconds, err := q.Seconds()
	if err != nil {
		return 0, err
	}
	seconds, err = elapsed(seconds)
	return seconds / float64(times), err
}

// sample warms up, plans how often the work is done in a repetition, and returns
// what one took in each of the repetitions, in seconds.
func (l limits) sample(ctx context.Context, q *cuda.Queue, work func() error) ([]float64, error) {
	// The first run loads kernels, the second tells how long one takes, and the
	// third brings clocks to where they stay.
	if _, err := l.timed(q, 1, work); err != nil {
		return nil, err
	}
	once, err := l.timed(q, 1, work)
	if err != nil {
		return nil, err
	}
	times := runs(once)
	if _, err := l.timed(q, times, work); err != nil {
		return nil, err
	}
	var out []float64
	for range repetitions {
		if err := l.check(ctx); err != nil {
			if len(out) >= leastRepetitions && ctx.Err() == nil {
				break
			}
			return nil, err
		}
		seconds, err := l.timed(q, times, work)
		if err != nil {
			return nil, fmt.Errorf("repetition %d: %w", len(out)+1, err)
		}
		out = append(out, seconds)
	}
	return out, nil
}
