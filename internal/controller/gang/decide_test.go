package gang

import (
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/convert"
	"github.com/k8s4ai/k8s4ai/internal/testkit"
)

// planned is a gang of two on n1 and n2, at epoch 2, that has not started.
func planned() *testkit.GangBuilder {
	return testkit.Gang("train").Stored("train").Role("worker", 2, 8).Placed(2, "n1", "n2")
}

// see is what observe makes of a gang and Pods, with the Service in place.
func see(group *v1alpha1.GangSchedulingGroup, waiting time.Duration, pods ...*testkit.PodBuilder) observed {
	seen := observed{group: group, pods: map[string]*corev1.Pod{}, hasService: true, waiting: waiting}
	for _, b := range pods {
		pod := b.Obj()
		seen.pods[pod.Name] = pod
	}
	if group.Status.Placement != nil {
		roles, err := convert.PlacedRoles(group.Status.Placement)
		if err != nil {
			seen.unreadable = err.Error()
			return seen
		}
		seen.members = membersOf(group.Name, roles)
	}
	return seen
}

// worker is the Pod of a planned member.
func worker(index string, epoch int64) *testkit.PodBuilder {
	return testkit.Pod("train-worker-"+index).Of(planned().Obj(), epoch).Phase(corev1.PodPending)
}

// verdict is a decision in a form that compares and prints.
type verdict struct {
	Finalizer, Settle, Service, Started, Succeeded bool
	Release, Message                               string
	Delete, Create                                 []string
	Again                                          time.Duration
}

func verdictOf(d decision) verdict {
	out := verdict{Finalizer: d.addFinalizer, Settle: d.settle, Service: d.createService, Started: d.started, Succeeded: d.succeeded, Again: d.lookAgain}
	if d.release != nil {
		out.Release, out.Message = d.release.Reason, d.release.Message
	}
	for _, pod := range d.deletePods {
		out.Delete = append(out.Delete, pod.Name)
	}
	for _, m := range d.createPods {
		out.Create = append(out.Create, m.name)
	}
	return out
}

type decideCase struct {
	seen observed
	want verdict
}

func checkDecide(t *testing.T, cases map[string]decideCase) {
	t.Helper()
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := gocmp.Diff(tc.want, verdictOf(decide(tc.seen))); diff != "" {
				t.Errorf("decide() (-want +got):\n%s", diff)
			}
		})
	}
}

// What the gang itself says comes first.
func TestDecideByTheGang(t *testing.T) {
	running := []*testkit.PodBuilder{worker("0", 2).On("n1").Phase(corev1.PodRunning), worker("1", 2).On("n2").Phase(corev1.PodRunning)}
	both := []string{"train-worker-0", "train-worker-1"}
	garbage := planned().Obj()
	garbage.Status.Placement.Roles[0].Hosts = "n1"
	fresh := planned().Obj()
	fresh.Finalizers = nil
	leaving := planned().Deleted(time.Unix(1, 0)).Obj()
	left := planned().Deleted(time.Unix(1, 0)).Obj()
	left.Finalizers = nil
	checkDecide(t, map[string]decideCase{
		"a new gang gets the finalizer and nothing else": {see(fresh, 0), verdict{Finalizer: true}},
		"a deleted gang loses its pods":                  {see(leaving, 0, running...), verdict{Delete: both}},
		"a deleted gang waits for pods that end":         {see(leaving, 0, running[0].Deleted()), verdict{}},
		"a deleted gang without pods settles":            {see(leaving, 0), verdict{Settle: true}},
		"a deleted gang without finalizer is left alone": {see(left, 0, running[1]), verdict{}},
		"a finished gang keeps the pods of its epoch": {
			see(planned().Finished(v1alpha1.ReasonSucceeded).Obj(), 0, worker("0", 2), worker("1", 1)), verdict{Delete: both[1:]}},
		"a gang without placement keeps no pods": {
			see(testkit.Gang("train").Stored("train").Role("worker", 2, 8).Obj(), 0, worker("0", 2)), verdict{Delete: both[:1]}},
		"a release removes every pod": {see(planned().Releasing(v1alpha1.ReleaseSuspended).Obj(), 0, worker("0", 2), worker("1", 1)), verdict{Delete: both}},
		"a release without pods settles": {
			see(planned().Releasing(v1alpha1.ReleaseBindTimeout).Obj(), 0), verdict{Settle: true}},
		"a release that ends the gang keeps pods that have ended": {
			see(planned().Releasing(v1alpha1.ReleaseMemberFailed).Obj(), 0, worker("0", 2).Phase(corev1.PodFailed)), verdict{Settle: true}},
		"a release before a restart keeps none": {
			see(planned().Recreate(1).Releasing(v1alpha1.ReleaseMemberFailed).Obj(), 0, worker("0", 2).Phase(corev1.PodFailed)), verdict{Delete: both[:1]}},
		"a suspended gang is released": {
			see(planned().Suspended().Obj(), 0), verdict{Release: v1alpha1.ReleaseSuspended, Message: "spec.suspend is true"}},
		"an unreadable placement is released": {
			see(garbage, 0), verdict{Release: v1alpha1.ReleasePlacementInvalid, Message: "placement of role worker: 1 hosts for 2 pods"}},
		"a changed spec is released before the start": {
			see(planned().Generation(2).Obj(), 0), verdict{Release: v1alpha1.ReleaseSpecChanged, Message: "the spec changed before the gang had started"}},
		"a changed spec means nothing after the start": {see(planned().Generation(2).Started().Obj(), 0, worker("0", 2).On("n1").Phase(corev1.PodRunning), worker("1", 2).On("n2").Phase(corev1.PodRunning)), verdict{Started: true}},
	})
}

// Then what its Pods say.
func TestDecideByThePods(t *testing.T) {
	bare := see(planned().Obj(), 0)
	bare.hasService = false
	ok := worker("0", 2).On("n1").Phase(corev1.PodRunning)
	at := func() *testkit.PodBuilder { return worker("1", 2).On("n2") }
	checkDecide(t, map[string]decideCase{
		"a placement without pods gets the service and all of them": {
			bare, verdict{Service: true, Create: []string{"train-worker-0", "train-worker-1"}}},
		"a missing pod is created": {see(planned().Obj(), time.Hour, ok), verdict{Create: []string{"train-worker-1"}}},
		"an unbound pod is waited for": {
			see(planned().BindTimeout(40).Obj(), 15*time.Second, ok, worker("1", 2)), verdict{Again: 25 * time.Second}},
		"thirty seconds are the default": {see(planned().Obj(), 0, ok, worker("1", 2)), verdict{Again: 30 * time.Second}},
		"an unbound pod is given up at the timeout": {
			see(planned().BindTimeout(40).Obj(), 40*time.Second, ok, worker("1", 2)),
			verdict{Release: v1alpha1.ReleaseBindTimeout, Message: "pod train-worker-1 is not bound to node n2"}},
		"bound pods that do not run yet are left alone": {see(planned().Obj(), time.Hour, ok, at()), verdict{}},
		"the gang has started when all run":             {see(planned().Obj(), 0, ok, at().Phase(corev1.PodRunning)), verdict{Started: true}},
		"a pod that has succeeded counts as started":    {see(planned().Obj(), 0, ok, at().Phase(corev1.PodSucceeded)), verdict{Started: true}},
		"the gang has succeeded when all have": {
			see(planned().Obj(), 0, worker("0", 2).On("n1").Phase(corev1.PodSucceeded), at().Phase(corev1.PodSucceeded)), verdict{Started: true, Succeeded: true}},
		"a pod of an older epoch is a stray, and its name is not free": {
			see(planned().Obj(), 0, ok, worker("1", 1).On("n2")), verdict{Delete: []string{"train-worker-1"}}},
		"a pod without an epoch is a stray": {
			see(planned().Obj(), 0, ok, at(), worker("7", 2).Label(v1alpha1.LabelEpoch, "x")), verdict{Delete: []string{"train-worker-7"}}},
		"a pod on another node is a stray":          {see(planned().Obj(), 0, ok, worker("1", 2).On("n3")), verdict{Delete: []string{"train-worker-1"}}},
		"a stray is deleted once":                   {see(planned().Obj(), 0, ok, worker("1", 1).Deleted()), verdict{}},
		"a deleted pod is no loss before the start": {see(planned().Obj(), 0, ok, at().Deleted()), verdict{}},
		"a deleted pod is a loss after the start": {
			see(planned().Started().Obj(), 0, ok, at().Deleted()), verdict{Release: v1alpha1.ReleaseMemberLost, Message: "pod train-worker-1 is being deleted"}},
		"a vanished pod is a loss after the start": {
			see(planned().Started().Obj(), 0, ok), verdict{Release: v1alpha1.ReleaseMemberLost, Message: "pod train-worker-1 is gone"}},
	})
}

// Failures are told apart by who failed.
func TestDecideFailures(t *testing.T) {
	ok := worker("0", 2).On("n1").Phase(corev1.PodRunning)
	failed := func() *testkit.PodBuilder { return worker("1", 2).On("n2").Phase(corev1.PodFailed) }
	checkDecide(t, map[string]decideCase{
		"a container that exits badly fails the gang": {
			see(planned().Obj(), 0, ok, failed().Exited(7)), verdict{Release: v1alpha1.ReleaseMemberFailed, Message: "pod train-worker-1 failed: container main exited with 7 (Error)"}},
		"an eviction fails the gang": {
			see(planned().Started().Obj(), 0, ok, failed().Reason("Evicted", "low on memory")), verdict{Release: v1alpha1.ReleaseMemberFailed, Message: "pod train-worker-1 failed: Evicted"}},
		"a failure without a reason is told as it is": {
			see(planned().Obj(), 0, ok, failed()), verdict{Release: v1alpha1.ReleaseMemberFailed, Message: "pod train-worker-1 failed"}},
		"a kubelet that is out of a resource refuses": {
			see(planned().Obj(), 0, ok, failed().Reason("OutOfnvidia.com/gpu", "x")), verdict{Release: v1alpha1.ReleaseNodeRefused, Message: "node n2 refused pod train-worker-1: OutOfnvidia.com/gpu x"}},
		"a kubelet that rejects for any reason refuses": {
			see(planned().Obj(), 0, ok, failed().Reason("TopologyAffinityError", "Pod was rejected: x")),
			verdict{Release: v1alpha1.ReleaseNodeRefused, Message: "node n2 refused pod train-worker-1: TopologyAffinityError Pod was rejected: x"}},
		"what ran was not refused": {
			see(planned().Obj(), 0, ok, failed().Exited(1).Reason("OutOfcpu", "")), verdict{Release: v1alpha1.ReleaseMemberFailed, Message: "pod train-worker-1 failed: container main exited with 1 (Error)"}},
		"a refusal outweighs a failure that follows from it": {
			see(planned().Obj(), 0, worker("0", 2).On("n1").Phase(corev1.PodFailed), failed().Reason("OutOfcpu", "")),
			verdict{Release: v1alpha1.ReleaseNodeRefused, Message: "node n2 refused pod train-worker-1: OutOfcpu "}},
		"the first failed rank is named": {
			see(planned().Obj(), 0, worker("0", 2).On("n1").Phase(corev1.PodFailed), failed()), verdict{Release: v1alpha1.ReleaseMemberFailed, Message: "pod train-worker-0 failed"}},
	})
}

// The restart policy says when a release ends the gang.
func TestIsFinal(t *testing.T) {
	cases := map[string]struct {
		gang *testkit.GangBuilder
		want bool
	}{
		"a failure without a policy ends the gang":     {planned().Releasing(v1alpha1.ReleaseMemberFailed), true},
		"a loss without a policy ends the gang":        {planned().Releasing(v1alpha1.ReleaseMemberLost), true},
		"a suspension never does":                      {planned().Releasing(v1alpha1.ReleaseSuspended).Restarts(9), false},
		"nor does a failed start":                      {planned().Releasing(v1alpha1.ReleaseNodeRefused).Restarts(9), false},
		"a gang may come back three times by default":  {planned().Recreate(0).Releasing(v1alpha1.ReleaseMemberFailed).Restarts(2), false},
		"and not a fourth time":                        {planned().Recreate(0).Releasing(v1alpha1.ReleaseMemberFailed).Restarts(3), true},
		"a gang may come back as often as it says":     {planned().Recreate(5).Releasing(v1alpha1.ReleaseMemberLost).Restarts(4), false},
		"and not once more":                            {planned().Recreate(5).Releasing(v1alpha1.ReleaseMemberLost).Restarts(5), true},
		"a gang that is deleted goes, and cannot fail": {planned().Releasing(v1alpha1.ReleaseMemberFailed).Deleted(time.Unix(1, 0)), false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := isFinal(tc.gang.Obj()); got != tc.want {
				t.Errorf("isFinal() = %v, want %v", got, tc.want)
			}
		})
	}
}
