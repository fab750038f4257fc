package oracle

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/k8s4ai/k8s4ai/internal/placement"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// changeCases is the number of seeds for each rule of how a change of the input
// changes the verdict.
const changeCases = 3000

// place is the engine's verdict on a case.
func place(t *testing.T, c Case) placement.Verdict {
	t.Helper()
	return placement.Place(snapshot(t, c), c.Request)
}

func snapshot(t *testing.T, c Case) *placement.Snapshot {
	t.Helper()
	s, err := c.Snapshot()
	if err != nil {
		t.Fatalf("%v\n%+v", err, c)
	}
	return s
}

// copyOfCase copies everything that a test changes.
func copyOfCase(c Case) Case {
	c.Domains, c.Nodes = slices.Clone(c.Domains), slices.Clone(c.Nodes)
	for i := range c.Nodes {
		c.Nodes[i].Used, c.Nodes[i].Capacity = maps.Clone(c.Nodes[i].Used), maps.Clone(c.Nodes[i].Capacity)
	}
	return c
}

func TestTheOrderOfTheInputIsIrrelevant(t *testing.T) {
	for seed := range uint64(changeCases) {
		c, d := Random(seed), &dice{state: seed}
		before := place(t, c)
		for i := range c.Domains {
			j := d.upTo(i + 1)
			c.Domains[i], c.Domains[j] = c.Domains[j], c.Domains[i]
		}
		for i := range c.Nodes {
			j := d.upTo(i + 1)
			c.Nodes[i], c.Nodes[j] = c.Nodes[j], c.Nodes[i]
		}
		if diff := cmp.Diff(before, place(t, c)); diff != "" {
			t.Fatalf("seed %d: the order of the input changes the verdict (-first +shuffled):\n%s", seed, diff)
		}
	}
}

// podsOf is the number of pods of each role, nil for a refusal.
func podsOf(v placement.Verdict) []int {
	if v.Placement == nil {
		return nil
	}
	var out []int
	for _, r := range v.Placement.Roles {
		out = append(out, len(r.Nodes))
	}
	return out
}

// renamed renames every node and domain by their number in falling order, so that
// what came first comes last.
func renamed(c Case) Case {
	c = copyOfCase(c)
	to := map[string]string{"": ""}
	for i := range c.Domains {
		to[c.Domains[i].Name] = fmt.Sprintf("renamed-%d", 99-i)
	}
	for i := range c.Nodes {
		to[c.Nodes[i].Name] = fmt.Sprintf("z%d-renamed", 99-i)
	}
	for i := range c.Domains {
		d := &c.Domains[i]
		d.Name, d.Parent = to[d.Name], to[d.Parent]
	}
	for i := range c.Nodes {
		n := &c.Nodes[i]
		n.Name, n.Domain = to[n.Name], to[n.Domain]
	}
	c.Request.Root = renamedGroup(c.Request.Root, to)
	return c
}

// renamedGroup renames nodes in the selectors of the group.
func renamedGroup(g placement.Group, to map[string]string) placement.Group {
	g.Roles, g.Groups = slices.Clone(g.Roles), slices.Clone(g.Groups)
	for i := range g.Roles {
		terms := slices.Clone(g.Roles[i].Shape.Selector)
		for j := range terms {
			terms[j] = slices.Clone(terms[j])
			for k := range terms[j] {
				r := &terms[j][k]
				if !r.Field {
					continue
				}
				r.Values = slices.Clone(r.Values)
				for v := range r.Values {
					r.Values[v] = to[r.Values[v]]
				}
			}
		}
		g.Roles[i].Shape.Selector = terms
	}
	for i := range g.Groups {
		g.Groups[i] = renamedGroup(g.Groups[i], to)
	}
	return g
}

func TestNamesAreIrrelevantToWhatFits(t *testing.T) {
	for seed := range uint64(changeCases) {
		c := Random(seed)
		before, after := place(t, c), place(t, renamed(c))
		if diff := cmp.Diff(podsOf(before), podsOf(after)); diff != "" || before.Proof != after.Proof {
			t.Fatalf("seed %d: names change what fits (-before +renamed):\n%s", seed, diff)
		}
		if before.Refusal != nil {
			a, b := *before.Refusal, *after.Refusal
			if a.Found != b.Found || a.Needed != b.Needed || a.Group != b.Group || a.Level != b.Level {
				t.Fatalf("seed %d: names change a refusal:\n%s\n%s", seed, a, b)
			}
			continue
		}
		a, b := before.Placement.Quality, after.Placement.Quality
		same := slices.Equal(preferencesMet(c, a), preferencesMet(c, b))
		if a.Level != b.Level || !same || len(before.Placement.Roles) == 1 && a.Domains != b.Domains {
			t.Fatalf("seed %d: names change the quality:\n%+v\n%+v", seed, a, b)
		}
	}
}

// preferencesMet is the level that each group reached of what it prefers.
func preferencesMet(c Case, q placement.Quality) []topology.Level {
	var out []topology.Level
	for i, g := range newGang(&c.Request.Root, size{}, nil).groups[1:] {
		out = append(out, min(q.Groups[i].Level, max(g.level, g.in.Preferred)))
	}
	return out
}

func TestMoreRoomTakesNoPlacementAway(t *testing.T) {
	changes := map[string]func(c *Case, d *dice){
		"a node more": func(c *Case, d *dice) {
			other := Random(d.state).Nodes[0]
			other.Name = "more"
			if other.Domain = ""; len(c.Domains) > 0 {
				other.Domain = among(d, c.Domains...).Name
			}
			c.Nodes = append(c.Nodes, other)
		},
		"room freed": func(c *Case, d *dice) {
			n := &c.Nodes[d.upTo(len(c.Nodes))]
			for name := range n.Used {
				n.Used[name] /= 2
			}
		},
		"more capacity": func(c *Case, d *dice) {
			c.Nodes[d.upTo(len(c.Nodes))].Capacity[gpu] += 2
		},
		"a node gets well": func(c *Case, d *dice) {
			n := &c.Nodes[d.upTo(len(c.Nodes))]
			n.Unavailable, n.Taints = "", nil
		},
		"a pod asks for less": func(c *Case, d *dice) {
			c.Request.Root = lighter(c.Request.Root)
		},
		"any level will do": func(c *Case, d *dice) {
			c.Request.Root.Required = 0
		},
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			placed, refused := 0, 0
			for seed := range uint64(changeCases) {
				c := Random(seed)
				before := podsOf(place(t, c))
				more := copyOfCase(c)
				change(&more, &dice{state: seed})
				after := podsOf(place(t, more))
				if before == nil {
					refused++
					continue
				}
				placed++
				for i, n := range before {
					if len(after) < len(before) || after[i] < n {
						t.Fatalf("seed %d: %v pods were placed, now %v", seed, before, after)
					}
				}
			}
			if min(placed, refused) < changeCases/5 {
				t.Errorf("%d are placed and %d refused: they say little", placed, refused)
			}
		})
	}
}

// lighter halves what the pods of the group ask for.
func lighter(g placement.Group) placement.Group {
	g.Roles, g.Groups = slices.Clone(g.Roles), slices.Clone(g.Groups)
	for i := range g.Roles {
		resources := maps.Clone(g.Roles[i].Shape.Resources)
		for name := range resources {
			resources[name] /= 2
		}
		g.Roles[i].Shape.Resources = resources
	}
	for i := range g.Groups {
		g.Groups[i] = lighter(g.Groups[i])
	}
	return g
}

// uses makes some for the nodes of a case and for one that it has not.
func (d *dice) uses(c Case) []placement.Use {
	var out []placement.Use
	for range d.upTo(5) {
		use := placement.Use{Node: "nobody", Resources: placement.Resources{gpu: int64(d.upTo(4))}}
		if !d.one(8) {
			use.Node = among(d, c.Nodes...).Name
		}
		if d.one(2) {
			use.Resources["pods"] = 1
		}
		if d.one(3) {
			use.Resources[cpu] = int64(d.upTo(9000))
		}
		out = append(out, use)
	}
	return out
}

// negated gives back what uses take.
func negated(uses []placement.Use) []placement.Use {
	out := slices.Clone(uses)
	for i := range out {
		out[i].Resources = maps.Clone(out[i].Resources)
		for name := range out[i].Resources {
			out[i].Resources[name] *= -1
		}
	}
	return out
}

func TestRoomTakenAndGivenBackIsAsItWas(t *testing.T) {
	for seed := range uint64(changeCases) {
		c, d := Random(seed), &dice{state: seed}
		s := snapshot(t, c)
		before := placement.Place(s, c.Request)
		uses := d.uses(c)
		taken := s.With(uses...)

		by := copyOfCase(c)
		for _, use := range uses {
			for i := range by.Nodes {
				for name, amount := range use.Resources {
					if by.Nodes[i].Name == use.Node {
						by.Nodes[i].Used[name] += amount
					}
				}
			}
		}
		if diff := cmp.Diff(place(t, by), placement.Place(taken, c.Request)); diff != "" {
			t.Fatalf("seed %d: room taken is not room used (-used +taken):\n%s", seed, diff)
		}
		back := taken.With(negated(uses)...)
		if diff := cmp.Diff(before, placement.Place(back, c.Request)); diff != "" {
			t.Fatalf("seed %d: room given back is not as it was (-before +after):\n%s", seed, diff)
		}
		if diff := cmp.Diff(before, placement.Place(s, c.Request)); diff != "" {
			t.Fatalf("seed %d: a snapshot changed (-before +after):\n%s", seed, diff)
		}
		for i := range by.Nodes {
			by.Nodes[i].Used = nil
		}
		if diff := cmp.Diff(place(t, by), placement.Place(taken.Emptied(), c.Request)); diff != "" {
			t.Fatalf("seed %d: emptied is not empty (-unused +emptied):\n%s", seed, diff)
		}
	}
}

// A placement leaves exactly the room that is not its own: placed again on what
// is left until it is refused, it never takes room twice.
func TestAPlacementIsRoomThatCanBeTaken(t *testing.T) {
	for seed := range uint64(changeCases) {
		c := Random(seed)
		s := snapshot(t, c)
		for range 3 {
			v := placement.Place(s, c.Request)
			if v.Placement == nil {
				break
			}
			g := newGang(&c.Request.Root, size{}, nil)
			var uses []placement.Use
			for i, r := range v.Placement.Roles {
				for _, name := range slices.Concat(r.Nodes, r.Spares) {
					resources := placement.Resources{"pods": 1}
					for resource, amount := range g.roles[i].in.Shape.Resources {
						resources[resource] += amount
					}
					uses = append(uses, placement.Use{Node: name, Resources: resources})
				}
			}
			for i := range c.Nodes {
				n, _ := s.Node(c.Nodes[i].Name)
				c.Nodes[i] = n
			}
			if found, ok := Judge(c, v); !ok || found.Wrong != "" {
				t.Fatalf("seed %d: %+v", seed, found)
			}
			s = s.With(uses...)
		}
	}
}
