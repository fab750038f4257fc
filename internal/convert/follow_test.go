package convert

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/capability"
	"github.com/k8s4ai/k8s4ai/internal/fleet"
	"github.com/k8s4ai/k8s4ai/internal/placement"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// history is a cluster to which things happen. An object in it never changes: it is
// replaced, as in a cache.
type history struct {
	*rand.Rand
	versions int
	nodes    map[string]*corev1.Node
	domains  map[string]*v1alpha1.TopologyDomain
	classes  map[string]*v1alpha1.AcceleratorClass
	slices   map[string]*resourcev1.ResourceSlice
	pods     map[string]*corev1.Pod
	scan     topology.Scan
	held     map[types.UID]*Holding
	// first are all nodes and domains as they were at the beginning, and names
	// those of the nodes.
	firstNodes   map[string]*corev1.Node
	firstDomains map[string]*v1alpha1.TopologyDomain
	names        []string
	epochs       map[types.UID]int64
}

// newHistory begins with machines of three shapes in a fabric that is declared, or
// told by labels.
func newHistory(t *testing.T, seed uint64) *history {
	t.Helper()
	f := &fleet.Fleet{
		Name: "small", Provider: []fleet.Provider{fleet.ProviderNone, fleet.ProviderGKE}[seed%2], Fabric: fleet.Fabric{Name: "fabric-a", LinkLayer: "InfiniBand"},
		Pools: []fleet.Pool{
			{Name: "hgx", Shape: "HGX-H100x8", Blocks: 2, Leaves: 2, Nodes: 2, NICGbps: 400},
			{Name: "gb200", Shape: "GB200-NVL72", Blocks: 1, Racks: 1, Nodes: 18, NICGbps: 400},
			{Name: "l40s", Shape: "L40S", Nodes: 3},
		},
	}
	h := &history{
		Rand:  rand.New(rand.NewPCG(seed, 7)), //nolint:gosec // A test that fails has to fail again.
		nodes: map[string]*corev1.Node{}, domains: map[string]*v1alpha1.TopologyDomain{}, classes: map[string]*v1alpha1.AcceleratorClass{},
		slices: map[string]*resourcev1.ResourceSlice{}, pods: map[string]*corev1.Pod{}, held: map[types.UID]*Holding{},
		firstNodes: map[string]*corev1.Node{}, firstDomains: map[string]*v1alpha1.TopologyDomain{}, epochs: map[types.UID]int64{},
	}
	for _, n := range f.Nodes() {
		n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
		h.firstNodes[n.Name] = n.DeepCopy()
		create(h, h.nodes, n.Name, h.firstNodes[n.Name])
	}
	for _, d := range append(f.Domains(), f.Reports()...) {
		h.firstDomains[d.Name] = d.DeepCopy()
		create(h, h.domains, d.Name, h.firstDomains[d.Name])
	}
	for _, c := range samples(t) {
		create(h, h.classes, c.Name, &c)
	}
	for _, name := range ownClasses {
		create(h, h.classes, name, ownClass(name))
	}
	for _, name := range slices.Sorted(maps.Keys(h.nodes)) {
		if h.IntN(4) == 0 {
			create(h, h.slices, name+"-slice", new(slice(name, draDevice("gpu-0", "model=model-x"), draDevice("gpu-1", "model=red"))))
		}
	}
	h.names = slices.Sorted(maps.Keys(h.nodes))
	for range 2 * podNames {
		events["a pod comes or vanishes"](h)
	}
	return h
}

// stored is an object of a kind.
type stored[T any] interface {
	*T
	metav1.Object
	DeepCopy() *T
}

// create stores a new object.
func create[T any, P stored[T]](h *history, into map[string]P, name string, o P) {
	o = o.DeepCopy()
	h.versions++
	o.SetName(name)
	o.SetUID(types.UID("uid-" + strconv.Itoa(h.versions)))
	o.SetResourceVersion(strconv.Itoa(h.versions))
	into[name] = o
}

// change replaces an object, if it exists.
func change[T any, P stored[T]](h *history, in map[string]P, name string, edit func(P)) {
	if in[name] == nil {
		return
	}
	o := P(in[name].DeepCopy())
	edit(o)
	h.versions++
	o.SetResourceVersion(strconv.Itoa(h.versions))
	in[name] = o
}

// toggle removes an object, or creates it.
func toggle[T any, P stored[T]](h *history, in map[string]P, name string, o P) {
	if in[name] != nil {
		delete(in, name)
		return
	}
	create(h, in, name, o)
}

// listed copies objects by value, in an order of chance, as a cache gives them.
func listed[T any, P stored[T]](h *history, from map[string]P) []T {
	out := []T{}
	for _, name := range slices.Sorted(maps.Keys(from)) {
		out = append(out, *from[name])
	}
	h.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// world is the cluster as World.Scene takes it.
func (h *history) world() World {
	out := World{
		Nodes: listed(h, h.nodes), Domains: listed(h, h.domains), Classes: listed(h, h.classes),
		Pods: listed(h, h.pods), Slices: listed(h, h.slices), Scan: h.scan,
	}
	for _, holding := range h.held {
		out.Committed = append(out.Committed, holding.Uses...)
	}
	out.IsCommitted = func(pod *corev1.Pod) bool {
		gang, epoch := GangOf(pod)
		return h.held[gang] != nil && h.held[gang].Epoch == epoch
	}
	return out
}

func (w *World) objects() Objects {
	out := Objects{Classes: w.Classes, Slices: w.Slices, Scan: w.Scan}
	for i := range w.Nodes {
		out.Nodes = append(out.Nodes, &w.Nodes[i])
	}
	for i := range w.Domains {
		out.Domains = append(out.Domains, &w.Domains[i])
	}
	for i := range w.Pods {
		out.Pods = append(out.Pods, &w.Pods[i])
	}
	return out
}

// asked are requests whose answers depend on places, classes, islands, taints and
// room.
var asked = []placement.Request{
	{Root: placement.Group{Required: topology.Leaf, Preferred: topology.NVLinkDomain, Roles: []placement.Role{
		{Name: "worker", Count: 3, MinCount: 1, Shape: placement.Shape{Resources: placement.Resources{"nvidia.com/gpu": 4, "cpu": 1000}}}}}},
	{Root: placement.Group{Roles: []placement.Role{
		{Name: "worker", Count: 2, Shape: placement.Shape{Resources: placement.Resources{"nvidia.com/gpu": 2}, Classes: []string{"h100-sxm-80gb", "gb200"}, WithinIsland: true}}}}},
	{Root: placement.Group{Groups: []placement.Group{{Name: "slice", Copies: 2, Required: topology.Block, Roles: []placement.Role{
		{Name: "server", Count: 2, Shape: placement.Shape{Resources: placement.Resources{"nvidia.com/gpu": 1, "memory": 1 << 30}, Tolerations: []placement.Toleration{{Operator: "Exists"}}}}}}}}},
}

// wantSame compares what was followed with what comes from scratch.
func (h *history) wantSame(t *testing.T, f *Follower, world World) {
	t.Helper()
	scene := world.Scene()
	want, err := scene.Snapshot()
	if err != nil {
		t.Fatalf("from scratch: %v", err)
	}
	got := f.Snapshot()
	domains := slices.Collect(maps.Values(f.vertices))
	byDomain := cmpopts.SortSlices(func(a, b topology.Vertex) bool { return a.Name < b.Name })
	if diff := cmp.Diff(scene.Fabric.Assembly.Vertices(), domains, byDomain, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("domains (-from scratch +followed):\n%s", diff)
	}
	for _, name := range h.names {
		wantNode, wantFound := want.Node(name)
		gotNode, gotFound := got.Node(name)
		if wantFound != gotFound {
			t.Fatalf("node %s is there: %v, want %v", name, gotFound, wantFound)
		}
		if diff := cmp.Diff(wantNode, gotNode, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("node %s (-from scratch +followed):\n%s", name, diff)
		}
		if diff := cmp.Diff(want.Above(name), got.Above(name)); diff != "" {
			t.Fatalf("domains above %s (-from scratch +followed):\n%s", name, diff)
		}
	}
	for i, request := range asked {
		for on, pair := range map[string][2]*placement.Snapshot{"now": {want, got}, "empty": {want.Emptied(), got.Emptied()}} {
			if diff := cmp.Diff(placement.Place(pair[0], request), placement.Place(pair[1], request)); diff != "" {
				t.Fatalf("verdict %d, %s (-from scratch +followed):\n%s", i, on, diff)
			}
		}
	}
	byName := cmpopts.SortSlices(func(a, b capability.Profile) bool { return a.Name < b.Name })
	if diff := cmp.Diff(Profiles(world.Classes), f.Profiles(), byName); diff != "" {
		t.Fatalf("classes (-from scratch +followed):\n%s", diff)
	}
}

// live lets things happen, and compares after each few of them.
func live(t *testing.T, seed uint64, course []byte) {
	t.Helper()
	h := newHistory(t, seed)
	f := NewFollower()
	follow := func() World {
		world := h.world()
		if err := f.Follow(world.objects(), maps.Clone(h.held)); err != nil {
			t.Fatalf("Follow: %v", err)
		}
		return world
	}
	h.wantSame(t, f, follow())
	names := slices.Sorted(maps.Keys(events))
	aboutRoom := slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return !strings.HasPrefix(name, "a pod") && !strings.HasPrefix(name, "a gang")
	})
	for _, b := range course {
		name := names[int(b)%len(names)]
		t.Log(name)
		events[name](h)
		if h.IntN(2) == 0 {
			// In a cluster most of what happens is about room.
			name = oneOf(h, aboutRoom...)
			t.Log(name)
			events[name](h)
		}
		if h.IntN(3) == 0 {
			continue // Two changes between two looks.
		}
		if h.IntN(4) == 0 {
			// A commit in the middle of a pass.
			world := follow()
			gang := h.gang()
			h.hold(gang)
			if err := f.Hold(gang, h.held[gang]); err != nil {
				t.Fatalf("Hold: %v", err)
			}
			world.Committed = h.world().Committed
			h.wantSame(t, f, world)
		}
		h.wantSame(t, f, follow())
	}
	h.empty()
	h.wantSame(t, f, follow())
	if left := len(f.nodes.of) + len(f.domains.of) + len(f.own) + len(f.vertices) + f.lodging.size(); left > 0 {
		t.Errorf("%d things are kept of an empty cluster", left)
	}
}

// empty takes everything away.
func (h *history) empty() {
	clear(h.nodes)
	clear(h.domains)
	clear(h.pods)
	clear(h.slices)
	clear(h.held)
	h.scan = topology.Scan{}
}

// size counts what lodging keeps.
func (l *lodging) size() int {
	return len(l.pods.of) + len(l.onNode) + len(l.ofGang) + len(l.held) + len(l.heldOn)
}

// What is followed through a random history equals what is worked out from scratch,
// after each step.
func TestFollower(t *testing.T) {
	for seed := range uint64(24) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 3)) //nolint:gosec // See newHistory.
			course := make([]byte, 60)
			for i := range course {
				course[i] = byte(r.Uint32())
			}
			live(t, seed, course)
		})
	}
}

func FuzzFollower(f *testing.F) {
	f.Add(uint64(1), []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9})
	f.Fuzz(func(t *testing.T, seed uint64, course []byte) {
		live(t, seed, course[:min(len(course), 100)])
	})
}

// What bears on nothing changes nothing: the State of placement sees no change.
func TestFollowerIgnores(t *testing.T) {
	onNodes := func(edit func(*corev1.Node)) func(*history) {
		return func(h *history) {
			for _, name := range h.names {
				change(h, h.nodes, name, edit)
			}
		}
	}
	cases := map[string]struct {
		happens func(*history)
		changes bool
	}{
		"another look":    {happens: func(*history) {}},
		"heartbeats":      {happens: onNodes(func(n *corev1.Node) { n.Status.Conditions[0].LastHeartbeatTime.Time = time.Unix(9, 0) })},
		"images":          {happens: onNodes(func(n *corev1.Node) { n.Status.Images = []corev1.ContainerImage{{Names: []string{"x"}}} })},
		"an equal amount": {happens: onNodes(func(n *corev1.Node) { n.Status.Allocatable[corev1.ResourceCPU] = n.Status.Allocatable.Cpu().DeepCopy() })},
		"counts in statuses": {happens: func(h *history) {
			for _, name := range slices.Sorted(maps.Keys(h.domains)) {
				change(h, h.domains, name, func(d *v1alpha1.TopologyDomain) { d.Status.Nodes = &v1alpha1.NodeCounts{Total: new(int32(1))} })
			}
		}},
		"measured classes": {happens: func(h *history) {
			for _, name := range slices.Sorted(maps.Keys(h.classes)) {
				change(h, h.classes, name, func(c *v1alpha1.AcceleratorClass) {
					c.Status.Measured = []v1alpha1.MeasuredFigure{{Name: v1alpha1.FigureBF16, P50: quantity("700")}}
				})
			}
		}},
		"a pod without a node": {happens: func(h *history) { create(h, h.pods, "waiting", new(podOn("", "", corev1.PodPending))) }},
		"a pod that has ended": {happens: func(h *history) { create(h, h.pods, "done", new(podOn("", h.names[0], corev1.PodSucceeded))) }},
		"a cordon":             {changes: true, happens: func(h *history) { change(h, h.nodes, h.names[0], func(n *corev1.Node) { n.Spec.Unschedulable = true }) }},
		"a pod on a node":      {changes: true, happens: func(h *history) { create(h, h.pods, "new", new(podOn("", h.names[0], corev1.PodRunning))) }},
		"a gang holds room": {changes: true, happens: func(h *history) {
			h.held["g"] = &Holding{Uses: []placement.Use{{Node: h.names[0], Resources: placement.Resources{"pods": 1}}}}
		}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			h, f := newHistory(t, 1), NewFollower()
			look := func() uint64 {
				world := h.world()
				if err := f.Follow(world.objects(), maps.Clone(h.held)); err != nil {
					t.Fatal(err)
				}
				return f.Snapshot().Generation()
			}
			before := look()
			tc.happens(h)
			if after := look(); (after != before) != tc.changes {
				t.Errorf("generation %d, then %d; want a change: %v", before, after, tc.changes)
			}
		})
	}
}

// Snapshots that were taken stay as they are.
func TestFollowerLeavesSnapshotsAlone(t *testing.T) {
	h, f := newHistory(t, 1), NewFollower()
	world := h.world()
	if err := f.Follow(world.objects(), nil); err != nil {
		t.Fatal(err)
	}
	taken, was := f.Snapshot(), world
	for range 3 {
		for _, name := range slices.Sorted(maps.Keys(events)) {
			events[name](h)
			now := h.world()
			if err := f.Follow(now.objects(), maps.Clone(h.held)); err != nil {
				t.Fatal(err)
			}
			f.Snapshot()
		}
	}
	want, err := was.Scene().Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range h.names {
		wantNode, _ := want.Node(name)
		gotNode, _ := taken.Node(name)
		if diff := cmp.Diff(wantNode, gotNode, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("node %s of an old snapshot (-as it was +now):\n%s", name, diff)
		}
	}
}
