package oracle

import (
	"encoding/binary"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/k8s4ai/k8s4ai/internal/placement"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// seedBytes are bytes for a fuzz target to begin with.
func seedBytes(seed uint64, n int) []byte {
	d, out := &dice{state: seed}, make([]byte, n)
	for i := range out {
		out[i] = byte(d.upTo(256))
	}
	return out
}

// Whatever the bytes make of a fleet and a gang, the engine says what trying
// everything says.
func FuzzPlaceAgreesWithTryingEverything(f *testing.F) {
	for seed := range uint64(40) {
		f.Add(seedBytes(seed, 400))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c := Read(data)
		v := place(t, c)
		found, ok := Judge(c, v)
		if !ok {
			t.Fatalf("the case is too large for the oracle:\n%+v", c)
		}
		if found.Missed+found.Wrong+found.Worse+found.Untrue != "" || found.NotProven {
			t.Errorf("%+v\n%+v\n%+v\n%+v", found, c, v.Placement, v.Refusal)
		}
	})
}

// Whatever happens to a State, it is what a snapshot built anew is.
func FuzzState(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(seedBytes(seed, 800))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		h := newHistory(t, &dice{data: data, reads: true})
		for range 30 {
			if len(h.data) == 0 {
				break
			}
			h.step()
			h.check()
		}
	})
}

// Whatever the figures of a fleet and of a request, nothing crashes, and the
// answer is one of an error, a placement, a refusal and the name of a field.
func FuzzFigures(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(seedBytes(seed, 300))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d := &dice{data: data, reads: true}
		c := Case{}
		for i := range d.upTo(6) {
			c.Domains = append(c.Domains, topology.Vertex{
				Name: d.word(), Level: topology.Level(d.figure()), Parent: d.word(), UplinkGbps: int64(i) * d.figure(),
			})
		}
		for range d.upTo(6) {
			c.Nodes = append(c.Nodes, placement.Node{
				Name: d.word(), Domain: d.word(), Capacity: d.resources(), Used: d.resources(),
				Islands: map[string][]int64{d.word(): {d.figure(), d.figure()}}, NICGbps: d.figure(), LinkGbps: d.figure(),
			})
		}
		if !d.one(4) {
			sane(&c)
		}
		c.Request.Root = d.wildGroup(0)
		s, err := c.Snapshot()
		if err != nil {
			return
		}
		v := placement.Place(s, c.Request)
		answers := 0
		for _, given := range []bool{v.Invalid != "", v.Placement != nil, v.Refusal != nil} {
			if given {
				answers++
			}
		}
		if answers != 1 || v.Invalid != "" && v.Proof != placement.Exact {
			t.Fatalf("the verdict is %+v", v)
		}
		if v.Refusal != nil && (v.Refusal.Found < 0 || v.Refusal.Found >= v.Refusal.Needed) {
			t.Fatalf("the refusal is %+v", v.Refusal)
		}
		if v.Placement != nil {
			fleet := newFleet(c)
			if len(fleet.nodes) > MaxNodes {
				return
			}
			if read, problem := check(c, fleet, v.Placement); problem != "" || untrueQuality(fleet, read, v.Placement.Quality) != "" {
				t.Fatalf("%s %s\n%+v", problem, untrueQuality(fleet, read, v.Placement.Quality), v.Placement)
			}
		}
		if again := placement.Place(s, c.Request); !cmp.Equal(v, again) {
			t.Fatalf("the second answer is another one:\n%s", cmp.Diff(v, again))
		}
	})
}

// sane makes a fleet of the names and figures that NewSnapshot takes.
func sane(c *Case) {
	taken := map[string]bool{"": true}
	for i := range c.Domains {
		v := &c.Domains[i]
		v.UplinkGbps = 0
		v.Name = string(rune('A' + i))
		v.Level = topology.Fabric + (v.Level&3+4)&3
		v.Parent = ""
		for _, up := range c.Domains[:i] {
			if up.Level < v.Level {
				v.Parent = up.Name
			}
		}
		taken[v.Name] = true
	}
	for i := range c.Nodes {
		n := &c.Nodes[i]
		n.Name = string(rune('a' + i))
		if !taken[n.Domain] {
			n.Domain = ""
		}
		n.Islands, n.NICGbps, n.LinkGbps = nil, 0, 0
		for _, amounts := range []placement.Resources{n.Capacity, n.Used} {
			for name, amount := range amounts {
				amounts[name] = max(0, amount)
			}
		}
	}
}

// figure is any number, small ones and the ends of ranges more often than others.
func (d *dice) figure() int64 {
	switch d.upTo(8) {
	case 0:
		return among[int64](d, math.MaxInt64, math.MinInt64, math.MaxInt32, 1<<31, 1<<62, placement.MaxPods, placement.MaxPods+1, -1)
	case 1:
		var b [8]byte
		for i := range b {
			b[i] = byte(d.upTo(256))
		}
		return int64(binary.LittleEndian.Uint64(b[:]))
	default:
		return int64(d.upTo(9))
	}
}

func (d *dice) word() string {
	return among(d, "", "A", "B", "C", "D", "a", "n-1", "n-01", "\xff", gpu)
}

func (d *dice) resources() placement.Resources {
	out := placement.Resources{}
	for range d.upTo(4) {
		out[among(d, gpu, cpu, nic, "pods")] = d.figure()
	}
	return out
}

// wildGroup is a group of any figures, up to depth 6.
func (d *dice) wildGroup(depth int) placement.Group {
	g := placement.Group{
		Name: d.word(), Copies: int(d.figure()), MinCopies: int(d.figure()),
		Required: topology.Level(d.figure()), Preferred: topology.Level(d.figure()), Pattern: among(d, "", "", "", placement.Ring, placement.AllToAll, "x"),
	}
	if d.one(2) {
		g.Copies, g.MinCopies, g.Preferred = 1, 0, 0
	}
	for i := range d.upTo(3) {
		r := placement.Role{
			Name: among(d, "r", "s", "t", "") + string(rune('a'+depth)) + string(rune('a'+i)), Count: int(d.figure()), Shape: placement.Shape{Resources: d.resources()},
		}
		if d.one(4) {
			r.MinCount, r.Spares = int(d.figure()), int(d.figure())
		}
		g.Roles = append(g.Roles, r)
	}
	for range d.upTo(3) {
		if depth < 5 && len(d.data) > 0 {
			g.Groups = append(g.Groups, d.wildGroup(depth+1))
		}
	}
	return g
}
