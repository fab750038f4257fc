package convert

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/placement"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// The mirrored labels have one spelling.
func TestLabelKeysAgree(t *testing.T) {
	want := []string{v1alpha1.LabelBlock, v1alpha1.LabelLeaf, v1alpha1.LabelNVLinkDomain}
	if diff := cmp.Diff(want, []string{topology.BlockLabel, topology.LeafLabel, topology.NVLinkDomainLabel}); diff != "" {
		t.Errorf("labels (-v1alpha1 +topology):\n%s", diff)
	}
}

func TestLevels(t *testing.T) {
	for _, l := range topology.Levels {
		if got := level(apiLevel(l)); got != l {
			t.Errorf("level(%q) = %v, want %v", apiLevel(l), got, l)
		}
	}
	if got := apiLevel(topology.Cluster); got != "" {
		t.Errorf("apiLevel(Cluster) = %q, want nothing", got)
	}
	if got := level("of a later version"); got != topology.Cluster {
		t.Errorf("an unknown level is %v, want Cluster", got)
	}
}

func placedGang() *v1alpha1.GangSchedulingGroup {
	worker, driver := role("worker", 4), role("driver", 1)
	worker.Template.Spec.Containers = []corev1.Container{container(list("cpu", "1500m"), list("nvidia.com/gpu", "8"))}
	out := &v1alpha1.GangSchedulingGroup{Spec: gang(roles(worker, driver, role("absent", 1)))}
	out.Generation = 7
	return out
}

func somePlacement() *placement.Placement {
	return &placement.Placement{
		Roles: []placement.RolePlacement{
			{Name: "driver", Nodes: []string{"n-1"}},
			{Name: "worker", Class: "h100", Nodes: []string{"n-1", "n-2", "n-2"}, Spares: []string{"n-3"}},
		},
		Quality: placement.Quality{
			Level: topology.Leaf, Domain: "leaf-a", Domains: [6]int{1, 1, 1, 1, 3, 3},
			Groups: []placement.GroupQuality{{Name: "tp", Level: topology.Node}, {Name: "wide", Level: topology.Cluster}},
		},
	}
}

func TestGangPlacement(t *testing.T) {
	at := time.Unix(1000, 0)
	want := &v1alpha1.GangPlacement{
		Generation: 7, CommittedTime: &metav1.Time{Time: at}, Level: v1alpha1.LevelLeaf, Domain: "leaf-a",
		Spread: []v1alpha1.LevelSpread{
			{Level: v1alpha1.LevelFabric, Domains: 1}, {Level: v1alpha1.LevelBlock, Domains: 1}, {Level: v1alpha1.LevelLeaf, Domains: 1},
			{Level: v1alpha1.LevelNVLinkDomain, Domains: 3}, {Level: v1alpha1.LevelNode, Domains: 3},
		},
		Groups: []v1alpha1.GroupPlacement{{Name: "tp", Level: v1alpha1.LevelNode}, {Name: "wide"}},
		Roles: []v1alpha1.RolePlacement{
			{Name: "worker", Replicas: 3, ClassName: "h100", Hosts: "n-1,n-2*2", SpareHosts: "n-3", Slot: list("cpu", "1500m", "nvidia.com/gpu", "8")},
			{Name: "driver", Replicas: 1, Hosts: "n-1", Slot: corev1.ResourceList{}},
		},
	}
	if diff := cmp.Diff(want, GangPlacement(somePlacement(), placedGang(), at)); diff != "" {
		t.Errorf("GangPlacement() (-want +got):\n%s", diff)
	}
}

// A placement survives the status: what comes back takes the same room, in rank
// order.
func TestPlacementRoundTrip(t *testing.T) {
	stored := GangPlacement(somePlacement(), placedGang(), time.Unix(1000, 0))
	placed, err := PlacedRoles(stored)
	if err != nil {
		t.Fatal(err)
	}
	slot, small := placement.Resources{"cpu": 1500, "nvidia.com/gpu": 8, podSlots: 1}, placement.Resources{podSlots: 1}
	want := []PlacedRole{
		{Name: "worker", Nodes: []string{"n-1", "n-2", "n-2"}, Spares: []string{"n-3"}, Slot: slot},
		{Name: "driver", Nodes: []string{"n-1"}, Slot: small},
	}
	if diff := cmp.Diff(want, placed); diff != "" {
		t.Errorf("PlacedRoles() (-want +got):\n%s", diff)
	}
	uses := []placement.Use{
		{Node: "n-1", Resources: slot}, {Node: "n-2", Resources: slot}, {Node: "n-2", Resources: slot},
		{Node: "n-3", Resources: slot}, {Node: "n-1", Resources: small},
	}
	if diff := cmp.Diff(uses, Uses(placed)); diff != "" {
		t.Errorf("Uses() (-want +got):\n%s", diff)
	}
	held, holds := Commitment(&v1alpha1.GangSchedulingGroup{Status: v1alpha1.GangSchedulingGroupStatus{Placement: stored}})
	if diff := cmp.Diff(uses, held); diff != "" || !holds {
		t.Errorf("Commitment() holds %v (-want +got):\n%s", holds, diff)
	}
}

func TestPlacedRolesRefuses(t *testing.T) {
	cases := map[string]struct {
		role v1alpha1.RolePlacement
		want string
	}{
		"no hosts":           {v1alpha1.RolePlacement{Name: "w", Replicas: 1}, `placement of role w: host list: cannot read ""`},
		"hosts of nonsense":  {v1alpha1.RolePlacement{Name: "w", Replicas: 1, Hosts: "a["}, `placement of role w: host list: cannot read "a["`},
		"another number":     {v1alpha1.RolePlacement{Name: "w", Replicas: 3, Hosts: "a[0-1]"}, `placement of role w: 2 hosts for 3 pods`},
		"spares of nonsense": {v1alpha1.RolePlacement{Name: "w", Replicas: 1, Hosts: "a", SpareHosts: ",a"}, `spares of role w: host list: cannot read ""`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			stored := &v1alpha1.GangPlacement{Roles: []v1alpha1.RolePlacement{tc.role}}
			if _, err := PlacedRoles(stored); err == nil || err.Error() != tc.want {
				t.Errorf("PlacedRoles() = %v, want %s", err, tc.want)
			}
			if _, held := Commitment(&v1alpha1.GangSchedulingGroup{Status: v1alpha1.GangSchedulingGroupStatus{Placement: stored}}); held {
				t.Error("a placement that cannot be read holds room")
			}
		})
	}
}

func TestGangRefusal(t *testing.T) {
	refusal := placement.Refusal{
		Group: "tp", Level: topology.NVLinkDomain, Domain: "rack-3", Needed: 8, Found: 5, Limiting: "nvidia.com/gpu",
		Excluded: []placement.Exclusion{{Reason: "cordoned", Nodes: 2}},
		Levels: []placement.LevelBest{
			{Level: topology.Cluster, Found: 8, Needed: 8}, {Level: topology.NVLinkDomain, Domain: "rack-3", Found: 5, Needed: 8}, {Level: topology.Node, Needed: 8},
		},
	}
	text := "needs 8 slots in one NVLinkDomain for a copy of tp, best is rack-3 with 5; short of nvidia.com/gpu; left out: 2 nodes cordoned"
	want := &v1alpha1.GangRefusal{
		Reason: v1alpha1.ReasonWaitingForRoom, Message: text, Group: "tp", Level: v1alpha1.LevelNVLinkDomain, Domain: "rack-3",
		Needed: new(int32(8)), Found: new(int32(5)), Limiting: "nvidia.com/gpu",
		Levels: []v1alpha1.LevelRefusal{
			{Found: new(int32(8)), Needed: new(int32(8))},
			{Level: v1alpha1.LevelNVLinkDomain, Domain: "rack-3", Found: new(int32(5)), Needed: new(int32(8))},
			{Level: v1alpha1.LevelNode, Found: new(int32(0)), Needed: new(int32(8))},
		},
		Excluded: []v1alpha1.ExcludedNodes{{Reason: "cordoned", Nodes: 2}},
	}
	if diff := cmp.Diff(want, GangRefusal(v1alpha1.ReasonWaitingForRoom, &refusal)); diff != "" {
		t.Errorf("GangRefusal() (-want +got):\n%s", diff)
	}
	want.Reason, want.Message = v1alpha1.ReasonUnsatisfiable, text+"; this is what the fleet holds with nothing else on it"
	if diff := cmp.Diff(want, GangRefusal(v1alpha1.ReasonUnsatisfiable, &refusal)); diff != "" {
		t.Errorf("GangRefusal() for good (-want +got):\n%s", diff)
	}
	none := placement.Refusal{Needed: 3}
	want = &v1alpha1.GangRefusal{
		Reason: v1alpha1.ReasonNoProof, Message: "needs 3 slots in the cluster, there are none", Needed: new(int32(3)), Found: new(int32(0)),
	}
	if diff := cmp.Diff(want, GangRefusal(v1alpha1.ReasonNoProof, &none)); diff != "" {
		t.Errorf("GangRefusal() of nothing (-want +got):\n%s", diff)
	}
}

// A refusal with more reasons than a status holds is cut, and stays text.
func TestGangRefusalIsBounded(t *testing.T) {
	refusal := placement.Refusal{Needed: 1}
	for range 300 {
		refusal.Excluded = append(refusal.Excluded, placement.Exclusion{Reason: "tainted ünïcode.example.com/ключ", Nodes: 1})
	}
	message := GangRefusal(v1alpha1.ReasonUnsatisfiable, &refusal).Message
	if len(message) > maxMessage || !utf8.ValidString(message) || !strings.HasSuffix(message, "…") {
		t.Errorf("a message of %d bytes: %q", len(message), message)
	}
}

func TestExcluded(t *testing.T) {
	var many []placement.Exclusion
	var want []v1alpha1.ExcludedNodes
	for i := range 18 {
		reason := "tainted " + string(rune('a'+i))
		many = append(many, placement.Exclusion{Reason: reason, Nodes: 100 - i})
		if i < 15 {
			want = append(want, v1alpha1.ExcludedNodes{Reason: reason, Nodes: int32(100 - i)})
		}
	}
	long := strings.Repeat("ü", 400)
	cases := map[string]struct {
		in   []placement.Exclusion
		want []v1alpha1.ExcludedNodes
	}{
		"none":                               {nil, nil},
		"sorted by reason":                   {[]placement.Exclusion{{Reason: "b", Nodes: 1}, {Reason: "a", Nodes: 2}}, []v1alpha1.ExcludedNodes{{Reason: "a", Nodes: 2}, {Reason: "b", Nodes: 1}}},
		"the rarest are put together":        {many, append([]v1alpha1.ExcludedNodes{{Reason: "other reasons", Nodes: 85 + 84 + 83}}, want...)},
		"exactly as many as a status holds":  {many[:15], want},
		"long reasons that differ too late":  {[]placement.Exclusion{{Reason: long + "a", Nodes: 1}, {Reason: long + "b", Nodes: 2}}, []v1alpha1.ExcludedNodes{{Reason: strings.Repeat("ü", 168) + "…", Nodes: 3}}},
		"a reason without nodes is not told": {[]placement.Exclusion{{Reason: "a"}}, nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, excluded(tc.in)); diff != "" {
				t.Errorf("excluded() (-want +got):\n%s", diff)
			}
		})
	}
}

func TestGangBandwidth(t *testing.T) {
	rate := func(bus float64, known bool, l topology.Level, domain string) placement.Rate {
		return placement.Rate{Bus: bus, Known: known, Bottleneck: l, BottleneckDomain: domain}
	}
	cases := map[string]struct {
		in     placement.Bandwidth
		want   *v1alpha1.GangBandwidth
		groups []int64
	}{
		"nothing to exchange": {placement.Bandwidth{}, nil, []int64{0, 0}},
		"rounded down": {
			placement.Bandwidth{Rate: rate(290.9, true, topology.Leaf, "l1"), Best: 3200},
			&v1alpha1.GangBandwidth{EstimatedGbps: 290, BestGbps: 3200, BottleneckLevel: v1alpha1.LevelLeaf, BottleneckDomain: "l1"}, []int64{0, 0},
		},
		"and at least one": {
			placement.Bandwidth{Rate: rate(0.2, true, topology.Leaf, "l1")},
			&v1alpha1.GangBandwidth{EstimatedGbps: 1, BottleneckLevel: v1alpha1.LevelLeaf, BottleneckDomain: "l1"}, []int64{0, 0},
		},
		"an uplink without a figure": {
			placement.Bandwidth{Rate: rate(3200, false, topology.Leaf, "l1"), Best: 3200},
			&v1alpha1.GangBandwidth{BestGbps: 3200, BottleneckLevel: v1alpha1.LevelLeaf, BottleneckDomain: "l1"}, []int64{0, 0},
		},
		"separate fabrics, and no better place": {placement.Bandwidth{Rate: rate(3200, false, topology.Cluster, "")}, nil, []int64{0, 0}},
		"a figure beyond all reason": {
			placement.Bandwidth{Rate: rate(1e300, true, topology.Node, "n1")},
			&v1alpha1.GangBandwidth{EstimatedGbps: 1 << 53, BottleneckLevel: v1alpha1.LevelNode, BottleneckDomain: "n1"}, []int64{0, 0},
		},
		"groups": {
			placement.Bandwidth{
				Rate:   rate(1600, true, topology.Block, "b1"),
				Groups: []placement.GroupRate{{Name: "tp", Rate: rate(7200, true, topology.NVLinkDomain, "r1")}, {Name: "wide", Rate: rate(3200, false, topology.Leaf, "l1")}},
			},
			&v1alpha1.GangBandwidth{EstimatedGbps: 1600, BottleneckLevel: v1alpha1.LevelBlock, BottleneckDomain: "b1"}, []int64{7200, 0},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			out := GangPlacement(somePlacement(), placedGang(), time.Unix(1000, 0))
			out.Bandwidth = &v1alpha1.GangBandwidth{EstimatedGbps: 7}
			GangBandwidth(out, tc.in)
			if diff := cmp.Diff(tc.want, out.Bandwidth); diff != "" {
				t.Errorf("bandwidth (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.groups, []int64{out.Groups[0].EstimatedGbps, out.Groups[1].EstimatedGbps}); diff != "" {
				t.Errorf("groups (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMessage(t *testing.T) {
	cases := map[string]struct{ text, want string }{
		"a short text stays":        {"needs 8 slots", "needs 8 slots"},
		"a text of just the length": {strings.Repeat("x", maxMessage), strings.Repeat("x", maxMessage)},
		"a longer one is cut":       {strings.Repeat("x", maxMessage+1), strings.Repeat("x", maxMessage-3) + "…"},
		"never inside a character":  {strings.Repeat("é", maxMessage), strings.Repeat("é", (maxMessage-3)/2) + "…"},
		"nor inside a long one":     {"x" + strings.Repeat("😀", maxMessage), "x" + strings.Repeat("😀", (maxMessage-4)/4) + "…"},
		"what is no text goes":      {"a\xffb", "ab"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, Message(tc.text)); diff != "" {
				t.Errorf("Message() (-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzMessage(f *testing.F) {
	f.Add("a", 2000)
	f.Add("é\xff", 700)
	f.Fuzz(func(t *testing.T, text string, times int) {
		got := Message(strings.Repeat(text, min(max(times, 0), 3000)))
		if len(got) > maxMessage || !utf8.ValidString(got) {
			t.Errorf("Message() has %d bytes, valid %v", len(got), utf8.ValidString(got))
		}
	})
}
