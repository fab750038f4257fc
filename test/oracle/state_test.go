package oracle

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/k8s4ai/k8s4ai/internal/placement"
)

// history drives a State and a plain list of nodes side by side.
type history struct {
	*dice
	t     *testing.T
	state *placement.State
	// now is what the State ought to hold; its request is asked of every snapshot,
	// and so are those of others.
	now    Case
	others []placement.Request
	kept   []kept
}

// kept is a snapshot of an earlier moment, with what was true then.
type kept struct {
	*placement.Snapshot
	then Case
	// nodes are the nodes by name as the State was told.
	nodes []placement.Node
	says  []placement.Verdict
}

// newHistory begins with domains and no node.
func newHistory(t *testing.T, d *dice) *history {
	h := &history{dice: d, t: t, now: d.roll()}
	for range 3 {
		h.others = append(h.others, d.roll().Request)
	}
	// One that selects, so that labels come to matter in the middle of a history.
	selecting := pods("r", 2, 1)
	selecting.Shape.Selector = d.selector()
	h.others = append(h.others, within(0, selecting, pods("s", 1, 2)))
	h.now.Nodes = nil
	state, err := placement.NewState(h.now.Domains)
	if err != nil {
		t.Fatal(err)
	}
	h.state = state
	return h
}

// find is the position of a node, -1 for none.
func (h *history) find(name string) int {
	return slices.IndexFunc(h.now.Nodes, func(n placement.Node) bool { return n.Name == name })
}

func (h *history) name() string { return fmt.Sprintf("n%d", h.upTo(10)) }

// step makes one change, in both.
func (h *history) step() {
	switch h.upTo(8) {
	case 0, 1, 2:
		m := h.model()
		m.labelled = true
		n := h.node(h.name(), m, h.now.Domains)
		if h.one(6) {
			n.Capacity[among(h.dice, "x.io/other", "ephemeral-storage", "memory")] = 1 << 30
		}
		h.set(n)
	case 3:
		// The same node, with one thing changed.
		if i := h.find(h.name()); i >= 0 {
			n := h.now.Nodes[i]
			other := h.node(n.Name, h.model(), h.now.Domains)
			switch h.upTo(5) {
			case 0:
				n.Unavailable = among(h.dice, "", "not ready", "unhealthy")
			case 1:
				n.Domain = other.Domain
			case 2:
				n.Labels = map[string]string{"zone": among(h.dice, "a", "b"), "age": fmt.Sprint(h.upTo(4))}
			case 3:
				n.Taints = []placement.Taint{{Key: "t", Value: "x", Effect: "NoSchedule"}}
			case 4:
				n.Capacity, n.Used = other.Capacity, nil
			}
			h.set(n)
		}
	case 4:
		name := h.name()
		if i := h.find(name); i >= 0 {
			h.now.Nodes = slices.Delete(h.now.Nodes, i, i+1)
		}
		h.state.RemoveNode(name)
	case 5:
		h.refuseNode()
	case 6:
		h.take()
	case 7:
		h.commit()
	}
}

// set stores the node in both. The State gets maps of its own.
func (h *history) set(n placement.Node) {
	if err := h.state.SetNode(ownCopy(n)); err != nil {
		h.t.Fatalf("setting %+v: %v", n, err)
	}
	if i := h.find(n.Name); i >= 0 {
		h.now.Nodes[i] = n
	} else {
		h.now.Nodes = append(h.now.Nodes, n)
	}
}

func ownCopy(n placement.Node) placement.Node {
	n.Capacity, n.Used, n.Labels = maps.Clone(n.Capacity), maps.Clone(n.Used), maps.Clone(n.Labels)
	n.Classes, n.Taints = slices.Clone(n.Classes), slices.Clone(n.Taints)
	return n
}

// refuseNode sets a node that makes no sense. Nothing changes.
func (h *history) refuseNode() {
	n := h.node(h.name(), h.model(), h.now.Domains)
	want := ""
	switch h.upTo(4) {
	case 0:
		n.Name, want = "", "has no name"
	case 1:
		n.Domain, want = "nowhere", "domain nowhere does not exist"
	case 2:
		n.Capacity[gpu], want = -1, gpu+" is negative"
	case 3:
		n.Used[cpu], want = math.MinInt64, cpu+" is negative"
	}
	if err := h.state.SetNode(n); err == nil || !strings.Contains(err.Error(), want) {
		h.t.Fatalf("setting %+v gives %v, want %q", n, err, want)
	}
}

// uses makes room that is taken, or given back, on nodes that exist and on others.
func (h *history) uses(back bool) []placement.Use {
	var out []placement.Use
	for range 1 + h.upTo(4) {
		use := placement.Use{Node: h.name(), Resources: placement.Resources{}}
		for _, name := range []string{gpu, cpu, "pods", "x.io/other"} {
			if amount := int64(h.upTo(3)); amount > 0 {
				use.Resources[name] = amount
			}
			if back && h.one(2) {
				use.Resources[name] *= -1
			}
		}
		out = append(out, use)
	}
	return out
}

func (h *history) take() {
	uses := h.uses(true)
	if h.one(10) && len(h.now.Nodes) > 0 {
		uses = append(uses, placement.Use{Node: h.now.Nodes[0].Name, Resources: placement.Resources{cpu: math.MaxInt64}},
			placement.Use{Node: h.now.Nodes[0].Name, Resources: placement.Resources{cpu: math.MinInt64 + 1}})
	}
	h.state.Take(uses...)
	h.taken(uses)
}

// taken follows a State that has taken room.
func (h *history) taken(uses []placement.Use) {
	for _, use := range uses {
		i := h.find(use.Node)
		if i < 0 {
			continue
		}
		used := maps.Clone(h.now.Nodes[i].Used)
		if used == nil {
			used = placement.Resources{}
		}
		for name, amount := range use.Resources {
			sum := used[name] + amount
			if amount > 0 && sum < 0 {
				sum = math.MaxInt64
			}
			used[name] = max(0, sum)
		}
		h.now.Nodes[i].Used = used
	}
}

// commit takes room of the moment, or room that was there at the time of a
// snapshot and may be gone.
func (h *history) commit() {
	if len(h.kept) == 0 || h.one(4) {
		uses := slices.DeleteFunc(h.uses(false), func(u placement.Use) bool { return !hasFree(h.now.Nodes, u) })
		uses = uses[:min(1, len(uses))]
		if err := h.state.Commit(h.state.Snapshot().Generation(), uses...); err != nil {
			h.t.Fatalf("committing %v at once: %v", uses, err)
		}
		h.taken(uses)
		return
	}
	old := &h.kept[h.upTo(len(h.kept))]
	uses := slices.DeleteFunc(h.uses(false), func(u placement.Use) bool { return !hasFree(old.nodes, u) })
	slices.SortFunc(uses, func(a, b placement.Use) int { return strings.Compare(a.Node, b.Node) })
	uses = slices.CompactFunc(uses, func(a, b placement.Use) bool { return a.Node == b.Node })
	stale := slices.IndexFunc(uses, func(u placement.Use) bool { return !hasFree(h.now.Nodes, u) })
	err := h.state.Commit(old.Generation(), uses...)
	switch {
	case stale < 0 && err != nil:
		h.t.Fatalf("committing %v, which is free: %v", uses, err)
	case stale < 0:
		h.taken(uses)
	case !errors.Is(err, placement.ErrStale):
		h.t.Fatalf("committing %v, which is gone, gives %v", uses, err)
	case !slices.ContainsFunc(uses, func(u placement.Use) bool {
		return !hasFree(h.now.Nodes, u) && strings.Contains(err.Error(), u.Node)
	}):
		h.t.Fatalf("committing %v names no node that is short: %v", uses, err)
	}
}

// hasFree reports whether the node exists, takes pods and has the room.
func hasFree(nodes []placement.Node, use placement.Use) bool {
	i := slices.IndexFunc(nodes, func(n placement.Node) bool { return n.Name == use.Node })
	if i < 0 || nodes[i].Unavailable != "" {
		return false
	}
	for name, amount := range use.Resources {
		capacity, limited := nodes[i].Capacity[name]
		if name == "pods" && !limited {
			continue
		}
		if amount > capacity-nodes[i].Used[name] {
			return false
		}
	}
	return true
}

// verdicts asks the snapshot everything that the history asks.
func (h *history) verdicts(s *placement.Snapshot) []placement.Verdict {
	out := []placement.Verdict{placement.Place(s, h.now.Request), placement.Place(s.Emptied(), h.now.Request)}
	for _, r := range h.others {
		out = append(out, placement.Place(s, r))
	}
	return out
}

// sameNodes says how the nodes of a snapshot differ from those that it should have.
func sameNodes(s *placement.Snapshot, c Case) string {
	for i := range 10 {
		name := fmt.Sprintf("n%d", i)
		at := slices.IndexFunc(c.Nodes, func(n placement.Node) bool { return n.Name == name })
		got, found := s.Node(name)
		if found != (at >= 0) {
			return fmt.Sprintf("node %s is found: %v", name, found)
		}
		if !found {
			continue
		}
		want := c.Nodes[at]
		want.Used = positive(want.Used)
		got.Used = positive(got.Used)
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			return "(-want +got):\n" + diff
		}
		above := ""
		for _, d := range s.Above(name) {
			above += d.Name + " "
		}
		path := ""
		for up := want.Domain; up != ""; {
			path += up + " "
			for _, d := range c.Domains {
				if d.Name == up {
					up = d.Parent
					break
				}
			}
		}
		if above != path {
			return fmt.Sprintf("node %s is in %s, want %s", name, above, path)
		}
	}
	return ""
}

// positive leaves out what is not used.
func positive(r placement.Resources) placement.Resources {
	out := placement.Resources{}
	for name, amount := range r {
		if amount > 0 {
			out[name] = amount
		}
	}
	return out
}

// check compares the State with a snapshot that is built anew, and looks whether
// what was kept is as it was.
func (h *history) check() {
	s := h.state.Snapshot()
	if problem := sameNodes(s, h.now); problem != "" {
		h.t.Fatal(problem)
	}
	anew := snapshot(h.t, h.now)
	says := h.verdicts(s)
	if diff := cmp.Diff(h.verdicts(anew), says); diff != "" {
		h.t.Fatalf("a State that changed answers otherwise than one built anew (-anew +changed):\n%s", diff)
	}
	if h.one(3) {
		if len(h.kept) == 4 {
			h.kept = slices.Delete(h.kept, 0, 1)
		}
		h.kept = append(h.kept, kept{s, Case{Domains: h.now.Domains, Nodes: slices.Clone(h.now.Nodes)}, slices.Clone(h.now.Nodes), says})
	}
	for _, old := range h.kept {
		if old.Generation() > s.Generation() {
			h.t.Fatalf("generation %d comes after %d", s.Generation(), old.Generation())
		}
		if problem := sameNodes(old.Snapshot, old.then); problem != "" {
			h.t.Fatalf("an older snapshot changed: %s", problem)
		}
		if diff := cmp.Diff(old.says, h.verdicts(old.Snapshot)); diff != "" {
			h.t.Fatalf("an older snapshot answers otherwise than before (-before +now):\n%s", diff)
		}
	}
}

func TestAStateIsWhatItsHistoryMakesIt(t *testing.T) {
	histories := uint64(150)
	if testing.Short() {
		histories = 15
	}
	for seed := range histories {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			h := newHistory(t, &dice{state: seed})
			for range 40 {
				h.step()
				h.check()
			}
		})
	}
}

// Snapshots are used by many goroutines while their State goes on.
func TestSnapshotsAreUsedWhileTheStateChanges(t *testing.T) {
	for seed := range uint64(10) {
		h := newHistory(t, &dice{state: seed})
		for range 12 {
			h.step()
		}
		var users sync.WaitGroup
		for range 20 {
			h.step()
			s, then := h.state.Snapshot(), slices.Clone(h.now.Nodes)
			for range 2 {
				users.Go(func() {
					c := Case{Domains: h.now.Domains, Nodes: then}
					anew, err := c.Snapshot()
					if err != nil {
						t.Error(err)
						return
					}
					if diff := cmp.Diff(h.verdicts(anew), h.verdicts(s)); diff != "" {
						t.Errorf("seed %d: (-alone +at once):\n%s", seed, diff)
					}
					if problem := sameNodes(s, c); problem != "" {
						t.Errorf("seed %d: %s", seed, problem)
					}
				})
			}
		}
		users.Wait()
	}
}
