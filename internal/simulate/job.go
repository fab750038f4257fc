package simulate

import (
	"maps"
	"math"
	"slices"
	"time"

	"github.com/k8s4ai/k8s4ai/internal/placement"
	"github.com/k8s4ai/k8s4ai/internal/queueing"
)

const (
	podsResource = "pods"
	cpuResource  = "cpu"
)

// job is one gang on its way through a run. It holds room in stretches: one from
// its start to its end, and one more for every eviction and move in between.
type job struct {
	arrival *Arrival
	// asked are the devices of everything it asks for, spares included.
	asked float64
	// left is the work that is still to be done at the begin of the stretch.
	left time.Duration
	// stopped says that it starts with its restart time.
	stopped bool

	// queued is since when it waits, and waited how long it did before that.
	queued, waited time.Duration
	// starts counts.
	starts int

	// The stretch: since when, how long not at work at first, until when; the
	// devices held, and what gives its room back.
	began, pause, end time.Duration
	devices           float64
	back              []placement.Use
}

// declared is the runtime that the queue is told for the work that is left, after
// a pause. It is 0, not known, for a job that has outlived its estimate.
func (j *job) declared(pause time.Duration) time.Duration {
	done := j.arrival.Duration - j.left
	if j.arrival.Estimate <= done {
		return 0
	}
	return pause + j.arrival.Estimate - done
}

// pauseAtStart is the time without work that a start begins with.
func (j *job) pauseAtStart() time.Duration {
	if j.stopped {
		return j.arrival.Restart
	}
	return 0
}

// waiting is the job as the queue sees it.
func (j *job) waiting(policy queueing.Policy) queueing.Gang {
	return queueing.Gang{
		Name:     j.arrival.Name,
		Request:  j.arrival.Request,
		Priority: j.arrival.Priority,
		Arrival:  j.arrival.At,
		Runtime:  j.declared(j.pauseAtStart()),
		Preempts: policy.Preempt,
	}
}

// running is the job in a stretch that begins now, as the queue sees it.
func (j *job) running(policy queueing.Policy, roles []placement.RolePlacement, uses []placement.Use) queueing.Running {
	gang := j.waiting(policy)
	gang.Runtime = j.declared(j.pause)
	return queueing.Running{
		Gang: gang, Roles: roles, Uses: uses,
		Start: j.began, Saved: j.began, Restart: j.arrival.Restart,
		Preemptible: true, Movable: policy.Defragment,
	}
}

// worked is the work done in the stretch until an instant.
func (j *job) worked(at time.Duration) time.Duration { return max(0, at-j.began-j.pause) }

// kept is the part of it that a checkpoint has saved.
func (j *job) kept(at time.Duration) time.Duration {
	if j.arrival.Checkpoint == 0 {
		return 0
	}
	return j.worked(at).Truncate(j.arrival.Checkpoint)
}

// saved is the instant of the last checkpoint of the stretch, its begin for none.
func (j *job) saved(at time.Duration) time.Duration {
	if kept := j.kept(at); kept > 0 {
		return j.began + j.pause + kept
	}
	return j.began
}

// returned gives the room of uses back.
func returned(uses []placement.Use) []placement.Use {
	out := make([]placement.Use, len(uses))
	for i, use := range uses {
		back := make(placement.Resources, len(use.Resources))
		for name, amount := range use.Resources {
			back[name] = -amount
		}
		out[i] = placement.Use{Node: use.Node, Resources: back}
	}
	return out
}

// devicesIn sums the devices of the uses.
func devicesIn(uses []placement.Use, device string) float64 {
	sum := 0.0
	for _, use := range uses {
		sum += float64(use.Resources[device])
	}
	return sum
}

// devicesAsked sums the devices of a group with all its copies and spares.
func devicesAsked(g *placement.Group, device string) float64 {
	sum := 0.0
	for i := range g.Roles {
		sum += float64(g.Roles[i].Count+g.Roles[i].Spares) * float64(g.Roles[i].Shape.Resources[device])
	}
	for i := range g.Groups {
		sum += devicesAsked(&g.Groups[i], device)
	}
	return sum * float64(max(1, g.Copies))
}

// later adds without overflow: what ends past the end of time never ends.
func later(at, by time.Duration) time.Duration {
	if at > math.MaxInt64-by {
		return math.MaxInt64
	}
	return at + by
}

func sortedNames(r placement.Resources) []string { return slices.Sorted(maps.Keys(r)) }
