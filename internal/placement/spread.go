package placement

import (
	"cmp"
	"math"
	"slices"
)

// part is one child of a domain among which a demand is shared out: a domain with
// parts of its own, or a node.
type part struct {
	// at tells the caller which one it is.
	at int
	// units is how many units it holds, and runs what its own parts hold. A node has
	// none.
	units int64
	runs  []run
	room  room
	// share is what it gets.
	share int64
	// gain is scratch of heaviest.
	gain int64
}

// pointers is the form in which parts can be put in order without moving them.
func pointers(parts []part) []*part {
	out := make([]*part, len(parts))
	for i := range parts {
		out[i] = &parts[i]
	}
	return out
}

// holders returns what the part is made of; a node is its only part.
func (p *part) holders() []run {
	if p.runs == nil {
		return []run{{p.units, 1}}
	}
	return p.runs
}

// spread shares n units out over the fewest parts, and among those choices over
// the fewest of their parts. It returns the second count. The parts must hold n
// together. It changes the order of the parts.
//
// With k parts to choose, this asks for the k whose largest own parts reach n
// first. Choosing k sets so that their union does best is not a matter of taking
// the best one after another, so it works with a price: at a price of x units for
// each own part that is opened, a part gains the sum of max(0, u-x) over its own
// parts u, and the best k are simply those that gain most. That bounds from below
// how many own parts any choice opens (Lagrangian relaxation), and suggests the
// choice. Where suggestion and bound differ, improve settles it.
//
// inner says that the own parts count in the same units as the parts. Where they
// do not, the count of parts is the fewest, and that of their parts is not proven.
func spread(parts []*part, n int64, inner bool) int {
	slices.SortFunc(parts, func(a, b *part) int {
		return cmp.Or(cmp.Compare(b.units, a.units), a.room.compare(b.room), a.at-b.at)
	})
	k, sum := 0, int64(0)
	for sum < n {
		sum += parts[k].units
		k++
	}
	if k == 1 {
		return spreadOne(parts, n, inner)
	}
	if !inner {
		shareLargest(parts, k, n)
		return 0
	}
	least, bound := suggest(parts, k, n)
	if least > bound {
		least = improve(parts, k, n, least)
	}
	for _, p := range parts {
		p.share = 0
	}
	deal(parts[:k], n)
	return least
}

// spreadOne gives everything to one part: the one that opens the fewest own parts,
// and the tightest of those.
func spreadOne(parts []*part, n int64, inner bool) int {
	best, least := -1, 0
	for i := range parts {
		p := parts[i]
		if p.units < n {
			break
		}
		count := 0
		if inner {
			count = fewest(p.holders(), n)
		}
		if best < 0 || count < least || count == least && p.room.compare(parts[best].room) < 0 {
			best, least = i, count
		}
	}
	parts[best].share = n
	return least
}

// shareLargest fills the largest parts, and gives the rest to the tightest part
// that holds it.
func shareLargest(parts []*part, k int, n int64) {
	for i := range k - 1 {
		parts[i].share = parts[i].units
		n -= parts[i].units
	}
	last := k - 1
	for i := k; i < len(parts) && parts[i].units >= n; i++ {
		if cmp.Or(cmp.Compare(parts[i].units, parts[last].units), parts[i].room.compare(parts[last].room)) < 0 {
			last = i
		}
	}
	parts[last].share = n
}

// suggest puts a good choice of k parts first, and returns how many own parts it
// opens and a bound below which no choice of k parts gets.
func suggest(parts []*part, k int, n int64) (least, bound int) {
	prices := pricesOf(parts)
	best := math.Inf(-1)
	// The bound rises with the price up to its peak and falls after it.
	low, high := 0, len(prices)-1
	for low < high {
		middle := (low + high) / 2
		if priced(parts, k, n, prices[middle]) < priced(parts, k, n, prices[middle+1]) {
			low = middle + 1
		} else {
			high = middle
		}
	}
	for i := max(0, low-1); i <= min(low+1, len(prices)-1); i++ {
		best = max(best, priced(parts, k, n, prices[i]))
	}
	bound = int(math.Ceil(best - 1e-9))
	least = math.MaxInt
	for _, i := range []int{low, max(0, low-1), min(low+1, len(prices)-1)} {
		heaviest(parts, prices[i])
		if count, enough := opened(parts[:k], n); enough && count < least {
			least = count
			if least <= bound {
				return least, bound
			}
			keep(parts, k)
		}
	}
	// The largest k always hold n.
	heaviest(parts, 0)
	if count, _ := opened(parts[:k], n); count < least {
		return count, bound
	}
	restore(parts)
	return least, bound
}

// keep remembers which parts are chosen now, in their share, and restore puts
// them first again.
func keep(parts []*part, k int) {
	for i := range parts {
		parts[i].share = 0
		if i < k {
			parts[i].share = 1
		}
	}
}

func restore(parts []*part) {
	slices.SortFunc(parts, func(a, b *part) int { return cmp.Or(cmp.Compare(b.share, a.share), a.at-b.at) })
}

// maxPrices bounds the prices that suggest looks among.
const maxPrices = 64

// pricesOf lists prices worth trying, rising: what own parts hold.
func pricesOf(parts []*part) []int64 {
	var seen [maxPrices + 1]bool
	var out []int64
	large := false
	for i := range parts {
		for _, r := range parts[i].holders() {
			if r.units <= maxPrices {
				seen[r.units] = true
			} else {
				large = true
				out = append(out, r.units)
			}
		}
	}
	if large {
		slices.Sort(out)
		out = slices.Compact(out)
		if step := len(out) / maxPrices; step > 0 {
			for i := range maxPrices {
				out[i] = out[i*step]
			}
			out = out[:maxPrices]
		}
	}
	for units := len(seen) - 1; units > 0; units-- {
		if seen[units] {
			out = slices.Insert(out, 0, int64(units))
		}
	}
	return out
}

// priced is the least number of own parts that k parts can open for n, as far as
// one price tells.
func priced(parts []*part, k int, n, price int64) float64 {
	return float64(n-topGains(parts, k, price)) / float64(price)
}

// gain is what own parts hold beyond a price for each.
func gain(runs []run, price int64) int64 {
	sum := int64(0)
	for _, r := range runs {
		if r.units <= price {
			break
		}
		sum += (r.units - price) * int64(r.n)
	}
	return sum
}

// heaviest puts the parts first that gain most at the price.
func heaviest(parts []*part, price int64) {
	for i := range parts {
		parts[i].gain = gain(parts[i].holders(), price)
	}
	slices.SortFunc(parts, func(a, b *part) int {
		return cmp.Or(cmp.Compare(b.gain, a.gain), cmp.Compare(b.units, a.units), a.room.compare(b.room), a.at-b.at)
	})
}

// opened is how many of their own parts the parts open for n, the largest first.
// enough is false when they do not hold it.
func opened(parts []*part, n int64) (count int, enough bool) {
	return fewestOf(merged(parts), n)
}

func fewestOf(runs []run, n int64) (int, bool) {
	total := int64(0)
	for _, r := range runs {
		total += r.units * int64(r.n)
	}
	if total < n {
		return 0, false
	}
	return fewest(runs, n), true
}

// merged lists the own parts of all parts, largest first.
func merged(parts []*part) []run {
	var small [maxPrices + 1]int
	var out []run
	for i := range parts {
		for _, r := range parts[i].holders() {
			if r.units <= maxPrices {
				small[r.units] += r.n
			} else {
				out = append(out, r)
			}
		}
	}
	slices.SortFunc(out, func(a, b run) int { return cmp.Compare(b.units, a.units) })
	for units := maxPrices; units > 0; units-- {
		if small[units] > 0 {
			out = append(out, run{int64(units), small[units]})
		}
	}
	return out
}

// holding is a number of equal own parts of one chosen part.
type holding struct {
	part int
	run
}

// deal fills the largest own parts of the chosen parts, and gives the rest to the
// tightest that holds it.
func deal(parts []*part, n int64) {
	var all []holding
	for i := range parts {
		for _, r := range parts[i].holders() {
			all = append(all, holding{i, r})
		}
	}
	slices.SortStableFunc(all, func(a, b holding) int { return cmp.Compare(b.units, a.units) })
	full, _ := opened(parts, n)
	full--
	for i := range all {
		h := &all[i]
		take := min(full, h.n)
		full, h.n = full-take, h.n-take
		parts[h.part].share += h.units * int64(take)
		n -= h.units * int64(take)
	}
	last := -1
	for i := len(all) - 1; i >= 0; i-- {
		h := &all[i]
		if h.n == 0 || h.units < n {
			continue
		}
		if last >= 0 && h.units > all[last].units {
			break
		}
		if last < 0 || parts[h.part].room.compare(parts[all[last].part].room) <= 0 {
			last = i
		}
	}
	parts[all[last].part].share += n
}
