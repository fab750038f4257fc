package queueing

import (
	"testing"
	"time"
)

// Backfill never delays the head of the queue: with runtimes that hold, a gang
// starts no later than at any instant that it was ever promised, and promises
// only move to earlier instants. Gangs that do not declare their runtime may be
// among the others.
func TestBackfillNeverDelaysTheReservation(t *testing.T) {
	histories, promises, backfilled, early := 12000, 0, 0, 0
	if testing.Short() {
		histories = 2000
	}
	for seed := range uint64(histories) {
		promised := map[string]time.Duration{}
		h := randomHistory(seed, []float64{0, 0.2, 0.6}[seed%3])
		h.seen = func(h *history, p Pass) {
			for _, s := range p.Starts {
				if s.Backfilled {
					backfilled++
				}
				at, was := promised[s.Gang]
				if was && h.now > at {
					t.Fatalf("history %d: %s starts at %v, was promised %v", seed, s.Gang, h.now, at)
				}
				if was && h.now < at {
					early++
				}
			}
			if p.Held == nil || p.Held.At == Never {
				return
			}
			at, was := promised[p.Held.Gang]
			if was && p.Held.At > at {
				t.Fatalf("history %d at %v: the promise to %s moves from %v to %v", seed, h.now, p.Held.Gang, at, p.Held.At)
			}
			if !was {
				promises++
			}
			promised[p.Held.Gang] = p.Held.At
		}
		h.run()
		if len(h.waiting) > 0 && !fitsNowhere(h) {
			t.Fatalf("history %d ends with %d gangs in the queue", seed, len(h.waiting))
		}
	}
	if promises < histories/2 || backfilled < histories/2 || early == 0 {
		t.Errorf("%d promises, %d backfilled, %d earlier: the histories do not test much", promises, backfilled, early)
	}
	t.Logf("%d histories: %d gangs got an instant, %d of them started earlier, %d gangs were backfilled", histories, promises, early, backfilled)
}

// fitsNowhere reports whether nothing in the queue fits on the empty fleet.
func fitsNowhere(h *history) bool {
	for i := range h.waiting {
		if newProbe(h.snapshot.Emptied()).place(&h.waiting[i].Request).Placement != nil {
			return false
		}
	}
	return true
}

// A gang that needs the room of gangs of unknown runtime starts at last, however
// many small ones of unknown runtime keep coming.
func TestTheHeadDoesNotStarve(t *testing.T) {
	run := func(patience time.Duration) (start time.Duration, started bool) {
		h := &history{snapshot: fleet(8, 2, 2), policy: Policy{Backfill: true, Patience: patience}, actual: map[string]time.Duration{}}
		for i := range 200 {
			g := waits(string(rune('a'+i/26))+string(rune('a'+i%26)), 1, arrival(time.Duration(i)*time.Second))
			if i == 10 {
				g.Name, g.Request = "large", ask(0, 3, 8)
			}
			h.arrivals = append(h.arrivals, g)
			h.actual[g.Name] = 6 * time.Second
		}
		h.run()
		start, started = h.started["large"]
		return start, started
	}
	cases := map[string]struct{ patience, latest, earliest time.Duration }{
		"room is kept at once":       {0, 25 * time.Second, 0},
		"room is kept after a while": {60 * time.Second, 90 * time.Second, 60 * time.Second},
		"room is never kept":         {Never, Never, 200 * time.Second},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			start, started := run(tc.patience)
			if !started || start > tc.latest || start < tc.earliest {
				t.Errorf("large starts at %v (%v), want %v to %v", start, started, tc.earliest, tc.latest)
			}
		})
	}
}
