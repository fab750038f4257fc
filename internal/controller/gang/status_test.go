package gang

import (
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/testkit"
)

// One row per reason: Ready, Reconciling, Stalled, Placed, Finished, and what
// Ready says.
func TestConditions(t *testing.T) {
	until := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	waiting := func() *testkit.GangBuilder { return testkit.Gang("train").Stored("train").Role("worker", 2, 8) }
	const idle, open = "False AsExpected", "False NotFinished"
	cases := map[string]struct {
		gang    *testkit.GangBuilder
		want    [5]string
		message string
	}{
		"new": {waiting(), [5]string{"False WaitingForRoom", "True WaitingForRoom", idle, "False WaitingForRoom", open}, "waiting to be placed"},
		"waiting for room": {waiting().Refused(v1alpha1.ReasonWaitingForRoom),
			[5]string{"False WaitingForRoom", "True WaitingForRoom", idle, "False WaitingForRoom", open}, "refused for a test"},
		"refused in an older form": {waiting().Refused(v1alpha1.ReasonInvalidSpec),
			[5]string{"False WaitingForRoom", "True WaitingForRoom", idle, "False WaitingForRoom", open}, "waiting to be placed"},
		"no proof": {waiting().Refused(v1alpha1.ReasonNoProof),
			[5]string{"False NoProof", "True NoProof", idle, "False NoProof", open}, "refused for a test"},
		"unsatisfiable": {waiting().Refused(v1alpha1.ReasonUnsatisfiable),
			[5]string{"False Unsatisfiable", idle, "True Unsatisfiable", "False Unsatisfiable", open}, "refused for a test"},
		"invalid spec": {waiting().Refused(v1alpha1.ReasonInvalidSpec),
			[5]string{"False InvalidSpec", idle, "True InvalidSpec", "False InvalidSpec", open}, "refused for a test"},
		"unknown class": {waiting().Refused(v1alpha1.ReasonUnknownClass),
			[5]string{"False UnknownClass", idle, "True UnknownClass", "False UnknownClass", open}, "refused for a test"},
		"queue unsupported": {waiting().Refused(v1alpha1.ReasonQueueUnsupported),
			[5]string{"False QueueUnsupported", idle, "True QueueUnsupported", "False QueueUnsupported", open}, "refused for a test"},
		"suspended": {waiting().Suspended().Refused(v1alpha1.ReasonWaitingForRoom),
			[5]string{"False Suspended", idle, idle, "False Suspended", open}, "spec.suspend is true: set it to false to start the gang"},
		"backing off": {waiting().BackingOff(1, until),
			[5]string{"False BackingOff", "True BackingOff", idle, "False BackingOff", open},
			"the last placement could not be realised, a new one is made after 03:04:05 UTC: BindTimeout: for a test"},
		"starting": {planned(), [5]string{"False Starting", "True Starting", idle, "True Planned", open}, "starting the pods, in Leaf leaf-a"},
		"running":  {planned().Started(), [5]string{"True Running", idle, idle, "True Planned", open}, "every pod runs, in Leaf leaf-a"},
		"releasing": {planned().Started().Releasing(v1alpha1.ReleaseSuspended),
			[5]string{"False Releasing", "True Releasing", idle, "True Releasing", open}, "removing the pods of epoch 2 (Suspended): for a test"},
		"succeeded": {planned().Started().Finished(v1alpha1.ReasonSucceeded),
			[5]string{"True Succeeded", idle, idle, "False Succeeded", "True Succeeded"}, "for a test"},
		"failed": {planned().Started().Finished(v1alpha1.ReasonFailed),
			[5]string{"False Failed", idle, "True Failed", "False Failed", "True Failed"}, "for a test"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			group := tc.gang.Generation(7).Obj()
			if group.Status.Refusal != nil && name != "refused in an older form" {
				group.Status.Refusal.Generation = 7
			}
			setConditions(group)
			got := conditions(group)
			have := [5]string{got["Ready"], got["Reconciling"], got["Stalled"], got["Placed"], got["Finished"]}
			if diff := gocmp.Diff(tc.want, have); diff != "" {
				t.Errorf("Ready, Reconciling, Stalled, Placed, Finished (-want +got):\n%s", diff)
			}
			if ready := meta.FindStatusCondition(group.Status.Conditions, v1alpha1.ConditionReady); ready.Message != tc.message {
				t.Errorf("Ready says %q, want %q", ready.Message, tc.message)
			}
			for _, c := range group.Status.Conditions {
				if c.ObservedGeneration != 7 {
					t.Errorf("%s is of generation %d, want 7", c.Type, c.ObservedGeneration)
				}
			}
			again := group.DeepCopy()
			setConditions(again)
			if diff := gocmp.Diff(group, again); diff != "" {
				t.Errorf("a second time changes conditions (-first +second):\n%s", diff)
			}
		})
	}
}

func TestCount(t *testing.T) {
	numbers := func(c *v1alpha1.GangPodCounts) [6]int32 {
		return [6]int32{*c.Desired, *c.Created, *c.Bound, *c.Running, *c.Succeeded, *c.Failed}
	}
	mine := func(index string, epoch int64) *testkit.PodBuilder {
		return worker(index, epoch).Label(v1alpha1.LabelRole, "worker")
	}
	cases := map[string]struct {
		gang *testkit.GangBuilder
		pods []*testkit.PodBuilder
		want [6]int32
	}{
		"a waiting gang wants what the spec says": {testkit.Gang("train").Role("worker", 3, 8).Role("server", 2, 0), nil, [6]int32{5, 0, 0, 0, 0, 0}},
		"a placed gang wants what is placed":      {testkit.Gang("train").Role("worker", 3, 8).Placed(2, "n1", "n2"), nil, [6]int32{2, 0, 0, 0, 0, 0}},
		"pods count by phase": {planned(), []*testkit.PodBuilder{
			mine("0", 2), mine("1", 2).On("n1"), mine("2", 2).On("n1").Phase(corev1.PodRunning),
			mine("3", 2).On("n1").Phase(corev1.PodSucceeded), mine("4", 2).On("n1").Phase(corev1.PodFailed)}, [6]int32{2, 5, 4, 1, 1, 1}},
		"pods of another epoch do not count": {planned(), []*testkit.PodBuilder{mine("0", 1).On("n1")}, [6]int32{2, 0, 0, 0, 0, 0}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			group := tc.gang.Obj()
			count(group, see(group, 0, tc.pods...))
			if got := numbers(group.Status.Pods); got != tc.want {
				t.Errorf("desired, created, bound, running, succeeded, failed = %v, want %v", got, tc.want)
			}
		})
	}
}
