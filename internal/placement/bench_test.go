package placement

import (
	"fmt"
	"math/rand"
	"testing"

	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// fleetOf builds machines with 8 GPUs in leaves of 32 and blocks of 16 leaves.
// fill is the share of GPUs that scattered pods of 1 to 8 GPUs take.
func fleetOf(nodes int, fill float64) *Snapshot {
	w := world{domains: []topology.Vertex{{Name: "fabric", Level: topology.Fabric}}}
	r := rand.New(rand.NewSource(1))
	for i := range nodes {
		block, leaf := fmt.Sprintf("block-%d", i/512), fmt.Sprintf("leaf-%d", i/32)
		if i%512 == 0 {
			w.domains = append(w.domains, topology.Vertex{Name: block, Level: topology.Block, Parent: "fabric"})
		}
		if i%32 == 0 {
			w.domains = append(w.domains, topology.Vertex{Name: leaf, Level: topology.Leaf, Parent: block})
		}
		n := Node{
			Name:     fmt.Sprintf("node-%d", i),
			Domain:   leaf,
			Capacity: Resources{"cpu": 192000, "memory": 2 << 40, "nvidia.com/gpu": 8, "rdma/ib": 8, "pods": 110},
			Used:     Resources{},
		}
		for r.Float64() < fill && n.Used["nvidia.com/gpu"] < 8 {
			gpus := min(8-n.Used["nvidia.com/gpu"], int64(1)<<r.Intn(4))
			n.Used["nvidia.com/gpu"] += gpus
			n.Used["cpu"] += gpus * 16000
			n.Used["memory"] += gpus << 36
			n.Used["pods"]++
		}
		w.nodes = append(w.nodes, n)
	}
	return w.snapshot()
}

func gpus(n int64) Shape {
	return Shape{Resources: Resources{"cpu": n * 12000, "memory": n << 36, "nvidia.com/gpu": n}}
}

func BenchmarkPlace(b *testing.B) {
	single := func(pods int) Request {
		return Request{Root: Group{Roles: []Role{{Name: "worker", Count: pods, Shape: gpus(8)}}}}
	}
	requests := []struct {
		name    string
		request Request
	}{
		{"64x8", single(64)},
		{"512x8", single(512)},
		{"16x8+64x1", Request{Root: Group{Roles: []Role{
			{Name: "worker", Count: 16, Shape: gpus(8)}, {Name: "loader", Count: 64, Shape: gpus(1)}}}}},
		{"16x8+32x2+64x1", Request{Root: Group{Roles: []Role{
			{Name: "a", Count: 16, Shape: gpus(8)}, {Name: "b", Count: 32, Shape: gpus(2)}, {Name: "c", Count: 64, Shape: gpus(1)}}}}},
		{"8 slices of 8x8", Request{Root: Group{Required: topology.Block, Groups: []Group{
			{Name: "tp", Copies: 8, Required: topology.Leaf, Roles: []Role{{Name: "worker", Count: 8, Shape: gpus(8)}}}}}}},
		{"8 slices of 2x8+8x1, preferred leaf", Request{Root: Group{Groups: []Group{
			{Name: "tp", Copies: 8, Required: topology.Block, Preferred: topology.Leaf, Roles: []Role{
				{Name: "a", Count: 2, Shape: gpus(8)}, {Name: "b", Count: 8, Shape: gpus(1)}}}}}}},
		{"refused 20000x8", single(20000)},
	}
	for _, nodes := range []int{1024, 10240} {
		for _, fill := range []float64{0, 0.5} {
			s := fleetOf(nodes, fill)
			for _, r := range requests {
				b.Run(fmt.Sprintf("%d nodes %v full/%s", nodes, fill, r.name), func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						if v := Place(s, r.request); v.Invalid != "" || v.Proof == None {
							b.Fatal(v)
						}
					}
				})
			}
		}
	}
}

// stateOf is fleetOf as a State.
func stateOf(nodes int, fill float64) (*State, []string) {
	s := fleetOf(nodes, fill)
	var domains []topology.Vertex
	var all []Node
	var names []string
	s.root.walk(func(d *domain) {
		if d.parent != nil {
			domains = append(domains, d.vertex)
		}
		for i := range d.members {
			all = append(all, s.nodeOf(&d.members[i]))
			names = append(names, d.members[i].node.Name)
		}
	})
	state, err := NewState(domains, all...)
	if err != nil {
		panic(err)
	}
	return state, names
}

// BenchmarkChurn measures one change of a State that has a snapshot, and a
// decision after 1,000 of them.
func BenchmarkChurn(b *testing.B) {
	for _, nodes := range []int{1024, 10240, 102400} {
		for _, fill := range []float64{0, 0.7} {
			state, names := stateOf(nodes, fill)
			r := rand.New(rand.NewSource(2))
			churn := func() {
				for range 500 {
					use := Use{names[r.Intn(len(names))], Resources{"cpu": 1000, "nvidia.com/gpu": 1, "pods": 1}}
					state.Take(use)
					back := Use{use.Node, Resources{"cpu": -1000, "nvidia.com/gpu": -1, "pods": -1}}
					state.Take(back)
				}
			}
			b.Run(fmt.Sprintf("%d nodes %v full/change", nodes, fill), func(b *testing.B) {
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					if i%1000 == 0 {
						state.Snapshot()
					}
					state.Take(Use{names[r.Intn(len(names))], Resources{"cpu": 1000, "nvidia.com/gpu": int64(i%2*2 - 1), "pods": 1}})
				}
			})
			for _, pods := range []int{1, 8, 64, 512} {
				request := Request{Root: Group{Required: topology.Block, Preferred: topology.Leaf, Roles: []Role{{Name: "worker", Count: pods, Shape: gpus(8)}}}}
				if fill > 0 && pods == 512 {
					request.Root.Required = topology.Cluster
				}
				b.Run(fmt.Sprintf("%d nodes %v full/place %d", nodes, fill, pods), func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						b.StopTimer()
						churn()
						s := state.Snapshot()
						b.StartTimer()
						Place(s, request)
					}
				})
			}
		}
	}
}
