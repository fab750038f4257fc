package acceleratorclass

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/observe"
)

// pass is the one request of the Reconciler.
var pass = []reconcile.Request{{NamespacedName: types.NamespacedName{Name: "classes"}}}

// Setup adds the Reconciler to a manager.
func Setup(mgr ctrl.Manager) error {
	toPass := handler.EnqueueRequestsFromMapFunc(func(context.Context, client.Object) []reconcile.Request { return pass })
	watches := ctrl.NewControllerManagedBy(mgr).
		Named("acceleratorclass").
		Watches(&v1alpha1.AcceleratorClass{}, toPass, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&corev1.Node{}, toPass, builder.WithPredicates(observe.NodeChanged)).
		Watches(&corev1.Pod{}, toPass, builder.WithPredicates(observe.PodMoved)).
		Watches(&v1alpha1.TopologyDomain{}, toPass, builder.WithPredicates(predicate.Or(observe.EvidenceChanged, newMeasurements))).
		Watches(&v1alpha1.GangSchedulingGroup{}, toPass, builder.WithPredicates(observe.CommitmentChanged))
	served, err := observe.ServesSlices(mgr.GetRESTMapper())
	if err != nil {
		return err
	}
	if served {
		watches = watches.Watches(&resourcev1.ResourceSlice{}, toPass)
	}
	return watches.Complete(NewReconciler(mgr.GetClient()))
}

// newMeasurements passes domains whose agent has measured.
var newMeasurements = predicate.Funcs{
	CreateFunc:  func(event.CreateEvent) bool { return false },
	DeleteFunc:  func(event.DeleteEvent) bool { return false },
	GenericFunc: func(event.GenericEvent) bool { return false },
	UpdateFunc: func(e event.UpdateEvent) bool {
		before, after := e.ObjectOld.(*v1alpha1.TopologyDomain), e.ObjectNew.(*v1alpha1.TopologyDomain)
		return !equality.Semantic.DeepEqual(before.Status.Measurements, after.Status.Measurements)
	},
}
