package topology

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/observe"
)

// pass is the one request of the Reconciler.
var pass = []reconcile.Request{{NamespacedName: types.NamespacedName{Name: "fabric"}}}

// Setup adds the Reconciler to a manager.
func Setup(mgr ctrl.Manager) error {
	toPass := handler.EnqueueRequestsFromMapFunc(func(context.Context, client.Object) []reconcile.Request { return pass })
	return ctrl.NewControllerManagedBy(mgr).
		Named("topology").
		// Any change of spec or labels counts here, derived domains included: one
		// that somebody edits is put right.
		Watches(&v1alpha1.TopologyDomain{}, toPass, builder.WithPredicates(predicate.Or[client.Object](
			observe.EvidenceChanged, predicate.GenerationChangedPredicate{}, predicate.LabelChangedPredicate{}))).
		Watches(&corev1.Node{}, toPass, builder.WithPredicates(observe.NodeChanged)).
		Watches(&corev1.Pod{}, toPass, builder.WithPredicates(observe.PodMoved)).
		Watches(&v1alpha1.GangSchedulingGroup{}, toPass, builder.WithPredicates(observe.CommitmentChanged)).
		Watches(&v1alpha1.AcceleratorClass{}, toPass, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Complete(NewReconciler(mgr.GetClient()))
}
