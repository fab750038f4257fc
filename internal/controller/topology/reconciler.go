package topology

import (
	"context"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// owner is the field manager of everything that this package applies.
	owner = "k8s4ai-topology"
	// window is how long an event waits for others of the same cause: the nodes of
	// a block come up together, and their block is written once.
	window = 150 * time.Millisecond
	// resync is the time between two looks at everything.
	resync = 10 * time.Minute
)

// Reconciler keeps the fabric and shows it.
type Reconciler struct {
	// Client reads from the cache and writes to the API server. The cache has
	// nodeIndex.
	Client client.Client
	// AgentNamespace is where node agents keep their Leases.
	AgentNamespace string

	now    func() time.Time
	inbox  *inbox
	agents *heartbeats
	// fabric is nil until everything was read once. Only Reconcile uses it.
	fabric *fabric
	// stale is when everything is to be read again.
	stale time.Time
}

// NewReconciler returns a Reconciler that knows nothing yet. It must have one
// worker.
func NewReconciler(c client.Client, agentNamespace string) *Reconciler {
	return newReconciler(c, agentNamespace, window, time.Now)
}

func newReconciler(c client.Client, agentNamespace string, window time.Duration, now func() time.Time) *Reconciler {
	return &Reconciler{
		Client: c, AgentNamespace: agentNamespace, now: now, inbox: newInbox(window, now), agents: newHeartbeats(now),
	}
}

// +kubebuilder:rbac:groups="",resources=nodes,verbs=get;list;patch;watch
// +kubebuilder:rbac:groups="",resources=pods,verbs=get;list;watch
// +kubebuilder:rbac:groups="",namespace=k8s4ai-system,resources=configmaps,verbs=get;list;watch
// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=k8s4ai-agent,resources=leases,verbs=get;list;watch
// +kubebuilder:rbac:groups=k8s4ai.io,resources=acceleratorclasses;gangschedulinggroups,verbs=get;list;watch
// +kubebuilder:rbac:groups=resource.k8s.io,resources=resourceslices,verbs=list;watch
// +kubebuilder:rbac:groups=k8s4ai.io,resources=topologydomains,verbs=create;delete;get;list;patch;watch
// +kubebuilder:rbac:groups=k8s4ai.io,resources=topologydomains/status,verbs=patch

// Reconcile looks at what the inbox names: observe, decide, act. What fails stays
// in the inbox.
func (r *Reconciler) Reconcile(ctx context.Context, _ ctrl.Request) (ctrl.Result, error) {
	if wait := r.inbox.hold(); wait > 0 {
		return ctrl.Result{RequeueAfter: wait}, nil
	}
	work := r.inbox.take()
	if r.fabric == nil || !r.now().Before(r.stale) {
		work.all = true
	}
	for _, node := range r.agents.sweep() {
		work.nodes[node] = struct{}{}
	}
	scene, err := r.observe(ctx, &work)
	if err != nil {
		r.inbox.put(func(b *batch) { b.merge(work) })
		return ctrl.Result{}, err
	}
	failed, err := r.act(ctx, r.decide(scene))
	if !failed.isEmpty() {
		r.inbox.put(func(b *batch) { b.merge(failed) })
	}
	return ctrl.Result{RequeueAfter: r.agents.wait(max(time.Second, r.stale.Sub(r.now())))}, err
}
