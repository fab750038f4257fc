package observe

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/testkit"
)

// passes lets an update of an object through a predicate.
func passes[T client.Object](p predicate.Predicate, before T, change func(T)) bool {
	after := before.DeepCopyObject().(T)
	change(after)
	return p.Update(event.UpdateEvent{ObjectOld: before, ObjectNew: after})
}

func TestNodeChanged(t *testing.T) {
	later := metav1.Time{Time: time.Unix(2000, 0)}
	cases := map[string]struct {
		change func(*corev1.Node)
		want   bool
	}{
		"a heartbeat": {change: func(n *corev1.Node) {
			n.ResourceVersion = "2"
			n.Status.Conditions[0].LastHeartbeatTime = later
			n.Status.Conditions = append(n.Status.Conditions, corev1.NodeCondition{Type: corev1.NodeDiskPressure, Status: corev1.ConditionFalse})
		}},
		"images, addresses, annotations": {change: func(n *corev1.Node) {
			n.Status.Images = []corev1.ContainerImage{{Names: []string{"x"}}}
			n.Status.Addresses = []corev1.NodeAddress{{Address: "10.0.0.1"}}
			n.Annotations = map[string]string{"a": "b"}
		}},
		"capacity alone":      {change: func(n *corev1.Node) { n.Status.Capacity = corev1.ResourceList{"cpu": resource.MustParse("9")} }},
		"an equal quantity":   {change: func(n *corev1.Node) { n.Status.Allocatable["cpu"] = resource.MustParse("64000m") }},
		"a label":             {want: true, change: func(n *corev1.Node) { n.Labels["rack"] = "2" }},
		"a label that goes":   {want: true, change: func(n *corev1.Node) { delete(n.Labels, corev1.LabelHostname) }},
		"a taint":             {want: true, change: func(n *corev1.Node) { n.Spec.Taints = []corev1.Taint{{Key: "gpu", Effect: "NoSchedule"}} }},
		"a cordon":            {want: true, change: func(n *corev1.Node) { n.Spec.Unschedulable = true }},
		"another allocatable": {want: true, change: func(n *corev1.Node) { n.Status.Allocatable[testkit.GPU] = resource.MustParse("7") }},
		"not ready":           {want: true, change: func(n *corev1.Node) { n.Status.Conditions[0].Status = corev1.ConditionFalse }},
		"no word of it":       {want: true, change: func(n *corev1.Node) { n.Status.Conditions[0].Status = corev1.ConditionUnknown }},
		"no conditions":       {want: true, change: func(n *corev1.Node) { n.Status.Conditions = nil }},
		"a deletion":          {want: true, change: func(n *corev1.Node) { n.DeletionTimestamp = &later }},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := passes(NodeChanged, testkit.Node("n1").GPUs(8).Obj(), tc.change); got != tc.want {
				t.Errorf("NodeChanged passes it: %v, want %v", got, tc.want)
			}
		})
	}
	if !NodeChanged.Create(event.CreateEvent{Object: testkit.Node("n1").Obj()}) || !NodeChanged.Delete(event.DeleteEvent{Object: testkit.Node("n1").Obj()}) {
		t.Error("nodes that come and go do not pass")
	}
}

func TestEvidenceChanged(t *testing.T) {
	derived := testkit.Domain("d", v1alpha1.LevelBlock).Obj()
	derived.Labels = map[string]string{v1alpha1.LabelTopologySource: v1alpha1.TopologySourceLabels}
	declared := testkit.Domain("d", v1alpha1.LevelBlock).Obj()
	cases := map[string]struct {
		domain *v1alpha1.TopologyDomain
		change func(*v1alpha1.TopologyDomain)
		want   bool
	}{
		"what the manager counts":    {domain: declared, change: func(d *v1alpha1.TopologyDomain) { d.Status.Nodes = &v1alpha1.NodeCounts{}; d.Status.ParentName = "p" }},
		"conditions":                 {domain: declared, change: func(d *v1alpha1.TopologyDomain) { d.Status.Conditions = []metav1.Condition{{Type: "Ready"}} }},
		"labels":                     {domain: declared, change: func(d *v1alpha1.TopologyDomain) { d.Labels = map[string]string{"a": "b"} }},
		"a spec":                     {domain: declared, want: true, change: func(d *v1alpha1.TopologyDomain) { d.Generation++ }},
		"a first report":             {domain: declared, want: true, change: func(d *v1alpha1.TopologyDomain) { d.Status.Node = &v1alpha1.NodeReport{} }},
		"a spec of a derived domain": {domain: derived, change: func(d *v1alpha1.TopologyDomain) { d.Generation++ }},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := passes(EvidenceChanged, tc.domain, tc.change); got != tc.want {
				t.Errorf("EvidenceChanged passes it: %v, want %v", got, tc.want)
			}
		})
	}
	for object, want := range map[*v1alpha1.TopologyDomain]bool{declared: true, derived: false} {
		if EvidenceChanged.Create(event.CreateEvent{Object: object}) != want || EvidenceChanged.Delete(event.DeleteEvent{Object: object}) != want {
			t.Errorf("a domain with labels %v comes and goes: want passed %v", object.Labels, want)
		}
	}
}

func TestPodMoved(t *testing.T) {
	cases := map[string]struct {
		pod    *corev1.Pod
		change func(*corev1.Pod)
		want   bool
	}{
		"it waits":                {pod: testkit.Pod("p").Obj(), change: func(p *corev1.Pod) { p.Status.Phase = corev1.PodPending }},
		"it is bound":             {pod: testkit.Pod("p").Obj(), want: true, change: func(p *corev1.Pod) { p.Spec.NodeName = "n1" }},
		"it starts":               {pod: testkit.Pod("p").On("n1").Obj(), change: func(p *corev1.Pod) { p.Status.Phase = corev1.PodRunning }},
		"it succeeds":             {pod: testkit.Pod("p").On("n1").Phase(corev1.PodRunning).Obj(), want: true, change: func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }},
		"it fails":                {pod: testkit.Pod("p").On("n1").Phase(corev1.PodRunning).Obj(), want: true, change: func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }},
		"it fails without a node": {pod: testkit.Pod("p").Obj(), change: func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }},
		"a deletion that only asks": {pod: testkit.Pod("p").On("n1").Obj(), change: func(p *corev1.Pod) {
			p.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)}
		}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := passes(PodMoved, tc.pod, tc.change); got != tc.want {
				t.Errorf("PodMoved passes it: %v, want %v", got, tc.want)
			}
		})
	}
	for want, pod := range map[bool]*corev1.Pod{true: testkit.Pod("p").On("n1").Obj(), false: testkit.Pod("p").Obj()} {
		if PodMoved.Create(event.CreateEvent{Object: pod}) != want || PodMoved.Delete(event.DeleteEvent{Object: pod}) != want {
			t.Errorf("a pod on node %q comes and goes: want passed %v", pod.Spec.NodeName, want)
		}
	}
}

func TestCommitmentChanged(t *testing.T) {
	waiting := testkit.Gang("g").Role("w", 1, 8).Obj()
	placed := testkit.Gang("g").Role("w", 1, 8).Placed(1, "n1").Obj()
	finished := testkit.Gang("g").Role("w", 1, 8).Placed(1, "n1").Finished(v1alpha1.ReasonSucceeded).Obj()
	cases := map[string]struct {
		before, after *v1alpha1.GangSchedulingGroup
		want          bool
	}{
		"it waits on":          {before: waiting, after: waiting},
		"it is placed":         {before: waiting, after: placed, want: true},
		"it runs on":           {before: placed, after: testkit.Gang("g").Role("w", 1, 8).Placed(1, "n1").Started().Obj()},
		"it is placed anew":    {before: placed, after: testkit.Gang("g").Role("w", 1, 8).Placed(2, "n1").Obj(), want: true},
		"it is released":       {before: placed, after: waiting, want: true},
		"it ends and is done":  {before: placed, after: finished, want: true},
		"it stays where it is": {before: finished, after: finished},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := CommitmentChanged.Update(event.UpdateEvent{ObjectOld: tc.before, ObjectNew: tc.after}); got != tc.want {
				t.Errorf("CommitmentChanged passes it: %v, want %v", got, tc.want)
			}
		})
	}
	for want, gang := range map[bool]*v1alpha1.GangSchedulingGroup{true: placed, false: waiting} {
		if CommitmentChanged.Create(event.CreateEvent{Object: gang}) != want {
			t.Errorf("a gang with placement %v appears: want passed %v", gang.Status.Placement, want)
		}
	}
	if !CommitmentChanged.Delete(event.DeleteEvent{Object: placed}) {
		t.Error("a gang that goes does not pass")
	}
}

// The first pass begins at once; another one waits out the interval, however
// often it is asked for.
func TestPace(t *testing.T) {
	now := time.Unix(1000, 0)
	pace := Pace{Every: time.Second, Now: func() time.Time { return now }}
	steps := []struct {
		after, want time.Duration
	}{
		{0, 0}, {0, time.Second}, {400 * time.Millisecond, 600 * time.Millisecond}, {0, 600 * time.Millisecond},
		{600 * time.Millisecond, 0}, {time.Millisecond, 999 * time.Millisecond}, {time.Hour, 0},
	}
	for i, step := range steps {
		now = now.Add(step.after)
		if got := pace.Hold(); got != step.want {
			t.Errorf("step %d: wait %v, want %v", i, got, step.want)
		}
	}
}
