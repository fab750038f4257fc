package topology

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// known is all evidence of a cluster, from which a State can be built at once.
type known struct {
	declared []Declaration
	scan     Scan
	nodes    map[string]knownNode
	// weak gives names with hashes that collide.
	weak bool
}

type knownNode struct {
	labelled Labelled
	report   *Report
	room     NodeRoom
}

func (k *known) state() *State {
	s := NewState()
	if k.weak {
		s.names.hash = func(id identity, round int) string {
			if round > 2 {
				return nameHash(id, round)
			}
			return nameHash(id, round)[:1]
		}
	}
	return s
}

// rebuilt is a State that has seen nothing but what is known now.
func (k *known) rebuilt() *State {
	s := k.state()
	s.Declare(k.declared)
	s.SetScan(k.scan)
	for _, n := range k.nodes {
		s.SetNode(n.labelled, n.report, n.room)
	}
	return s
}

// mutate changes one thing in what is known and tells the State. It returns the
// node that it is about, "" for none.
func (k *known) mutate(c *choices, s *State) string {
	switch c.below(10) {
	case 0:
		k.declared = fuzzDeclarations(c)
		s.Declare(k.declared)
		return ""
	case 1:
		k.scan = fuzzScan(c)
		s.SetScan(k.scan)
		return ""
	case 2, 3:
		name := c.name()
		delete(k.nodes, name)
		s.RemoveNode(name)
		return name
	}
	n := k.nodes[fmt.Sprintf("n%d", c.below(8))]
	if n.labelled.Name == "" || c.below(3) == 0 {
		n = fuzzNode(c)
	}
	switch c.below(4) {
	case 0:
		n.room = fuzzRoom(c)
	case 1:
		n.report = fuzzReport(c)
	case 2:
		n.labelled = fuzzNode(c).labelled
	}
	if n.labelled.Name == "" {
		return ""
	}
	k.nodes[n.labelled.Name] = n
	s.SetNode(n.labelled, n.report, n.room)
	return n.labelled.Name
}

func fuzzDeclarations(c *choices) []Declaration {
	var out []Declaration
	for range c.below(6) {
		d := Declaration{Vertex: Vertex{Name: c.text(), Level: Level(c.below(7) - 1), Parent: c.text()}}
		for range c.below(5) {
			d.Members = append(d.Members, c.name())
		}
		out = append(out, d)
	}
	return out
}

func fuzzScan(c *choices) Scan {
	var out Scan
	for range c.below(6) {
		leaf := LeafSwitch{GUID: fmt.Sprintf("%016x", c.below(5)), Block: []string{"", "x", "y"}[c.below(3)], Fabric: []string{"ib0", "ib1"}[c.below(2)]}
		for range c.below(4) {
			leaf.Adapters = append(leaf.Adapters, uint64(c.below(7)))
		}
		out.Leaves = append(out.Leaves, leaf)
	}
	return out
}

func fuzzNode(c *choices) knownNode {
	keys := []string{gkeBlock, gkeLeaf, gkeLeaf, cliqueKey, cliqueKey, "topology.k8s.aws/network-node-layer-1", awsLeaf, "topology.k8s.aws/ultraserver-id", LeafLabel}
	n := knownNode{labelled: Labelled{Name: c.name(), Labels: map[string]string{}}}
	for range c.below(4) {
		n.labelled.Labels[keys[c.below(len(keys))]] = c.text()
	}
	for range c.below(2) {
		n.labelled.In = append(n.labelled.In, c.text())
	}
	if c.below(2) == 0 {
		n.report = fuzzReport(c)
	}
	n.room = fuzzRoom(c)
	return n
}

func fuzzReport(c *choices) *Report {
	r := &Report{}
	if c.below(2) == 0 {
		states := []FabricState{FabricCompleted, FabricCompleted, FabricUnknown, FabricNotSupported, "?"}
		r.Fabric = &NVLinkFabric{ClusterUUID: []string{uuid, otherUUID, "", "0"}[c.below(4)], CliqueID: uint32(c.below(3)), State: states[c.below(5)], Health: []FabricHealth{Healthy, Unhealthy}[c.below(2)]}
	}
	for range c.below(3) {
		r.NICs = append(r.NICs, NIC{
			Name: "ib", LinkLayer: "InfiniBand", GUID: fmt.Sprintf("0000:0000:0000:%04x", c.below(7)), SystemGUID: []string{"", "x", "0000:0000:0000:0006"}[c.below(3)],
		})
	}
	for range c.below(3) {
		r.NICs = append(r.NICs, NIC{Name: "eth", LinkLayer: "Ethernet", GUID: "?", Subnet: []string{"10.0.0.0/16", "10.1.0.0/16", "10.2.0.0/16", "fd00::/64", ""}[c.below(5)]})
	}
	return r
}

func fuzzRoom(c *choices) NodeRoom {
	room := NodeRoom{Ready: c.below(2) == 0, Accelerators: Accelerators{Total: []int64{0, 8, -1, 1 << 62}[c.below(4)], Free: int64(c.below(9)), Unhealthy: int64(c.below(3))}}
	for range c.below(3) {
		room.Reasons = append(room.Reasons, c.text())
	}
	for range c.below(3) {
		room.Classes = append(room.Classes, ClassCount{[]string{"h100", "h200"}[c.below(2)], int64(c.below(9))})
	}
	return room
}

// shown is everything that a State says, by name.
type shown struct {
	domains map[string]DomainState
	nodes   map[string]shownNode
}

type shownNode struct {
	Place    Place
	Problems []Problem
	Room     NodeRoom
}

func (k *known) show(t *testing.T, s *State) shown {
	t.Helper()
	s.settle()
	out := shown{map[string]DomainState{}, map[string]shownNode{}}
	for _, names := range [][]string{slices.Collect(maps.Keys(s.declared)), slices.Collect(maps.Keys(s.derived))} {
		for _, name := range names {
			d, found := s.Domain(name)
			if !found || d.Name != name {
				t.Fatalf("Domain(%q) = %+v, %v", name, d, found)
			}
			out.domains[name] = d
		}
	}
	for name, n := range k.nodes {
		place, problems, found := s.Place(name)
		if !found {
			t.Fatalf("Place(%q) is not found", name)
		}
		out.nodes[name] = shownNode{place, problems, n.room.clamped()}
	}
	return out
}

func differing[V any](before, after map[string]V) map[string]bool {
	out := map[string]bool{}
	for name, was := range before {
		if is, ok := after[name]; !ok || !cmp.Equal(was, is) {
			out[name] = true
		}
	}
	for name := range after {
		if _, ok := before[name]; !ok {
			out[name] = true
		}
	}
	return out
}

// drive makes a sequence of changes. After each, the State says what a State
// says that is built from scratch, and Take has named what differs.
func drive(t *testing.T, data []byte) (spurious, all int) {
	t.Helper()
	c := &choices{data}
	k := &known{nodes: map[string]knownNode{}, weak: c.below(2) == 0}
	live := k.state()
	before := k.show(t, live)
	for len(c.data) > 0 {
		about := k.mutate(c, live)
		fresh := k.rebuilt()
		after := k.show(t, live)
		if diff := cmp.Diff(fresh.Assembly(), live.Assembly()); diff != "" {
			t.Fatalf("the State differs from one built from scratch (-scratch +live):\n%s", diff)
		}
		if diff := cmp.Diff(k.show(t, fresh), after, cmp.AllowUnexported(shown{})); diff != "" {
			t.Fatalf("the State says something else than one built from scratch (-scratch +live):\n%s", diff)
		}
		k.checkSummaries(t, live, after)
		changes := live.Take()
		domains, nodes := differing(before.domains, after.domains), differing(before.nodes, after.nodes)
		all += len(domains) + len(nodes)
		for name := range domains {
			if !slices.Contains(changes.Domains, name) {
				t.Fatalf("domain %q changed and Take does not name it:\n%s", name, cmp.Diff(before.domains[name], after.domains[name]))
			}
		}
		for name := range nodes {
			if !slices.Contains(changes.Nodes, name) {
				t.Fatalf("node %q changed and Take does not name it:\n%s", name, cmp.Diff(before.nodes[name], after.nodes[name]))
			}
		}
		for _, name := range changes.Nodes {
			if !nodes[name] && name != about {
				spurious++
			}
		}
		for _, name := range changes.Domains {
			if !domains[name] {
				spurious++
			}
		}
		before = after
	}
	checkEmpty(t, k, live)
	return spurious, all
}

func (k *known) checkSummaries(t *testing.T, s *State, now shown) {
	t.Helper()
	var rooms []NodeRoom
	for name, n := range k.nodes {
		n.room.Node = name
		rooms = append(rooms, n.room)
	}
	for name, want := range Summarise(s.Assembly(), rooms) {
		if diff := cmp.Diff(want, now.domains[name].Summary); diff != "" {
			t.Fatalf("summary of %q (-Summarise +State):\n%s", name, diff)
		}
	}
}

// checkEmpty takes everything away, after which nothing may be left behind.
func checkEmpty(t *testing.T, k *known, s *State) {
	t.Helper()
	for name := range k.nodes {
		s.RemoveNode(name)
	}
	s.Declare(nil)
	s.Take()
	left := map[string]int{
		"nodes": len(s.nodes), "declared": len(s.declared), "listed": len(s.listed), "groups": len(s.groups), "derived": len(s.derived),
		"taken names": len(s.names.taken), "asked names": len(s.names.asks), "guids": len(s.guids), "subnets": len(s.subnets),
		"switches": len(s.switches.edges) + len(s.switches.parts), "rails": len(s.rails.edges) + len(s.rails.parts), "values": len(s.votes.values),
	}
	for _, p := range s.votes.pairings {
		left["polls"] += len(p.as) + len(p.bs)
	}
	for what, n := range left {
		if n > 0 {
			t.Errorf("an empty State has %d %s", n, what)
		}
	}
}

func TestStateFollowsItsEvidence(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 3))
	spurious, all := 0, 0
	for range 60 {
		data := make([]byte, 600)
		for i := range data {
			data[i] = byte(r.Uint32())
		}
		more, of := drive(t, data)
		spurious, all = spurious+more, all+of
	}
	// What changes and changes back may be named; it must stay the exception.
	if spurious*20 > all {
		t.Errorf("Take named %d objects that had not changed, beside %d that had", spurious, all)
	}
}

// A change of one node names the domains above that node, in a fabric of any
// size, and the members of a declared domain that takes all nodes are not touched.
func TestAChangeNamesWhatIsAboveIt(t *testing.T) {
	s := NewState()
	s.Declare([]Declaration{{Vertex: Vertex{Name: "all", Level: Fabric}}})
	set := func(i, leaf int, ready bool) {
		n := labelled(fmt.Sprintf("n%d", i), gkeBlock, fmt.Sprintf("b%d", leaf/4), gkeLeaf, fmt.Sprintf("s%d", leaf))
		n.In = []string{"all"}
		r := routed(n.Name, "10.0.0.0/16", "10.1.0.0/16")
		s.SetNode(n, &r, NodeRoom{Ready: ready})
	}
	for i := range 512 {
		set(i, i/16, true)
	}
	s.Take()
	steps := []struct {
		what string
		do   func()
		want Changes
	}{
		{"nothing", func() { set(100, 6, true) }, Changes{Domains: []string{}, Nodes: []string{}}},
		{"health", func() { set(100, 6, false) }, Changes{Domains: []string{"all", "b1", "s6"}, Nodes: []string{"n100"}}},
		{"a leaf in the block", func() { set(100, 7, false) }, Changes{Domains: []string{"s6", "s7"}, Nodes: []string{"n100"}}},
		{"another block", func() { set(100, 31, false) }, Changes{Domains: []string{"b1", "b7", "s7", "s31"}, Nodes: []string{"n100"}}},
		{"it leaves", func() { s.RemoveNode("n100") }, Changes{Domains: []string{"all", "b7", "s31"}, Nodes: []string{"n100"}}},
		{"it comes back", func() { set(100, 6, true) }, Changes{Domains: []string{"all", "b1", "s6"}, Nodes: []string{"n100"}}},
	}
	for _, step := range steps {
		step.do()
		if diff := cmp.Diff(step.want, s.Take()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.what, diff)
		}
	}
	if d, _ := s.Domain("all"); d.Summary.Nodes != 512 || d.Summary.ReadyNodes != 512 {
		t.Errorf("the fabric has %+v", d.Summary)
	}
}

// FuzzState drives a State with any sequence of changes.
func FuzzState(f *testing.F) {
	r := rand.New(rand.NewPCG(5, 5))
	for range 8 {
		data := make([]byte, 300)
		for i := range data {
			data[i] = byte(r.Uint32())
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 2000 {
			return
		}
		drive(t, data)
	})
}
