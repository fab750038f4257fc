package queueing

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/k8s4ai/k8s4ai/internal/placement"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

const gpu = "nvidia.com/gpu"

// fleet has two leaves in one block; each has as many nodes as the list says, all
// with the same number of devices.
func fleet(devices int64, leaves ...int) *placement.Snapshot {
	s, err := placement.NewSnapshot(fleetParts(devices, leaves...))
	if err != nil {
		panic(err)
	}
	return s
}

func fleetParts(devices int64, leaves ...int) ([]topology.Vertex, []placement.Node) {
	domains := []topology.Vertex{{Name: "block", Level: topology.Block}}
	var nodes []placement.Node
	for i, n := range leaves {
		leaf := fmt.Sprintf("leaf%d", i)
		domains = append(domains, topology.Vertex{Name: leaf, Level: topology.Leaf, Parent: "block"})
		for range n {
			nodes = append(nodes, placement.Node{
				Name: fmt.Sprintf("n%d", len(nodes)), Domain: leaf,
				Capacity: placement.Resources{gpu: devices, "pods": 100},
			})
		}
	}
	return domains, nodes
}

// nodesOf names the nodes of a fleet with so many.
func nodesOf(n int) []string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf("n%d", i))
	}
	return out
}

// ask is a request of pods with so many devices each, inside one domain of the
// level.
func ask(level topology.Level, pods int, devices int64) placement.Request {
	return placement.Request{Root: placement.Group{Required: level, Roles: []placement.Role{{
		Name: "worker", Count: pods, Shape: placement.Shape{Resources: placement.Resources{gpu: devices}}}}}}
}

// waits is a gang that asks for pods of 8 devices anywhere.
func waits(name string, pods int, more ...func(*Gang)) Gang {
	g := Gang{Name: name, Request: ask(topology.Cluster, pods, 8)}
	for _, change := range more {
		change(&g)
	}
	return g
}

func runtime(d time.Duration) func(*Gang)    { return func(g *Gang) { g.Runtime = d } }
func arrival(d time.Duration) func(*Gang)    { return func(g *Gang) { g.Arrival = d } }
func priority(p int32) func(*Gang)           { return func(g *Gang) { g.Priority = p } }
func preempts(g *Gang)                       { g.Preempts = true }
func within(l topology.Level) func(*Gang)    { return func(g *Gang) { g.Request.Root.Required = l } }
func asking(r placement.Request) func(*Gang) { return func(g *Gang) { g.Request = r } }

// runs is a gang with one pod of 8 devices on each node.
func runs(name string, nodes []string, more ...func(*Running)) Running {
	return runsWith(8, name, nodes, more...)
}

func runsWith(devices int64, name string, nodes []string, more ...func(*Running)) Running {
	r := Running{Gang: Gang{Name: name, Request: ask(topology.Cluster, len(nodes), devices)}}
	r.Roles = []placement.RolePlacement{{Name: "worker", Nodes: nodes}}
	r.Uses = Uses(r.Request, r.Roles)
	r.Preemptible, r.Movable = true, true
	for _, change := range more {
		change(&r)
	}
	return r
}

func until(d time.Duration) func(*Running)    { return func(r *Running) { r.Runtime = d - r.Start } }
func since(d time.Duration) func(*Running)    { return func(r *Running) { r.Start, r.Saved = d, d } }
func ranked(p int32) func(*Running)           { return func(r *Running) { r.Priority = p } }
func restarts(d time.Duration) func(*Running) { return func(r *Running) { r.Restart = d } }
func stopping(r *Running)                     { r.Stopping = true }
func fixed(r *Running)                        { r.Movable = false }
func keeps(r *Running)                        { r.Preemptible = false }

// holding takes the room of running gangs.
func holding(s *placement.Snapshot, running []Running) *placement.Snapshot {
	for _, r := range running {
		s = s.With(r.Uses...)
	}
	return s
}

// history is a small cluster with a queue that a test lets run: an independent
// loop around Next.
type history struct {
	snapshot *placement.Snapshot
	policy   Policy
	// arrivals are in order. actual is how long each gang really runs.
	arrivals []Gang
	actual   map[string]time.Duration
	now      time.Duration
	waiting  []Gang
	running  []Running
	held     *Reservation
	started  map[string]time.Duration
	// seen is called after every pass.
	seen func(h *history, p Pass)
}

// run lets the history go on until nothing is left to happen.
func (h *history) run() {
	h.started = map[string]time.Duration{}
	h.pass()
	for h.step() {
		h.pass()
	}
}

// step goes to the next instant at which something happens.
func (h *history) step() bool {
	next := Never
	if len(h.arrivals) > 0 {
		next = h.arrivals[0].Arrival
	}
	for _, r := range h.running {
		next = min(next, r.Start+h.actual[r.Name])
	}
	if next == Never {
		return false
	}
	h.now = next
	var left []Running
	for _, r := range h.running {
		if r.Start+h.actual[r.Name] <= h.now {
			h.snapshot = h.snapshot.With(returned(r.Uses)...)
		} else {
			left = append(left, r)
		}
	}
	h.running = left
	return true
}

func (h *history) pass() {
	for len(h.arrivals) > 0 && h.arrivals[0].Arrival <= h.now {
		h.waiting, h.arrivals = append(h.waiting, h.arrivals[0]), h.arrivals[1:]
	}
	p := Next(Input{Now: h.now, Snapshot: h.snapshot, Waiting: h.waiting, Running: h.running, Held: h.held, Policy: h.policy})
	h.held = p.Held
	for _, s := range p.Starts {
		i := slices.IndexFunc(h.waiting, func(g Gang) bool { return g.Name == s.Gang })
		g := h.waiting[i]
		r := Running{Gang: g, Roles: s.Placement.Roles, Uses: Uses(g.Request, s.Placement.Roles), Start: h.now}
		if !fits(h.snapshot, r.Uses) {
			panic("Next starts a gang where there is no room")
		}
		h.snapshot = h.snapshot.With(r.Uses...)
		h.running = append(h.running, r)
		h.waiting = slices.Delete(slices.Clone(h.waiting), i, i+1)
		h.started[g.Name] = h.now
	}
	if h.seen != nil {
		h.seen(h, p)
	}
}

// randomHistory has gangs of all sizes on up to 6 nodes. unknown is the share of
// gangs that do not declare how long they run; the others do so exactly.
func randomHistory(seed uint64, unknown float64) *history {
	r := rand.New(rand.NewPCG(seed, 1))
	h := &history{
		snapshot: fleet(4, 1+r.IntN(3), 1+r.IntN(3)),
		policy:   Policy{Backfill: true, Expiry: time.Duration(r.IntN(3)) * time.Second},
		actual:   map[string]time.Duration{},
	}
	at := time.Duration(0)
	for i := range 6 + r.IntN(10) {
		at += time.Duration(r.IntN(4)) * time.Second
		g := Gang{Name: fmt.Sprintf("g%02d", i), Arrival: at}
		g.Request = ask([]topology.Level{topology.Cluster, topology.Cluster, topology.Leaf, topology.Node}[r.IntN(4)],
			1+r.IntN(4), 1+r.Int64N(4))
		if r.IntN(8) == 0 {
			g.Request.Root.Roles[0].Spares = 1
		}
		if r.IntN(5) == 0 {
			g.Request.Root.Roles[0].MinCount = 1
		}
		if r.IntN(4) == 0 {
			g.Request.Root.Groups = []placement.Group{{Name: "side", Copies: 1 + r.IntN(2), Required: topology.Leaf, Roles: []placement.Role{{
				Name: "side", Count: 1 + r.IntN(2), Shape: placement.Shape{Resources: placement.Resources{gpu: 1 + r.Int64N(3)}}}}}}
			g.Request.Root.Required = topology.Cluster
		}
		runs := time.Duration(1+r.IntN(12)) * time.Second
		h.actual[g.Name] = runs
		if r.Float64() >= unknown {
			g.Runtime = runs
		}
		h.arrivals = append(h.arrivals, g)
	}
	return h
}
