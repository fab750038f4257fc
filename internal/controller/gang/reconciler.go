package gang

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/metrics"
	"github.com/k8s4ai/k8s4ai/internal/report"
)

// conflictRetry is when to look again after someone else wrote first.
const conflictRetry = 50 * time.Millisecond

// Reconciler brings the Pods of one gang in line with its placement.
type Reconciler struct {
	// Client reads from the cache and writes to the API server.
	Client client.Client
	// Live reads from the API server.
	Live client.Reader
	// Events records what happened.
	Events events.EventRecorder

	patience *patience
}

// NewReconciler returns a Reconciler. Live must not read from a cache.
func NewReconciler(c client.Client, live client.Reader, recorder events.EventRecorder) *Reconciler {
	return &Reconciler{Client: c, Live: live, Events: recorder, patience: newPatience(time.Now)}
}

// +kubebuilder:rbac:groups=k8s4ai.io,resources=gangschedulinggroups,verbs=get;list;patch;watch
// +kubebuilder:rbac:groups=k8s4ai.io,resources=gangschedulinggroups/finalizers,verbs=update
// +kubebuilder:rbac:groups=k8s4ai.io,resources=gangschedulinggroups/status,verbs=update
// +kubebuilder:rbac:groups="",resources=pods,verbs=create;delete;get;list;watch
// +kubebuilder:rbac:groups="",resources=services,verbs=create;get;list;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// Reconcile observes one gang, decides, acts and reports, in that order.
func (r *Reconciler) Reconcile(ctx context.Context, group *v1alpha1.GangSchedulingGroup) (ctrl.Result, error) {
	seen, err := r.observe(ctx, group)
	if errors.Is(err, errBehind) {
		return ctrl.Result{RequeueAfter: conflictRetry}, nil
	}
	if err != nil {
		return ctrl.Result{}, err
	}
	next := decide(seen)
	if next.release != nil && next.release.Reason == v1alpha1.ReleaseMemberLost {
		// A Pod that the cache does not show may be one that it does not show yet.
		if seen, err = r.observeLive(ctx, seen); err != nil {
			return ctrl.Result{}, err
		}
		next = decide(seen)
	}
	if next.addFinalizer {
		return retryConflict(ctrl.Result{}, r.setFinalizer(ctx, group, true))
	}
	changed := group.DeepCopy()
	acted := r.act(ctx, seen, next, changed)
	if !group.DeletionTimestamp.IsZero() {
		return retryConflict(ctrl.Result{}, client.IgnoreNotFound(acted))
	}
	again, reported := r.report(ctx, seen, changed)
	if next.lookAgain > 0 && (again == 0 || next.lookAgain < again) {
		again = next.lookAgain
	}
	return retryConflict(ctrl.Result{RequeueAfter: again}, errors.Join(acted, reported))
}

// report stores the status when it differs, and records events. It returns when to come back for a write that it put off.
func (r *Reconciler) report(ctx context.Context, seen observed, changed *v1alpha1.GangSchedulingGroup) (time.Duration, error) {
	before := seen.group
	count(changed, seen)
	setConditions(changed)
	if equality.Semantic.DeepEqual(before.Status, changed.Status) {
		return 0, nil
	}
	if onlyCounts(&before.Status, &changed.Status) {
		if hold := r.patience.mayWriteCounts(before.UID); hold > 0 {
			return hold, nil
		}
	}
	if err := r.Client.Status().Update(ctx, changed); err != nil {
		return 0, fmt.Errorf("storing the status: %w", err)
	}
	r.patience.wrote(changed.UID)
	if release := changed.Status.Release; release != nil && before.Status.Release == nil {
		metrics.Releases.WithLabelValues(release.Reason).Inc()
	}
	report.Events(r.Events, changed, before.Status.Conditions, changed.Status.Conditions)
	return 0, nil
}

// onlyCounts says whether two statuses differ in nothing but Pod counts.
func onlyCounts(a, b *v1alpha1.GangSchedulingGroupStatus) bool {
	x, y := *a, *b
	x.Roles, x.Pods, y.Roles, y.Pods = nil, nil, nil, nil
	return equality.Semantic.DeepEqual(x, y)
}

// retryConflict turns a lost race for one object into another look soon. It is
// nothing that a person should hear of.
func retryConflict(result ctrl.Result, err error) (ctrl.Result, error) {
	if apierrors.IsConflict(err) {
		return ctrl.Result{RequeueAfter: conflictRetry}, nil
	}
	return result, err
}
