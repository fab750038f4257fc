package gang

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
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
	// podOwnerIndex finds the Pods of a gang by the gang's UID, so that a gang
	// that was deleted and created anew does not take the other's Pods for its own.
	podOwnerIndex = "gangUID"
	// gangWorkers is how many gangs are worked on at a time.
	gangWorkers = 8
)

// The two requests of the Planner, which differ in the gangs that they look at.
var (
	// roomPass follows a change of what is free. A gang that would not fit an empty
	// fleet either is left alone.
	roomPass = []reconcile.Request{{NamespacedName: types.NamespacedName{Name: "room"}}}
	// fleetPass follows a change of nodes, domains or classes, and looks at all.
	fleetPass = []reconcile.Request{{NamespacedName: types.NamespacedName{Name: "fleet"}}}
)

// Setup adds the Reconciler and the Planner to a manager.
func Setup(ctx context.Context, mgr ctrl.Manager) error {
	if err := mgr.GetFieldIndexer().IndexField(ctx, &corev1.Pod{}, podOwnerIndex, IndexPodOwner); err != nil {
		return err
	}
	recorder := mgr.GetEventRecorder("k8s4ai-gang")
	reconciler := NewReconciler(mgr.GetClient(), mgr.GetAPIReader(), recorder)
	if err := ctrl.NewControllerManagedBy(mgr).
		Named("gang").
		For(&v1alpha1.GangSchedulingGroup{}).
		Owns(&corev1.Pod{}).
		Owns(&corev1.Service{}).
		WithOptions(controller.Options{MaxConcurrentReconciles: gangWorkers}).
		Complete(reconcile.AsReconciler(mgr.GetClient(), reconciler)); err != nil {
		return err
	}
	stores, err := observe.NewStores(ctx, mgr.GetCache())
	if err != nil {
		return err
	}
	planner := NewPlanner(mgr.GetClient(), mgr.GetAPIReader(), recorder)
	planner.Stores = stores
	toRoomPass := handler.EnqueueRequestsFromMapFunc(func(context.Context, client.Object) []reconcile.Request { return roomPass })
	toFleetPass := handler.EnqueueRequestsFromMapFunc(func(context.Context, client.Object) []reconcile.Request { return fleetPass })
	return ctrl.NewControllerManagedBy(mgr).
		Named("gang-planner").
		Watches(&v1alpha1.GangSchedulingGroup{}, toRoomPass, builder.WithPredicates(gangWantsPlanning)).
		Watches(&corev1.Pod{}, toRoomPass, builder.WithPredicates(podFreesRoom)).
		Watches(&corev1.Node{}, toFleetPass, builder.WithPredicates(observe.NodeChanged)).
		Watches(&v1alpha1.TopologyDomain{}, toFleetPass, builder.WithPredicates(observe.EvidenceChanged)).
		Watches(&v1alpha1.AcceleratorClass{}, toFleetPass, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Complete(planner)
}

// IndexPodOwner is the index function of podOwnerIndex.
func IndexPodOwner(object client.Object) []string {
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return nil
	}
	if uid, _ := convert.GangOf(pod); uid != "" {
		return []string{string(uid)}
	}
	return nil
}

// gangWantsPlanning passes gangs that wait, and gangs that leave room behind.
var gangWantsPlanning = predicate.Funcs{
	CreateFunc: func(e event.CreateEvent) bool { return wantsPlacement(e.Object.(*v1alpha1.GangSchedulingGroup)) },
	UpdateFunc: func(e event.UpdateEvent) bool {
		before, after := e.ObjectOld.(*v1alpha1.GangSchedulingGroup), e.ObjectNew.(*v1alpha1.GangSchedulingGroup)
		freed := before.Status.Placement != nil && (after.Status.Placement == nil || isFinished(after) && !isFinished(before))
		return freed || wantsPlacement(after) && (!wantsPlacement(before) || before.Generation != after.Generation)
	},
}

// podFreesRoom passes Pods that stop to take room, and foreign Pods that move
// onto a node, which changes why a gang waits.
var podFreesRoom = predicate.Funcs{
	CreateFunc: func(e event.CreateEvent) bool {
		return isForeign(e.Object) && e.Object.(*corev1.Pod).Spec.NodeName != ""
	},
	DeleteFunc: func(e event.DeleteEvent) bool { return e.Object.(*corev1.Pod).Spec.NodeName != "" },
	UpdateFunc: func(e event.UpdateEvent) bool {
		before, after := e.ObjectOld.(*corev1.Pod), e.ObjectNew.(*corev1.Pod)
		ended := isTerminal(after) && !isTerminal(before)
		return ended || isForeign(after) && before.Spec.NodeName != after.Spec.NodeName
	},
}

func isForeign(object client.Object) bool { return len(IndexPodOwner(object)) == 0 }
