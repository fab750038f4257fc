package placement

import (
	"encoding/binary"
	"maps"
	"math"
	"slices"
	"sync"
)

// podsResource counts pods. A node that does not offer it takes any number.
const podsResource = "pods"

// podsColumn is the column of podsResource.
const podsColumn = 0

// unlimited is the room of a resource that does not bound a node.
const unlimited = math.MaxInt64

// traits are all that decides whether pods may go to a node, whatever its room:
// every field of a Node that eligibility looks at, with those labels that the
// fleet indexes. Nodes with equal traits share them.
type traits struct {
	id int
	// like is a node with only these fields.
	like Node
}

// kind is a set of nodes that are the same to every request: equal traits, equal
// capacity and equal room.
type kind struct {
	// index is small, and of one kind at a time.
	index  int
	traits *traits
	// free and capacity are by column. Columns beyond their length are 0.
	free, capacity []int64
}

// amountAt reads a column.
func amountAt(amounts []int64, column int) int64 {
	if column < 0 || column >= len(amounts) {
		return 0
	}
	return amounts[column]
}

// columns number resource names. They only ever grow, by a copy.
type columns struct {
	names []string
	of    map[string]int
}

func newColumns() *columns {
	return &columns{names: []string{podsResource}, of: map[string]int{podsResource: podsColumn}}
}

// including returns columns that have all names of the amounts.
func (c *columns) including(amounts Resources) *columns {
	out := c
	for _, name := range slices.Sorted(maps.Keys(amounts)) {
		if _, known := out.of[name]; known {
			continue
		}
		if out == c {
			out = &columns{names: slices.Clone(c.names), of: maps.Clone(c.of)}
		}
		out.of[name] = len(out.names)
		out.names = append(out.names, name)
	}
	return out
}

// covers says whether all names of the amounts are there.
func (c *columns) covers(amounts Resources) bool {
	for name := range amounts {
		if _, known := c.of[name]; !known {
			return false
		}
	}
	return true
}

// column is where a resource is, -1 for one that no node has.
func (c *columns) column(name string) int {
	if column, known := c.of[name]; known {
		return column
	}
	return -1
}

// vector writes amounts by column, without the zeros at the end.
func (c *columns) vector(amounts Resources) []int64 {
	last := -1
	for name, amount := range amounts {
		if amount != 0 {
			last = max(last, c.of[name])
		}
	}
	out := make([]int64, last+1)
	for name, amount := range amounts {
		if amount != 0 {
			out[c.of[name]] = amount
		}
	}
	return out
}

// amounts is the inverse of vector.
func (c *columns) amounts(vector []int64) Resources {
	out := Resources{}
	for column, amount := range vector {
		if amount != 0 {
			out[c.names[column]] = amount
		}
	}
	return out
}

// kinds are the tables of kinds and traits of a fleet.
type kinds struct {
	mu     sync.Mutex
	of     map[string]*kind
	traits map[string]*traits
	// unused are free indexes below next. limit is the size at which the State
	// looks for kinds that are gone.
	unused      []int
	next, limit int
	traitsMade  int
	key         []byte
}

// minKinds is the least number of kinds at which a State looks for unused ones.
const minKinds = 4096

func (t *kinds) reset() {
	t.of, t.traits, t.limit = map[string]*kind{}, map[string]*traits{}, minKinds
}

// intern returns the kind of a node with these traits and vectors.
func (t *kinds) intern(tr *traits, capacity, used []int64) *kind {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := binary.LittleEndian.AppendUint32(t.key[:0], uint32(tr.id))
	// What is free alone does not tell the kind: two full nodes differ when emptied.
	for column, amount := range capacity {
		key = binary.LittleEndian.AppendUint64(key, uint64(amount))
		key = binary.LittleEndian.AppendUint64(key, uint64(left(column, amount, amountAt(used, column))))
	}
	t.key = key
	if k, known := t.of[string(key)]; known {
		return k
	}
	k := &kind{traits: tr, capacity: capacity, free: make([]int64, len(capacity))}
	for column, amount := range capacity {
		k.free[column] = left(column, amount, amountAt(used, column))
	}
	if n := len(t.unused); n > 0 {
		k.index, t.unused = t.unused[n-1], t.unused[:n-1]
	} else {
		k.index, t.next = t.next, t.next+1
	}
	t.of[string(key)] = k
	return k
}

// left is what is free of a capacity.
func left(column int, capacity, used int64) int64 {
	if column == podsColumn && capacity == unlimited {
		return unlimited
	}
	return max(0, capacity-used)
}

// crowded says whether it is time to look for unused kinds.
func (t *kinds) crowded() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.of) > t.limit
}

// keep forgets all kinds that are not in use, and gives their indexes away.
func (t *kinds) keep(used map[*kind]bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	maps.DeleteFunc(t.of, func(_ string, k *kind) bool { return !used[k] })
	taken, alive := make([]bool, t.next), map[*traits]bool{}
	for _, k := range t.of {
		taken[k.index], alive[k.traits] = true, true
	}
	maps.DeleteFunc(t.traits, func(_ string, tr *traits) bool { return !alive[tr] })
	t.unused = t.unused[:0]
	for i := len(taken) - 1; i >= 0; i-- {
		if !taken[i] {
			t.unused = append(t.unused, i)
		}
	}
	t.limit = max(minKinds, 2*len(t.of))
}

// internTraits returns the traits of a node, with the labels of the given keys.
func (t *kinds) internTraits(n *Node, indexed []string) *traits {
	like := Node{Classes: n.Classes, Taints: n.Taints, Unavailable: n.Unavailable, Islands: n.Islands, Labels: map[string]string{}}
	for _, key := range indexed {
		if key == nameKey {
			like.Name = n.Name
			continue
		}
		if value, has := n.Labels[key]; has {
			like.Labels[key] = value
		}
	}
	key := traitsKey(&like)
	t.mu.Lock()
	defer t.mu.Unlock()
	if known := t.traits[key]; known != nil {
		return known
	}
	out := &traits{id: t.traitsMade, like: like}
	t.traitsMade++
	t.traits[key] = out
	return out
}

// traitsKey writes all fields, each text with its length so that no two differ
// in fields and agree in the key.
func traitsKey(n *Node) string {
	var key []byte
	text := func(words ...string) {
		for _, w := range words {
			key = binary.AppendUvarint(key, uint64(len(w)))
			key = append(key, w...)
		}
	}
	size := func(n int) { key = binary.AppendUvarint(key, uint64(n)) }
	text(n.Name, n.Unavailable)
	size(len(n.Classes))
	text(n.Classes...)
	size(len(n.Taints))
	for _, taint := range n.Taints {
		text(taint.Key, taint.Value, taint.Effect)
	}
	size(len(n.Labels))
	for _, label := range slices.Sorted(maps.Keys(n.Labels)) {
		text(label, n.Labels[label])
	}
	for _, resource := range slices.Sorted(maps.Keys(n.Islands)) {
		text(resource)
		size(len(n.Islands[resource]))
		for _, devices := range n.Islands[resource] {
			key = binary.AppendVarint(key, devices)
		}
	}
	return string(key)
}
