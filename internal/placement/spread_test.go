package placement

import (
	"math/bits"
	"math/rand"
	"slices"
	"testing"
)

// randomParts makes up to 9 parts of up to 6 own parts of up to most units each.
func randomParts(r *rand.Rand, most int) []part {
	parts := make([]part, 1+r.Intn(9))
	for i := range parts {
		p := &parts[i]
		p.at = i
		if r.Intn(6) == 0 {
			p.units = int64(1 + r.Intn(most)) // A node.
			continue
		}
		for range 1 + r.Intn(6) {
			p.runs = append(p.runs, run{int64(1 + r.Intn(most)), 1 + r.Intn(2)})
		}
		slices.SortFunc(p.runs, func(a, b run) int { return int(b.units - a.units) })
		for _, own := range p.runs {
			p.units += own.units * int64(own.n)
		}
		p.room.slots = p.units
	}
	return parts
}

// fewestBySearch tries every set of parts: the fewest parts that hold n, and the
// fewest own parts that as many parts open for it.
func fewestBySearch(parts []part, n int64) (k, own int) {
	k, own = len(parts)+1, 0
	for set := uint(1); set < 1<<len(parts); set++ {
		var chosen []*part
		for i := range parts {
			if set&(1<<i) != 0 {
				chosen = append(chosen, &parts[i])
			}
		}
		var flat []int64
		for _, p := range chosen {
			for _, r := range p.holders() {
				for range r.n {
					flat = append(flat, r.units)
				}
			}
		}
		slices.Sort(flat)
		count, rest := 0, n
		for i := len(flat) - 1; i >= 0 && rest > 0; i-- {
			rest -= flat[i]
			count++
		}
		if size := bits.OnesCount(set); rest <= 0 && (size < k || size == k && count < own) {
			k, own = size, count
		}
	}
	return k, own
}

func TestSpreadOpensTheFewest(t *testing.T) {
	seeds := 20000
	if testing.Short() {
		seeds = 2000
	}
	r := rand.New(rand.NewSource(7))
	for seed := range seeds {
		most := 1 + r.Intn(40)
		if seed%7 == 0 {
			most = 500
		}
		parts := randomParts(r, most)
		total := int64(0)
		for i := range parts {
			total += parts[i].units
		}
		n := 1 + r.Int63n(total)
		wantParts, wantOwn := fewestBySearch(parts, n)
		got := spread(pointers(parts), n, true)
		given, used, opened := int64(0), 0, 0
		for i := range parts {
			p := &parts[i]
			if p.share < 0 || p.share > p.units {
				t.Fatalf("seed %d: part %d of %d units gets %d", seed, i, p.units, p.share)
			}
			if p.share > 0 {
				given += p.share
				used++
				opened += fewest(p.holders(), p.share)
			}
		}
		if given != n || used != wantParts || opened != wantOwn || got != wantOwn {
			t.Fatalf("seed %d: %d units of %d shared out, over %d parts and %d of theirs (said %d), want %d and %d: %+v",
				seed, given, n, used, opened, got, wantParts, wantOwn, parts)
		}
	}
}
