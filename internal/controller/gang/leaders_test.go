package gang

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/convert"
	"github.com/k8s4ai/k8s4ai/internal/testkit"
)

// committed adds up the GPUs that stored placements take, by node.
func (s *stage) committed() map[string]int64 {
	s.t.Helper()
	var groups v1alpha1.GangSchedulingGroupList
	if err := s.Client.List(s.t.Context(), &groups); err != nil {
		s.t.Fatal(err)
	}
	out := map[string]int64{}
	for i := range groups.Items {
		uses, _ := convert.Commitment(&groups.Items[i])
		for _, use := range uses {
			out[use.Node] += use.Resources[string(testkit.GPU)]
		}
	}
	return out
}

func (s *stage) wantNoOvercommit() {
	s.t.Helper()
	for node, gpus := range s.committed() {
		if gpus > 8 {
			s.t.Fatalf("placements take %d GPUs of %s, which has 8", gpus, node)
		}
	}
}

// Two processes believe to be the leader. The second one finds with its first
// write that its view is old, and stops: the room that it believes in may be
// gone, and gang b must not get what gang a has.
func TestTwoLeaders(t *testing.T) {
	s := newStage(t, append(twoNodes(), pair("a").Obj())...)
	s.settle("a")
	s.cache.Freeze(t, s.Client, &v1alpha1.GangSchedulingGroupList{})
	s.Create(t, pair("b").Obj())
	second := s.newProcess(s.Client)
	first := s.process
	s.process = second
	s.settle("b")
	second.cache.Freeze(t, s.Client, &v1alpha1.GangSchedulingGroupList{}, &corev1.PodList{})

	s.process = first
	s.plan()
	placed := s.gang("a")
	if placed.Status.Placement == nil {
		t.Fatal("the first leader did not place gang a")
	}
	result, err := second.planner.Reconcile(t.Context(), fleetPass[0])
	if err != nil || result.RequeueAfter != conflictRetry {
		t.Errorf("the second leader got %v, %v; want a quiet retry", result, err)
	}
	if now := s.gang("a"); now.ResourceVersion != placed.ResourceVersion {
		t.Error("the second leader wrote to the gang that the first one had placed")
	}
	s.wantNoOvercommit()

	for _, leader := range []*process{second, first, second} {
		leader.cache.Thaw()
		s.process = leader
		s.plan()
		s.wantNoOvercommit()
	}
	s.wantReady("b", "False", v1alpha1.ReasonWaitingForRoom)
	if got := s.gang("a").Status.Epoch; got != 1 {
		t.Errorf("gang a is at epoch %d, want 1", got)
	}
}

// A cache that does not show a commit yet must not make the planner place the
// gang again, nor give its room to another.
func TestPlannerAheadOfItsCache(t *testing.T) {
	s := newStage(t, append(twoNodes(), pair("a").Obj(), pair("b").Obj())...)
	s.settle("a")
	s.settle("b")
	s.cache.Freeze(t, s.Client, &v1alpha1.GangSchedulingGroupList{}, &corev1.PodList{})
	s.plan()
	placed := s.gang("a")
	s.plan()
	if now := s.gang("a"); now.ResourceVersion != placed.ResourceVersion || now.Status.Epoch != 1 {
		t.Errorf("gang a was written again: epoch %d", now.Status.Epoch)
	}
	if s.gang("b").Status.Placement != nil {
		t.Error("gang b got the room of gang a")
	}
	s.wantNoOvercommit()
}

// The cache shows the bound Pods of a gang before it shows its placement: they
// are not counted twice.
func TestPodsOfACommittedGangCountOnce(t *testing.T) {
	s := newStage(t, testkit.Node("n1").GPUs(8).Obj(), testkit.Gang("a").Role("worker", 1, 4).Obj())
	s.settle("a")
	s.cache.Freeze(t, s.Client, &v1alpha1.GangSchedulingGroupList{})
	s.plan()
	s.cache.Thaw()
	s.settle("a")
	s.bind("a")
	s.Create(t, testkit.Gang("b").Role("worker", 1, 4).Obj())
	s.run("b")
	s.wantNoOvercommit()
}

// A new leader's cache of gangs can lag behind its cache of Pods. Pods of an
// epoch that the gang does not know yet prove it, and must live.
func TestReconcilerWithAnOldGang(t *testing.T) {
	cases := map[string]func(s *stage){
		"from before the first placement": func(s *stage) {
			s.settle("train")
			s.cache.Freeze(s.t, s.Client, &v1alpha1.GangSchedulingGroupList{})
			s.plan()
		},
		"from before the second placement": func(s *stage) {
			s.run("train")
			s.change("train", func(g *v1alpha1.GangSchedulingGroup) { g.Spec.Suspend = new(true) })
			s.clear("train")
			s.change("train", func(g *v1alpha1.GangSchedulingGroup) { g.Spec.Suspend = nil })
			s.settle("train")
			s.cache.Freeze(s.t, s.Client, &v1alpha1.GangSchedulingGroupList{})
			s.plan()
		},
	}
	for name, begin := range cases {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, append(twoNodes(), pair("train").Obj())...)
			begin(s)
			old := s.cache
			s.restart()
			s.run("train")
			before := s.fingerprint("train")

			s.restart()
			s.reconciler.Client = old.Client
			s.process.cache = old
			s.reconcile("train")
			if after := s.fingerprint("train"); after != before {
				t.Errorf("an old view changed the gang or its pods, from\n%s\nto\n%s", before, after)
			}
			old.Thaw()
			s.settle("train")
			s.wantReady("train", "True", v1alpha1.ReasonRunning)
		})
	}
}

// The other way round: a cache that shows the gang as started and not yet its
// Pods, as in a process that hung or has just begun, loses nobody.
func TestGangCacheAheadOfPodCache(t *testing.T) {
	s := newStage(t, append(twoNodes(), pair("train").Obj())...)
	old := s.newProcess(s.Client)
	old.cache.Freeze(t, s.Client, &corev1.PodList{})
	s.run("train")
	for range 3 {
		if _, err := old.reconciler.Reconcile(t.Context(), s.gang("train")); err != nil {
			t.Fatal(err)
		}
	}
	if release := s.gang("train").Status.Release; release != nil {
		t.Errorf("the gang is released: %+v", release)
	}
	s.wantReady("train", "True", v1alpha1.ReasonRunning)

	s.delete(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: "train-worker-1"}})
	if _, err := old.reconciler.Reconcile(t.Context(), s.gang("train")); err != nil {
		t.Fatal(err)
	}
	if release := s.gang("train").Status.Release; release == nil || release.Reason != v1alpha1.ReleaseMemberLost {
		t.Errorf("a pod is gone, and the release is %+v", release)
	}
}

// The same when the label lies: a Pod that claims an epoch to come is removed
// once the API server confirms that the gang is not there yet.
func TestPodOfAnEpochToCome(t *testing.T) {
	s := newStage(t, append(twoNodes(), pair("train").Obj())...)
	s.run("train")
	s.Create(t, testkit.Pod("train-worker-9").Of(s.gang("train"), 7).Obj())
	s.settle("train")
	s.wantPods("train", "train-worker-0@n1 1", "train-worker-1@n2 1")
	s.wantReady("train", "True", v1alpha1.ReasonRunning)
}

// An answer that is lost leaves the planner in doubt about the room: it serves
// nobody else from it in the same pass, and finds out in the next.
func TestLostAnswerToACommit(t *testing.T) {
	s := newStage(t, append(twoNodes(), pair("a").Obj(), pair("b").Obj())...)
	s.settle("a")
	s.settle("b")
	faults := &testkit.Faults{At: 1, Lost: true}
	s.process = s.newProcess(faults.Client(s.Client))
	if _, err := s.planner.Reconcile(t.Context(), fleetPass[0]); err == nil {
		t.Error("the planner hides that a write failed")
	}
	s.wantNoOvercommit()
	s.plan()
	s.wantNoOvercommit()
	if s.gang("a").Status.Epoch != 1 || s.gang("b").Status.Placement != nil {
		t.Errorf("gang a is at epoch %d, gang b has placement %v; want 1 and none", s.gang("a").Status.Epoch, s.gang("b").Status.Placement)
	}
}

// The doubt lasts while the cache is old: a gang of higher priority that comes
// meanwhile gets no room that may be taken.
func TestLostAnswerAndANewcomer(t *testing.T) {
	s := newStage(t, append(twoNodes(), pair("a").Obj(), pair("b").Priority(10).Suspended().Obj())...)
	s.settle("a")
	s.settle("b")
	faults := &testkit.Faults{At: 1, Lost: true}
	s.process = s.newProcess(faults.Client(s.Client))
	if _, err := s.planner.Reconcile(t.Context(), fleetPass[0]); err == nil {
		t.Error("the planner hides that a write failed")
	}
	if s.gang("a").Status.Epoch != 1 {
		t.Fatal("the commit did not reach the API server")
	}
	b := s.gang("b")
	b.Spec.Suspend = nil
	if err := s.Client.Update(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	stale := &v1alpha1.GangSchedulingGroupList{}
	s.cache.Freeze(t, s.Client, stale)
	for i := range stale.Items {
		if stale.Items[i].Name == "a" {
			stale.Items[i].Status = v1alpha1.GangSchedulingGroupStatus{}
		}
	}
	s.plan()
	s.wantNoOvercommit()
	if got := s.gang("b").Status.Placement; got != nil {
		t.Errorf("gang b has placement %v, want none", got)
	}
}

// When the answer to the end of a release is lost, the ledger learns of it from
// the gang: nothing else would write to the gang again.
func TestLostAnswerToARelease(t *testing.T) {
	s := newStage(t, append(twoNodes(), pair("a").Recreate(1).Obj())...)
	s.run("a")
	s.set("a", corev1.PodFailed)
	s.reconcile("a")
	s.reconcile("a")
	s.wantPods("a")

	known, faults := s.planner.ledger, &testkit.Faults{At: 1, Lost: true}
	s.process = s.newProcess(faults.Client(s.Client))
	s.planner.ledger = known
	if _, err := s.reconciler.Reconcile(t.Context(), s.gang("a")); err == nil {
		t.Fatal("the lost answer was not noticed")
	}
	if s.gang("a").Status.Placement != nil {
		t.Fatal("the release did not reach the API server")
	}
	s.run("a")
	if got := s.gang("a").Status.Epoch; got != 2 {
		t.Errorf("epoch is %d, want 2", got)
	}
}

// Passes build on each other, and from time to time one begins anew.
func TestResync(t *testing.T) {
	s := newStage(t, append(twoNodes(), pair("a").Obj())...)
	s.run("a")
	first := s.planner.cluster
	s.clock.advance(resync - time.Second)
	s.plan()
	if s.planner.cluster != first {
		t.Error("a pass began anew too early")
	}
	s.clock.advance(time.Second)
	s.plan()
	if s.planner.cluster == first {
		t.Error("no pass began anew")
	}
	s.Create(t, pair("b").Obj())
	s.place("b")
	s.wantReady("b", "False", v1alpha1.ReasonWaitingForRoom)
	s.wantNoOvercommit()
}

// A gang whose status the API server does not take keeps nobody else waiting.
func TestRefusedCommitDoesNotStopThePass(t *testing.T) {
	s := newStage(t, append(twoNodes(), pair("a").Obj(), pair("b").Obj())...)
	s.settle("a")
	s.settle("b")
	refuse := func(ctx context.Context, c client.Client, name string, o client.Object, opts ...client.SubResourceUpdateOption) error {
		if o.GetName() == "a" {
			return apierrors.NewInvalid(schema.GroupKind{Kind: "GangSchedulingGroup"}, "a", nil)
		}
		return c.SubResource(name).Update(ctx, o, opts...)
	}
	s.process = s.newProcess(interceptor.NewClient(s.Client, interceptor.Funcs{SubResourceUpdate: refuse}))
	if _, err := s.planner.Reconcile(t.Context(), fleetPass[0]); !apierrors.IsInvalid(err) {
		t.Errorf("planning: %v, want the API server's refusal", err)
	}
	if s.gang("b").Status.Placement == nil {
		t.Error("gang b was not placed")
	}
}

// A lost race for one gang is no error, and changes nothing.
func TestConflictIsQuiet(t *testing.T) {
	s := newStage(t, append(twoNodes(), pair("train").Obj())...)
	s.settle("train")
	s.cache.Freeze(t, s.Client, &v1alpha1.GangSchedulingGroupList{})
	s.change("train", func(g *v1alpha1.GangSchedulingGroup) { g.Spec.Suspend = new(true) })
	before := s.fingerprint("train")
	if result := s.plan(); result.RequeueAfter != conflictRetry {
		t.Errorf("the planner comes back after %s, want %s", result.RequeueAfter, conflictRetry)
	}
	s.clock.advance(mayWriteAgain)
	if after := s.fingerprint("train"); after != before {
		t.Errorf("an old view changed\n%s\nto\n%s", before, after)
	}
	s.cache.Thaw()
	s.place("train")
	s.wantReady("train", "False", v1alpha1.ReasonSuspended)
}
