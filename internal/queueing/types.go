package queueing

import (
	"math"
	"time"

	"github.com/k8s4ai/k8s4ai/internal/placement"
)

// Never is the instant of a reservation for which no end is known.
const Never time.Duration = math.MaxInt64

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
	// or learnt. 0 or less means not known: it then never backfills in front of a
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
	// may be asked to move. A caller clears Movable for a gang that said no: moves
	// are proposed before evictions, and would be so again.
	Preemptible, Movable bool
	// Stopping says that the gang was told to stop. Its room is taken until it is
	// gone, but nothing more is evicted for what that room will hold.
	Stopping bool
}

// End is the latest instant at which the gang gives its room back, at most just
// before Never. ok is false when that is not known.
func (r *Running) End() (at time.Duration, ok bool) {
	return min(later(r.Start, r.Runtime), Never-1), r.Runtime > 0
}

// Policy says what a pass may do.
type Policy struct {
	// Backfill lets gangs start ahead of one that waits, and gives the first that
	// waits a reservation that they cannot delay (EASY). Without it the queue
	// stands still behind the first gang that does not fit.
	Backfill bool
	// Expiry is how long a reservation holds past its instant while gangs that it
	// waits for run longer than they declared; one without an instant holds that
	// long from when it was made. Then it is made anew, and gangs that are late
	// count as without a known end. 0 or less means that it never expires.
	Expiry time.Duration
	// Patience is the age from which the first gang of the queue keeps room even
	// though no instant is known at which it fits. Until then gangs of unknown
	// runtime may pass it. 0 or less keeps room at once.
	Patience time.Duration
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
	// At is the earliest instant at which the gang is known to fit, Never when that
	// depends on gangs whose end is not known. It is in the past while gangs in
	// Behind are late. Until is the instant at which the reservation expires, 0 for
	// never.
	At, Until time.Duration
	// Domain is the tightest domain that holds the room, Placement all of it.
	Domain    string
	Placement *placement.Placement
	// Behind are the gangs whose end it waits for, sorted: none of them can be left
	// out for this Placement.
	Behind []string
}

// Eviction stops whole gangs so that one of higher priority fits. None of the
// victims can be left out.
type Eviction struct {
	For string
	// Domain is the tightest domain that holds the gang when the victims are gone,
	// Placement where it would be then.
	Domain    string
	Placement *placement.Placement
	// Victims are sorted by name.
	Victims []Victim
	// Proof is Exact when no cheaper set of victims exists.
	Proof placement.Proof
}

// Victim is a gang that is to stop, with the cost by which it was chosen.
type Victim struct {
	Gang     string
	Priority int32
	// Lost is the work since its last checkpoint plus the time of its restart, in
	// device-seconds.
	Lost float64
}

// Move asks a gang to go elsewhere so that another fits. All moves for one gang
// belong together: all of them stop before any of them starts again.
type Move struct {
	Gang, For string
	To        *placement.Placement
}

// Wait says why a gang stays in the queue.
type Wait struct {
	Gang string
	// Reason is one of the reasons below.
	Reason string
	// Verdict is that of Place. It is empty where Place was not asked: behind a
	// queue that stands still, and after a gang of the same shape that is no larger
	// was refused in the same pass.
	Verdict placement.Verdict
}

// The reasons of a Wait.
const (
	// Invalid: the request makes no sense, or another gang has the same name. The
	// verdict says which. The gang blocks nobody.
	Invalid = "Invalid"
	// Unsatisfiable: the gang would not fit if every running gang ended. It blocks
	// nobody.
	Unsatisfiable = "Unsatisfiable"
	// NoRoom: there is no room now. The first such gang gets the reservation.
	NoRoom = "NoRoom"
	// BehindReservation: there is room, but the gang could delay the one with the
	// reservation.
	BehindReservation = "BehindReservation"
	// BehindOthers: the queue stands still in front of it, since there is no
	// backfill.
	BehindOthers = "BehindOthers"
)
