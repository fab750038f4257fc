package gang

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/testkit"
)

// Changes of a gang that may let some gang be placed wake the planner.
func TestGangWantsPlanning(t *testing.T) {
	waiting := func() *testkit.GangBuilder { return testkit.Gang("g").Stored("g").Role("worker", 2, 8) }
	fresh := waiting().Obj()
	fresh.Finalizers = nil
	cases := map[string]struct {
		before, after *v1alpha1.GangSchedulingGroup
		want          bool
	}{
		"the finalizer arrives":          {fresh, waiting().Obj(), true},
		"a waiting gang's spec changes":  {waiting().Obj(), waiting().Generation(2).Obj(), true},
		"a waiting gang's status":        {waiting().Obj(), waiting().Refused(v1alpha1.ReasonWaitingForRoom).Obj(), false},
		"a commit":                       {waiting().Obj(), waiting().Placed(1, "n1", "n2").Obj(), false},
		"the end of a release":           {waiting().Placed(1, "n1", "n2").Releasing("x").Obj(), waiting().Obj(), true},
		"the end of a suspended release": {waiting().Placed(1, "n1", "n2").Releasing("x").Obj(), waiting().Suspended().Obj(), true},
		"success":                        {waiting().Placed(1, "n1").Obj(), waiting().Placed(1, "n1").Finished("Succeeded").Obj(), true},
		"resuming":                       {waiting().Suspended().Obj(), waiting().Obj(), true},
		"suspending":                     {waiting().Obj(), waiting().Suspended().Obj(), false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := gangWantsPlanning.Update(event.UpdateEvent{ObjectOld: tc.before, ObjectNew: tc.after}); got != tc.want {
				t.Errorf("wakes the planner: %v, want %v", got, tc.want)
			}
		})
	}
	if !gangWantsPlanning.Create(event.CreateEvent{Object: waiting().Obj()}) || gangWantsPlanning.Create(event.CreateEvent{Object: fresh}) {
		t.Error("of new gangs those with the finalizer wake the planner")
	}
	if !gangWantsPlanning.Delete(event.DeleteEvent{Object: waiting().Obj()}) {
		t.Error("a gang that is gone leaves room")
	}
}

// So do changes of Pods that free room, or take it from outside.
func TestPodFreesRoom(t *testing.T) {
	group := testkit.Gang("g").Stored("g").Role("worker", 2, 8).Obj()
	mine := func() *testkit.PodBuilder { return testkit.Pod("p").Of(group, 1) }
	cases := map[string]struct {
		before, after *testkit.PodBuilder
		want          bool
	}{
		"a foreign pod is bound":  {testkit.Pod("p"), testkit.Pod("p").On("n1"), true},
		"a gang's pod is bound":   {mine(), mine().On("n1"), false},
		"a gang's pod runs":       {mine().On("n1"), mine().On("n1").Phase(corev1.PodRunning), false},
		"a gang's pod ends":       {mine().On("n1").Phase(corev1.PodRunning), mine().On("n1").Phase(corev1.PodFailed), true},
		"a foreign pod ends":      {testkit.Pod("p").On("n1"), testkit.Pod("p").On("n1").Phase(corev1.PodSucceeded), true},
		"a foreign pod has ended": {testkit.Pod("p").On("n1").Phase(corev1.PodSucceeded), testkit.Pod("p").On("n1").Phase(corev1.PodSucceeded), false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := podFreesRoom.Update(event.UpdateEvent{ObjectOld: tc.before.Obj(), ObjectNew: tc.after.Obj()}); got != tc.want {
				t.Errorf("wakes the planner: %v, want %v", got, tc.want)
			}
		})
	}
	if podFreesRoom.Create(event.CreateEvent{Object: mine().On("n1").Obj()}) || !podFreesRoom.Create(event.CreateEvent{Object: testkit.Pod("p").On("n1").Obj()}) {
		t.Error("of new pods the bound foreign ones wake the planner")
	}
	if podFreesRoom.Delete(event.DeleteEvent{Object: testkit.Pod("p").Obj()}) || !podFreesRoom.Delete(event.DeleteEvent{Object: mine().On("n1").Obj()}) {
		t.Error("of deleted pods the bound ones wake the planner")
	}
}

// A Pod belongs to the gang that controls it, and to no other of that name.
func TestIndexPodOwner(t *testing.T) {
	group := testkit.Gang("g").Stored("uid-1").Obj()
	if got := IndexPodOwner(testkit.Pod("p").Of(group, 1).Obj()); len(got) != 1 || got[0] != "uid-1" {
		t.Errorf("a gang's pod: %v, want [uid-1]", got)
	}
	if got := IndexPodOwner(testkit.Pod("p").Label(v1alpha1.LabelGang, "g").Obj()); got != nil {
		t.Errorf("a pod with the label alone: %v, want none", got)
	}
	if got := IndexPodOwner(group); got != nil {
		t.Errorf("no pod at all: %v, want none", got)
	}
}
