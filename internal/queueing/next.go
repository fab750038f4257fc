package queueing

import (
	"math"
	"time"

	"github.com/k8s4ai/k8s4ai/internal/placement"
)

// Next makes one pass over the queue: which gangs start, for which one room is
// kept, who should stop or move for it, and why the others wait.
//
// Gangs are taken by falling priority, then by arrival, then by name. Each that
// fits starts, up to the first that does not. What that gang, the head, can do
// comes in this order: wait for gangs that stop already, propose moves, evict.
// With Policy.Backfill it gets a reservation, and gangs after it start only where
// they cannot delay it (EASY): they end by its instant, or fit beside it.
//
// When no instant is known, because gangs of unknown runtime are in the way, the
// reservation keeps the room that needs the fewest of the oldest of them to end.
// Gangs of known runtime may still use that room, gangs of unknown runtime may
// not: so the room frees itself, an instant becomes known at last, and the head
// does not starve as long as every gang ends. Policy.Patience puts that off.
//
// Gangs that are Invalid or Unsatisfiable never hold up others. What can move a
// reservation to a later instant: a gang of higher priority, a gang that runs
// longer than it declared, lost nodes, and room taken by others than this queue.
// Backfill cannot, as far as Place is exact for the head.
//
// A pass that proposes moves starts nobody behind the head: it would take the room
// that they go to. While a caller waits for consent, it clears Movable of the
// gangs that it has asked, so that the queue goes on.
//
// Only the head acts on running gangs; those behind it have their turn when it
// has started. An eviction comes again in every pass until the caller says that
// its victims are Stopping.
//
// A pass costs one Place for each gang that starts and one for each shape of
// gang that does not, two beside a reservation; a reservation behind n running
// gangs costs O(log n) calls and the return of all their room. Preempt and
// Defragment come on top where the policy has them.
func Next(in Input) Pass {
	p := newPass(in)
	for i := range p.queue {
		g := &p.queue[i]
		switch {
		case p.names[g.Name] > 1:
			p.wait(g, Invalid, placement.Verdict{Invalid: "name: is used twice", Proof: placement.Exact})
		case p.head == nil:
			p.tryFirst(g)
		case !in.Policy.Backfill || len(p.out.Moves) > 0:
			p.wait(g, BehindOthers, placement.Verdict{})
		default:
			p.tryBehind(g)
		}
	}
	return p.out
}

// pass is one call of Next.
type pass struct {
	in      Input
	queue   []Gang
	running []Running
	// names counts the gangs of each name. A decision about one that several have
	// would say nothing.
	names map[string]int
	// now is the room that is left, ended the room if all gangs ended that run or
	// start.
	now, ended *probe
	holders    []holder
	// head is the first gang that does not fit.
	head *Gang
	// kept is the room of the reservation, nil while there is none.
	kept *kept
	out  Pass
}

func newPass(in Input) *pass {
	p := &pass{in: in, queue: inOrder(in.Waiting), running: byName(in.Running), names: map[string]int{}}
	for i := range p.running {
		p.names[p.running[i].Name]++
		p.holders = append(p.holders, holderOf(&p.running[i], in.Now))
	}
	for i := range p.queue {
		p.names[p.queue[i].Name]++
	}
	p.now = newProbe(in.Snapshot)
	return p
}

// tryFirst starts a gang in its turn, or makes it the head of the queue.
func (p *pass) tryFirst(g *Gang) {
	v := p.now.place(&g.Request)
	if v.Placement != nil {
		p.start(g, v.Placement, false)
		return
	}
	if v.Invalid != "" {
		p.wait(g, Invalid, v)
		return
	}
	if p.ended == nil {
		// The same for the whole pass, since what starts in it ends as well.
		p.ended = newProbe(without(p.now.snapshot, p.holders))
	}
	if best := p.ended.place(&g.Request); best.Placement == nil {
		p.wait(g, Unsatisfiable, best)
		return
	}
	p.head = g
	p.wait(g, NoRoom, v)
	p.help(g)
	if p.in.Policy.Backfill {
		p.reserve(g)
	}
}

// help looks for moves, then for evictions that make room for the head.
func (p *pass) help(g *Gang) {
	var stopping []holder
	for i := range p.running {
		if p.running[i].Stopping {
			stopping = append(stopping, p.holders[i])
		}
	}
	if len(stopping) > 0 && placement.Place(without(p.now.snapshot, stopping), g.Request).Placement != nil {
		return
	}
	if p.in.Policy.Defragment {
		if moves, ok := Defragment(p.now.snapshot, *g, p.running, MaxMoves); ok {
			p.out.Moves = moves
			return
		}
	}
	if !p.in.Policy.Preempt || !g.Preempts {
		return
	}
	eviction, ok := Preempt(p.now.snapshot, *g, p.running, p.in.Now)
	if !ok {
		return
	}
	p.out.Evictions = append(p.out.Evictions, eviction)
	victims := map[string]bool{}
	for _, v := range eviction.Victims {
		victims[v.Gang] = true
	}
	for i := range p.running {
		if victims[p.running[i].Name] {
			p.holders[i].end, p.holders[i].late = p.in.Now, false
		}
	}
}

// reserve keeps room for the head.
func (p *pass) reserve(g *Gang) {
	held := reserve(g, p.now.snapshot, p.in.Now, p.holders, p.in.Held, p.in.Policy.Expiry)
	if held == nil {
		return
	}
	if held.At == Never && age(g, p.in.Now) < p.in.Policy.Patience {
		return
	}
	p.out.Held = held
	p.kept = newKept(held, g, p.now.snapshot, p.holders)
}

// tryBehind starts a gang behind the head where that delays nobody.
func (p *pass) tryBehind(g *Gang) {
	if p.kept == nil {
		v := p.now.place(&g.Request)
		p.settle(g, v, NoRoom)
		return
	}
	v := p.kept.place(g, p.in.Now)
	if v.Placement != nil || v.Invalid != "" || p.kept.gone(g, p.in.Now) {
		p.settle(g, v, NoRoom)
		return
	}
	if free := p.kept.free.place(&g.Request); free.Placement == nil {
		p.settle(g, free, NoRoom)
		return
	}
	p.settle(g, v, BehindReservation)
}

// settle starts a gang behind the head or says why it waits.
func (p *pass) settle(g *Gang, v placement.Verdict, reason string) {
	switch {
	case v.Placement != nil:
		p.start(g, v.Placement, true)
	case v.Invalid != "":
		p.wait(g, Invalid, v)
	default:
		p.wait(g, reason, v)
	}
}

// start takes the room of a gang.
func (p *pass) start(g *Gang, at *placement.Placement, backfilled bool) {
	p.out.Starts = append(p.out.Starts, Start{Gang: g.Name, Placement: at, Backfilled: backfilled})
	uses := Uses(g.Request, at.Roles)
	p.now.snapshot = p.now.snapshot.With(uses...)
	started := Running{Gang: *g, Uses: uses, Start: p.in.Now}
	p.holders = append(p.holders, holderOf(&started, p.in.Now))
	if p.kept != nil {
		p.kept.take(g, uses, p.in.Now)
	}
}

func (p *pass) wait(g *Gang, reason string, v placement.Verdict) {
	p.out.Waits = append(p.out.Waits, Wait{Gang: g.Name, Reason: reason, Verdict: v})
}

// age is how long a gang waits, in range.
func age(g *Gang, now time.Duration) time.Duration {
	return later(now, -max(g.Arrival, math.MinInt64+1))
}
