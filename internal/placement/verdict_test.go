package placement

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/k8s4ai/k8s4ai/internal/topology"
)

func TestRefusalReads(t *testing.T) {
	cases := map[string]Refusal{
		"needs 24 slots in one Block, best is block-b with 17": {
			Level: topology.Block, Domain: "block-b", Needed: 24, Found: 17},
		"needs 4 copies of tp in one Block, best is block-b with 3": {
			Level: topology.Block, Domain: "block-b", Needed: 4, Found: 3, Unit: "tp"},
		"needs 1 copy of tp in the cluster, there are none": {Needed: 1, Unit: "tp"},
		"needs 80 slots in the cluster, there are 60":       {Needed: 80, Found: 60},
		"needs 24 slots in one Block, no Block has any":     {Level: topology.Block, Needed: 24},
		"needs 8 slots in one NVLinkDomain for a copy of tp, best is rack-3 with 6": {
			Group: "tp", Level: topology.NVLinkDomain, Domain: "rack-3", Needed: 8, Found: 6},
		"needs 2 slots in one Leaf, no Leaf has any; short of nvidia.com/gpu; left out: 3 nodes cordoned, 2 not ready": {
			Level: topology.Leaf, Needed: 2, Limiting: "nvidia.com/gpu", Excluded: []Exclusion{{"cordoned", 3}, {"not ready", 2}}},
	}
	for want, r := range cases {
		if got := r.String(); got != want {
			t.Errorf("String() = %q, want %q", got, want)
		}
	}
}

func TestQuality(t *testing.T) {
	counts := func(fabrics, blocks, leaves, links, nodes int) [6]int {
		return [6]int{1, fabrics, blocks, leaves, links, nodes}
	}
	tp := func(level topology.Level) []GroupQuality { return []GroupQuality{{"tp", level}} }
	cases := map[string]struct {
		world   world
		request Request
		want    Quality
	}{
		"one machine": {racks(), within(0, workers(1, 8)),
			Quality{Level: topology.Node, Domain: "n5", Domains: counts(1, 1, 1, 1, 1)}},
		"a leaf has machines for NVLink domains": {racks(0, 0, 8, 8, 8, 8), within(0, workers(2, 8)),
			Quality{Level: topology.Leaf, Domain: "a1", Domains: counts(1, 1, 1, 2, 2)}},
		"an NVLink domain stands in for a leaf": {racks(0, 0, 8, 8), within(0, workers(4, 8)),
			Quality{Level: topology.Fabric, Domain: "fab", Domains: counts(1, 2, 2, 3, 4)}},
		"slices reach the widest level of their copies": {racks(0, 0, 8, 8), copiesOf(2, 2, 0, topology.Leaf),
			Quality{Level: topology.Fabric, Domain: "fab", Domains: counts(1, 2, 2, 3, 4), Groups: tp(topology.Leaf)}},
		"copies of one machine": {racks(8, 0, 8, 0, 8, 8), copiesOf(2, 1, 0, 0),
			Quality{Level: topology.Block, Domain: "block-a", Domains: counts(1, 1, 2, 2, 2), Groups: tp(topology.Node)}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			v := Place(tc.world.snapshot(), tc.request)
			if v.Placement == nil {
				t.Fatal(summary(v))
			}
			if diff := cmp.Diff(tc.want, v.Placement.Quality); diff != "" {
				t.Errorf("Quality (-want +got):\n%s", diff)
			}
		})
	}
}

// A request of many different roles is beyond the exact sets: it is still
// placed where that is simple, and a refusal says that it is no proof.
func TestPlaceBeyondTheBound(t *testing.T) {
	varied := func(roles, count int) Request {
		var r Request
		for i := range roles {
			role := workers(count, int64(1+i%3))
			role.Name = fmt.Sprintf("r%d", i)
			r.Root.Roles = append(r.Root.Roles, role)
		}
		return r
	}
	classes := func() Request {
		r := varied(5, 1)
		for i := range r.Root.Roles {
			r.Root.Roles[i].Shape.Classes = []string{"x", "y"}
		}
		return r
	}
	s := fleetOf(64, 0)
	cases := map[string]struct {
		request Request
		placed  bool
		proof   Proof
	}{
		"many roles that fit":               {varied(30, 8), true, Exact},
		"many roles that hardly miss":       {varied(30, 9), false, None},
		"a role that alone is too large":    {varied(30, 600), false, Exact},
		"more class choices than are tried": {classes(), false, None},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			v := Place(s, tc.request)
			if (v.Placement != nil) != tc.placed || v.Proof != tc.proof {
				t.Errorf("Place() = %s, proof %s", summary(v), v.Proof)
			}
		})
	}
}
