package gang

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/testkit"
)

// wantRelease fails unless the placement is being released for a reason.
func (s *stage) wantRelease(name, reason string, says ...string) {
	s.t.Helper()
	release := s.gang(name).Status.Release
	if release == nil || release.Reason != reason {
		s.t.Fatalf("gang %s: release is %+v, want %s", name, release, reason)
	}
	wantText(s.t, release.Message, says...)
}

// wantBackoff fails unless the gang has no placement and waits a number of
// failures out.
func (s *stage) wantBackoff(name string, failures int32, says ...string) {
	s.t.Helper()
	status := s.gang(name).Status
	if status.Placement != nil || status.Release != nil || status.Backoff == nil || status.Backoff.Failures != failures {
		s.t.Fatalf("gang %s: placement %v, release %+v, backoff %+v; want %d failures alone", name, status.Placement, status.Release, status.Backoff, failures)
	}
	wantText(s.t, status.Backoff.Message, says...)
}

// Suspending a running gang removes its Pods, and gives its room back only when
// the API server shows none. Resuming places it anew.
func TestSuspendAndResume(t *testing.T) {
	s := newStage(t, append(twoNodes(), pair("a").Obj(), pair("b").Obj())...)
	s.run("a")
	s.settle("b")

	s.change("a", func(g *v1alpha1.GangSchedulingGroup) { g.Spec.Suspend = new(true) })
	s.reconcile("a")
	s.wantRelease("a", v1alpha1.ReleaseSuspended)
	if pods := s.pods("a"); !pods[0].DeletionTimestamp.IsZero() {
		t.Error("a pod was deleted before the intent was stored")
	}
	s.settle("a")
	s.plan()
	s.wantReady("a", "False", v1alpha1.ReasonReleasing)
	if s.gang("a").Status.Placement == nil || s.gang("b").Status.Placement != nil {
		t.Fatal("the room was given away while pods still run")
	}

	// The cache forgets the Pods before the API server does.
	s.cache.Freeze(t, s.Client, &v1alpha1.GangSchedulingGroupList{})
	old := s.pods("a")
	s.Reap(t)
	s.cache.Freeze(t, s.Client, &corev1.PodList{})
	for _, pod := range old {
		s.Create(t, testkit.Pod(pod.Name).Of(s.gang("a"), 1).Obj())
	}
	s.reconcile("a")
	if s.gang("a").Status.Placement == nil {
		t.Fatal("the room was given back while the API server shows pods")
	}
	s.cache.Thaw()

	s.clear("a")
	s.wantReady("a", "False", v1alpha1.ReasonSuspended)
	s.run("b")
	s.change("a", func(g *v1alpha1.GangSchedulingGroup) { g.Spec.Suspend = nil })
	s.place("a")
	s.wantReady("a", "False", v1alpha1.ReasonWaitingForRoom)
	s.set("b", corev1.PodSucceeded)
	s.settle("b")
	s.run("a")
	s.wantPods("a", "a-worker-0@n1 2", "a-worker-1@n2 2")
}

// A gang that is suspended from the start is not looked at.
func TestSuspendedFromTheStart(t *testing.T) {
	s := newStage(t, append(twoNodes(), pair("a").Suspended().Obj())...)
	s.place("a")
	s.wantReady("a", "False", v1alpha1.ReasonSuspended)
	s.wantPods("a")
}

// When a Pod is not bound in time the whole gang lets go, waits, and tries
// again; the wait doubles with each failure in a row, and a start ends the row.
func TestBindTimeout(t *testing.T) {
	s := newStage(t, append(twoNodes(), pair("train").BindTimeout(60).Obj())...)
	s.place("train")
	first := s.pods("train")[0]
	s.Bind(t, &first, "n1")
	if result := s.reconcile("train"); result.RequeueAfter == 0 || result.RequeueAfter > time.Minute {
		t.Errorf("looks again after %s, want at most the minute that is left", result.RequeueAfter)
	}
	s.clock.advance(59 * time.Second)
	s.settle("train")
	s.wantReady("train", "False", v1alpha1.ReasonStarting)

	s.clock.advance(time.Second)
	s.reconcile("train")
	s.wantRelease("train", v1alpha1.ReleaseBindTimeout, "pod train-worker-1 is not bound to node n2")
	s.clear("train")
	s.wantPods("train")
	s.wantBackoff("train", 1, "BindTimeout: pod train-worker-1")
	s.wantReady("train", "False", v1alpha1.ReasonBackingOff)

	if result := s.plan(); result.RequeueAfter <= 0 || result.RequeueAfter > firstBackoff {
		t.Errorf("plans again after %s, want within %s", result.RequeueAfter, firstBackoff)
	}
	s.wantPods("train")
	s.clock.advance(firstBackoff)
	s.place("train")
	s.clock.advance(time.Minute)
	s.clear("train")
	s.wantBackoff("train", 2)
	s.clock.advance(firstBackoff)
	s.plan()
	if s.gang("train").Status.Placement != nil {
		t.Error("the second wait is no longer than the first")
	}
	s.clock.advance(firstBackoff)
	s.run("train")
	if got := s.gang("train").Status; got.Backoff != nil || got.Epoch != 3 {
		t.Errorf("after the start: backoff %+v, epoch %d; want none and 3", got.Backoff, got.Epoch)
	}
}

// A changed spec does not wait for the failures of the old one.
func TestChangeEndsTheBackoff(t *testing.T) {
	s := newStage(t, append(twoNodes(), pair("train").BindTimeout(60).Obj())...)
	s.place("train")
	s.clock.advance(time.Minute)
	s.clear("train")
	s.wantBackoff("train", 1)
	s.change("train", func(g *v1alpha1.GangSchedulingGroup) { g.Spec.Roles[0].Replicas = 1 })
	s.run("train")
	s.wantPods("train", "train-worker-0@n1 2")
}

// Someone else takes the spot between the commit and the binding. The gang lets
// go, and is placed on what is left.
func TestForeignPodOnTheSpot(t *testing.T) {
	s := newStage(t, append(twoNodes(), testkit.Gang("train").Role("worker", 1, 8).Obj())...)
	s.place("train")
	s.wantPods("train", "train-worker-0@n1 1")
	s.Create(t, testkit.Pod("intruder").GPUs(8).On("n1").Obj())
	pod := s.pods("train")[0]
	s.SetPodStatus(t, &pod, corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{{
		Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/2 nodes are available: 1 Insufficient nvidia.com/gpu.",
	}}})
	s.settle("train")
	s.clock.advance(defaultBindTimeout)
	s.clear("train")
	s.wantBackoff("train", 1, "is not bound to node n1", "1 Insufficient nvidia.com/gpu.")
	s.clock.advance(firstBackoff)
	s.run("train")
	s.wantPods("train", "train-worker-0@n2 2")
}

// A kubelet can refuse what the scheduler has bound. That is a failed start and
// no failure of the gang's program.
func TestNodeRefuses(t *testing.T) {
	for _, reason := range []string{"OutOfcpu", "UnexpectedAdmissionError", "TopologyAffinityError"} {
		t.Run(reason, func(t *testing.T) {
			s := newStage(t, append(twoNodes(), pair("train").Obj())...)
			s.place("train")
			s.bind("train")
			pod := s.pods("train")[1]
			s.SetPodStatus(t, &pod, corev1.PodStatus{Phase: corev1.PodFailed, Reason: reason, Message: "Pod was rejected: no room"})
			s.reconcile("train")
			s.wantRelease("train", v1alpha1.ReleaseNodeRefused, "node n2 refused pod train-worker-1: "+reason+" Pod was rejected: no room")
			s.clear("train")
			s.wantPods("train")
			s.wantBackoff("train", 1)
			if s.gang("train").Status.Restarts != nil {
				t.Error("a refused start counts as a restart")
			}
		})
	}
}

// The API server's "no" releases the gang with its words, and no Pod stays.
func TestAPIServerRefusesPods(t *testing.T) {
	invalid := func(p *corev1.PodTemplateSpec) { p.Spec.Containers[0].Image = " " }
	quota := &corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Name: "one-pod"},
		Spec:       corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("1")}},
	}
	cases := map[string]struct {
		gang  *testkit.GangBuilder
		quota *corev1.ResourceQuota
		says  []string
	}{
		"a quota for fewer pods": {pair("train"), quota, []string{"exceeded quota: one-pod"}},
		"an invalid template":    {pair("train").Template(invalid), nil, []string{"spec.containers[0].image"}},
		"one invalid role of two": {
			pair("train").Role("server", 1, 0).Template(invalid), nil, []string{"creating Pod train-server-0", "spec.containers[0].image"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, append(twoNodes(), tc.gang.Obj())...)
			if tc.quota != nil {
				s.Create(t, tc.quota)
				tc.quota.Status = corev1.ResourceQuotaStatus{Hard: tc.quota.Spec.Hard, Used: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("0")}}
				if err := s.Client.Status().Update(t.Context(), tc.quota); err != nil {
					t.Fatal(err)
				}
			}
			s.place("train")
			s.clear("train")
			s.wantPods("train")
			s.wantBackoff("train", 1, append(tc.says, "CreateRefused")...)
		})
	}
}

// A name that belongs to someone else is refused, and what has it stays as it is.
func TestNamesOfSomeoneElse(t *testing.T) {
	gone := testkit.Gang("train").Stored("a-gang-that-was-deleted").Obj()
	cases := map[string]struct {
		object client.Object
		says   string
	}{
		"a foreign pod": {testkit.Pod("train-worker-1").Obj(), "a Pod named train-worker-1 exists"},
		"a pod of a deleted gang of the same name": {
			testkit.Pod("train-worker-1").Of(gone, 1).Obj(), "a Pod named train-worker-1 exists"},
		"a foreign service": {
			&corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "train"}, Spec: corev1.ServiceSpec{ClusterIP: "None"}}, "a Service named train exists"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, append(twoNodes(), tc.object, pair("train").Obj())...)
			s.place("train")
			s.clear("train")
			s.wantBackoff("train", 1, tc.says, "does not belong to this gang")
			for _, pod := range s.pods("train") {
				if metav1.IsControlledBy(&pod, s.gang("train")) {
					t.Errorf("pod %s stayed behind", pod.Name)
				}
			}
			there := tc.object.DeepCopyObject().(client.Object)
			if err := s.Client.Get(t.Context(), client.ObjectKeyFromObject(tc.object), there); err != nil {
				t.Fatal(err)
			}
			if there.GetResourceVersion() != tc.object.GetResourceVersion() {
				t.Errorf("the %s was changed", strings.TrimPrefix(name, "a "))
			}
			s.delete(there)
			s.Reap(t)
			s.clock.advance(firstBackoff)
			s.run("train")
		})
	}
}

// A change before the start places the gang anew; a change after it does not
// touch what runs.
func TestSpecChange(t *testing.T) {
	s := newStage(t, append(twoNodes(), pair("train").Obj())...)
	s.place("train")
	s.bind("train")
	s.change("train", func(g *v1alpha1.GangSchedulingGroup) { g.Spec.Roles[0].Replicas = 1 })
	s.reconcile("train")
	s.wantRelease("train", v1alpha1.ReleaseSpecChanged)
	s.clear("train")
	if got := s.gang("train").Status; got.Backoff != nil || got.Restarts != nil {
		t.Errorf("a changed spec cost a backoff or a restart: %+v", got)
	}
	s.run("train")
	s.wantPods("train", "train-worker-0@n1 2")

	before := s.pods("train")[0].ResourceVersion
	s.change("train", func(g *v1alpha1.GangSchedulingGroup) { g.Spec.Roles[0].Replicas = 2 })
	s.settle("train")
	s.plan()
	s.wantPods("train", "train-worker-0@n1 2")
	if s.pods("train")[0].ResourceVersion != before || s.gang("train").Status.Epoch != 2 {
		t.Error("a change after the start touched the running gang")
	}
	s.wantReady("train", "True", v1alpha1.ReasonRunning)
	if c := s.gang("train").Status.Conditions[0]; c.ObservedGeneration != s.gang("train").Generation {
		t.Errorf("conditions are of generation %d, want %d", c.ObservedGeneration, s.gang("train").Generation)
	}
}

// What a hand wrote into the placement releases the gang at worst.
func TestHandEditedPlacement(t *testing.T) {
	cases := map[string]struct {
		edit   func(*v1alpha1.GangPlacement)
		reason string
	}{
		"hosts that cannot be read":   {func(p *v1alpha1.GangPlacement) { p.Roles[0].Hosts = "n[1-" }, v1alpha1.ReleasePlacementInvalid},
		"too few hosts":               {func(p *v1alpha1.GangPlacement) { p.Roles[0].Hosts = "n1" }, v1alpha1.ReleasePlacementInvalid},
		"a thousand million hosts":    {func(p *v1alpha1.GangPlacement) { p.Roles[0].Hosts = "n1*1000000000" }, v1alpha1.ReleasePlacementInvalid},
		"a role that does not exist":  {func(p *v1alpha1.GangPlacement) { p.Roles[0].Name = "nobody" }, v1alpha1.ReleaseCreateRefused},
		"an older generation":         {func(p *v1alpha1.GangPlacement) { p.Generation = 77 }, v1alpha1.ReleaseSpecChanged},
		"spare hosts of no such form": {func(p *v1alpha1.GangPlacement) { p.Roles[0].SpareHosts = "]]" }, v1alpha1.ReleasePlacementInvalid},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, append(twoNodes(), pair("train").Obj())...)
			s.settle("train")
			s.plan()
			group := s.gang("train")
			tc.edit(group.Status.Placement)
			if err := s.Client.Status().Update(t.Context(), group); err != nil {
				t.Fatal(err)
			}
			s.reconcile("train")
			s.wantRelease("train", tc.reason)
			s.clear("train")
			s.clock.advance(firstBackoff)
			s.run("train")
			s.wantPods("train", "train-worker-0@n1 2", "train-worker-1@n2 2")
		})
	}
}

// A placement that a hand removes leaves nothing behind.
func TestHandRemovedPlacement(t *testing.T) {
	s := newStage(t, append(twoNodes(), pair("train").Obj())...)
	s.run("train")
	group := s.gang("train")
	group.Status.Placement = nil
	if err := s.Client.Status().Update(t.Context(), group); err != nil {
		t.Fatal(err)
	}
	s.clear("train")
	s.wantPods("train")
	s.run("train")
	s.wantPods("train", "train-worker-0@n1 2", "train-worker-1@n2 2")
}
