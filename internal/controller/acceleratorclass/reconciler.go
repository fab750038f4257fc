package acceleratorclass

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/observe"
	"github.com/k8s4ai/k8s4ai/internal/report"
)

// owner is the field manager of everything that this package applies.
const owner = "k8s4ai-acceleratorclass"

// Reconciler makes passes over all classes and nodes.
type Reconciler struct {
	// Client reads from the cache and writes to the API server.
	Client client.Client
	// Pace holds passes apart.
	Pace observe.Pace
}

// NewReconciler returns a Reconciler that makes a pass at most once a second.
func NewReconciler(c client.Client) *Reconciler {
	return &Reconciler{Client: c, Pace: observe.Pace{Every: time.Second, Now: time.Now}}
}

// +kubebuilder:rbac:groups="",resources=nodes,verbs=get;list;patch;watch
// +kubebuilder:rbac:groups="",resources=pods,verbs=get;list;watch
// +kubebuilder:rbac:groups=resource.k8s.io,resources=resourceslices,verbs=list;watch
// +kubebuilder:rbac:groups=k8s4ai.io,resources=acceleratorclasses;gangschedulinggroups;topologydomains,verbs=get;list;watch
// +kubebuilder:rbac:groups=k8s4ai.io,resources=acceleratorclasses/status,verbs=patch

// Reconcile makes one pass: observe, decide, act.
func (r *Reconciler) Reconcile(ctx context.Context, _ ctrl.Request) (ctrl.Result, error) {
	if wait := r.Pace.Hold(); wait > 0 {
		return ctrl.Result{RequeueAfter: wait}, nil
	}
	world, err := observe.CommittedWorld(ctx, r.Client)
	if err != nil {
		return ctrl.Result{}, err
	}
	next := decide(world, world.Scene(), r.Pace.Now())
	stored := report.Each(next.status, func(class *v1alpha1.AcceleratorClass) error {
		return report.ApplyStatus(ctx, r.Client, class, owner)
	})
	labelled := report.Each(slices.Sorted(maps.Keys(next.labels)), func(node string) error {
		return report.LabelNode(ctx, r.Client, node, next.labels[node])
	})
	return ctrl.Result{}, errors.Join(stored, labelled)
}
