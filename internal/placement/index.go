package placement

import (
	"encoding/binary"
	"maps"
	"slices"
	"sync"
)

// home is where a node is: its innermost domain, and about where in it.
type home struct {
	place *place
	at    int
}

// homes finds nodes by name. It follows the State; in an older snapshot a node
// may be elsewhere.
type homes struct {
	mu sync.RWMutex
	of map[string]home
}

func (h *homes) get(name string) (home, bool) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	at, found := h.of[name]
	return at, found
}

func (h *homes) set(name string, at home) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.of[name] = at
}

func (h *homes) drop(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.of, name)
}

// maxLabelValues is the largest number of values of a label that is indexed. One
// that differs from node to node would leave no two nodes alike.
const maxLabelValues = 1024

// nameKey stands for the name of the node among the keys that requests select by.
// No label has such a key.
const nameKey = "\x00" + fieldName

// wanted are label keys that requests select by and the fleet does not index.
type wanted struct {
	mu sync.Mutex
	// keys are asked for. tooMany are those that nodes have too many values of.
	keys, tooMany map[string]bool
}

func (w *wanted) reset() { w.keys, w.tooMany = map[string]bool{}, map[string]bool{} }

func (w *wanted) add(keys []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, key := range keys {
		if !w.tooMany[key] && key != nameKey {
			w.keys[key] = true
		}
	}
}

// take returns the indexed keys with those that are wanted, nil for no more.
func (w *wanted) take(indexed []string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.keys) == 0 {
		return nil
	}
	out := slices.Clone(indexed)
	for _, key := range slices.Sorted(maps.Keys(w.keys)) {
		if !slices.Contains(out, key) {
			out = append(out, key)
		}
	}
	clear(w.keys)
	return out
}

// reindex makes labels of the keys part of what nodes are told apart by, except
// for keys with too many values.
func (s *State) reindex(keys []string) {
	keys = slices.DeleteFunc(keys, func(key string) bool {
		values := map[string]bool{}
		s.now.root.walk(func(d *domain) {
			for i := range d.members {
				values[d.members[i].node.Labels[key]] = true
			}
		})
		if len(values) > maxLabelValues {
			w := &s.now.fleet.wanted
			w.mu.Lock()
			defer w.mu.Unlock()
			w.tooMany[key] = true
			return true
		}
		return false
	})
	if slices.Equal(keys, s.now.indexed) {
		return
	}
	s.retrait(keys)
}

// retrait works out the traits of all nodes anew, for these label keys.
func (s *State) retrait(keys []string) {
	s.now.indexed = keys
	for _, at := range s.now.fleet.places {
		d := s.edit(at)
		d.tallies, d.traits = nil, nil
	}
	r := retraiting{kinds: &s.now.fleet.kinds, keys: keys, known: map[*traits]map[string]*traits{}}
	for _, at := range s.now.fleet.places {
		d := s.now.domainOf(at)
		for i := range d.members {
			m := &d.members[i]
			m.kind = s.now.fleet.kinds.intern(r.of(m), m.kind.capacity, m.load.used)
			d.count(m.kind, 1)
			s.countTraits(d, m.kind.traits, 1)
		}
	}
}

// retraiting finds the new traits of many nodes. Those of nodes that had the same
// and have the same values of the labels are the same.
type retraiting struct {
	kinds  *kinds
	keys   []string
	known  map[*traits]map[string]*traits
	values []byte
}

func (r *retraiting) of(m *member) *traits {
	r.values = r.values[:0]
	for _, key := range r.keys {
		value, has := m.node.Labels[key]
		if key == nameKey {
			value, has = m.node.Name, true
		}
		if has {
			r.values = append(binary.AppendUvarint(append(r.values, 1), uint64(len(value))), value...)
		} else {
			r.values = append(r.values, 0)
		}
	}
	same := r.known[m.kind.traits]
	if same == nil {
		same = map[string]*traits{}
		r.known[m.kind.traits] = same
	}
	out := same[string(r.values)]
	if out == nil {
		out = r.kinds.internTraits(m.node, r.keys)
		same[string(r.values)] = out
	}
	return out
}

// indexing returns the snapshot with nodes told apart by the labels that the
// request selects by. The first such request costs a look at every node, until
// the State has learnt of the labels.
func (s *Snapshot) indexing(r *Request) *Snapshot {
	missing := r.Root.selectorKeys(func(key string) bool { return slices.Contains(s.indexed, key) }, nil)
	if missing == nil {
		return s
	}
	s.fleet.wanted.add(missing)
	fork := s.fork()
	fork.retrait(append(slices.Clone(s.indexed), missing...))
	out := fork.now
	return &out
}

// selectorKeys lists what the roles of the group select by and is not known yet.
func (g *Group) selectorKeys(known func(string) bool, out []string) []string {
	for i := range g.Roles {
		for _, term := range g.Roles[i].Shape.Selector {
			for _, requirement := range term {
				key := requirement.Key
				if requirement.Field {
					key = nameKey
				}
				if !known(key) && !slices.Contains(out, key) {
					out = append(out, key)
				}
			}
		}
	}
	for i := range g.Groups {
		out = g.Groups[i].selectorKeys(known, out)
	}
	return out
}
