package cli

import (
	"fmt"
	"strings"
	"time"

	"k8s.io/utils/ptr"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/capability"
	"github.com/k8s4ai/k8s4ai/internal/convert"
	"github.com/k8s4ai/k8s4ai/internal/placement"
	"github.com/k8s4ai/k8s4ai/internal/queueing"
)

// maxUnblocked is for how many gangs of a plan it is worked out which others are
// in the way.
const maxUnblocked = 50

// holdersIn are the gangs that hold room by their status. What is told of them is
// what would help, so that each counts as one that may be stopped and moved;
// whether it consents is another question.
func holdersIn(gangs []v1alpha1.GangSchedulingGroup, profiles []capability.Profile) []queueing.Running {
	var out []queueing.Running
	for i := range gangs {
		if r, ok := holder(&gangs[i], profiles); ok {
			out = append(out, r)
		}
	}
	return out
}

// holder is a gang that holds room, false for one that does not.
func holder(group *v1alpha1.GangSchedulingGroup, profiles []capability.Profile) (queueing.Running, bool) {
	uses, held := convert.Commitment(group)
	if !held {
		return queueing.Running{}, false
	}
	placed, err := convert.PlacedRoles(group.Status.Placement)
	if err != nil {
		return queueing.Running{}, false
	}
	out := queueing.Running{
		Gang:        waiter(group, placement.Request{}),
		Uses:        uses,
		Preemptible: true,
		Stopping:    group.Status.Release != nil,
	}
	for i, role := range placed {
		out.Roles = append(out.Roles, placement.RolePlacement{
			Name: role.Name, Class: group.Status.Placement.Roles[i].ClassName, Nodes: role.Nodes, Spares: role.Spares,
		})
	}
	if at := group.Status.Placement.CommittedTime; at != nil {
		out.Start = instant(at.Time)
	}
	out.Saved = out.Start
	if classes, err := convert.RoleClasses(group, profiles); err == nil {
		out.Request, err = convert.GangRequest(group, classes)
		out.Movable = err == nil
	}
	return out, true
}

// waiter is a gang as the queue knows it. How long it runs is not declared
// anywhere, so that nobody knows when it ends.
func waiter(group *v1alpha1.GangSchedulingGroup, request placement.Request) queueing.Gang {
	return queueing.Gang{
		Name: group.Namespace + "/" + group.Name, Request: request,
		Priority: ptr.Deref(group.Spec.Priority, 0), Arrival: instant(group.CreationTimestamp.Time), Preempts: true,
	}
}

// instant counts from 1970, and is 0 for no time.
func instant(t time.Time) time.Duration {
	if t.IsZero() {
		return 0
	}
	return time.Duration(t.UnixNano())
}

// unblocked are the gangs that are in the way of another, and what would have to
// happen to them.
func (r *room) unblocked(group *v1alpha1.GangSchedulingGroup, request placement.Request) []Remedy {
	if len(r.holders) == 0 || r.unblocks == maxUnblocked {
		return nil
	}
	r.unblocks++
	var out []Remedy
	for _, found := range queueing.Unblock(r.now, waiter(group, request), r.holders, instant(r.at)) {
		remedy := Remedy{Gangs: found.Gangs}
		names := strings.Join(found.Gangs, ", ")
		switch found.Kind {
		case queueing.WaitForEnd:
			remedy.Kind = RemedyEnd
			remedy.Text = fmt.Sprintf("the end of %s, expected by %s", names, time.Unix(0, int64(found.At)).UTC().Format(time.RFC3339))
		case queueing.WaitForUnknown:
			remedy.Kind, remedy.Text = RemedyEnd, "the end of "+names
		case queueing.MoveGangs:
			remedy.Kind, remedy.Text = RemedyMove, "a move of "+strings.Join(destinations(found.Moves), ", ")
		case queueing.Evict:
			remedy.Kind = RemedyEvict
			remedy.Text = fmt.Sprintf("stopping %s, of lower priority", names)
			if hours := found.Lost / 3600; hours >= 1 {
				remedy.Text += fmt.Sprintf(", which loses up to %.0f device-hours", hours)
			}
		}
		out = append(out, remedy)
	}
	return out
}

func destinations(moves []queueing.Move) []string {
	var out []string
	for _, m := range moves {
		q := m.To.Quality
		if q.Domain == "" {
			out = append(out, m.Gang)
			continue
		}
		out = append(out, fmt.Sprintf("%s to %s %s", m.Gang, q.Level, q.Domain))
	}
	return out
}
