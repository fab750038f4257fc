package gang

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/convert"
)

const (
	// writers bounds the API calls in flight for one gang.
	writers = 32
	// firstBackoff and longestBackoff bound the wait after a failed start; it
	// doubles with every failure in a row.
	firstBackoff   = 2 * time.Second
	longestBackoff = 5 * time.Minute
)

// refusedError is the API server's lasting "no" to an object of the gang.
type refusedError struct{ cause error }

func (e *refusedError) Error() string { return e.cause.Error() }

// act does what was decided, and changes group's status to what is true then.
// The caller stores it. An error leaves the rest to the next attempt.
func (r *Reconciler) act(ctx context.Context, seen observed, next decision, group *v1alpha1.GangSchedulingGroup) error {
	if next.release != nil {
		next.release.Message = convert.Message(next.release.Message)
		group.Status.Release = next.release
		return nil
	}
	if err := r.deletePods(ctx, next.deletePods); err != nil {
		return err
	}
	if next.settle {
		return r.settle(ctx, group)
	}
	if err := r.create(ctx, seen, next); err != nil {
		var refused *refusedError
		if !errors.As(err, &refused) {
			return err
		}
		group.Status.Release = &v1alpha1.GangRelease{Reason: v1alpha1.ReleaseCreateRefused, Message: convert.Message(refused.Error())}
		return nil
	}
	if next.started {
		group.Status.StartedEpoch, group.Status.Backoff = group.Status.Epoch, nil
	}
	if next.succeeded {
		finish(group, v1alpha1.ReasonSucceeded, "every pod succeeded, "+where(group.Status.Placement))
	}
	return nil
}

// settle completes a release, or the deletion of the gang, once the API server
// shows no live Pod of it any more. Until then the Pods' events bring us back.
func (r *Reconciler) settle(ctx context.Context, group *v1alpha1.GangSchedulingGroup) error {
	live, err := r.livePods(ctx, group)
	if err != nil {
		return err
	}
	final := isFinal(group)
	for i := range live {
		if !final || !isTerminal(&live[i]) {
			return nil
		}
	}
	if !group.DeletionTimestamp.IsZero() {
		r.patience.forget(group.UID)
		return r.setFinalizer(ctx, group, false)
	}
	release := group.Status.Release
	group.Status.Release = nil
	if final {
		finish(group, v1alpha1.ReasonFailed, convert.Message(release.Message))
		return nil
	}
	failed := group.Generation
	if placed := group.Status.Placement; placed != nil {
		failed = placed.Generation
	}
	group.Status.Placement = nil
	switch {
	case hasFailedStart(release.Reason):
		group.Status.Backoff = backoff(group.Status.Backoff, failed, release, r.patience.now())
	case release.Reason == v1alpha1.ReleaseMemberFailed || release.Reason == v1alpha1.ReleaseMemberLost:
		group.Status.Restarts = new(ptr.Deref(group.Status.Restarts, 0) + 1)
	}
	return nil
}

// backoff is the wait after one more failed start.
func backoff(last *v1alpha1.GangBackoff, generation int64, release *v1alpha1.GangRelease, now time.Time) *v1alpha1.GangBackoff {
	failures := int32(1)
	if last != nil && last.Generation == generation {
		failures = min(last.Failures, 1<<20) + 1
	}
	wait := longestBackoff
	if failures <= 8 {
		wait = min(firstBackoff<<(failures-1), longestBackoff)
	}
	return &v1alpha1.GangBackoff{
		Failures: failures, Generation: generation, NotBefore: &metav1.Time{Time: now.Add(wait)},
		Message: convert.Message(release.Reason + ": " + release.Message),
	}
}

func (r *Reconciler) deletePods(ctx context.Context, pods []*corev1.Pod) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(writers)
	for _, pod := range pods {
		group.Go(func() error {
			err := r.Client.Delete(ctx, pod.DeepCopy(), client.Preconditions{UID: &pod.UID})
			if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
				return nil // Gone, or another Pod took the name.
			}
			if err != nil {
				return fmt.Errorf("deleting pod %s: %w", pod.Name, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// create makes the Service and the missing Pods. A Pod that exists already is
// left to the next observation, unless it belongs to someone else.
func (r *Reconciler) create(ctx context.Context, seen observed, next decision) error {
	if next.createService {
		if err := r.createOne(ctx, seen.group, buildService(seen.group)); err != nil {
			return err
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(writers)
	for _, m := range next.createPods {
		group.Go(func() error { return r.createOne(ctx, seen.group, buildPod(seen.group, m, seen.members)) })
	}
	return group.Wait()
}

func (r *Reconciler) createOne(ctx context.Context, group *v1alpha1.GangSchedulingGroup, object client.Object) error {
	kind := object.GetObjectKind().GroupVersionKind().Kind
	err := r.Client.Create(ctx, object)
	switch {
	case err == nil:
		return nil
	case apierrors.IsAlreadyExists(err):
		return r.checkOwner(ctx, group, object, kind)
	case apierrors.IsInvalid(err), apierrors.IsForbidden(err), apierrors.IsBadRequest(err), apierrors.IsRequestEntityTooLargeError(err):
		return &refusedError{fmt.Errorf("creating %s %s: %w", kind, object.GetName(), err)}
	}
	return fmt.Errorf("creating %s %s: %w", kind, object.GetName(), err)
}

// checkOwner refuses a name that an object of someone else has. An object of
// the gang itself is one that the cache does not show yet.
func (r *Reconciler) checkOwner(ctx context.Context, group *v1alpha1.GangSchedulingGroup, object client.Object, kind string) error {
	there := metav1.PartialObjectMetadata{}
	there.SetGroupVersionKind(object.GetObjectKind().GroupVersionKind())
	if err := r.Live.Get(ctx, client.ObjectKeyFromObject(object), &there); err != nil {
		// Also when it is gone meanwhile: nothing else would bring us back.
		return fmt.Errorf("looking at the %s %s that was in the way: %w", kind, object.GetName(), err)
	}
	if metav1.IsControlledBy(&there, group) {
		return nil
	}
	return &refusedError{fmt.Errorf("a %s named %s exists and does not belong to this gang: delete it, or rename the gang or its role", kind, object.GetName())}
}

// setFinalizer adds or removes the gang's finalizer, unless someone changed the
// gang in between.
func (r *Reconciler) setFinalizer(ctx context.Context, group *v1alpha1.GangSchedulingGroup, present bool) error {
	changed := group.DeepCopy()
	if present {
		controllerutil.AddFinalizer(changed, v1alpha1.FinalizerGang)
	} else {
		controllerutil.RemoveFinalizer(changed, v1alpha1.FinalizerGang)
	}
	patch := client.MergeFromWithOptions(group, client.MergeFromWithOptimisticLock{})
	if err := r.Client.Patch(ctx, changed, patch); err != nil {
		return fmt.Errorf("changing the finalizer: %w", err)
	}
	return nil
}
