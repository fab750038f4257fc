package queueing

import (
	"time"

	"github.com/k8s4ai/k8s4ai/internal/placement"
)

// Gang is a gang that waits for room. All instants are durations since one epoch
// that the caller chooses, the same for everything in an Input.
type Gang struct {
	// Name is unique among waiting and running gangs.
	Name    string
	Request placement.Request
	// Priority orders the queue, larger first; equal ones by Arrival, then Name.
	Priority int32
	Arrival  time.Duration
	// Runtime is the longest time for which the gang will hold its room, declared
	// or learnt. 0 means not known: it then never backfills in front of a
	// reservation that it could delay.
	Runtime time.Duration
	// Preempts lets the gang evict running ones of lower priority.
	Preempts bool
}

// Running is a gang that holds room.
type Running struct {
	Gang
	// Roles are where it is, as placed.
	Roles []placement.RolePlacement
	// Uses is all room that it holds, pods and spares.
	Uses  []placement.Use
	Start time.Duration
	// Saved is the instant of its last verified checkpoint, Start for none: what
	// was done since is lost when it is stopped.
	Saved time.Duration
	// Restart is how long it takes to be back at work after a stop.
	Restart time.Duration
	// Preemptible gangs may be evicted for a gang of higher priority, Movable ones
	// may be asked to move.
	Preemptible, Movable bool
}

// End is the latest instant at which the gang gives its room back. ok is false
// when that is not known.
func (r *Running) End() (at time.Duration, ok bool) {
	return r.Start + r.Runtime, r.Runtime > 0
}

// Policy says what a pass may do.
type Policy struct {
	// Backfill lets gangs start ahead of one that waits, and gives the first that
	// waits a reservation that they cannot delay (EASY). Without it the queue
	// stands still behind the first gang that does not fit.
	Backfill bool
	// Expiry is how long a reservation holds past the instant for which it was
	// made. 0 means that it never expires.
	Expiry time.Duration
	// Preempt allows evictions, Defragment allows proposals of moves.
	Preempt, Defragment bool
}

// Input is all that one pass over the queue depends on.
type Input struct {
	Now time.Duration
	// Snapshot has the room of all Running taken.
	Snapshot *placement.Snapshot
	Waiting  []Gang
	Running  []Running
	// Held is the reservation that the pass before made, nil for none.
	Held   *Reservation
	Policy Policy
}

// Pass is what one pass over the queue decides. Its parts are in the order in
// which they were decided.
type Pass struct {
	Starts []Start
	// Held is the reservation of the first gang that cannot start, nil for none.
	Held *Reservation
	// Evictions free room for a gang that starts in a later pass.
	Evictions []Eviction
	// Moves are proposals: nothing moves without consent.
	Moves []Move
	// Waits tell for every gang that stays in the queue why.
	Waits []Wait
}

// Start places one gang now.
type Start struct {
	Gang      string
	Placement *placement.Placement
	// Backfilled says that it starts ahead of the gang with the reservation.
	Backfilled bool
}

// Reservation is room that is kept for a gang from an instant on.
type Reservation struct {
	Gang string
	// At is the earliest instant at which the gang is known to fit, and Until the
	// instant at which the reservation expires, 0 for never.
	At, Until time.Duration
	// Domain is the tightest domain that holds the room, Placement all of it.
	Domain    string
	Placement *placement.Placement
	// Behind are the gangs whose end it waits for.
	Behind []string
}

// Eviction stops whole gangs so that one of higher priority fits.
type Eviction struct {
	For     string
	Domain  string
	Victims []Victim
}

// Victim is a gang that is to stop, with the cost by which it was chosen.
type Victim struct {
	Gang string
	// Lost is the work since its last checkpoint plus the time of its restart, in
	// device-seconds.
	Lost float64
}

// Move asks a gang to go elsewhere so that another fits.
type Move struct {
	Gang, For string
	To        *placement.Placement
}

// Wait says why a gang stays in the queue.
type Wait struct {
	Gang string
	// Reason is in one word, such as "NoRoom", "Invalid", "BehindReservation".
	Reason  string
	Verdict placement.Verdict
}
