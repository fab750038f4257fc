package topology

import (
	"context"
	"errors"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/k8s4ai/k8s4ai/internal/observe"
)

// owner is the field manager of everything that this package applies.
const owner = "k8s4ai-topology"

// Reconciler makes passes over the whole fabric.
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
// +kubebuilder:rbac:groups=k8s4ai.io,resources=acceleratorclasses;gangschedulinggroups,verbs=get;list;watch
// +kubebuilder:rbac:groups=k8s4ai.io,resources=topologydomains,verbs=create;delete;get;list;patch;watch
// +kubebuilder:rbac:groups=k8s4ai.io,resources=topologydomains/status,verbs=patch

// Reconcile makes one pass: observe, decide, act.
func (r *Reconciler) Reconcile(ctx context.Context, _ ctrl.Request) (ctrl.Result, error) {
	if wait := r.Pace.Hold(); wait > 0 {
		return ctrl.Result{RequeueAfter: wait}, nil
	}
	world, err := observe.CommittedWorld(ctx, r.Client)
	if err != nil {
		return ctrl.Result{}, err
	}
	next := decide(world, world.Scene())
	err = errors.Join(r.applyDomains(ctx, next), r.applyStatus(ctx, next), r.labelNodes(ctx, next))
	return ctrl.Result{}, err
}
