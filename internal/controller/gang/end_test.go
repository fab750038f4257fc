package gang

import (
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/convert"
	"github.com/k8s4ai/k8s4ai/internal/report"
	"github.com/k8s4ai/k8s4ai/internal/testkit"
)

// fail makes one Pod of a gang end with exit code 3.
func (s *stage) fail(name string) {
	s.t.Helper()
	for _, pod := range s.pods(name[:len(name)-len("-worker-0")]) {
		if pod.Name == name {
			s.SetPodStatus(s.t, &pod, testkit.Pod("").Phase(corev1.PodFailed).Exited(3).Obj().Status)
		}
	}
}

// Without a restart policy a failed member ends the gang: what still runs is
// removed, what has ended stays for its logs, and the room is free.
func TestMemberFailsForGood(t *testing.T) {
	s := newStage(t, append(twoNodes(), pair("a").Obj(), pair("b").Obj())...)
	s.run("a")
	s.settle("b")
	s.fail("a-worker-1")
	s.reconcile("a")
	s.wantRelease("a", v1alpha1.ReleaseMemberFailed, "pod a-worker-1 failed: container main exited with 3 (Error)")
	s.settle("a")
	s.plan()
	if s.gang("b").Status.Placement != nil {
		t.Fatal("the room was given away while a pod still runs")
	}
	s.clear("a")
	s.wantPods("a", "a-worker-1@n2 1")
	s.wantCondition("a", v1alpha1.ConditionFinished, "True", v1alpha1.ReasonFailed)
	s.wantCondition("a", v1alpha1.ConditionStalled, "True", v1alpha1.ReasonFailed)
	s.wantReady("a", "False", v1alpha1.ReasonFailed)
	s.run("b")
	s.wantNoOvercommit()

	before := s.fingerprint("a")
	s.restart()
	s.plan()
	s.reconcile("a")
	if after := s.fingerprint("a"); after != before {
		t.Errorf("a finished gang changed from\n%s\nto\n%s", before, after)
	}
}

// With RecreateGang the gang comes back whole, as often as the policy says.
func TestMemberFailsAndGangComesBack(t *testing.T) {
	s := newStage(t, append(twoNodes(), pair("train").Recreate(2).Obj())...)
	s.run("train")
	for restart := range int32(2) {
		s.fail("train-worker-0")
		s.clear("train")
		s.wantPods("train")
		if got := ptr.Deref(s.gang("train").Status.Restarts, 0); got != restart+1 {
			t.Fatalf("restarts is %d, want %d", got, restart+1)
		}
		if s.gang("train").Status.Backoff != nil {
			t.Error("a failure after the start cost a backoff")
		}
		s.run("train")
	}
	s.wantPods("train", "train-worker-0@n1 3", "train-worker-1@n2 3")
	s.fail("train-worker-0")
	s.clear("train")
	s.wantCondition("train", v1alpha1.ConditionFinished, "True", v1alpha1.ReasonFailed)
	if got := *s.gang("train").Status.Restarts; got != 2 {
		t.Errorf("restarts is %d, want the 2 that happened", got)
	}
}

// A Pod that vanishes after the start is a lost member; before the start it is
// only missing, and is made again.
func TestMemberLost(t *testing.T) {
	s := newStage(t, append(twoNodes(), pair("train").Recreate(1).Obj())...)
	s.place("train")
	s.delete(&s.pods("train")[0])
	s.settle("train")
	s.wantPods("train", "train-worker-0@n1 1", "train-worker-1@n2 1")
	s.run("train")

	s.delete(&s.pods("train")[1])
	s.reconcile("train")
	s.wantRelease("train", v1alpha1.ReleaseMemberLost, "pod train-worker-1 is being deleted")
	s.clear("train")
	s.run("train")
	s.wantPods("train", "train-worker-0@n1 2", "train-worker-1@n2 2")

	gone := s.pods("train")[1]
	if err := s.Purge(t.Context(), &gone); err != nil {
		t.Fatal(err)
	}
	s.reconcile("train")
	s.wantRelease("train", v1alpha1.ReleaseMemberLost, "pod train-worker-1 is gone")
	s.clear("train")
	s.wantCondition("train", v1alpha1.ConditionFinished, "True", v1alpha1.ReasonFailed)
}

// A gang all of whose Pods succeed is finished, and its counts say how.
func TestSucceeded(t *testing.T) {
	s := newStage(t, append(twoNodes(), pair("train").Obj())...)
	s.run("train")
	first := s.pods("train")[0]
	s.SetPodStatus(t, &first, corev1.PodStatus{Phase: corev1.PodSucceeded})
	s.settle("train")
	s.wantReady("train", "True", v1alpha1.ReasonRunning)

	s.set("train", corev1.PodSucceeded)
	s.settle("train")
	s.wantCondition("train", v1alpha1.ConditionFinished, "True", v1alpha1.ReasonSucceeded)
	s.wantCondition("train", v1alpha1.ConditionStalled, "False", v1alpha1.ReasonAsExpected)
	counts := s.gang("train").Status.Pods
	if *counts.Succeeded != 2 || *counts.Running != 0 {
		t.Errorf("%d succeeded and %d run, want 2 and 0", *counts.Succeeded, *counts.Running)
	}
	if len(s.committed()) > 0 {
		t.Errorf("a finished gang holds room: %v", s.committed())
	}
	for _, pod := range s.pods("train") {
		if err := s.Purge(t.Context(), &pod); err != nil {
			t.Fatal(err)
		}
	}
	s.settle("train")
	if got := *s.gang("train").Status.Pods.Succeeded; got != 2 {
		t.Errorf("after the pods were cleaned up %d succeeded, want 2", got)
	}
	s.wantPods("train")
}

// Pods may end so fast that nobody sees them run.
func TestSucceededAtOnce(t *testing.T) {
	s := newStage(t, append(twoNodes(), pair("train").Obj())...)
	s.place("train")
	s.bind("train")
	s.set("train", corev1.PodSucceeded)
	s.settle("train")
	s.wantCondition("train", v1alpha1.ConditionFinished, "True", v1alpha1.ReasonSucceeded)
	if got := s.gang("train").Status; got.StartedEpoch != 1 || *got.Pods.Succeeded != 2 {
		t.Errorf("started epoch %d, %d succeeded; want 1 and 2", got.StartedEpoch, *got.Pods.Succeeded)
	}
}

// A gang that is deleted goes after its Pods, and holds its room until then.
func TestDeletion(t *testing.T) {
	s := newStage(t, append(twoNodes(), pair("a").Obj())...)
	s.run("a")
	s.delete(s.gang("a"))
	s.settle("a")
	if group := s.gang("a"); !slices.Contains(group.Finalizers, v1alpha1.FinalizerGang) {
		t.Error("the gang let go before its pods were gone")
	}
	s.Create(t, pair("b").Obj())
	s.place("b")
	s.wantPods("b")
	s.clear("a")
	err := s.Client.Get(t.Context(), s.key("a"), &v1alpha1.GangSchedulingGroup{})
	if !apierrors.IsNotFound(err) {
		t.Errorf("the gang is still there: %v", err)
	}
	s.run("b")
}

// The same name again is another gang.
func TestDeletedAndCreatedAnew(t *testing.T) {
	s := newStage(t, append(twoNodes(), pair("train").Obj())...)
	s.run("train")
	s.delete(s.gang("train"))
	s.clear("train")
	s.Create(t, pair("train").Obj())
	var service corev1.Service
	if err := s.Client.Get(t.Context(), s.key("train"), &service); err == nil {
		s.delete(&service) // Garbage collection's part.
	}
	s.run("train")
	s.wantPods("train", "train-worker-0@n1 1", "train-worker-1@n2 1")
}

// Pods that the placement does not account for are removed: of an older epoch,
// of a role that is no more, on another node than planned.
func TestStrays(t *testing.T) {
	s := newStage(t, append(twoNodes(), pair("train").Recreate(3).Obj())...)
	s.run("train")
	s.fail("train-worker-0")
	s.clear("train")
	s.plan()
	group := s.gang("train")
	s.Create(t,
		testkit.Pod("train-worker-0").Of(group, 1).Obj(),
		testkit.Pod("train-worker-1").Of(group, 2).On("n1").Obj(),
		testkit.Pod("train-server-0").Of(group, 2).Obj())
	s.clear("train")
	s.wantPods("train", "train-worker-0@n1 2", "train-worker-1@n2 2")
	s.run("train")
}

// While a gang waits, Pods that still carry its UID go.
func TestStraysOfAWaitingGang(t *testing.T) {
	s := newStage(t, pair("train").Obj())
	s.settle("train")
	s.Create(t, testkit.Pod("train-worker-0").Of(s.gang("train"), 0).Obj())
	s.settle("train")
	s.wantPods("train")
}

// Events tell each transition once.
func TestEvents(t *testing.T) {
	s := newStage(t, append(twoNodes(), pair("train").Obj())...)
	want := func(step string, want ...string) {
		t.Helper()
		s.plan()
		s.reconcile("train")
		if diff := gocmp.Diff(want, s.events.Take()); diff != "" {
			t.Errorf("events of %s (-want +got):\n%s", step, diff)
		}
	}
	s.settle("train")
	want("planning", "Normal WaitingForRoom: waiting to be placed",
		"Normal Starting: starting the pods, in Leaf leaf-a", "Normal Planned: in Leaf leaf-a")
	s.settle("train")
	want("creating pods")
	s.bind("train")
	s.set("train", corev1.PodRunning)
	s.settle("train")
	want("running", "Normal Running: every pod runs, in Leaf leaf-a")
	s.fail("train-worker-0")
	s.reconcile("train")
	want("failing", "Normal Releasing: removing the pods of epoch 1 (MemberFailed): pod train-worker-0 failed: container main exited with 3 (Error)")
	s.clear("train")
	want("the end", "Warning Failed: pod train-worker-0 failed: container main exited with 3 (Error)")
	want("nothing")
}

// A long message still makes an event that the API server takes.
func TestEventsFitTheAPIServer(t *testing.T) {
	s := newStage(t)
	recorder := &testkit.Recorder{}
	group := planned().Namespace(s.Namespace).Releasing(v1alpha1.ReleaseCreateRefused).Obj()
	group.Status.Release.Message = convert.Message(strings.Repeat("ä", 1024))
	setConditions(group)
	report.Events(recorder, group, nil, group.Status.Conditions)
	_, said, _ := strings.Cut(recorder.Take()[0], ": ")
	s.Create(t, &eventsv1.Event{
		ObjectMeta: metav1.ObjectMeta{Name: "long"}, EventTime: metav1.NowMicro(), Type: "Normal", Reason: "Releasing", Action: "Reconcile", Note: said,
		ReportingController: "k8s4ai.io/gang", ReportingInstance: "test", Regarding: corev1.ObjectReference{Namespace: s.Namespace, Name: group.Name},
	})
	wantText(t, said, "removing the pods of epoch 2 (CreateRefused): ä", "ä…")
}

// Looking again without a change writes nothing.
func TestIdempotence(t *testing.T) {
	steps := []struct {
		name string
		do   func(s *stage)
	}{
		{"placed", func(s *stage) { s.place("train") }},
		{"bound", func(s *stage) { s.bind("train") }},
		{"running", func(s *stage) { s.set("train", corev1.PodRunning) }},
		{"refused", func(s *stage) { s.Create(s.t, pair("other").Obj()); s.place("other") }},
		{"releasing", func(s *stage) { s.fail("train-worker-0") }},
		{"failed", func(s *stage) { s.clear("train") }},
	}
	s := newStage(t, append(twoNodes(), pair("train").Obj())...)
	for _, step := range steps {
		step.do(s)
		s.clock.advance(mayWriteAgain)
		s.settle("train")
		if step.name == "failed" {
			s.place("other")
		}
		before := s.fingerprint("train") + s.fingerprint("other")
		for range 3 {
			s.clock.advance(mayWriteAgain)
			s.plan()
			s.reconcile("train")
			if step.name == "refused" {
				s.reconcile("other")
			}
		}
		if after := s.fingerprint("train") + s.fingerprint("other"); after != before {
			t.Errorf("%s: looking again changed\n%s\nto\n%s", step.name, before, after)
		}
	}
}

// Writes that change counts alone wait until the last one is a second old.
func TestCountsAreHeldBack(t *testing.T) {
	s := newStage(t, append(twoNodes(), pair("train").Obj())...)
	s.place("train")
	s.clock.advance(mayWriteAgain)
	s.settle("train")
	first := s.pods("train")[0]
	s.Bind(t, &first, "n1")
	s.clock.advance(mayWriteAgain / 4)
	if result := s.reconcile("train"); result.RequeueAfter <= 0 || result.RequeueAfter > mayWriteAgain {
		t.Errorf("looks again after %s, want within a second", result.RequeueAfter)
	}
	if got := *s.gang("train").Status.Pods.Bound; got != 0 {
		t.Error("the count was written at once")
	}
	s.clock.advance(mayWriteAgain)
	s.reconcile("train")
	if got := *s.gang("train").Status.Pods.Bound; got != 1 {
		t.Errorf("bound is %d, want 1", got)
	}
}
