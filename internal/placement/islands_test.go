package placement

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestIslandCount(t *testing.T) {
	cases := map[string]struct {
		islands   []int64
		used, ask int64
		limit     int
		want      int
	}{
		"an empty node of two NUMA nodes":                 {[]int64{4, 4}, 0, 2, 100, 4},
		"pods of a whole island":                          {[]int64{4, 4}, 0, 4, 100, 2},
		"pods larger than an island":                      {[]int64{4, 4}, 0, 8, 100, 0},
		"one used device may break either island":         {[]int64{4, 4}, 1, 4, 100, 1},
		"two used devices may break both":                 {[]int64{4, 4}, 2, 4, 100, 0},
		"pairs beside two lone devices":                   {[]int64{4, 4}, 2, 2, 100, 2},
		"three devices of each island":                    {[]int64{4, 4}, 2, 3, 100, 1},
		"single devices do not care":                      {[]int64{4, 4}, 3, 1, 100, 5},
		"islands of different sizes":                      {[]int64{7, 1}, 1, 3, 100, 2},
		"an island that is too small for any":             {[]int64{6, 1, 1}, 2, 3, 100, 1},
		"more used than there is":                         {[]int64{4, 4}, 9, 1, 100, 0},
		"a negative use counts as none":                   {[]int64{4, 4}, -3, 4, 100, 2},
		"the limit":                                       {[]int64{4, 4}, 0, 1, 3, 3},
		"nothing asked":                                   {[]int64{4, 4}, 8, 0, 5, 5},
		"no islands":                                      {nil, 0, 1, 5, 0},
		"a limit of nothing":                              {[]int64{4}, 0, 1, -1, 0},
		"an ask that no integer holds twice":              {[]int64{64}, 0, 1 << 62, 5, 0},
		"the last short step of an island holds one more": {[]int64{5, 5}, 1, 3, 100, 2},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := islandCount(tc.islands, tc.used, tc.ask, tc.limit); got != tc.want {
				t.Errorf("islandCount(%v, used %d, ask %d) = %d, want %d", tc.islands, tc.used, tc.ask, got, tc.want)
			}
		})
	}
}

func TestIslandsHold(t *testing.T) {
	cases := map[string]struct {
		islands []int64
		used    int64
		asks    []int64
		want    bool
	}{
		"nothing asked":        {[]int64{4}, 4, nil, true},
		"pods without devices": {nil, 0, []int64{0, 0}, true},
		"four, two and two":    {[]int64{4, 4}, 0, []int64{2, 4, 2}, true},
		"six devices asked of seven, but not as it comes": {[]int64{4, 4}, 1, []int64{4, 2}, true},
		"two pods of three out of seven":                  {[]int64{4, 4}, 1, []int64{3, 3}, true},
		"two pods of three out of six":                    {[]int64{4, 4}, 2, []int64{3, 3}, false},
		"three and two do not divide and fit":             {[]int64{4, 4}, 1, []int64{3, 2}, true},
		"three and two where four and two may be left":    {[]int64{4, 4}, 2, []int64{3, 2}, true},
		"three and two where three and two may be left":   {[]int64{4, 4}, 3, []int64{3, 2}, false},
		"five and three share an island of eight":         {[]int64{8}, 0, []int64{3, 5}, true},
		"five and three do not share two of four":         {[]int64{4, 4}, 0, []int64{3, 5}, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := islandsHold(tc.islands, tc.used, tc.asks); got != tc.want {
				t.Errorf("islandsHold(%v, used %d, asks %v) = %v, want %v", tc.islands, tc.used, tc.asks, got, tc.want)
			}
		})
	}
}

// Beyond the bound of spreads the answer is a lower bound: what it says fits
// does fit, and a thing that fits may be missed.
func TestIslandsHoldBeyondItsBound(t *testing.T) {
	islands := slices.Repeat([]int64{64}, MaxIslands)
	if _, all := freeSpreads(islands, 512); all {
		t.Fatal("the spreads are within the bound, so the test shows nothing")
	}
	if !islandsHold(islands, 512, []int64{5, 3}) {
		t.Error("two small pods are not found in 512 free devices of 16 islands")
	}
	if !islandsHold(islands, 512, []int64{30, 15, 30}) {
		t.Error("sizes that divide each other are not exact beyond the bound")
	}
	// One island keeps 32 devices at least, and no pod of 33 is certain.
	if islandsHold(islands, 512, []int64{33, 3}) {
		t.Error("a pod is promised that the even spread does not hold")
	}
}

// Every answer for small nodes is that of trying every spread and every packing.
func TestIslandsAgainstBruteForce(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // A test wants the same cases every time.
	for range 20000 {
		islands, used, asks := randomIslands(random)
		checkIslands(t, islands, used, asks)
	}
}

func FuzzIslands(f *testing.F) {
	f.Add(uint64(1), uint64(2))
	f.Fuzz(func(t *testing.T, a, b uint64) {
		islands, used, asks := randomIslands(rand.New(rand.NewPCG(a, b))) //nolint:gosec // The fuzzer gives the seed.
		checkIslands(t, islands, used, asks)
	})
}

func randomIslands(random *rand.Rand) (islands []int64, used int64, asks []int64) {
	total := int64(0)
	for range 1 + random.IntN(4) {
		islands = append(islands, random.Int64N(7))
		total += islands[len(islands)-1]
	}
	for range random.IntN(6) {
		asks = append(asks, random.Int64N(6))
	}
	return islands, random.Int64N(total + 2), asks
}

func checkIslands(t *testing.T, islands []int64, used int64, asks []int64) {
	t.Helper()
	free := int64(0)
	for _, size := range islands {
		free += size
	}
	spreads := spreadsOf(islands, max(0, free-used))
	holds := !slices.ContainsFunc(spreads, func(free []int64) bool { return !packs(free, asks) })
	if got := islandsHold(islands, used, asks); got != holds {
		t.Errorf("islandsHold(%v, used %d, asks %v) = %v, want %v", islands, used, asks, got, holds)
	}
	for ask := int64(1); ask < 7; ask++ {
		want := int64(1000)
		for _, free := range spreads {
			count := int64(0)
			for _, n := range free {
				count += n / ask
			}
			want = min(want, count)
		}
		if got := islandCount(islands, used, ask, 1000); int64(got) != want {
			t.Errorf("islandCount(%v, used %d, ask %d) = %d, want %d", islands, used, ask, got, want)
		}
	}
}

// spreadsOf lists every way to have free devices in the islands.
func spreadsOf(islands []int64, free int64) [][]int64 {
	if len(islands) == 0 {
		if free == 0 {
			return [][]int64{nil}
		}
		return nil
	}
	var out [][]int64
	for n := int64(0); n <= min(free, islands[0]); n++ {
		for _, rest := range spreadsOf(islands[1:], free-n) {
			out = append(out, append([]int64{n}, rest...))
		}
	}
	return out
}

// packs tries every island for every ask.
func packs(free, asks []int64) bool {
	if len(asks) == 0 {
		return true
	}
	for i := range free {
		if free[i] >= asks[0] {
			rest := slices.Clone(free)
			rest[i] -= asks[0]
			if packs(rest, asks[1:]) {
				return true
			}
		}
	}
	return asks[0] == 0 && packs(free, asks[1:])
}
