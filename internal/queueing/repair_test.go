package queueing

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/k8s4ai/k8s4ai/internal/placement"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// placed is a gang with one role on the nodes, spares after a bar.
func placed(level topology.Level, devices int64, spares int, nodes ...string) Running {
	bar := slices.Index(nodes, "|")
	role := placement.RolePlacement{Name: "worker", Nodes: nodes}
	if bar >= 0 {
		role.Nodes, role.Spares = nodes[:bar], nodes[bar+1:]
	}
	r := Running{Gang: Gang{Name: "gang", Request: ask(level, len(role.Nodes), devices)}, Roles: []placement.RolePlacement{role}}
	r.Request.Root.Roles[0].Spares = spares
	r.Uses = Uses(r.Request, r.Roles)
	return r
}

func TestRepair(t *testing.T) {
	// leaf0 has n0 to n2, leaf1 n3 to n5.
	empty := fleet(8, 3, 3)
	full := func(nodes ...string) *placement.Snapshot { return holding(empty, []Running{runs("other", nodes)}) }
	cases := map[string]struct {
		snapshot *placement.Snapshot
		gang     Running
		failed   []string
		want     string
	}{
		"nothing failed":   {empty, placed(0, 8, 0, "n0", "n1"), nil, "n0 n1"},
		"a node of others": {empty, placed(0, 8, 0, "n0", "n1"), []string{"n5"}, "n0 n1"},
		"near the closest rank": {empty, placed(0, 8, 0, "n3", "n0", "n4"), []string{"n3"},
			"n1 n0 n4; worker 0 n3>n1"},
		"the leaf of the nearest rank": {empty, placed(0, 8, 0, "n0", "n1", "n3", "n4"), []string{"n3"},
			"n0 n1 n5 n4; worker 2 n3>n5"},
		"farther where nothing is near": {full("n2"), placed(0, 8, 0, "n0", "n1"), []string{"n0"},
			"n3 n1; worker 0 n0>n3"},
		"but never out of the required domain": {full("n2"), placed(topology.Leaf, 8, 0, "n0", "n1"), []string{"n0"},
			"refused worker Leaf leaf0 1/0 Exact"},
		"two nodes where there is one": {empty, placed(topology.Leaf, 8, 0, "n0", "n1"), []string{"n0", "n2"},
			"refused worker Leaf leaf0 1/0 Exact"},
		"the spare first, and a new one": {empty, placed(0, 8, 1, "n0", "n1", "|", "n3"), []string{"n1"},
			"n0 n3 | n4; worker 1 n1>n3 spare"},
		"the spare first, and no other": {full("n2", "n4", "n5"), placed(0, 8, 1, "n0", "n1", "|", "n3"), []string{"n1"},
			"n0 n3; worker 1 n1>n3 spare; 1 spares of worker missing"},
		"a failed spare": {empty, placed(0, 8, 1, "n0", "n1", "|", "n3"), []string{"n3"}, "n0 n1 | n2"},
		"two nodes at once": {empty, placed(0, 8, 1, "n0", "n1", "n3", "n5", "|", "n4"), []string{"n0", "n3"},
			"n2 n1 n4 n5; worker 0 n0>n2; worker 2 n3>n4 spare; 1 spares of worker missing"},
		"all of it": {empty, placed(topology.Leaf, 8, 0, "n0", "n1"), []string{"n0", "n1"},
			"n3 n4; worker 0 n0>n3; worker 1 n1>n4"},
		"all of it but the spare": {empty, placed(topology.Leaf, 8, 1, "n0", "n1", "|", "n2"), []string{"n0", "n1"},
			"n3 n4 | n5; worker 0 n0>n3; worker 1 n1>n4"},
		"a node that is gone": {empty, placed(0, 8, 0, "n0", "n9"), nil, "n0 n1; worker 1 n9>n1"},
		"failed nodes twice":  {empty, placed(0, 8, 0, "n0", "n1"), []string{"n1", "n1", "n7"}, "n0 n2; worker 1 n1>n2"},
		"sizes that are none": {empty, func() Running {
			r := placed(0, 8, 0, "n0", "n1")
			r.Request.Root.Roles[0].Count = 3
			return r
		}(), nil, "invalid roles: their sizes are none that the request allows"},
		"a request that is none": {empty, func() Running {
			r := placed(0, 8, 0, "n0", "n1")
			r.Request.Root.Copies = 3
			return r
		}(), nil, "invalid copies: must be 0 or 1"},
		"a role twice": {empty, func() Running {
			r := placed(0, 8, 0, "n0", "n1")
			r.Roles = append(r.Roles, r.Roles[0])
			return r
		}(), nil, "invalid roles[worker]: is placed twice"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := Repair(tc.snapshot.With(tc.gang.Uses...), tc.gang, tc.failed)
			if diff := cmp.Diff(tc.want, reads(got)); diff != "" {
				t.Errorf("Repair() (-want +got):\n%s", diff)
			}
		})
	}
}

// reads tells an outcome in one line.
func reads(r Repaired) string {
	if f := r.Refusal; f != nil && f.Invalid != "" {
		return "invalid " + f.Invalid
	} else if f != nil {
		return fmt.Sprintf("refused %s %s %s %d/%d %s", f.Role, f.Level, f.Domain, f.Needed, f.Found, r.Proof)
	}
	out := ""
	for i, role := range r.Roles {
		if i > 0 {
			out += ", "
		}
		for j, node := range role.Nodes {
			if j > 0 {
				out += " "
			}
			out += node
		}
		if len(role.Spares) > 0 {
			out += " |"
		}
		for _, node := range role.Spares {
			out += " " + node
		}
	}
	for _, m := range r.Replaced {
		out += fmt.Sprintf("; %s %d %s>%s", m.Role, m.Rank, m.From, m.To)
		if m.Spare {
			out += " spare"
		}
	}
	for _, m := range r.Missing {
		out += fmt.Sprintf("; %d spares of %s missing", m.Count, m.Role)
	}
	return out
}

// broken is a gang in a small fleet of which some nodes failed.
type broken struct {
	snapshot *placement.Snapshot
	gang     Running
	failed   []string
}

// randomBroken is nil where the gang does not fit.
func randomBroken(r *rand.Rand) *broken {
	s := fleet(2+r.Int64N(3), 1+r.IntN(3), 1+r.IntN(3), r.IntN(3))
	nodes := nodesOf(9)
	for _, n := range nodes {
		s = s.With(placement.Use{Node: n, Resources: placement.Resources{gpu: r.Int64N(3)}})
	}
	level := func() topology.Level {
		return []topology.Level{topology.Cluster, topology.Block, topology.Leaf, topology.Leaf, topology.Node}[r.IntN(5)]
	}
	role := func(name string) placement.Role {
		return placement.Role{Name: name, Count: 1 + r.IntN(3), Spares: max(0, r.IntN(4)-2),
			Shape: placement.Shape{Resources: placement.Resources{gpu: 1 + r.Int64N(2)}}}
	}
	g := Gang{Name: "gang"}
	g.Request.Root.Required = []topology.Level{0, 0, topology.Block, topology.Leaf}[r.IntN(4)]
	if r.IntN(2) == 0 {
		g.Request.Root.Roles = append(g.Request.Root.Roles, role("a"))
	}
	if len(g.Request.Root.Roles) == 0 || r.IntN(2) == 0 {
		g.Request.Root.Groups = append(g.Request.Root.Groups, placement.Group{
			Name: "tp", Copies: 1 + r.IntN(3), Required: level(), Roles: []placement.Role{role("b")}})
	}
	if r.IntN(4) == 0 {
		g.Request.Root.Roles = append(g.Request.Root.Roles, role("c"))
	}
	at := placement.Place(s, g.Request).Placement
	if at == nil || len(slotsIn(at.Roles)) > 9 {
		return nil
	}
	b := &broken{gang: Running{Gang: g, Roles: at.Roles, Uses: Uses(g.Request, at.Roles)}}
	b.snapshot = s.With(b.gang.Uses...)
	if r.IntN(2) == 0 { // Others take room after the gang.
		b.snapshot = b.snapshot.With(placement.Use{Node: nodes[r.IntN(9)], Resources: placement.Resources{gpu: 1}})
		if b.overcommitted() {
			return nil
		}
	}
	used := slotsIn(at.Roles)
	for range 1 + r.IntN(2) {
		b.failed = append(b.failed, used[r.IntN(len(used))])
	}
	return b
}

func (b *broken) overcommitted() bool {
	for _, n := range nodesOf(9) {
		if node, _ := b.snapshot.Node(n); node.Used[gpu] > node.Capacity[gpu] {
			return true
		}
	}
	return false
}

// Repair against every way to place what is lost.
func TestRepairAgainstBruteForce(t *testing.T) {
	cases := 6000
	if testing.Short() {
		cases = 1500
	}
	var repairable, refused, exact, missed int
	for seed := range uint64(cases) {
		b := randomBroken(rand.New(rand.NewPCG(seed, 7)))
		if b == nil {
			continue
		}
		got := Repair(b.snapshot, b.gang, b.failed)
		possible := b.repairable()
		if possible {
			repairable++
		}
		if got.Refusal == nil {
			if problem := b.check(got); problem != "" {
				t.Fatalf("case %d: %s: %s", seed, problem, reads(got))
			}
			if !possible {
				t.Fatalf("case %d: brute force finds no such repair: %s", seed, reads(got))
			}
			continue
		}
		refused++
		if got.Proof == placement.Exact {
			exact++
		}
		if possible {
			missed++
			if got.Proof == placement.Exact {
				t.Errorf("case %d: a repair exists, but %s", seed, reads(got))
			}
		}
	}
	t.Logf("%d repairable, %d refused (%d exact), %d missed", repairable, refused, exact, missed)
	if repairable < cases/10 || refused < cases/50 {
		t.Error("the cases do not test much")
	}
}

// parts flattens the gang's roles: for each rank its copies and their levels.
type part struct {
	role   *placement.Role
	name   string
	rank   int
	node   string
	copies []string
	levels []topology.Level
}

// parts is written for the trees of randomBroken: roles of the root, and one
// group with copies.
func (b *broken) parts(roles []placement.RolePlacement) []part {
	root := &b.gang.Request.Root
	var out []part
	for _, got := range roles {
		for i := range root.Roles {
			for rank, node := range got.Nodes {
				if root.Roles[i].Name == got.Name {
					out = append(out, part{&root.Roles[i], got.Name, rank, node, []string{"root"}, []topology.Level{root.Required}})
				}
			}
		}
		for i := range root.Groups {
			g := &root.Groups[i]
			for rank, node := range got.Nodes {
				if g.Roles[0].Name == got.Name {
					out = append(out, part{&g.Roles[0], got.Name, rank, node,
						[]string{"root", fmt.Sprint(g.Name, rank/g.Roles[0].Count)}, []topology.Level{root.Required, g.Required}})
				}
			}
		}
	}
	return out
}

// repairable tries every node for every lost pod, with the room of all spares.
func (b *broken) repairable() bool {
	free := map[string]int64{}
	for _, n := range nodesOf(9) {
		if node, found := b.snapshot.Node(n); found && !slices.Contains(b.failed, n) {
			free[n] = max(0, node.Capacity[gpu]-node.Used[gpu])
		}
	}
	shapes := map[string]int64{}
	eachRole(&b.gang.Request.Root, func(r *placement.Role) { shapes[r.Name] = r.Shape.Resources[gpu] })
	for _, role := range b.gang.Roles {
		for _, n := range role.Spares {
			if _, fine := free[n]; fine {
				free[n] += shapes[role.Name]
			}
		}
	}
	at := map[string]place{}
	var lost []part
	for _, p := range b.parts(b.gang.Roles) {
		if slices.Contains(b.failed, p.node) {
			lost = append(lost, p)
			continue
		}
		for i, c := range p.copies {
			at[c] = domainAt(b.snapshot, p.node, p.levels[i])
		}
	}
	var try func(i int) bool
	try = func(i int) bool {
		if i == len(lost) {
			return true
		}
		p := lost[i]
		for _, n := range nodesOf(9) {
			need := p.role.Shape.Resources[gpu]
			if have, fine := free[n]; !fine || have < need {
				continue
			}
			var pinned []string
			allowed := true
			for j, c := range p.copies {
				in := domainAt(b.snapshot, n, p.levels[j])
				if was, pin := at[c]; !pin {
					at[c] = in
					pinned = append(pinned, c)
				} else if was != in {
					allowed = false
				}
			}
			if allowed {
				free[n] -= need
				if try(i + 1) {
					return true
				}
				free[n] += need
			}
			for _, c := range pinned {
				delete(at, c)
			}
		}
		return false
	}
	return try(0)
}

// check says what is wrong with a repair, "" for nothing.
func (b *broken) check(r Repaired) string {
	before, after := b.parts(b.gang.Roles), b.parts(r.Roles)
	if len(before) != len(after) {
		return "the gang has another size"
	}
	at := map[string]place{}
	moved := map[string]bool{}
	for i, p := range after {
		if slices.Contains(b.failed, p.node) {
			return "a pod is on a failed node"
		}
		if !slices.Contains(b.failed, before[i].node) && before[i].node != p.node {
			return "a pod that survives moves"
		}
		if before[i].node != p.node {
			moved[fmt.Sprint(p.name, p.rank, before[i].node, p.node)] = true
		}
		for j, c := range p.copies {
			in := domainAt(b.snapshot, p.node, p.levels[j])
			if was, pin := at[c]; pin && was != in {
				return "copy " + c + " is in two domains"
			}
			at[c] = in
		}
	}
	for _, m := range r.Replaced {
		if !moved[fmt.Sprint(m.Role, m.Rank, m.From, m.To)] {
			return "Replaced names a move that is none"
		}
	}
	if len(r.Replaced) != len(moved) {
		return "Replaced is not complete"
	}
	old, taken := map[string]int64{}, map[string]int64{}
	for _, u := range b.gang.Uses {
		old[u.Node] += u.Resources[gpu]
	}
	for _, u := range Uses(b.gang.Request, r.Roles) {
		taken[u.Node] += u.Resources[gpu]
		node, _ := b.snapshot.Node(u.Node)
		if taken[u.Node] > old[u.Node] && taken[u.Node]-old[u.Node] > max(0, node.Capacity[gpu]-node.Used[gpu]) {
			return "node " + u.Node + " has no such room"
		}
	}
	return b.checkSpares(r)
}

// checkSpares counts spares, and what is missing.
func (b *broken) checkSpares(r Repaired) string {
	missing := map[string]int{}
	for _, m := range r.Missing {
		missing[m.Role] = m.Count
	}
	for i, role := range r.Roles {
		if len(role.Spares)+missing[role.Name] != wantSpares(b.gang.Roles[i]) {
			return "the spares of " + role.Name + " do not add up"
		}
		for _, n := range role.Spares {
			if slices.Contains(b.failed, n) {
				return "a spare is on a failed node"
			}
		}
	}
	return ""
}

func wantSpares(r placement.RolePlacement) int { return len(r.Spares) }
