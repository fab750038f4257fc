package queueing

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/k8s4ai/k8s4ai/internal/placement"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// Whatever stands in the input, Next ends, starts only what there is room for,
// says something about every gang once, and says the same again.
func FuzzNext(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(seed, int64(seed)*1e9, int64(seed%3)*1e9, int64(0), uint8(seed))
	}
	// Two waiting gangs of one name.
	f.Add(uint64(310), int64(18999999777), int64(999999920), int64(119), uint8(225))
	f.Add(uint64(1), int64(math.MaxInt64), int64(math.MinInt64), int64(math.MinInt64), uint8(255))
	f.Fuzz(func(t *testing.T, seed uint64, now, odd, expiry int64, flags uint8) {
		in := hostile(rand.New(rand.NewPCG(seed, 11)), time.Duration(odd))
		in.Now = time.Duration(now)
		in.Policy = Policy{Backfill: flags&1 > 0, Preempt: flags&2 > 0, Defragment: flags&4 > 0,
			Expiry: time.Duration(expiry), Patience: time.Duration(odd)}
		for range 3 {
			p := Next(in)
			if diff := cmp.Diff(p, Next(in)); diff != "" {
				t.Fatalf("another answer to the same input:\n%s", diff)
			}
			if len(p.Starts)+len(p.Waits) != len(in.Waiting) {
				t.Fatalf("%d gangs start and %d wait of %d", len(p.Starts), len(p.Waits), len(in.Waiting))
			}
			for _, s := range p.Starts {
				i := slices.IndexFunc(in.Waiting, func(g Gang) bool { return g.Name == s.Gang })
				uses := Uses(in.Waiting[i].Request, s.Placement.Roles)
				if !fits(in.Snapshot, uses) {
					t.Fatalf("no room for %s", s.Gang)
				}
				in.Snapshot = in.Snapshot.With(uses...)
				in.Running = append(in.Running, Running{Gang: in.Waiting[i], Uses: uses, Start: in.Now})
				in.Waiting = slices.Delete(slices.Clone(in.Waiting), i, i+1)
			}
			in.Held = p.Held
			in.Now = later(in.Now, time.Second)
		}
	})
}

// hostile is an input of which much is wrong: instants, names, uses, requests.
func hostile(r *rand.Rand, odd time.Duration) Input {
	s, _, running := crowd(r, 9)
	instant := func() time.Duration {
		return []time.Duration{0, odd, -odd, time.Second, 5 * time.Second, math.MaxInt64, math.MinInt64}[r.IntN(7)]
	}
	for i := range running {
		g := &running[i]
		g.Start, g.Saved, g.Restart, g.Runtime, g.Arrival = instant(), instant(), instant(), instant(), instant()
		g.Stopping = r.IntN(6) == 0
		switch r.IntN(8) {
		case 0:
			g.Name = "twice"
		case 1:
			g.Uses = append(g.Uses, placement.Use{Node: "unknown", Resources: placement.Resources{gpu: 1}})
		case 2:
			g.Uses = append(slices.Clone(g.Uses), placement.Use{Node: "n0", Resources: placement.Resources{gpu: math.MaxInt64, "odd": math.MinInt64}})
		case 3:
			g.Uses = nil
		}
	}
	in := Input{Snapshot: s, Running: running}
	for i := range r.IntN(8) {
		g := Gang{Name: fmt.Sprint("w", i), Arrival: instant(), Runtime: instant(), Priority: int32(r.IntN(4)), Preempts: r.IntN(2) == 0}
		g.Request = ask(topology.Level(r.IntN(7)), r.IntN(6), r.Int64N(5))
		if r.IntN(8) == 0 {
			g.Name = "twice"
		}
		if r.IntN(8) == 0 {
			g.Request.Root.Roles[0].MinCount = 1
		}
		in.Waiting = append(in.Waiting, g)
	}
	return in
}

// FuzzRepair breaks gangs that are not what their request says.
func FuzzRepair(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(seed, uint16(seed*37), "n1")
	}
	f.Fuzz(func(t *testing.T, seed uint64, change uint16, node string) {
		r := rand.New(rand.NewPCG(seed, 13))
		b := randomBroken(r)
		if b == nil {
			return
		}
		b.failed = append(b.failed, node)
		role := &b.gang.Roles[int(change>>8)%len(b.gang.Roles)]
		role.Nodes = slices.Clone(role.Nodes)
		switch change % 8 {
		case 0:
			role.Nodes = append(role.Nodes, node)
		case 1:
			role.Nodes[0] = node
		case 2:
			role.Spares = append(slices.Clone(role.Spares), node)
		case 3:
			role.Class = node
		case 4:
			role.Name = node
		case 5:
			role.Nodes = nil
		}
		got := Repair(b.snapshot, b.gang, b.failed)
		if (got.Refusal == nil) == (got.Roles == nil) {
			t.Fatalf("Repair() = %+v", got)
		}
		if diff := cmp.Diff(got, Repair(b.snapshot, b.gang, b.failed)); diff != "" {
			t.Fatalf("another answer to the same input:\n%s", diff)
		}
		for _, role := range got.Roles {
			for _, n := range append(slices.Clone(role.Nodes), role.Spares...) {
				if slices.Contains(b.failed, n) {
					t.Fatalf("%s is still on %s", role.Name, n)
				}
			}
		}
	})
}
