package cli

import (
	"cmp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
)

// states are what the conditions of a domain say is wrong, the worst first.
func states(domain *v1alpha1.TopologyDomain) []string {
	conditions := domain.Status.Conditions
	var out []string
	for _, bad := range []struct {
		kind   string
		status metav1.ConditionStatus
	}{
		{v1alpha1.ConditionStalled, metav1.ConditionTrue},
		{v1alpha1.ConditionHealthy, metav1.ConditionFalse},
		{v1alpha1.ConditionStale, metav1.ConditionTrue},
		{v1alpha1.ConditionDiscovered, metav1.ConditionFalse},
	} {
		if c := meta.FindStatusCondition(conditions, bad.kind); c != nil && c.Status == bad.status {
			out = append(out, describe(c))
		}
	}
	ready := meta.FindStatusCondition(conditions, v1alpha1.ConditionReady)
	switch {
	case ready == nil && len(out) == 0:
		out = append(out, "not looked at by the manager yet")
	case ready != nil && ready.Status == metav1.ConditionTrue && ready.Reason != v1alpha1.ReasonAccepted:
		out = append(out, describe(ready))
	}
	return out
}

func describe(c *metav1.Condition) string {
	if c.Message == "" {
		return c.Reason
	}
	return c.Reason + ": " + oneLine(c.Message)
}

// oneLine keeps control characters of a message from the terminal.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return ' '
		}
		return r
	}, text)
}

// nodeStates are what Kubernetes itself says of a node.
func nodeStates(node *corev1.Node) []string {
	if node == nil {
		return nil
	}
	var out []string
	ready := slices.IndexFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool { return c.Type == corev1.NodeReady })
	switch {
	case ready < 0:
		out = append(out, "NotReady")
	case node.Status.Conditions[ready].Status != corev1.ConditionTrue:
		out = append(out, "NotReady: "+oneLine(cmp.Or(node.Status.Conditions[ready].Reason, "unknown")))
	}
	if node.Spec.Unschedulable {
		out = append(out, "cordoned")
	}
	return out
}
