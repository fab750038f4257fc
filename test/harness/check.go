package harness

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/convert"
)

// gpu is the resource that the fleets offer.
const gpu = corev1.ResourceName("nvidia.com/gpu")

// PodsOf lists the Pods of a gang that are not being deleted.
func (e *Env) PodsOf(ctx context.Context, gang client.ObjectKey) ([]corev1.Pod, error) {
	var pods corev1.PodList
	if err := e.Client.List(ctx, &pods, client.InNamespace(gang.Namespace), client.MatchingLabels{v1alpha1.LabelGang: gang.Name}); err != nil {
		return nil, fmt.Errorf("listing the pods of %s: %w", gang, err)
	}
	return slices.DeleteFunc(pods.Items, func(p corev1.Pod) bool { return !p.DeletionTimestamp.IsZero() }), nil
}

// Violations lists everything in a cluster at rest that breaks the promise of
// gangs: a Pod that is missing, doubled, of an old epoch or on a node that its
// gang's status does not name; a gang in parts; a node that holds more
// accelerators than it has. It knows nothing of how the manager works: it reads
// Pods, Nodes and the status of gangs.
func (e *Env) Violations(ctx context.Context) ([]string, error) {
	var groups v1alpha1.GangSchedulingGroupList
	var pods corev1.PodList
	var nodes corev1.NodeList
	for _, list := range []client.ObjectList{&groups, &pods, &nodes} {
		if err := e.Client.List(ctx, list); err != nil {
			return nil, fmt.Errorf("reading the cluster: %w", err)
		}
	}
	owned := map[string][]*corev1.Pod{}
	taken := map[string]int64{}
	for i := range pods.Items {
		pod := &pods.Items[i]
		if owner := metav1.GetControllerOf(pod); owner != nil && owner.Kind == "GangSchedulingGroup" {
			owned[string(owner.UID)] = append(owned[string(owner.UID)], pod)
		}
		if pod.Spec.NodeName != "" && pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed {
			taken[pod.Spec.NodeName] += gpus(pod)
		}
	}
	out := e.Crashes()
	for i := range groups.Items {
		group := &groups.Items[i]
		out = append(out, gangViolations(group, owned[string(group.UID)])...)
		delete(owned, string(group.UID))
	}
	for uid, orphans := range owned {
		out = append(out, fmt.Sprintf("%d pods of gang %s that does not exist, such as %s", len(orphans), uid, orphans[0].Name))
	}
	for i := range nodes.Items {
		has := nodes.Items[i].Status.Allocatable[gpu]
		if taken[nodes.Items[i].Name] > has.Value() {
			out = append(out, fmt.Sprintf("node %s holds %d GPUs and has %d", nodes.Items[i].Name, taken[nodes.Items[i].Name], has.Value()))
		}
	}
	slices.Sort(out)
	return out, nil
}

func gpus(pod *corev1.Pod) int64 {
	total := int64(0)
	for _, container := range pod.Spec.Containers {
		amount := container.Resources.Limits[gpu]
		total += amount.Value()
	}
	return total
}

// gangViolations compares one gang's status with its Pods.
func gangViolations(group *v1alpha1.GangSchedulingGroup, pods []*corev1.Pod) []string {
	var out []string
	broken := func(format string, args ...any) {
		out = append(out, fmt.Sprintf("gang %s/%s: ", group.Namespace, group.Name)+fmt.Sprintf(format, args...))
	}
	planned := map[string]string{}
	if group.Status.Placement != nil {
		roles, err := convert.PlacedRoles(group.Status.Placement)
		if err != nil {
			broken("%v", err)
		}
		for _, role := range roles {
			for i, node := range role.Nodes {
				planned[fmt.Sprintf("%s-%s-%d", group.Name, role.Name, i)] = node
			}
		}
	}
	for _, pod := range pods {
		node, expected := planned[pod.Name]
		switch {
		case !expected:
			broken("pod %s is not in the placement", pod.Name)
		case pod.Spec.NodeName != node:
			broken("pod %s is on node %q, the placement says %q", pod.Name, pod.Spec.NodeName, node)
		case meta.IsStatusConditionTrue(group.Status.Conditions, v1alpha1.ConditionFinished) && pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed:
			broken("pod %s is %s although the gang has finished", pod.Name, pod.Status.Phase)
		case pod.Labels[v1alpha1.LabelEpoch] != fmt.Sprint(group.Status.Epoch):
			broken("pod %s is of epoch %s, the gang of %d", pod.Name, pod.Labels[v1alpha1.LabelEpoch], group.Status.Epoch)
		}
		delete(planned, pod.Name)
	}
	// Of a gang that failed, the Pods that had not ended are removed.
	if meta.IsStatusConditionTrue(group.Status.Conditions, v1alpha1.ConditionFinished) {
		return out
	}
	for name := range planned {
		broken("pod %s is missing", name)
	}
	return out
}
