package gang

import (
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/convert"
	"github.com/k8s4ai/k8s4ai/internal/testkit"
)

// build makes the second of two Pods of a gang whose template was changed.
func build(t *testing.T, change func(*corev1.PodTemplateSpec)) *corev1.Pod {
	t.Helper()
	group := testkit.Gang("train").Namespace("team").Stored("uid").Role("worker", 2, 8).Template(change).Placed(4, "n1", "n2").Obj()
	roles, err := convert.PlacedRoles(group.Status.Placement)
	if err != nil {
		t.Fatal(err)
	}
	before, all := group.DeepCopy(), membersOf("train", roles)
	pod := buildPod(group, all[1], all)
	if diff := gocmp.Diff(before, group); diff != "" {
		t.Errorf("building a pod changes the gang (-before +after):\n%s", diff)
	}
	return pod
}

// The template's own affinity stays, and every way out of it is closed: terms
// are alternatives, so each one gets the node.
func TestPinning(t *testing.T) {
	zone := corev1.NodeSelectorRequirement{Key: "zone", Operator: corev1.NodeSelectorOpIn, Values: []string{"a"}}
	disk := corev1.NodeSelectorRequirement{Key: "disk", Operator: corev1.NodeSelectorOpExists}
	notN9 := corev1.NodeSelectorRequirement{Key: "metadata.name", Operator: corev1.NodeSelectorOpNotIn, Values: []string{"n9"}}
	here := corev1.NodeSelectorRequirement{Key: "metadata.name", Operator: corev1.NodeSelectorOpIn, Values: []string{"n2"}}
	type terms = []corev1.NodeSelectorTerm
	type requirements = []corev1.NodeSelectorRequirement
	preferred := []corev1.PreferredSchedulingTerm{{Weight: 1, Preference: corev1.NodeSelectorTerm{MatchExpressions: requirements{zone}}}}
	cases := map[string]struct {
		own, want terms
	}{
		"no terms":        {nil, terms{{MatchFields: requirements{here}}}},
		"one term":        {terms{{MatchExpressions: requirements{zone}}}, terms{{MatchExpressions: requirements{zone}, MatchFields: requirements{here}}}},
		"one with fields": {terms{{MatchFields: requirements{notN9}}}, terms{{MatchFields: requirements{notN9, here}}}},
		"alternatives": {terms{{MatchExpressions: requirements{zone}}, {MatchExpressions: requirements{disk}}},
			terms{{MatchExpressions: requirements{zone}, MatchFields: requirements{here}}, {MatchExpressions: requirements{disk}, MatchFields: requirements{here}}}},
		"an alternative that matches nothing goes on to match nothing": {terms{{}, {MatchExpressions: requirements{disk}}},
			terms{{MatchExpressions: requirements{disk}, MatchFields: requirements{here}}}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			pod := build(t, func(p *corev1.PodTemplateSpec) {
				affinity := &corev1.NodeAffinity{PreferredDuringSchedulingIgnoredDuringExecution: preferred}
				if tc.own != nil {
					affinity.RequiredDuringSchedulingIgnoredDuringExecution = &corev1.NodeSelector{NodeSelectorTerms: tc.own}
				}
				p.Spec.Affinity = &corev1.Affinity{NodeAffinity: affinity, PodAntiAffinity: &corev1.PodAntiAffinity{}}
			})
			got := pod.Spec.Affinity
			if diff := gocmp.Diff(tc.want, got.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms); diff != "" {
				t.Errorf("terms (-want +got):\n%s", diff)
			}
			if got.PodAntiAffinity == nil || gocmp.Diff(preferred, got.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution) != "" {
				t.Errorf("the rest of the affinity changed: %+v", got)
			}
		})
	}
}

// Every container learns its place. A variable of the template stands after
// ours, so that it wins and may refer to them.
func TestEnvironment(t *testing.T) {
	pod := build(t, func(p *corev1.PodTemplateSpec) {
		p.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "RANK", Value: "mine"}, {Name: "ME", Value: "$(K8S4AI_ROLE)-$(K8S4AI_ROLE_INDEX)"}}
		p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "sidecar"})
		p.Spec.InitContainers = []corev1.Container{{Name: "init", Env: []corev1.EnvVar{{Name: "FIRST", Value: "1"}}}}
	})
	ours := []string{
		"RANK=1", "WORLD_SIZE=2", "LOCAL_RANK=0", "MASTER_ADDR=train-worker-0.train.team.svc", "MASTER_PORT=29500",
		"K8S4AI_EPOCH=4", "K8S4AI_ROLE=worker", "K8S4AI_ROLE_INDEX=1",
	}
	cases := map[string]struct {
		container corev1.Container
		own       []string
	}{
		"main":    {pod.Spec.Containers[0], []string{"RANK=mine", "ME=$(K8S4AI_ROLE)-$(K8S4AI_ROLE_INDEX)"}},
		"sidecar": {pod.Spec.Containers[1], nil},
		"init":    {pod.Spec.InitContainers[0], []string{"FIRST=1"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, e := range tc.container.Env {
				got = append(got, e.Name+"="+e.Value)
			}
			if diff := gocmp.Diff(append(ours[:len(ours):len(ours)], tc.own...), got); diff != "" {
				t.Errorf("environment (-want +got):\n%s", diff)
			}
		})
	}
}

// Labels that the manager reads cannot be set by the template; all others can.
func TestLabelsOfPods(t *testing.T) {
	pod := build(t, func(p *corev1.PodTemplateSpec) {
		p.Labels = map[string]string{v1alpha1.LabelEpoch: "99", v1alpha1.LabelGang: "other", "team": "x"}
		p.Annotations = map[string]string{"note": "y"}
	})
	want := map[string]string{
		v1alpha1.LabelGang: "train", v1alpha1.LabelRole: "worker", v1alpha1.LabelRoleIndex: "1",
		v1alpha1.LabelRank: "1", v1alpha1.LabelEpoch: "4", "team": "x",
	}
	if diff := gocmp.Diff(want, pod.Labels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	if pod.Annotations["note"] != "y" {
		t.Errorf("annotations: %v", pod.Annotations)
	}
	if uid, epoch := convert.GangOf(pod); uid != "uid" || epoch != 4 {
		t.Errorf("the pod is of gang %q, epoch %d", uid, epoch)
	}
}

// A template can choose a restart policy, but neither names nor a node: only
// kube-scheduler binds.
func TestWhatTemplatesMaySet(t *testing.T) {
	pod := build(t, func(p *corev1.PodTemplateSpec) {
		p.Name, p.Namespace, p.Finalizers = "x", "y", []string{"z/z"}
		p.Spec.Hostname, p.Spec.Subdomain, p.Spec.NodeName = "h", "s", "n7"
		p.Spec.RestartPolicy = corev1.RestartPolicyOnFailure
	})
	if pod.Name != "train-worker-1" || pod.Namespace != "team" || pod.Spec.Hostname != "train-worker-1" || pod.Spec.Subdomain != "train" || pod.Finalizers != nil {
		t.Errorf("names come from the template: %s/%s, %s.%s, %v", pod.Namespace, pod.Name, pod.Spec.Hostname, pod.Spec.Subdomain, pod.Finalizers)
	}
	if pod.Spec.NodeName != "" {
		t.Errorf("the pod is bound to %s past kube-scheduler", pod.Spec.NodeName)
	}
	if pod.Spec.RestartPolicy != corev1.RestartPolicyOnFailure {
		t.Errorf("restart policy is %s, want the template's", pod.Spec.RestartPolicy)
	}
}

// Ranks go through the roles in order, and the longest names fit a host name.
func TestMembers(t *testing.T) {
	got := membersOf("g", []convert.PlacedRole{{Name: "a", Nodes: []string{"x", "y"}}, {Name: "b", Nodes: []string{"x"}}})
	want := []member{
		{name: "g-a-0", role: "a", index: 0, rank: 0, node: "x"},
		{name: "g-a-1", role: "a", index: 1, rank: 1, node: "y"},
		{name: "g-b-0", role: "b", index: 0, rank: 2, node: "x"},
	}
	if diff := gocmp.Diff(want, got, gocmp.AllowUnexported(member{})); diff != "" {
		t.Errorf("membersOf() (-want +got):\n%s", diff)
	}
	if longest := podName(strings.Repeat("g", 40), strings.Repeat("r", 16), 4095); len(longest) > 63 {
		t.Errorf("%s has %d characters, a host name has at most 63", longest, len(longest))
	}
}
