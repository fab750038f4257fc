package queueing

import (
	"maps"
	"slices"
	"strconv"

	"github.com/k8s4ai/k8s4ai/internal/placement"
)

// probe asks Place about one snapshot from which room is only taken. It
// remembers what was refused, so that a long queue of gangs of few shapes costs
// few calls.
type probe struct {
	snapshot *placement.Snapshot
	// refused gives, per kind of request, the fewest pods that did not fit.
	refused map[string]int
}

func newProbe(s *placement.Snapshot) *probe {
	return &probe{snapshot: s, refused: map[string]int{}}
}

// place is Place. The verdict is empty when the refusal follows from one before.
func (p *probe) place(r *placement.Request) placement.Verdict {
	key, pods := kind(r)
	if fewest, known := p.refused[key]; known && pods >= fewest {
		return placement.Verdict{}
	}
	v := placement.Place(p.snapshot, *r)
	if v.Refusal != nil {
		p.refused[key] = pods
	}
	return v
}

// kind is a key for all of a request that decides whether it fits, but for the
// pods of a request of one role: of those, more fit nowhere where fewer do not.
func kind(r *placement.Request) (key string, pods int) {
	single := len(r.Root.Roles) == 1 && len(r.Root.Groups) == 0
	if single {
		pods = r.Root.Roles[0].Count
		if least := r.Root.Roles[0].MinCount; least > 0 {
			pods = least
		}
		single = pods > 0 && pods <= r.Root.Roles[0].Count
	}
	w := keyWriter{anyCount: single}
	w.group(&r.Root)
	return string(w.out), pods
}

// keyWriter writes requests so that different ones read differently.
type keyWriter struct {
	out      []byte
	anyCount bool
}

func (w *keyWriter) number(n int64) { w.out = append(strconv.AppendInt(w.out, n, 10), ' ') }
func (w *keyWriter) text(s string)  { w.out = append(strconv.AppendQuote(w.out, s), ' ') }

func (w *keyWriter) texts(list []string) {
	w.number(int64(len(list)))
	for _, s := range list {
		w.text(s)
	}
}

func (w *keyWriter) group(g *placement.Group) {
	for _, n := range []int{g.Copies, g.MinCopies, int(g.Required), int(g.Preferred), len(g.Roles), len(g.Groups)} {
		w.number(int64(n))
	}
	w.text(string(g.Pattern))
	for i := range g.Roles {
		w.role(&g.Roles[i])
	}
	for i := range g.Groups {
		w.text(g.Groups[i].Name)
		w.group(&g.Groups[i])
	}
}

func (w *keyWriter) role(r *placement.Role) {
	w.text(r.Name)
	if !w.anyCount {
		w.number(int64(r.Count))
		w.number(int64(r.MinCount))
	}
	w.number(int64(r.Spares))
	w.texts(r.Shape.Classes)
	w.number(int64(len(r.Shape.Resources)))
	for _, name := range slices.Sorted(maps.Keys(r.Shape.Resources)) {
		w.text(name)
		w.number(r.Shape.Resources[name])
	}
	w.number(int64(len(r.Shape.Selector)))
	for _, term := range r.Shape.Selector {
		w.number(int64(len(term)))
		for _, q := range term {
			w.text(q.Key)
			w.text(q.Op)
			w.texts(q.Values)
			w.flag(q.Field)
		}
	}
	w.number(int64(len(r.Shape.Tolerations)))
	for _, t := range r.Shape.Tolerations {
		w.texts([]string{t.Key, t.Operator, t.Value, t.Effect})
	}
	w.flag(r.Shape.WithinIsland)
}

func (w *keyWriter) flag(b bool) {
	if b {
		w.number(1)
	} else {
		w.number(0)
	}
}
