package topology

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/observe"
	"github.com/k8s4ai/k8s4ai/internal/testkit"
)

func (s *stage) wantWrites(what string, got []string, want ...string) {
	s.t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		s.t.Errorf("%s writes (-want +got):\n%s", what, diff)
	}
}

// node reads a node as it is stored.
func (s *stage) node(name string) *corev1.Node {
	s.t.Helper()
	out := &corev1.Node{}
	if err := s.Client.Get(s.t.Context(), client.ObjectKey{Name: name}, out); err != nil {
		s.t.Fatal(err)
	}
	return out
}

// An event of a node writes the objects above that node, and no others; events
// that come together write each object once.
func TestEventsTouchTheirOwnObjects(t *testing.T) {
	n := map[string]*corev1.Node{}
	s := newStage(t)
	for _, at := range [][3]string{{"n1", "b1", "x"}, {"n2", "b1", "x"}, {"n3", "b1", "y"}, {"n4", "b2", "z"}} {
		n[at[0]] = leafNode(at[0], at[1], at[2])
		s.Create(t, n[at[0]])
	}
	s.agentReports(nodeDomain("n1", "n1", "", "GPU-1", "GPU-2"))
	s.settle()
	s.wantWrites("no change", s.events(n["n1"], n["n4"], s.domain("x"), s.domain("n1")))

	edit(s, n["n1"], func(n *corev1.Node) { n.Spec.Unschedulable = true })
	s.wantWrites("a cordon", s.events(n["n1"]), "status b1", "status n1", "status x")
	edit(s, n["n1"], func(n *corev1.Node) { n.Spec.Unschedulable = false })
	edit(s, n["n2"], func(n *corev1.Node) { n.Spec.Unschedulable = true })
	edit(s, n["n4"], func(n *corev1.Node) { n.Spec.Unschedulable = true })
	s.wantWrites("two nodes in one batch", s.events(n["n1"], n["n2"], n["n4"]), "status b1", "status b2", "status n1", "status x", "status z")
	s.wantTree(
		`b1 Block < "" labels; nodes 2/3 gpus 10/18`, `b2 Block < "" labels; nodes 0/1 gpus 0/8`,
		`x Leaf < "b1" labels; nodes 1/2 gpus 2/10`, `y Leaf < "b1" labels; nodes 1/1 gpus 8/8`, `z Leaf < "b2" labels; nodes 0/1 gpus 0/8`,
	)

	busy := testkit.Pod("busy").On("n3").GPUs(3).Obj()
	s.Create(t, busy)
	s.wantWrites("a Pod", s.events(busy), "status b1", "status y")
	gang := testkit.Gang("g").Role("w", 1, 2).Obj()
	s.Create(t, gang)
	s.wantWrites("a gang that waits", s.events(gang))
	gang.Status = testkit.Gang("g").Role("w", 1, 2).Placed(1, "n3").Obj().Status
	gang.Status.Placement.CommittedTime = &metav1.Time{Time: s.clock}
	if err := s.Client.Status().Update(t.Context(), gang); err != nil {
		t.Fatal(err)
	}
	s.wantWrites("a commitment", s.events(gang), "status b1", "status y")
	member := testkit.Pod("member").Of(gang, 1).On("n3").GPUs(2).Obj()
	s.Create(t, member)
	s.wantWrites("the Pod of a commitment", s.events(member))
	if got := *s.domain("y").Status.Accelerators.Free; got != 3 {
		t.Errorf("%d accelerators are free beside a Pod with 3 and a gang with 2", got)
	}
	s.remove(gang)
	if err := s.Purge(t.Context(), gang); err != nil {
		t.Fatal(err)
	}
	s.wantWrites("a gang that is gone", s.events(gang))
	if err := s.Purge(t.Context(), member); err != nil {
		t.Fatal(err)
	}
	s.wantWrites("its Pod that is gone", s.events(member), "status b1", "status y")

	edit(s, n["n3"], func(n *corev1.Node) { n.Labels[gkeLeaf] = "x" })
	s.wantWrites("a move", s.events(n["n3"]), "delete y", "patch n3", "status x")
	s.remove(n["n4"])
	s.wantWrites("a node that leaves", s.events(n["n4"]), "delete b2", "delete z")
	five := leafNode("n5", "b1", "w")
	s.Create(t, five)
	s.wantWrites("a node that joins", s.events(five), "apply w", "patch n5", "status b1")
	s.wantWrites("its leaf appears", s.events(s.domain("w")), "status w")
	before := s.versions()
	s.pass()
	if s.versions() != before {
		t.Error("a look at everything finds what events have missed")
	}
}

// A derived domain that is edited is put right by its own event; one that is
// deleted comes back.
func TestEventsOfDomains(t *testing.T) {
	s := newStage(t, leafNode("n1", "b", "x"))
	s.settle()
	edit(s, s.domain("x"), func(d *v1alpha1.TopologyDomain) { d.Spec.UplinkGbps = 400 })
	s.wantWrites("an edit", s.events(s.domain("x")), "patch x", "status x")
	gone := s.domain("x")
	s.remove(gone)
	s.wantWrites("a deletion", s.events(gone), "apply x")
	declared := testkit.Domain("rack", v1alpha1.LevelLeaf).Nodes("n1").Obj()
	s.Create(t, declared)
	s.wantWrites("a declaration", s.events(declared), "delete b", "delete x", "patch n1", "status rack")
	s.remove(declared)
	s.wantWrites("a declaration that goes", s.events(declared), "apply b", "apply x", "patch n1")
}

// Wherever the manager dies, the next one finishes its work.
func TestRestartHeals(t *testing.T) {
	want := []string{`b Block < "" labels; nodes 2/2 gpus 16/16`, `x Leaf < "b" labels; nodes 1/1 gpus 8/8`, `y Leaf < "b" labels; nodes 1/1 gpus 8/8`}
	for limit := 1; ; limit++ {
		s := newStage(t, leafNode("n1", "b", "x"), leafNode("n2", "b", "y"))
		s.journal.limit = limit
		s.tell(s.node("n1"))
		_, err := s.reconciler.Reconcile(t.Context(), ctrl.Request{})
		if err == nil && limit < 5 {
			t.Fatalf("%d writes were enough", limit)
		}
		if err != nil && !errors.Is(err, testkit.ErrInjected) {
			t.Fatal(err)
		}
		if limit%2 == 0 {
			// The same manager tries again what has failed, and nothing else.
			s.journal.limit = 0
			s.reconcile()
			s.wantLabels("n2", map[string]string{"block": "b", "leaf": "y"})
		}
		s.restart()
		s.settle()
		s.wantTree(want...)
		s.wantLabels("n1", map[string]string{"block": "b", "leaf": "x"})
		if err == nil {
			return
		}
	}
}

// What an event has not told, the look at everything finds when its time has
// come.
func TestLostEventsHeal(t *testing.T) {
	n1 := leafNode("n1", "b", "x")
	s := newStage(t, n1)
	s.settle()
	edit(s, n1, func(n *corev1.Node) { n.Labels[gkeLeaf] = "y" })
	s.clock = s.clock.Add(resync - time.Second)
	s.journal.take()
	s.reconcile()
	s.wantWrites("before its time", s.journal.take())
	s.clock = s.clock.Add(time.Second)
	s.reconcile()
	s.wantWrites("the look at everything", s.journal.take(), "apply y", "delete x", "patch n1")
	s.settle()
	s.wantLabels("n1", map[string]string{"block": "b", "leaf": "y"})
}

// A cache that lags shows the world as it was; the event of the change brings
// what was missed.
func TestStaleCacheHeals(t *testing.T) {
	n1 := leafNode("n1", "b", "x")
	s := newStage(t, n1)
	s.settle()
	s.cache.Freeze(t, s.Client, &v1alpha1.TopologyDomainList{})
	edit(s, n1, func(n *corev1.Node) { n.Labels[gkeLeaf] = "y" })
	s.wantWrites("a move", s.events(n1), "apply y", "delete x", "patch n1")
	s.wantWrites("the same event once more", s.events(n1))
	s.tell(&v1alpha1.TopologyDomain{ObjectMeta: metav1.ObjectMeta{Name: "y", Labels: map[string]string{v1alpha1.LabelTopologySource: "labels"}}})
	s.reconcile()
	s.cache.Thaw()
	s.wantWrites("the new domain", s.events(s.domain("y")), "status y")
	s.wantTree(`b Block < "" labels; nodes 1/1 gpus 8/8`, `y Leaf < "b" labels; nodes 1/1 gpus 8/8`)
}

// A list that cannot be read loses nothing.
func TestUnreadableListsAreReadAgain(t *testing.T) {
	n1 := leafNode("n1", "b", "x")
	s := newStage(t, n1)
	s.settle()
	edit(s, n1, func(n *corev1.Node) { n.Spec.Unschedulable = true })
	working := s.reconciler.Client
	s.reconciler.Client = testkit.NewCache(s.Client, nil).Client // It has no index.
	s.tell(n1)
	if _, err := s.reconciler.Reconcile(t.Context(), ctrl.Request{}); err == nil {
		t.Fatal("a list without an index has no error")
	}
	s.reconciler.Client = working
	s.journal.take()
	s.reconcile()
	s.wantWrites("the second try", s.journal.take(), "status b", "status x")
}

// The first event of many waits for the others, and not for ever.
func TestInboxWaits(t *testing.T) {
	now := time.Unix(1000, 0)
	box := newInbox(window, func() time.Time { return now })
	put := func(name string) { box.put(func(b *batch) { b.nodes[name] = struct{}{} }) }
	if got := box.hold(); got != 0 {
		t.Errorf("an empty inbox holds for %v", got)
	}
	put("n1")
	now = now.Add(100 * time.Millisecond)
	put("n2")
	if got := box.hold(); got != 50*time.Millisecond {
		t.Errorf("with an event of 100ms ago the inbox holds for %v", got)
	}
	now = now.Add(time.Second)
	if got := box.hold(); got != 0 {
		t.Errorf("an event of long ago is held for %v", got)
	}
	taken := box.take()
	if _, ok := taken.nodes["n2"]; !ok || len(taken.nodes) != 2 {
		t.Errorf("the inbox had %v", taken)
	}
	if rest := box.take(); !rest.isEmpty() {
		t.Errorf("an inbox that was emptied has %v", rest)
	}
}

// Which objects an event is about.
func TestNames(t *testing.T) {
	derived := testkit.Domain("d", v1alpha1.LevelLeaf).Obj()
	derived.Labels = map[string]string{v1alpha1.LabelTopologySource: v1alpha1.TopologySourceScanned}
	own := nodeDomain("other", "n1", "")
	cases := map[string]struct {
		name   func(client.Object, *batch)
		object client.Object
		want   []string
	}{
		"a node":                 {nameNode, testkit.Node("n1").Obj(), []string{"node n1"}},
		"a Pod on a node":        {nameNodeOfPod, testkit.Pod("p").On("n1").Obj(), []string{"node n1"}},
		"a Pod that waits":       {nameNodeOfPod, testkit.Pod("p").Obj(), nil},
		"a gang":                 {nameGang, testkit.Gang("g").Namespace("ns").Obj(), []string{"gang ns/g"}},
		"a derived domain":       {nameDomain, derived, []string{"domain d"}},
		"the domain of a node":   {nameDomain, &own, []string{"domain other", "node n1"}},
		"a declared domain":      {nameDomain, testkit.Domain("d", v1alpha1.LevelLeaf).Obj(), []string{"all"}},
		"a class, a scan's part": {nameAll, testkit.Class("c").Obj(), []string{"all"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			b := newBatch()
			tc.name(tc.object, &b)
			var got []string
			for name := range b.nodes {
				got = append(got, "node "+name)
			}
			for name := range b.domains {
				got = append(got, "domain "+name)
			}
			for key := range b.gangs {
				got = append(got, "gang "+key.String())
			}
			if b.all {
				got = append(got, "all")
			}
			slices.Sort(got)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// The room of a node is the same, worked out alone and with all others.
func TestOneNodeIsSeenAsAmongAll(t *testing.T) {
	f := loadFleet(t, "doks-rails-32")
	s := newStage(t, append(pointers(f.Nodes()[:4]), pointers(f.Domains())...)...)
	s.agentReports(f.Reports()[:4]...)
	s.Create(t, testkit.Pod("p").On(f.Nodes()[1].Name).GPUs(3).Obj())
	s.settle()
	world, err := observe.CommittedWorld(t.Context(), s.Client)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range world.Scene().Nodes {
		if err := s.reconciler.observeNode(t.Context(), want.Name); err != nil {
			t.Fatal(err)
		}
		got := s.reconciler.fabric.nodes[want.Name].scene
		place, _, _ := s.reconciler.fabric.state.Place(want.Name)
		got.Domain = place.Domain
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("node %s (-among all +alone):\n%s", want.Name, diff)
		}
	}
}
