package topology

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// choices turns fuzz input into decisions; past its end every decision is 0.
type choices struct{ data []byte }

func (c *choices) below(n int) int {
	if len(c.data) == 0 {
		return 0
	}
	b := int(c.data[0])
	c.data = c.data[1:]
	return b % n
}

// text is drawn from few values, so that they meet, with hostile ones among
// them.
func (c *choices) text() string {
	texts := []string{"", "a", "b", "A", "a-b", "a-a", "n1", "n2", "c.1", "_", "a..b", "-.", "\xff\x00", "x\x00y",
		uuid + ".1", uuid + ".2", uuid + ".32766", strings.Repeat("é", 40), strings.Repeat("l", 63), strings.Repeat("l", 64), strings.Repeat("z", 2000)}
	return texts[c.below(len(texts))]
}

func (c *choices) name() string {
	return []string{"n1", "n2", "n3", "n4", "n5", "n10", "a", ""}[c.below(8)]
}

func fuzzInput(c *choices) Input {
	in := Input{Declared: fuzzDeclarations(c)}
	keys := append(evidenceKeys(), LeafLabel, BlockLabel, gkeBlock, gkeLeaf, gkeLeaf, cliqueKey, cliqueKey)
	for range c.below(8) {
		n := Labelled{Name: c.name(), Labels: map[string]string{}}
		for range c.below(5) {
			n.Labels[keys[c.below(len(keys))]] = c.text()
		}
		in.Nodes = append(in.Nodes, n)
	}
	states := []FabricState{FabricCompleted, FabricUnknown, FabricNotSupported, FabricInProgress, "?"}
	for range c.below(5) {
		f := &NVLinkFabric{ClusterUUID: c.text(), CliqueID: uint32(c.below(3)), State: states[c.below(5)], Health: FabricHealth(c.text())}
		in.Reports = append(in.Reports, Report{Node: c.name(), Fabric: f, NICs: fuzzReport(c).NICs})
	}
	in.Scan = fuzzScan(c)
	return in
}

func shuffled(in Input, seed uint64) Input {
	r := rand.New(rand.NewPCG(seed, 1))
	out := Input{Declared: slices.Clone(in.Declared), Nodes: slices.Clone(in.Nodes), Reports: slices.Clone(in.Reports)}
	out.Scan.Leaves = slices.Clone(in.Scan.Leaves)
	r.Shuffle(len(out.Scan.Leaves), func(i, j int) {
		out.Scan.Leaves[i], out.Scan.Leaves[j] = out.Scan.Leaves[j], out.Scan.Leaves[i]
	})
	r.Shuffle(len(out.Declared), func(i, j int) { out.Declared[i], out.Declared[j] = out.Declared[j], out.Declared[i] })
	r.Shuffle(len(out.Nodes), func(i, j int) { out.Nodes[i], out.Nodes[j] = out.Nodes[j], out.Nodes[i] })
	r.Shuffle(len(out.Reports), func(i, j int) { out.Reports[i], out.Reports[j] = out.Reports[j], out.Reports[i] })
	for i, d := range out.Declared {
		m := slices.Clone(d.Members)
		r.Shuffle(len(m), func(i, j int) { m[i], m[j] = m[j], m[i] })
		out.Declared[i].Members = m
	}
	return out
}

// Whatever the evidence: the result is a forest whose parents are wider and
// listed first, a node is directly in one domain at most, derived names are
// names, facts are bounded, and the order of the input has no meaning.
func FuzzAssemble(f *testing.F) {
	f.Add([]byte("a fabric of some nodes and labels"))
	f.Add([]byte{3, 1, 3, 2, 2, 0, 1, 2, 2, 0, 1, 1, 4, 1, 2, 1, 0, 7, 0, 3, 5, 1, 4, 2, 1, 2, 6, 14, 3, 2, 9, 1, 4, 0, 14, 1, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		in := fuzzInput(&choices{data})
		a := Assemble(in)
		checkForest(t, in, a)
		for _, p := range a.Problems {
			if len(p.Facts) > maxFacts {
				t.Errorf("%d facts", len(p.Facts))
			}
			for _, fact := range p.Facts {
				if len(fact) > maxFactBytes {
					t.Errorf("fact of %d bytes", len(fact))
				}
			}
		}
		Summarise(a, []NodeRoom{{Node: "n1", Accelerators: Accelerators{Total: 1 << 62}}})
		if diff := cmp.Diff(a, Assemble(shuffled(in, uint64(len(data))))); diff != "" {
			t.Errorf("the order of the input has a meaning (-first +shuffled):\n%s", diff)
		}
	})
}

func checkForest(t *testing.T, in Input, a Assembly) {
	t.Helper()
	listed := map[string]Domain{}
	directly := map[string]string{}
	for _, d := range a.Domains {
		if _, twice := listed[d.Name]; twice {
			t.Errorf("domain %q is listed twice", d.Name)
		}
		if parent, ok := listed[d.Parent]; d.Parent != "" && (!ok || parent.Level >= d.Level) {
			t.Errorf("%q has the parent %q, which is not wider and before it", d.Name, d.Parent)
		}
		isDeclared := slices.ContainsFunc(in.Declared, func(e Declaration) bool { return e.Name == d.Name })
		if isDeclared != (d.Source == Declared) || !isDeclared && !isName(d.Name) {
			t.Errorf("%q has source %s and name validity %v", d.Name, d.Source, isName(d.Name))
		}
		listed[d.Name] = d
		for _, n := range d.Nodes {
			if other, twice := directly[n]; twice {
				t.Errorf("node %q is in %q and in %q", n, other, d.Name)
			}
			directly[n] = d.Name
		}
	}
	for _, n := range a.Nodes {
		if n.Domain != directly[n.Node] {
			t.Errorf("node %q says %q and is in %q", n.Node, n.Domain, directly[n.Node])
		}
		if inner := innermost(n.Path); inner != n.Domain {
			t.Errorf("node %q has path %q and domain %q", n.Node, n.Path, n.Domain)
		}
		for _, name := range n.Path[Fabric:Node] {
			if name != "" && !slices.Contains(listed[name].AllNodes, n.Node) {
				t.Errorf("node %q is not among all nodes of %q", n.Node, name)
			}
		}
	}
	if len(directly) > len(a.Nodes) {
		t.Errorf("%d nodes in domains, %d nodes", len(directly), len(a.Nodes))
	}
}

// Whatever a report says, validating it ends with problems that are bounded,
// and a report over a bound has at least one.
func FuzzValidateReport(f *testing.F) {
	f.Add([]byte("gpus and links"), int64(80), int64(400))
	f.Add([]byte{200, 1, 2, 3}, int64(-1), int64(1)<<62)
	f.Fuzz(func(t *testing.T, data []byte, memory, rate int64) {
		c := &choices{data}
		r := Report{Node: c.text()}
		for range c.below(70) {
			r.GPUs = append(r.GPUs, GPU{UUID: c.text(), PCIAddress: c.text(), NUMANode: c.below(256) - 2, MemoryBytes: memory, FreeBytes: rate})
		}
		for range c.below(4) {
			r.Switches = append(r.Switches, c.text())
		}
		for range c.below(200) {
			r.Links = append(r.Links, Link{A: c.text(), B: c.text(), Count: int(rate), GbpsPerLink: memory})
		}
		for range c.below(80) {
			r.NICs = append(r.NICs, NIC{Name: c.text(), GUID: c.text(), LinkLayer: c.text(), RateGbps: rate, NUMANode: int(memory)})
		}
		problems := ValidateReport(r)
		impossible := len(r.GPUs) > MaxGPUs || len(r.NICs) > MaxNICs || len(r.GPUs) > 0 && (memory < 0 || rate > memory)
		if impossible && len(problems) == 0 {
			t.Error("an impossible report has no problem")
		}
		for _, p := range problems {
			for _, fact := range p.Facts {
				if len(fact) > maxFactBytes {
					t.Errorf("fact of %d bytes", len(fact))
				}
			}
		}
	})
}

// evidenceKeys lists the label keys that Assemble reads, sorted.
func evidenceKeys() []string {
	keys := []string{cliqueKey}
	for _, p := range providers {
		for _, k := range p.keys {
			keys = append(keys, k.key)
		}
	}
	slices.Sort(keys)
	return keys
}

// innermost is the narrowest domain above a node, "" for one outside of every
// fabric.
func innermost(p Path) string {
	for l := NVLinkDomain; l > Cluster; l-- {
		if p[l] != "" {
			return p[l]
		}
	}
	return ""
}
