package queueing

import (
	"slices"
	"time"

	"github.com/k8s4ai/k8s4ai/internal/placement"
)

// kept is the room of a reservation and what it leaves to others. A gang that
// starts by its rules cannot move the reservation: either it is gone by then, or
// it takes only what is free both now and then, beside what is reserved.
type kept struct {
	at time.Duration
	// now is the room as it is, then that at the instant of the reservation with
	// its placement taken.
	now, then *placement.Snapshot
	// beside has on every node the lesser room of the two.
	beside *probe
	// free is now, for asking.
	free *probe
}

// newKept works out what the reservation leaves. holders are those of the pass.
func newKept(r *Reservation, g *Gang, s *placement.Snapshot, holders []holder) *kept {
	uses := Uses(g.Request, r.Placement.Roles)
	d := newDrain(s, holders, false)
	ended := d.endedBy(r.At)
	gone := slices.Clone(d.holders[:ended])
	for _, h := range d.holders[ended:] {
		// Late gangs for which a kept reservation still waits.
		if slices.Contains(r.Behind, h.name) {
			gone = append(gone, h)
		}
	}
	k := &kept{at: r.At, now: s, then: without(s, gone).With(uses...)}
	k.free = newProbe(s)
	k.beside = newProbe(s.With(k.gap(s, uses)...))
	return k
}

// gap is what has to be taken on the nodes of the uses so that from has no more
// room there than now and then have.
func (k *kept) gap(from *placement.Snapshot, uses []placement.Use) []placement.Use {
	out := make([]placement.Use, 0, len(uses))
	for _, use := range uses {
		have, _ := from.Node(use.Node)
		now, _ := k.now.Node(use.Node)
		then, _ := k.then.Node(use.Node)
		more := placement.Resources{}
		for _, used := range []placement.Resources{now.Used, then.Used} {
			for name, amount := range used {
				if missing := amount - have.Used[name]; missing > more[name] {
					more[name] = missing
				}
			}
		}
		out = append(out, placement.Use{Node: use.Node, Resources: more})
	}
	return out
}

// gone reports whether a gang that starts now is known to have ended by the
// instant of the reservation.
func (k *kept) gone(g *Gang, now time.Duration) bool {
	return g.Runtime > 0 && later(now, g.Runtime) <= k.at
}

// place asks for room that the gang may take without delaying the reservation.
func (k *kept) place(g *Gang, now time.Duration) placement.Verdict {
	if k.gone(g, now) {
		return k.free.place(&g.Request)
	}
	return k.beside.place(&g.Request)
}

// take takes the room of a gang that starts.
func (k *kept) take(g *Gang, uses []placement.Use, now time.Duration) {
	k.now = k.now.With(uses...)
	if !k.gone(g, now) {
		k.then = k.then.With(uses...)
	}
	k.free.snapshot = k.now
	k.beside.snapshot = k.beside.snapshot.With(k.gap(k.beside.snapshot, uses)...)
}
