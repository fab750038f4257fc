package gang

import (
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/convert"
	"github.com/k8s4ai/k8s4ai/internal/testkit"
)

// life is what a gang goes through in TestCrashAtEveryWrite: each chapter
// changes the world and says what it leads to.
var life = []struct {
	name string
	do   func(s *stage)
	ends func(s *stage, group *v1alpha1.GangSchedulingGroup) bool
}{
	{
		"runs",
		func(s *stage) { s.Create(s.t, pair("train").Recreate(1).Obj()) },
		func(_ *stage, group *v1alpha1.GangSchedulingGroup) bool {
			return group != nil && group.Status.StartedEpoch == 1
		},
	}, {
		"a member fails, and the gang runs again",
		func(s *stage) { s.fail("train-worker-0") },
		func(_ *stage, group *v1alpha1.GangSchedulingGroup) bool { return group.Status.StartedEpoch == 2 },
	}, {
		"succeeds",
		func(s *stage) { s.set("train", corev1.PodSucceeded) },
		func(_ *stage, group *v1alpha1.GangSchedulingGroup) bool { return isFinished(group) },
	}, {
		"is deleted",
		func(s *stage) { s.delete(s.gang("train")) },
		func(s *stage, group *v1alpha1.GangSchedulingGroup) bool {
			return group == nil && len(s.pods("train")) == 0
		},
	},
}

// The manager is killed at every single write of a gang's life, before and after
// the write arrives, and started anew. Nothing is ever lost, doubled or off its
// place, and the life ends as it would have. Without a restart the same holds.
func TestCrashAtEveryWrite(t *testing.T) {
	s := newStage(t, twoNodes()...)
	calm := &testkit.Faults{}
	s.liveThrough(t, calm)
	if calm.Writes() < 15 {
		t.Fatalf("a calm life has %d writes, which cannot be all", calm.Writes())
	}
	step := 1
	if testing.Short() {
		step = 4
	}
	variants := map[string]struct{ fatal, lost bool }{
		"killed before the write":             {fatal: true},
		"killed after the write":              {fatal: true, lost: true},
		"only the answer is lost, no restart": {lost: true},
	}
	for name, variant := range variants {
		t.Run(name, func(t *testing.T) {
			for n := 1; n <= calm.Writes(); n += step {
				t.Run(fmt.Sprint(n), func(t *testing.T) {
					s.liveThrough(t, &testkit.Faults{At: n, Lost: variant.lost, Fatal: variant.fatal})
				})
			}
		})
	}
}

// liveThrough plays a life with one fault in it.
func (s *stage) liveThrough(t *testing.T, faults *testkit.Faults) {
	outer := s.t
	s.t = t
	defer func() { s.t = outer }()
	s.process = s.newProcess(faults.Client(s.Client))
	for _, chapter := range life {
		chapter.do(s)
		done := false
		for round := 0; round < 40 && !done; round++ {
			done = chapter.ends(s, s.round(faults))
		}
		if !done {
			t.Fatalf("%s: does not come about; gang: %+v\npods: %v", chapter.name, s.mayRead("train"), s.where("train"))
		}
	}
	s.delete(&corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "train", Namespace: s.Namespace}}) // Garbage collection's part.
	s.plan()
	if held := s.planner.ledger.holdings(); len(held) > 0 {
		t.Errorf("at the end the ledger still holds %v", held)
	}
}

// round lets everybody have one go: planner, Reconciler, scheduler, kubelets. A
// manager that met its fatal fault is started anew at the next round. It returns
// the gang as it is before the scheduler's turn, nil when there is none.
func (s *stage) round(faults *testkit.Faults) *v1alpha1.GangSchedulingGroup {
	s.t.Helper()
	if faults.Fatal && faults.Happened() {
		s.restart()
	}
	if _, err := s.planner.Reconcile(s.t.Context(), fleetPass[0]); err != nil && !faults.Happened() {
		s.t.Fatalf("planning: %v", err)
	}
	s.wantNoOvercommit()
	s.wantFollowed()
	if group := s.mayRead("train"); group != nil {
		if _, err := s.reconciler.Reconcile(s.t.Context(), group); err != nil && !faults.Happened() {
			s.t.Fatalf("reconciling: %v", err)
		}
	}
	group, pods := s.mayRead("train"), s.pods("train")
	s.wantSound(group, slices.Clone(pods))
	for i := range pods {
		pod := &pods[i]
		switch {
		case !pod.DeletionTimestamp.IsZero():
			if err := s.Purge(s.t.Context(), pod); err != nil {
				s.t.Fatal(err)
			}
		case pod.Spec.NodeName == "":
			s.Bind(s.t, pod, testkit.PinnedTo(pod))
		case pod.Status.Phase == corev1.PodPending:
			s.SetPodStatus(s.t, pod, corev1.PodStatus{Phase: corev1.PodRunning})
		}
	}
	return group
}

// mayRead reads a gang from the API server, nil when it does not exist.
func (s *stage) mayRead(name string) *v1alpha1.GangSchedulingGroup {
	s.t.Helper()
	group := &v1alpha1.GangSchedulingGroup{}
	err := s.Client.Get(s.t.Context(), s.key(name), group)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return group
}

// wantSound fails unless every living Pod of a gang stands in its stored
// placement, at its place and once.
func (s *stage) wantSound(group *v1alpha1.GangSchedulingGroup, pods []corev1.Pod) {
	s.t.Helper()
	// A Pod that is being deleted takes its room until its containers have ended.
	living := slices.DeleteFunc(pods, func(pod corev1.Pod) bool { return !pod.DeletionTimestamp.IsZero() && isTerminal(&pod) })
	if len(living) == 0 {
		return
	}
	if group == nil || len(group.Finalizers) == 0 || group.Status.Placement == nil {
		s.t.Fatalf("%v live without a gang, or without its placement: %+v", s.where("train"), group)
	}
	roles, err := convert.PlacedRoles(group.Status.Placement)
	if err != nil {
		s.t.Fatal(err)
	}
	planned := map[string]string{}
	for _, m := range membersOf(group.Name, roles) {
		planned[m.name] = m.node
	}
	for _, pod := range living {
		node, known := planned[pod.Name]
		if !known || testkit.PinnedTo(&pod) != node || pod.Spec.NodeName != "" && pod.Spec.NodeName != node || epochOf(&pod) != group.Status.Epoch {
			s.t.Fatalf("pods %v do not stand in the placement of epoch %d", s.where("train"), group.Status.Epoch)
		}
	}
}
