package gang

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/convert"
)

// observed is everything that decide may know about one gang.
type observed struct {
	group *v1alpha1.GangSchedulingGroup
	// pods are all Pods that the gang owns, by name, of any epoch. They come from
	// the cache and are shared: nothing may change them.
	pods map[string]*corev1.Pod
	// hasService says whether the gang's own headless Service exists.
	hasService bool
	// members are the planned Pods, nil without a placement.
	members []member
	// unreadable is why the stored placement cannot be used, "" when it can.
	unreadable string
	// waiting is how long this process has seen the current epoch wait for its
	// Pods to be bound. It is measured on one clock, so that clocks that differ
	// between machines do not matter.
	waiting time.Duration
}

// observe reads one gang's world from the cache.
func (r *Reconciler) observe(ctx context.Context, group *v1alpha1.GangSchedulingGroup) (observed, error) {
	seen := observed{group: group, pods: map[string]*corev1.Pod{}}
	var pods corev1.PodList
	if err := r.Client.List(ctx, &pods, client.InNamespace(group.Namespace),
		client.MatchingFields{podOwnerIndex: string(group.UID)}, client.UnsafeDisableDeepCopy); err != nil {
		return seen, fmt.Errorf("listing the gang's pods: %w", err)
	}
	newest := int64(0)
	for i := range pods.Items {
		seen.pods[pods.Items[i].Name] = &pods.Items[i]
		newest = max(newest, epochOf(&pods.Items[i]))
	}
	if newest > group.Status.Epoch {
		if err := r.checkCurrent(ctx, group); err != nil {
			return seen, err
		}
	}
	var service corev1.Service
	err := r.Client.Get(ctx, client.ObjectKeyFromObject(group), &service)
	if client.IgnoreNotFound(err) != nil {
		return seen, fmt.Errorf("reading the gang's service: %w", err)
	}
	seen.hasService = err == nil && metav1.IsControlledBy(&service, group)
	if placed := group.Status.Placement; placed != nil {
		roles, err := convert.PlacedRoles(placed)
		if err != nil {
			seen.unreadable = err.Error()
		} else {
			seen.members = membersOf(group.Name, roles)
		}
	}
	seen.waiting = r.patience.waited(group.UID, group.Status.Epoch, len(seen.members) > 0 && len(seen.pods) >= len(seen.members))
	return seen, nil
}

// errBehind is returned while the cache shows an older gang than its Pods.
var errBehind = errors.New("the cache shows the gang's pods before the gang")

// checkCurrent returns errBehind when the gang has changed at the API server. A
// Pod of an epoch to come is a sign of that: caches of different kinds are not
// in step, least of all in a process that has just begun.
func (r *Reconciler) checkCurrent(ctx context.Context, group *v1alpha1.GangSchedulingGroup) error {
	live := metav1.PartialObjectMetadata{}
	live.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("GangSchedulingGroup"))
	if err := r.Live.Get(ctx, client.ObjectKeyFromObject(group), &live); err != nil {
		return fmt.Errorf("reading the gang at the API server: %w", err)
	}
	if live.ResourceVersion != group.ResourceVersion {
		return errBehind
	}
	return nil
}

// observeLive replaces the Pods of an observation by those that the API server
// has at this moment. Caches of different kinds are not in step: one that shows a
// gang as started may belong to a process that has yet to hear of its Pods.
func (r *Reconciler) observeLive(ctx context.Context, seen observed) (observed, error) {
	live, err := r.livePods(ctx, seen.group)
	if err != nil {
		return seen, err
	}
	seen.pods = make(map[string]*corev1.Pod, len(live))
	for i := range live {
		seen.pods[live[i].Name] = &live[i]
	}
	return seen, nil
}

// livePods lists the Pods of a gang as the API server has them at this moment.
// A cache can miss a Pod that was just created; this cannot.
func (r *Reconciler) livePods(ctx context.Context, group *v1alpha1.GangSchedulingGroup) ([]corev1.Pod, error) {
	var pods corev1.PodList
	if err := r.Live.List(ctx, &pods, client.InNamespace(group.Namespace), client.MatchingLabels{v1alpha1.LabelGang: group.Name}); err != nil {
		return nil, fmt.Errorf("listing the gang's pods at the API server: %w", err)
	}
	var owned []corev1.Pod
	for i := range pods.Items {
		if metav1.IsControlledBy(&pods.Items[i], group) {
			owned = append(owned, pods.Items[i])
		}
	}
	return owned, nil
}

// epochOf is the epoch that a Pod was created for, 0 when it does not say.
func epochOf(pod *corev1.Pod) int64 {
	_, epoch := convert.GangOf(pod)
	return epoch
}

// isTerminal says whether a Pod's containers have ended for good.
func isTerminal(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}
