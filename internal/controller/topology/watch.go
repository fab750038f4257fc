package topology

import (
	"context"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/convert"
	"github.com/k8s4ai/k8s4ai/internal/observe"
)

const (
	// nodeIndex finds the Pods on a node, and the node's own domains.
	nodeIndex = "spec.nodeName"
	// mostBackoff is short: what fails must not keep the rest waiting.
	mostBackoff = 10 * time.Second
)

// request is the only one: what it is about is in the inbox.
var request = []reconcile.Request{{NamespacedName: types.NamespacedName{Name: "fabric"}}}

// Setup adds the Reconciler to a manager. agentNamespace is where node agents
// keep their Leases.
func Setup(ctx context.Context, mgr ctrl.Manager, agentNamespace string) error {
	for _, object := range []client.Object{&corev1.Pod{}, &v1alpha1.TopologyDomain{}} {
		if err := mgr.GetFieldIndexer().IndexField(ctx, object, nodeIndex, indexNode); err != nil {
			return err
		}
	}
	r := NewReconciler(mgr.GetClient(), agentNamespace)
	limits := workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](10*time.Millisecond, mostBackoff)
	watches := ctrl.NewControllerManagedBy(mgr).
		Named("topology").
		WithOptions(controller.Options{MaxConcurrentReconciles: 1, RateLimiter: limits}).
		// Any change of spec or labels counts here, derived domains included: one
		// that somebody edits is put right.
		Watches(&v1alpha1.TopologyDomain{}, r.into(nameDomain), builder.WithPredicates(predicate.Or[client.Object](
			observe.EvidenceChanged, predicate.GenerationChangedPredicate{}, predicate.LabelChangedPredicate{}))).
		Watches(&corev1.Node{}, r.into(nameNode), builder.WithPredicates(observe.NodeChanged)).
		Watches(&corev1.Pod{}, r.into(nameNodeOfPod), builder.WithPredicates(observe.PodMoved)).
		Watches(&v1alpha1.GangSchedulingGroup{}, r.into(nameGang), builder.WithPredicates(observe.CommitmentChanged)).
		Watches(&v1alpha1.AcceleratorClass{}, r.into(nameAll), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&corev1.ConfigMap{}, r.into(nameAll), builder.WithPredicates(isScan)).
		Watches(&coordinationv1.Lease{}, r.into(nameNode), builder.WithPredicates(r.lifeChanged()))
	served, err := observe.ServesSlices(mgr.GetRESTMapper())
	if err != nil {
		return err
	}
	if served {
		watches = watches.Watches(&resourcev1.ResourceSlice{}, r.into(nameAll), builder.WithPredicates(predicate.GenerationChangedPredicate{}))
	}
	return watches.Complete(r)
}

// into puts what an event is about into the inbox.
func (r *Reconciler) into(name func(client.Object, *batch)) handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(_ context.Context, object client.Object) []reconcile.Request {
		r.inbox.put(func(b *batch) { name(object, b) })
		return request
	})
}

func nameAll(_ client.Object, b *batch) { b.all = true }

// nameNode serves nodes, and Leases, which are named like them.
func nameNode(object client.Object, b *batch) { b.nodes[object.GetName()] = struct{}{} }

func nameNodeOfPod(object client.Object, b *batch) {
	if node := object.(*corev1.Pod).Spec.NodeName; node != "" {
		b.nodes[node] = struct{}{}
	}
}

func nameGang(object client.Object, b *batch) {
	b.gangs[client.ObjectKeyFromObject(object)] = struct{}{}
}

func nameDomain(object client.Object, b *batch) {
	domain := object.(*v1alpha1.TopologyDomain)
	if convert.IsDeclared(domain) {
		b.all = true
		return
	}
	b.domains[domain.Name] = struct{}{}
	if domain.Spec.Level == v1alpha1.LevelNode {
		b.nodes[domain.Spec.NodeName] = struct{}{}
	}
}

// isScan passes ConfigMaps that hold a part of a scan.
var isScan = predicate.NewPredicateFuncs(func(object client.Object) bool {
	_, ok := object.GetLabels()[v1alpha1.LabelFabricScan]
	return ok
})

// lifeChanged passes Leases in the namespace of the agents that come or go, and
// those of agents that were silent. A renewal is noted, and is no event.
func (r *Reconciler) lifeChanged() predicate.Predicate {
	isAgents := func(object client.Object) bool { return object.GetNamespace() == r.AgentNamespace }
	return predicate.Funcs{
		CreateFunc: func(e event.CreateEvent) bool { return isAgents(e.Object) },
		DeleteFunc: func(e event.DeleteEvent) bool { return isAgents(e.Object) },
		UpdateFunc: func(e event.UpdateEvent) bool {
			return isAgents(e.ObjectNew) && r.agents.hear(e.ObjectNew.(*coordinationv1.Lease))
		},
		GenericFunc: func(event.GenericEvent) bool { return false },
	}
}

// indexNode is the index function of nodeIndex.
func indexNode(object client.Object) []string {
	node := ""
	switch o := object.(type) {
	case *corev1.Pod:
		node = o.Spec.NodeName
	case *v1alpha1.TopologyDomain:
		node = o.Spec.NodeName
	}
	if node == "" {
		return nil
	}
	return []string{node}
}
