package placement

import (
	"cmp"
	"slices"
)

// Bounds of the search of islandsHold. Shapes of 1, 2, 4 and 8 devices never
// need it.
const (
	// maxSpreads is the largest number of ways to spread used devices that are
	// tried one by one.
	maxSpreads = 4096
	// maxIslandSteps bounds the tries to put pods into islands, over all spreads.
	maxIslandSteps = 1 << 16
)

// islandsHold reports whether pods that ask for asks[i] devices each, every one
// out of a single island, fit however the used devices are spread over the
// islands: which devices are taken is not known. An ask of 0 or less asks for
// nothing. Used counts at most all devices.
//
// For one spread, and asks of which each divides the next larger one, a pod may
// go to any island that has room for it, larger pods first: an island that holds
// it has its room in whole units of every smaller ask, and so the units that are
// left do not depend on the choice. So the pods fit exactly if for every ask a
// the islands hold as many pods of size a as the pods of at least that size
// amount to. Each of these counts has its own worst spread, islandCount knows
// it, and no spread has to be looked at.
//
// Otherwise the spreads are tried one by one, each with an exact search for a
// packing. Beyond maxSpreads of them, or maxIslandSteps in all, asks are rounded
// up to sizes that divide each other: the answer is then still true only where
// the pods fit for certain, and it may be false where they do.
func islandsHold(islands []int64, used int64, asks []int64) bool {
	asks = slices.DeleteFunc(slices.Clone(asks), func(a int64) bool { return a <= 0 })
	if len(asks) == 0 {
		return true
	}
	slices.SortFunc(asks, func(a, b int64) int { return cmp.Compare(b, a) })
	if !unitsSuffice(islands, used, asks, atLeast) {
		return false
	}
	if dividing(asks) {
		return unitsSuffice(islands, used, asks, unitsOf)
	}
	for _, round := range []func(int64) int64{
		func(int64) int64 { return asks[0] },
		powerOfTwo,
	} {
		larger := make([]int64, len(asks))
		for i, a := range asks {
			larger[i] = round(a)
		}
		if unitsSuffice(islands, used, larger, unitsOf) {
			return true
		}
	}
	spreads, all := freeSpreads(islands, used)
	if !all {
		return false
	}
	pack := packing{asks: asks, left: maxIslandSteps}
	for _, free := range spreads {
		if !pack.fits(free, 0) {
			return false
		}
	}
	return true
}

// islandCount returns the largest number of pods of ask devices each, every one
// out of a single island, that fit however the used devices are spread over the
// islands. It is limit where more fit, and where ask is 0 or less.
//
// The worst spread leaves in every island as many devices as pods cannot use.
// With k pods an island has at most k*ask+ask-1 free devices, and at most its
// size, so that the count is the smallest sum of all k at which the islands
// together may have what is free. Each further pod of an island allows ask more
// devices until its size is reached: the allowance is concave in k, and taking
// the largest gain first finds the smallest sum.
func islandCount(islands []int64, used, ask int64, limit int) int {
	if ask <= 0 || limit <= 0 {
		return max(0, limit)
	}
	left := freeDevices(islands, used)
	whole, ends := int64(0), make([]int64, 0, len(islands))
	for _, size := range islands {
		if size < ask {
			left -= max(0, size)
			continue
		}
		left -= ask - 1
		// Beyond the first ask-1 devices come whole steps of ask, and one shorter.
		beyond := size - (ask - 1)
		whole += beyond / ask
		if end := beyond % ask; end > 0 {
			ends = append(ends, end)
		}
	}
	if left <= 0 {
		return 0
	}
	count := min(whole, (left+ask-1)/ask)
	left -= count * ask
	slices.SortFunc(ends, func(a, b int64) int { return cmp.Compare(b, a) })
	for i := 0; left > 0 && i < len(ends); i++ {
		left -= ends[i]
		count++
	}
	return int(min(count, int64(limit)))
}

// freeDevices is the number of devices that are not used.
func freeDevices(islands []int64, used int64) int64 {
	free := -max(0, used)
	for _, size := range islands {
		free += max(0, size)
	}
	return max(0, free)
}

// Ways to count larger pods in units of a smaller one.
func atLeast(int64, int64) int64       { return 1 }
func unitsOf(larger, unit int64) int64 { return larger / unit }

// unitsSuffice reports whether for every ask the islands hold as many pods of
// that size as the asks that are not smaller count for. Asks are in falling
// order.
func unitsSuffice(islands []int64, used int64, asks []int64, units func(larger, unit int64) int64) bool {
	for i, unit := range asks {
		if i+1 < len(asks) && asks[i+1] == unit {
			continue
		}
		needed := int64(0)
		for _, larger := range asks[:i+1] {
			needed += units(larger, unit)
		}
		if int64(islandCount(islands, used, unit, MaxPods)) < needed {
			return false
		}
	}
	return true
}

// dividing reports whether each ask divides the one before it.
func dividing(asks []int64) bool {
	for i := 1; i < len(asks); i++ {
		if asks[i-1]%asks[i] != 0 {
			return false
		}
	}
	return true
}

// powerOfTwo returns the least power of two that is not below n. Beyond what
// islands have it returns n, which no island holds either.
func powerOfTwo(n int64) int64 {
	for p := int64(1); p <= MaxIslands*MaxIslandDevices; p *= 2 {
		if p >= n {
			return p
		}
	}
	return n
}

// freeSpreads lists what may be free in each island, and reports whether that is
// all. Spreads that differ only by an exchange of equal islands are listed once.
func freeSpreads(islands []int64, used int64) (spreads [][]int64, all bool) {
	sizes := make([]int64, len(islands))
	for i, size := range islands {
		sizes[i] = max(0, size)
	}
	slices.Sort(sizes)
	// below[i] is what islands before i have together.
	below := make([]int64, len(sizes)+1)
	for i, size := range sizes {
		below[i+1] = below[i] + size
	}
	free := make([]int64, len(sizes))
	var list func(i int, left int64) bool
	list = func(i int, left int64) bool {
		if i < 0 {
			spreads = append(spreads, slices.Clone(free))
			return len(spreads) <= maxSpreads
		}
		most := min(left, sizes[i])
		if i+1 < len(sizes) && sizes[i+1] == sizes[i] {
			most = min(most, free[i+1])
		}
		for free[i] = most; free[i] >= 0 && left-free[i] <= below[i]; free[i]-- {
			if !list(i-1, left-free[i]) {
				return false
			}
		}
		return true
	}
	all = list(len(sizes)-1, freeDevices(sizes, used))
	return spreads, all
}

// packing puts pods into islands one by one.
type packing struct {
	// asks are in falling order.
	asks []int64
	// left bounds the tries; a search that runs out finds nothing.
	left int
}

// fits reports whether the asks from at on fit into free, which it changes and
// restores.
func (p *packing) fits(free []int64, at int) bool {
	if at == len(p.asks) {
		return true
	}
	if p.left--; p.left < 0 {
		return false
	}
	ask := p.asks[at]
	for i, room := range free {
		if room < ask || slices.Contains(free[:i], room) {
			continue // An island with the same room was tried before.
		}
		free[i] -= ask
		found := p.fits(free, at+1)
		free[i] += ask
		if found {
			return true
		}
	}
	return false
}
