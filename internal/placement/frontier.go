package placement

import (
	"encoding/binary"
	"slices"
)

// A frontier is a set of count vectors that some part of the fabric can hold,
// one count per item of a space. The set is downward closed, so it is stored
// as the largest count of the last item for every choice of the others, and as
// its peaks: the members that no other member exceeds.
//
// Frontiers are immutable and interned in their space: equal sets are the same
// pointer, so that equal machines and equal racks are worked out once.
type frontier struct {
	// id numbers the frontiers of a space in order of appearance.
	id int
	// extents has, for every item but the last, one more than its largest count.
	extents []int
	// last is the largest count of the last item, -1 where not even 0 is held.
	// The first item varies slowest.
	last []int32
	// peaks are the maximal members, one after another.
	peaks []int
}

// effort is what a call of Place may still spend on frontiers, in steps over
// their entries. Below zero the frontiers made are not to be trusted.
type effort struct {
	left int
	// kept counts the entries of all frontiers made.
	kept int
}

// The bounds of all frontiers of a call, and of the entries of one. A step takes
// a few nanoseconds.
const (
	maxFrontierSteps = 1 << 28
	maxFrontierSize  = 1 << 21
)

// spend takes steps and reports whether they were there.
func (e *effort) spend(n int) bool {
	e.left = max(-1, e.left-n)
	return e.left >= 0
}

// giveUp takes everything that is left.
func (e *effort) giveUp() { e.left = -1 }

// exhausted reports whether the effort is spent.
func (e *effort) exhausted() bool { return e.left < 0 }

// space is what count vectors mean at one stage: its items, and the demand,
// above which no count is followed.
type space struct {
	items    []item
	demand   []int
	effort   *effort
	nothing  *frontier
	interned map[string]*frontier
	sums     map[[2]*frontier]*frontier
	lifts    map[*frontier]*frontier
	shapes   map[*space]projection
}

// item is one count of a vector: the slots of a role, or whole copies of a
// group, then role is -1.
type item struct {
	role, group int
	demand      int
	// slots and weight are those of one unit of the item.
	slots  int
	weight int64
}

// newSpace orders the items so that the largest demand is the last one: it is
// the one that costs no table entries.
func newSpace(items []item, e *effort) *space {
	items = slices.Clone(items)
	slices.SortStableFunc(items, func(a, b item) int { return a.demand - b.demand })
	s := &space{
		items:    items,
		effort:   e,
		interned: map[string]*frontier{},
		sums:     map[[2]*frontier]*frontier{},
		lifts:    map[*frontier]*frontier{},
		shapes:   map[*space]projection{},
	}
	for _, it := range items {
		s.demand = append(s.demand, it.demand)
	}
	extents := make([]int, len(items)-1)
	for i := range extents {
		extents[i] = 1
	}
	s.nothing = s.intern(extents, []int32{0})
	return s
}

// intern returns the frontier with this content. The table is downward closed
// and no extent is larger than needed.
func (s *space) intern(extents []int, last []int32) *frontier {
	key := make([]byte, 0, 4*(len(extents)+len(last)))
	for _, e := range extents {
		key = binary.LittleEndian.AppendUint32(key, uint32(e))
	}
	for _, v := range last {
		key = binary.LittleEndian.AppendUint32(key, uint32(v))
	}
	if f, known := s.interned[string(key)]; known {
		return f
	}
	f := &frontier{id: len(s.interned), extents: extents, last: last}
	f.findPeaks()
	s.effort.kept += len(f.last) + len(f.peaks)
	s.interned[string(key)] = f
	return f
}

// findPeaks collects the entries that no neighbour in any direction matches.
func (f *frontier) findPeaks() {
	x := make([]int, len(f.extents))
	for at, value := range f.last {
		peak := value >= 0
		for i, stride := len(x)-1, 1; i >= 0 && peak; i-- {
			peak = x[i]+1 == f.extents[i] || f.last[at+stride] < value
			stride *= f.extents[i]
		}
		if peak {
			f.peaks = append(append(f.peaks, x...), int(value))
		}
		next(x, f.extents)
	}
}

// next advances x to the vector of the following table entry.
func next(x, extents []int) {
	for i := len(x) - 1; i >= 0; i-- {
		if x[i]++; x[i] < extents[i] {
			return
		}
		x[i] = 0
	}
}

// holds reports whether the vector is in the set.
func (f *frontier) holds(x []int) bool {
	at := 0
	for i, extent := range f.extents {
		if x[i] >= extent {
			return false
		}
		at = at*extent + x[i]
	}
	return int(f.last[at]) >= x[len(x)-1]
}

// most returns the largest count of item i on its own.
func (f *frontier) most(i int) int {
	if i < len(f.extents) {
		return f.extents[i] - 1
	}
	return int(f.last[0])
}

// compare orders frontiers of one space by what they hold.
func (f *frontier) compare(other *frontier) int {
	if f == other {
		return 0
	}
	if c := slices.Compare(f.extents, other.extents); c != 0 {
		return c
	}
	return slices.Compare(f.last, other.last)
}

// each calls visit with every peak.
func (f *frontier) each(visit func(peak []int)) {
	k := len(f.extents) + 1
	for at := 0; at < len(f.peaks); at += k {
		visit(f.peaks[at : at+k])
	}
}

// sum returns what two separate parts of the fabric hold together: every sum
// of a member of a and a member of b, cut at the demand.
func (s *space) sum(a, b *frontier) *frontier {
	if b.id < a.id {
		a, b = b, a
	}
	if a == s.nothing {
		return b
	}
	key := [2]*frontier{a, b}
	if f, known := s.sums[key]; known {
		return f
	}
	f := s.newSum(a, b)
	if !s.effort.exhausted() {
		s.sums[key] = f
	}
	return f
}

func (s *space) newSum(a, b *frontier) *frontier {
	k := len(s.items)
	extents := make([]int, k-1)
	for i := range extents {
		extents[i] = min(a.most(i)+b.most(i), s.demand[i])
	}
	size, small := tableSize(extents)
	if !small || !s.effort.spend(k*size+len(a.peaks)/k*len(b.peaks)) {
		s.effort.giveUp()
		return s.nothing
	}
	last := make([]int32, size)
	for i := range last {
		last[i] = -1
	}
	// The sums of peaks are enough: closing the table downwards adds the rest.
	a.each(func(p []int) {
		for rest := b.peaks; len(rest) > 0; rest = rest[k:] {
			at := 0
			for i, extent := range extents {
				at = at*extent + min(p[i]+rest[i], extent-1)
			}
			last[at] = max(last[at], int32(min(p[k-1]+rest[k-1], s.demand[k-1])))
		}
	})
	closeDown(extents, last)
	return s.intern(extents, last)
}

// tableSize turns the largest counts into extents and returns how many entries
// their table has. small is false above maxFrontierSize.
func tableSize(counts []int) (size int, small bool) {
	size = 1
	for i := range counts {
		counts[i]++
		if size > maxFrontierSize/counts[i] {
			return 0, false
		}
		size *= counts[i]
	}
	return size, true
}

// closeDown makes the table hold everything below its entries.
func closeDown(extents []int, last []int32) {
	stride := 1
	for i := len(extents) - 1; i >= 0; i-- {
		span := stride * extents[i]
		for at := len(last) - 1 - stride; at >= 0; at-- {
			if at%span < span-stride {
				last[at] = max(last[at], last[at+stride])
			}
		}
		stride = span
	}
}

// times returns what n equal parts hold together, by doubling.
func (s *space) times(f *frontier, n int) *frontier {
	out := s.nothing
	for ; n > 0; n >>= 1 {
		if n&1 == 1 {
			out = s.sum(out, f)
		}
		if n > 1 {
			f = s.sum(f, f)
		}
	}
	return out
}

// projection says how the items of a finer space make up those of a coarser
// one: item i counts towards item to[i], per[i] of it to one.
type projection struct{ to, per []int }

// expand turns a vector of the coarser space into the finer one.
func (p projection) expand(x []int, out []int) {
	for i := range out {
		out[i] = x[p.to[i]] * p.per[i]
	}
}

// lift rewrites a frontier of the finer space from: groups that end below this
// stage count as whole copies. A copy fits exactly when the slots of all its
// roles do, because the set is downward closed.
func (s *space) lift(f *frontier, from *space) *frontier {
	if s == from {
		return f
	}
	if out, known := s.lifts[f]; known {
		return out
	}
	p, fine := s.shapes[from], make([]int, len(from.items))
	most := slices.Clone(s.demand)
	for i, to := range p.to {
		most[to] = min(most[to], f.most(i)/p.per[i])
	}
	k := len(s.items)
	extents := slices.Clone(most[:k-1])
	size, small := tableSize(extents)
	if !small || !s.effort.spend(size*len(fine)*8) {
		s.effort.giveUp()
		return s.nothing
	}
	last, x := make([]int32, size), make([]int, k)
	for at := range last {
		// The table falls from entry to entry of the last row, but not across rows.
		low, high := -1, most[k-1]
		for low < high {
			x[k-1] = low + (high-low+1)/2
			p.expand(x, fine)
			if f.holds(fine) {
				low = x[k-1]
			} else {
				high = x[k-1] - 1
			}
		}
		last[at] = int32(low)
		next(x[:k-1], extents)
	}
	out := s.intern(extents, last)
	s.lifts[f] = out
	return out
}
