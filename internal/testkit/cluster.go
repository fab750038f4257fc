package testkit

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Bind plays kube-scheduler: it binds a Pod to a node. The API server refuses a
// Pod that is bound already.
func (s *Server) Bind(t testing.TB, pod *corev1.Pod, node string) {
	t.Helper()
	binding := &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Namespace: pod.Namespace},
		Target:     corev1.ObjectReference{Kind: "Node", Name: node},
	}
	if err := s.Client.SubResource("binding").Create(t.Context(), pod, binding); err != nil {
		t.Fatalf("binding pod %s to %s: %v", pod.Name, node, err)
	}
}

// PinnedTo is the only node that a Pod's node affinity allows by name, "" when
// there is none or the terms differ.
func PinnedTo(pod *corev1.Pod) string {
	affinity := pod.Spec.Affinity
	if affinity == nil || affinity.NodeAffinity == nil || affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return ""
	}
	pinned := ""
	for _, term := range affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
		here := ""
		for _, r := range term.MatchFields {
			if r.Key == metav1.ObjectNameField && r.Operator == corev1.NodeSelectorOpIn && len(r.Values) == 1 {
				here = r.Values[0]
			}
		}
		if here == "" || pinned != "" && here != pinned {
			return ""
		}
		pinned = here
	}
	return pinned
}

// SetPodStatus plays a kubelet: it stores a status of a Pod.
func (s *Server) SetPodStatus(t testing.TB, pod *corev1.Pod, status corev1.PodStatus) {
	t.Helper()
	changed := pod.DeepCopy()
	changed.Status = status
	if err := s.Client.Status().Patch(t.Context(), changed, client.MergeFrom(pod)); err != nil {
		t.Fatalf("storing the status of pod %s: %v", pod.Name, err)
	}
}

// Reap plays the kubelets' end of a deletion: Pods of the test's namespace that
// are being deleted go.
func (s *Server) Reap(t testing.TB) {
	t.Helper()
	var pods corev1.PodList
	if err := s.Client.List(t.Context(), &pods, client.InNamespace(s.Namespace)); err != nil {
		t.Fatal(err)
	}
	for i := range pods.Items {
		if pods.Items[i].DeletionTimestamp.IsZero() {
			continue
		}
		if err := s.Purge(t.Context(), &pods.Items[i]); err != nil {
			t.Fatalf("reaping pod %s: %v", pods.Items[i].Name, err)
		}
	}
}
