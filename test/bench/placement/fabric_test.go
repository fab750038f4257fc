package main

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// small makes a fabric by hand: what is free is given by block and rack, as the
// number of nodes without pods of the 4 that every rack has.
func small(free [][]int) *Fabric {
	f := newFabric(0, empty)
	for block, racks := range free {
		for rack, n := range racks {
			for i := range 4 {
				at := len(f.Nodes)
				name := string(rune('a'+block)) + string(rune('0'+rack))
				f.Nodes = append(f.Nodes, Node{Name: name + string(rune('0'+i)), Block: name[:1], Rack: name})
				if i >= n {
					f.Pods = append(f.Pods, Pod{Name: "pod" + name, Node: at, Devices: 1})
				}
			}
		}
	}
	return f
}

func TestFabricIsAsFullAsItSays(t *testing.T) {
	cases := map[string]struct {
		fill string
		want int
	}{
		"empty":   {empty, 0},
		"scatter": {scatter, 640 * 8 * 7 / 10},
		"packed":  {packed, 640 * 8 * 7 / 10},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			f := newFabric(640, c.fill)
			sum := 0
			for i, used := range f.used() {
				sum += int(used[device])
				for resource, amount := range used {
					if amount > f.Capacity[resource] {
						t.Errorf("node %d: %d %s of %d", i, amount, resource, f.Capacity[resource])
					}
				}
			}
			// The last pod may be larger than what is missing.
			if sum < c.want || sum >= c.want+devicesPerNode {
				t.Errorf("%d devices are taken, want %d", sum, c.want)
			}
			if diff := cmp.Diff(f, newFabric(640, c.fill)); diff != "" {
				t.Errorf("the same arguments give another fabric:\n%s", diff)
			}
		})
	}
}

func TestPackedLeavesMoreNodesFree(t *testing.T) {
	free := func(fill string) (sum int) {
		for _, block := range newFabric(2560, fill).freeNodes() {
			for _, rack := range block {
				sum += rack
			}
		}
		return sum
	}
	if free(scatter) >= free(packed) || free(packed) > 2560*3/10 {
		t.Errorf("free nodes: %d scattered, %d packed", free(scatter), free(packed))
	}
}

func TestCheck(t *testing.T) {
	f := small([][]int{{4, 4}, {4, 2}})
	cases := map[string]struct {
		gang  Gang
		nodes string
		want  string
	}{
		"a refusal":             {Gang{8, single}, "", ""},
		"sound":                 {Gang{5, single}, "a00 a01 a02 a03 a10", ""},
		"too few pods":          {Gang{8, single}, "a00 a01", "2 pods have a node, the gang has 8"},
		"an unknown node":       {Gang{1, single}, "z", `there is no node "z"`},
		"a node twice":          {Gang{2, single}, "a00 a00", "node a00 has"},
		"a node in use":         {Gang{1, single}, "b12", "node b12 has"},
		"two blocks":            {Gang{2, single}, "a00 b00", "the gang is in 2 blocks and needs one"},
		"two blocks, as it may": {Gang{2, anywhere}, "a00 b00", ""},
		"half a slice":          {Gang{2, sliced}, "a00 a10", "no number of slices"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := ""
			if err := f.check(c.gang, Answer{Nodes: strings.Fields(c.nodes)}); err != nil {
				got = err.Error()
			}
			if (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
				t.Errorf("check = %q, want %q", got, c.want)
			}
		})
	}
}

func TestCheckRanks(t *testing.T) {
	f := newFabric(64, empty)
	var sound, mixed Answer
	for i := range 16 {
		sound.Nodes = append(sound.Nodes, f.Nodes[i/8*32+i%8].Name)
		mixed.Nodes = append(mixed.Nodes, f.Nodes[i%2*32+i/2].Name)
	}
	if err := f.checkRanks(sound); err != nil {
		t.Error(err)
	}
	if err := f.checkRanks(mixed); err == nil {
		t.Error("slices that are spread over racks pass")
	}
	if err := f.check(Gang{16, sliced}, mixed); err != nil {
		t.Errorf("the counts of the racks are whole slices: %v", err)
	}
}

func TestLowerBound(t *testing.T) {
	cases := map[string]struct {
		free [][]int
		gang Gang
		want bound
	}{
		"one rack":                      {[][]int{{1, 4}, {3, 3}}, Gang{4, single}, bound{true, 1, 1}},
		"two racks of one block":        {[][]int{{2, 2, 2}, {3, 3}}, Gang{6, single}, bound{true, 1, 2}},
		"no block holds it":             {[][]int{{2, 2}, {3, 1}}, Gang{5, single}, bound{}},
		"fewest blocks before racks":    {[][]int{{1, 1, 1, 1}, {3}, {1}}, Gang{4, anywhere}, bound{true, 1, 4}},
		"fewest racks for fewest block": {[][]int{{2, 2, 1}, {4, 1}, {3, 3}}, Gang{8, anywhere}, bound{true, 2, 3}},
		"everything":                    {[][]int{{1}, {1}}, Gang{2, anywhere}, bound{true, 2, 2}},
		"more than everything":          {[][]int{{1}, {1}}, Gang{3, anywhere}, bound{}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := small(c.free).lowerBound(c.gang); got != c.want {
				t.Errorf("lowerBound = %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestLowerBoundOfSlices(t *testing.T) {
	f := newFabric(128, empty)
	// 23 free nodes in the first rack hold two slices, 7 in the second none.
	for i := range 64 {
		if i >= 23 && i < 57 {
			f.Pods = append(f.Pods, Pod{Name: "pod", Node: i, Devices: 1})
		}
	}
	for pods, want := range map[int]bound{16: {true, 1, 1}, 48: {true, 1, 2}, 80: {true, 1, 3}, 88: {}} {
		if got := f.lowerBound(Gang{pods, sliced}); got != want {
			t.Errorf("%d pods: lowerBound = %+v, want %+v", pods, got, want)
		}
	}
}

// Every set of racks of a small fabric is tried.
func TestLowerBoundIsTheLeast(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for range 300 {
		free := [][]int{make([]int, 3), make([]int, 2), make([]int, 3)}
		for _, block := range free {
			for i := range block {
				block[i] = random.IntN(5)
			}
		}
		for pods := 1; pods <= 16; pods++ {
			g := Gang{pods, []string{single, anywhere}[random.IntN(2)]}
			if got, want := small(free).lowerBound(g), tryAll(free, g); got != want {
				t.Fatalf("%v, %s: lowerBound = %+v, want %+v", free, g, got, want)
			}
		}
	}
}

func tryAll(free [][]int, g Gang) bound {
	var racks, blocks []int
	for block, of := range free {
		for _, n := range of {
			racks, blocks = append(racks, n), append(blocks, block)
		}
	}
	best := bound{}
	for set := range 1 << len(racks) {
		held, touched := 0, map[int]bool{}
		count := 0
		for i, n := range racks {
			if set>>i&1 == 1 {
				held, count = held+n, count+1
				touched[blocks[i]] = true
			}
		}
		if held < g.Pods || (g.Kind != anywhere && len(touched) > 1) {
			continue
		}
		one := bound{true, len(touched), count}
		if !best.feasible || slices.Compare([]int{one.blocks, one.racks}, []int{best.blocks, best.racks}) < 0 {
			best = one
		}
	}
	return best
}
