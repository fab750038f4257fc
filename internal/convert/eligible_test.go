package convert

import (
	"fmt"
	"math/rand/v2"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	scheduling "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/placement"
)

// eligibilityCases is how many random pairs of a Pod and a node are compared.
const eligibilityCases = 6000

// A Pod gets a node exactly when kube-scheduler's own code says that the node's
// labels, name and taints allow it.
func TestEligibleLikeKubeScheduler(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 5))
	allowed := 0
	for range eligibilityCases {
		node, pod := randomNode(random), randomPod(random)
		want, why := schedulerAllows(t, pod, node)
		if want {
			allowed++
		}
		worker := v1alpha1.GangRole{Name: "w", Replicas: 1, Template: corev1.PodTemplateSpec{Spec: pod.Spec}}
		request, err := GangRequest(&v1alpha1.GangSchedulingGroup{Spec: gang(roles(worker))}, nil)
		if err != nil {
			t.Fatal(err)
		}
		snapshot := emptySnapshot(t, placement.Node{Name: node.Name, Labels: node.Labels, Taints: taints(node)})
		verdict := placement.Place(snapshot, request)
		if verdict.Invalid != "" || (verdict.Placement != nil) != want {
			t.Fatalf("kube-scheduler says %v (%s), placement %+v\nnode %s labels %v taints %v\nselector %v\naffinity %s\ntolerations %v",
				want, why, verdict, node.Name, node.Labels, node.Spec.Taints, pod.Spec.NodeSelector, describe(pod), pod.Spec.Tolerations)
		}
	}
	if allowed < eligibilityCases/10 || allowed > eligibilityCases*9/10 {
		t.Errorf("%d of %d random pods are allowed: the cases say little", allowed, eligibilityCases)
	}
}

func schedulerAllows(t *testing.T, pod *corev1.Pod, node *corev1.Node) (allowed bool, why string) {
	t.Helper()
	matches, err := nodeaffinity.GetRequiredNodeAffinity(pod).Match(node)
	if err != nil {
		t.Fatalf("the random affinity is not valid: %v", err)
	}
	keepsAway := func(taint *corev1.Taint) bool {
		return taint.Effect == corev1.TaintEffectNoSchedule || taint.Effect == corev1.TaintEffectNoExecute
	}
	taint, repelled := scheduling.FindMatchingUntoleratedTaint(log.Log, node.Spec.Taints, pod.Spec.Tolerations, keepsAway, false)
	return matches && !repelled, fmt.Sprintf("affinity %v, taint %v", matches, taint)
}

func describe(pod *corev1.Pod) string {
	if pod.Spec.Affinity == nil {
		return "none"
	}
	return fmt.Sprint(pod.Spec.Affinity.NodeAffinity)
}

// The words are few, so that Pods and nodes meet.
var (
	someKeys   = []string{"a", "b", "example.com/c"}
	someValues = []string{"", "1", "2", "10", "x"}
	someNames  = []string{"n1", "n2"}
)

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

func some[T any](r *rand.Rand, most int, one func(*rand.Rand) T) []T {
	var out []T
	for range r.IntN(most + 1) {
		out = append(out, one(r))
	}
	return out
}

func randomLabels(r *rand.Rand, most int) map[string]string {
	out := map[string]string{}
	for range r.IntN(most + 1) {
		out[pick(r, someKeys)] = pick(r, someValues)
	}
	return out
}

func randomNode(r *rand.Rand) *corev1.Node {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: pick(r, someNames), Labels: randomLabels(r, 4)}}
	if r.IntN(2) == 0 {
		node.Spec.Taints = some(r, 2, func(r *rand.Rand) corev1.Taint {
			return corev1.Taint{
				Key: pick(r, someKeys), Value: pick(r, someValues),
				Effect: pick(r, []corev1.TaintEffect{corev1.TaintEffectNoSchedule, corev1.TaintEffectNoExecute, corev1.TaintEffectPreferNoSchedule}),
			}
		})
	}
	return node
}

func randomPod(r *rand.Rand) *corev1.Pod {
	pod := &corev1.Pod{}
	if r.IntN(4) == 0 {
		pod.Spec.NodeSelector = randomLabels(r, 2)
	}
	if r.IntN(4) > 0 {
		pod.Spec.Affinity = &corev1.Affinity{}
	}
	if pod.Spec.Affinity != nil && r.IntN(10) > 0 {
		pod.Spec.Affinity.NodeAffinity = &corev1.NodeAffinity{}
		if r.IntN(10) > 0 {
			pod.Spec.Affinity = requires(some(r, 3, randomTerm)...)
		}
	}
	pod.Spec.Tolerations = some(r, 4, randomToleration)
	return pod
}

func randomTerm(r *rand.Rand) corev1.NodeSelectorTerm {
	var out corev1.NodeSelectorTerm
	out.MatchExpressions = some(r, 2, randomExpression)
	if r.IntN(3) == 0 {
		out.MatchFields = []corev1.NodeSelectorRequirement{{
			Key: "metadata.name", Values: []string{pick(r, someNames)},
			Operator: pick(r, []corev1.NodeSelectorOperator{corev1.NodeSelectorOpIn, corev1.NodeSelectorOpNotIn}),
		}}
	}
	return out
}

func randomExpression(r *rand.Rand) corev1.NodeSelectorRequirement {
	out := corev1.NodeSelectorRequirement{Key: pick(r, someKeys)}
	switch r.IntN(6) {
	case 0:
		out.Operator, out.Values = corev1.NodeSelectorOpIn, []string{pick(r, someValues), pick(r, someValues)}
	case 1:
		out.Operator, out.Values = corev1.NodeSelectorOpNotIn, []string{pick(r, someValues)}
	case 2:
		out.Operator = corev1.NodeSelectorOpExists
	case 3:
		out.Operator = corev1.NodeSelectorOpDoesNotExist
	case 4:
		out.Operator, out.Values = corev1.NodeSelectorOpGt, []string{pick(r, []string{"0", "1", "5"})}
	case 5:
		out.Operator, out.Values = corev1.NodeSelectorOpLt, []string{pick(r, []string{"2", "11"})}
	}
	return out
}

func randomToleration(r *rand.Rand) corev1.Toleration {
	out := corev1.Toleration{
		Key: pick(r, someKeys), Value: pick(r, someValues),
		Operator: pick(r, []corev1.TolerationOperator{"", corev1.TolerationOpEqual}),
		Effect:   pick(r, []corev1.TaintEffect{"", corev1.TaintEffectNoSchedule, corev1.TaintEffectNoExecute, corev1.TaintEffectPreferNoSchedule}),
	}
	if r.IntN(2) == 0 {
		out.Operator, out.Value = corev1.TolerationOpExists, ""
		if r.IntN(3) == 0 {
			out.Key = ""
		}
	}
	return out
}
