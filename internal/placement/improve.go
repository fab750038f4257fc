package placement

import "slices"

// maxImproveSteps bounds the work of one call of reach, in additions.
const maxImproveSteps = 1 << 22

// improve looks for a choice of k parts that opens fewer than least own parts
// until there is none, puts it first, and returns its count. It gives up at a
// bound of work; then a better choice may exist.
func improve(parts []*part, k int, n int64, least int) int {
	for reach(parts, k, n, least-1) {
		least, _ = opened(parts[:k], n)
	}
	return least
}

// reach puts k parts first whose largest own parts, target of them, hold n. It
// returns false and leaves the parts as they are when there are no such parts.
//
// At any price, what k parts can hold in target own parts is at most the price of
// those plus the k largest gains. How far that exceeds n says which parts every
// answer has, and which none has. The few in between are tried by dynamic
// programming over (parts chosen, own parts opened).
func reach(parts []*part, k int, n int64, target int) bool {
	keep(parts, k)
	price, slack := tightestPrice(parts, k, n, target)
	if slack < 0 || len(parts) == k {
		return false
	}
	heaviest(parts, price)
	in, undecided := 0, 0
	for i := range parts {
		switch {
		case parts[i].gain-parts[k].gain > slack:
			in++
		case parts[k-1].gain-parts[i].gain <= slack:
			undecided++
		}
	}
	chosen, found := choose(parts[:in], parts[in:in+undecided], k-in, n, target)
	if !found {
		restore(parts)
		return false
	}
	for i := range parts {
		parts[i].share = 0
		if i < in || i-in < undecided && chosen&(1<<(i-in)) != 0 {
			parts[i].share = 1
		}
	}
	restore(parts)
	return true
}

// tightestPrice returns the price at which the bound on what target own parts of
// k parts hold is least, and by how much it exceeds n.
func tightestPrice(parts []*part, k int, n int64, target int) (price, slack int64) {
	first := true
	for _, x := range pricesOf(parts) {
		if over := int64(target)*x + topGains(parts, k, x) - n; first || over < slack {
			price, slack, first = x, over, false
		}
	}
	return price, slack
}

// choose picks count parts from some so that, with those in always, target own
// parts hold n. The answer is a bit per part of some.
func choose(always, some []*part, count int, n int64, target int) (chosen uint64, found bool) {
	if len(some) > 64 || len(some)*count*target*16 > maxImproveSteps {
		return 0, false
	}
	// held[j][r] is the most that j of the parts looked at hold in r own parts,
	// together with those in always; which[j][r] are these parts.
	held, which := make([][]int64, count+1), make([][]uint64, count+1)
	for j := range held {
		held[j], which[j] = make([]int64, target+1), make([]uint64, target+1)
		for r := range held[j] {
			held[j][r] = -1
		}
	}
	copy(held[0], prefixes(merged(always), target))
	for i := range some {
		sums := prefixes(some[i].holders(), min(target, counted(some[i].holders())))
		for j := min(i, count-1); j >= 0; j-- {
			for r, base := range held[j] {
				if base < 0 {
					continue
				}
				for x := 0; x < len(sums) && r+x <= target; x++ {
					if sum := base + sums[x]; sum > held[j+1][r+x] {
						held[j+1][r+x], which[j+1][r+x] = sum, which[j][r]|1<<i
					}
				}
			}
		}
	}
	for r, sum := range held[count] {
		if sum >= n {
			return which[count][r], true
		}
	}
	return 0, false
}

// prefixes are the sums of the largest 0, 1, … most of the own parts, the last
// one repeated where there are fewer.
func prefixes(runs []run, most int) []int64 {
	out := make([]int64, 1, most+1)
	for _, r := range runs {
		for i := 0; i < r.n && len(out) <= most; i++ {
			out = append(out, out[len(out)-1]+r.units)
		}
	}
	for len(out) <= most {
		out = append(out, out[len(out)-1])
	}
	return out
}

// counted is the number of own parts.
func counted(runs []run) int {
	n := 0
	for _, r := range runs {
		n += r.n
	}
	return n
}

// topGains is the sum of the k largest gains at the price.
func topGains(parts []*part, k int, price int64) int64 {
	var few [256]int64
	all := few[:0]
	for i := range parts {
		all = append(all, gain(parts[i].holders(), price))
	}
	slices.Sort(all)
	total := int64(0)
	for _, g := range all[len(all)-k:] {
		total += g
	}
	return total
}
