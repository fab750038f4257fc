package simulate

import (
	"cmp"
	"slices"

	"github.com/k8s4ai/k8s4ai/internal/placement"
	"github.com/k8s4ai/k8s4ai/internal/queueing"
)

// firstComeFirstServed is a queue of a few lines for tests of the event loop: it
// starts gangs in order until one does not fit.
func firstComeFirstServed(in queueing.Input) queueing.Pass {
	waiting := slices.Clone(in.Waiting)
	slices.SortStableFunc(waiting, func(a, b queueing.Gang) int {
		return cmp.Or(-cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.Arrival, b.Arrival), cmp.Compare(a.Name, b.Name))
	})
	var out queueing.Pass
	room := in.Snapshot
	for _, g := range waiting {
		v := placement.Place(room, g.Request)
		if v.Placement == nil {
			break
		}
		room = room.With(queueing.Uses(g.Request, v.Placement.Roles)...)
		out.Starts = append(out.Starts, queueing.Start{Gang: g.Name, Placement: v.Placement})
	}
	return out
}
