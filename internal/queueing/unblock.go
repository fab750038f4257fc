package queueing

import (
	"time"

	"github.com/k8s4ai/k8s4ai/internal/placement"
)

// RemedyKind is a way to make a gang fit.
type RemedyKind string

const (
	// WaitForEnd: until gangs end, at their declared runtime.
	WaitForEnd RemedyKind = "WaitForEnd"
	// WaitForUnknown: until gangs end of which it is not known when they do.
	WaitForUnknown RemedyKind = "WaitForUnknown"
	// Evict: stop gangs of lower priority.
	Evict RemedyKind = "Evict"
	// MoveGangs: let gangs go elsewhere.
	MoveGangs RemedyKind = "MoveGangs"
)

// Remedy is a set of gangs that are in the way, none of which can be left out,
// and what would have to happen to them for another to fit.
type Remedy struct {
	Kind RemedyKind
	// Gangs are sorted by name.
	Gangs []string
	// At is the instant from which the gang fits, for WaitForEnd.
	At time.Duration
	// Lost is what is lost, in device-seconds, for Evict.
	Lost float64
	// Moves are where the gangs go, for MoveGangs.
	Moves []Move
	// Placement is where the gang would be. It is nil for MoveGangs.
	Placement *placement.Placement
}

// Unblock tells what would let a gang fit, at most one remedy of each kind:
// waiting for ends that are known, else for those that are not, moving gangs, and
// evicting them. It does not ask whether the gang may evict: that is for the
// reader to decide. It returns nothing for a gang that fits or never can.
func Unblock(s *placement.Snapshot, g Gang, running []Running, now time.Duration) []Remedy {
	if placement.Place(s, g.Request).Refusal == nil {
		return nil
	}
	sortedRunning := byName(running)
	holders := make([]holder, len(sortedRunning))
	for i := range sortedRunning {
		holders[i] = holderOf(&sortedRunning[i], now)
	}
	var out []Remedy
	if r := reserve(&g, s, now, holders, nil, 0); r != nil {
		remedy := Remedy{Kind: WaitForEnd, Gangs: r.Behind, At: r.At, Placement: r.Placement}
		if r.At == Never {
			remedy.Kind, remedy.At = WaitForUnknown, 0
		}
		out = append(out, remedy)
	}
	if moves, ok := Defragment(s, g, running, MaxMoves); ok {
		remedy := Remedy{Kind: MoveGangs, Moves: moves}
		for _, m := range moves {
			remedy.Gangs = append(remedy.Gangs, m.Gang)
		}
		out = append(out, remedy)
	}
	if eviction, ok := Preempt(s, g, running, now); ok {
		remedy := Remedy{Kind: Evict, Placement: eviction.Placement}
		for _, v := range eviction.Victims {
			remedy.Gangs = append(remedy.Gangs, v.Gang)
			remedy.Lost += v.Lost
		}
		out = append(out, remedy)
	}
	return out
}
