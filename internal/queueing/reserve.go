package queueing

import (
	"cmp"
	"slices"
	"sort"
	"time"

	"github.com/k8s4ai/k8s4ai/internal/placement"
)

// holder is a gang that holds room during a pass.
type holder struct {
	name string
	uses []placement.Use
	// end is the instant at which its room is back, Never when that is not known.
	end time.Duration
	// late says that end has passed.
	late bool
	// start orders the gangs without a known end.
	start time.Duration
}

// holderOf tells when a running gang gives its room back. One that was told to
// stop does so now: whoever waits for it waits for nothing else.
func holderOf(r *Running, now time.Duration) holder {
	h := holder{name: r.Name, uses: r.Uses, end: Never, start: r.Start}
	if r.Stopping {
		h.end = now
		return h
	}
	if end, known := r.End(); known {
		h.end, h.late = end, end <= now
	}
	return h
}

// drain is the future of a snapshot in which nothing starts and holders end in
// the order of their ends: room only grows along it.
type drain struct {
	snapshot *placement.Snapshot
	// holders are in the order in which they end: those with an end, then those
	// without, the late ones and the oldest first.
	holders []holder
}

// newDrain orders the holders. late says that gangs which run longer than they
// declared still count as ending when they said, which is what a reservation
// assumes until it expires; otherwise they are without an end.
func newDrain(s *placement.Snapshot, holders []holder, late bool) *drain {
	d := &drain{snapshot: s, holders: slices.Clone(holders)}
	if !late {
		for i := range d.holders {
			if d.holders[i].late {
				d.holders[i].end = Never
			}
		}
	}
	slices.SortStableFunc(d.holders, func(a, b holder) int {
		switch {
		case a.end != b.end:
			return cmp.Compare(a.end, b.end)
		case a.late != b.late:
			if a.late {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.name, b.name))
	})
	return d
}

// endedBy is the number of holders that are known to be gone at an instant.
func (d *drain) endedBy(at time.Duration) int {
	return sort.Search(len(d.holders), func(i int) bool { return d.holders[i].end > min(at, Never-1) })
}

// without gives the room of the holders back.
func without(s *placement.Snapshot, gone []holder) *placement.Snapshot {
	if len(gone) == 0 {
		return s
	}
	var back []placement.Use
	for _, h := range gone {
		back = append(back, returned(h.uses)...)
	}
	return s.With(back...)
}

// firstFit returns the fewest holders, in order and at most limit, after which
// the request fits, with its placement. It is known not to fit now. ok is false
// when limit are not enough. It halves the distance, and takes every snapshot
// from the last that was too early: each room is given back at most twice.
func (d *drain) firstFit(r *placement.Request, limit int) (n int, at *placement.Placement, ok bool) {
	if limit == 0 {
		return 0, nil, false
	}
	low, early := 0, d.snapshot
	best := placement.Place(without(early, d.holders[:limit]), *r).Placement
	if best == nil {
		return 0, nil, false
	}
	high := limit
	for high-low > 1 {
		middle := low + (high-low)/2
		snapshot := without(early, d.holders[low:middle])
		if v := placement.Place(snapshot, *r); v.Placement != nil {
			high, best = middle, v.Placement
		} else {
			low, early = middle, snapshot
		}
	}
	return high, best, true
}

// reserve makes the reservation of a gang that does not fit now, or keeps the
// one it has. It returns nil when the gang would not fit if all holders ended.
//
// The instant is the earliest at which the gang fits when gangs end as declared.
// A reservation that the gang already has stays unless it expired, room was lost
// to something else than backfill, or an earlier instant is found: backfill
// cannot move it, since it leaves its room alone.
func reserve(g *Gang, s *placement.Snapshot, now time.Duration, holders []holder, held *Reservation, expiry time.Duration) *Reservation {
	d := newDrain(s, holders, false)
	limit := len(d.holders)
	kept := keep(g, s, now, holders, held)
	if kept != nil {
		limit = sort.Search(limit, func(i int) bool { return d.holders[i].end >= kept.At })
	}
	n, at, ok := d.firstFit(&g.Request, limit)
	if !ok {
		return kept
	}
	out := &Reservation{Gang: g.Name, At: max(now, d.holders[n-1].end), Domain: at.Quality.Domain, Placement: at}
	out.Behind = neededFor(s, Uses(g.Request, at.Roles), d.holders[:n])
	if expiry > 0 && out.At == Never {
		out.Until = later(now, expiry)
	} else if expiry > 0 {
		out.Until = later(out.At, expiry)
	}
	return out
}

// keep returns the held reservation as far as it still holds, nil otherwise.
func keep(g *Gang, s *placement.Snapshot, now time.Duration, holders []holder, held *Reservation) *Reservation {
	if held == nil || held.Gang != g.Name || held.Placement == nil || (held.Until != 0 && held.Until <= now) {
		return nil
	}
	d := newDrain(s, holders, true)
	var gone []holder
	if held.At != Never {
		gone = d.holders[:d.endedBy(held.At)]
	} else {
		for _, h := range d.holders {
			if h.end != Never || slices.Contains(held.Behind, h.name) {
				gone = append(gone, h)
			}
		}
	}
	then := without(s, gone)
	v := placement.Place(then, g.Request)
	if v.Placement == nil {
		return nil
	}
	out := *held
	if !fits(then, Uses(g.Request, held.Placement.Roles)) {
		out.Placement, out.Domain = v.Placement, v.Placement.Quality.Domain
	}
	out.Behind = neededFor(s, Uses(g.Request, out.Placement.Roles), gone)
	return &out
}

// neededFor names, sorted, the holders whose room the uses need, none of which
// can be left out. Later ones are left out first.
func neededFor(s *placement.Snapshot, uses []placement.Use, gone []holder) []string {
	short := map[string]placement.Resources{}
	for _, use := range uses {
		node, _ := s.Node(use.Node)
		for name, amount := range use.Resources {
			if missing := lacks(&node, name, amount); missing > 0 {
				if short[use.Node] == nil {
					short[use.Node] = placement.Resources{}
				}
				short[use.Node][name] = missing
			}
		}
	}
	// spare is what comes back beyond what is short.
	spare := map[string]placement.Resources{}
	for node, amounts := range short {
		spare[node] = placement.Resources{}
		for name, missing := range amounts {
			spare[node][name] = -missing
		}
	}
	for _, h := range gone {
		eachBack(h.uses, spare, func(have placement.Resources, name string, amount int64) {
			have[name] = plus(have[name], amount)
		})
	}
	var out []string
	for i := len(gone) - 1; i >= 0; i-- {
		needed := false
		eachBack(gone[i].uses, spare, func(have placement.Resources, name string, amount int64) {
			have[name] = plus(have[name], -amount)
			needed = needed || have[name] < 0
		})
		if needed {
			out = append(out, gone[i].name)
			eachBack(gone[i].uses, spare, func(have placement.Resources, name string, amount int64) {
				have[name] = plus(have[name], amount)
			})
		}
	}
	slices.Sort(out)
	return out
}

// eachBack calls yield for what the uses give back of the resources in room.
func eachBack(uses []placement.Use, room map[string]placement.Resources, yield func(have placement.Resources, name string, amount int64)) {
	for _, use := range uses {
		have := room[use.Node]
		if have == nil {
			continue
		}
		for name, amount := range use.Resources {
			if _, short := have[name]; short && amount > 0 {
				yield(have, name, amount)
			}
		}
	}
}
