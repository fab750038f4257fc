// Package observe is what the controllers share of looking at the cluster: the
// lists that make a world, and the filters that say which events may change it.
// It reads and filters; it decides nothing and writes nothing.
package observe

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/convert"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// World lists everything that bears on where a gang may go, without the room of
// committed placements. The objects are shared with the cache behind reader: the
// caller must not change them.
func World(ctx context.Context, reader client.Reader) (convert.World, error) {
	var nodes corev1.NodeList
	var domains v1alpha1.TopologyDomainList
	var classes v1alpha1.AcceleratorClassList
	var pods corev1.PodList
	for _, list := range []client.ObjectList{&nodes, &domains, &classes, &pods} {
		if err := reader.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
			return convert.World{}, fmt.Errorf("reading the cluster: %w", err)
		}
	}
	slices, err := published(ctx, reader)
	if err != nil {
		return convert.World{}, err
	}
	world := convert.World{Nodes: nodes.Items, Domains: domains.Items, Classes: classes.Items, Pods: pods.Items, Slices: slices}
	world.Scan, world.ScanProblem, err = scanned(ctx, reader)
	return world, err
}

// published lists the devices that DRA drivers publish. An API server before 1.34,
// or one without DRA, has none.
func published(ctx context.Context, reader client.Reader) ([]resourcev1.ResourceSlice, error) {
	var list resourcev1.ResourceSliceList
	if err := reader.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil && !meta.IsNoMatchError(err) {
		return nil, fmt.Errorf("reading the cluster: %w", err)
	}
	return list.Items, nil
}

// scanned reads the scan of the InfiniBand fabric.
func scanned(ctx context.Context, reader client.Reader) (scan topology.Scan, problem string, err error) {
	var parts corev1.ConfigMapList
	if err := reader.List(ctx, &parts, client.HasLabels{v1alpha1.LabelFabricScan}, client.UnsafeDisableDeepCopy); err != nil {
		return scan, "", fmt.Errorf("reading the scan of the fabric: %w", err)
	}
	scan, problem = lastScan.read(parts.Items)
	return scan, problem, nil
}

// CommittedWorld is World with the room that gangs hold by their status.
func CommittedWorld(ctx context.Context, reader client.Reader) (convert.World, error) {
	world, err := World(ctx, reader)
	if err != nil {
		return world, err
	}
	var groups v1alpha1.GangSchedulingGroupList
	if err := reader.List(ctx, &groups, client.UnsafeDisableDeepCopy); err != nil {
		return world, fmt.Errorf("listing gangs: %w", err)
	}
	world.Commit(groups.Items)
	return world, nil
}

// Pace lets a pass over the whole cluster happen at most once per interval.
type Pace struct {
	Every time.Duration
	Now   func() time.Time
	last  time.Time
}

// Hold says how long to wait before the next pass, and 0 when it may begin,
// which it then counts as begun.
func (p *Pace) Hold() time.Duration {
	now := p.Now()
	if wait := p.Every - now.Sub(p.last); wait > 0 && !p.last.IsZero() {
		return wait
	}
	p.last = now
	return 0
}

// ServesSlices asks the API server whether it has ResourceSlices. A watch of a
// kind that it does not have would keep the manager from starting.
func ServesSlices(mapper meta.RESTMapper) (bool, error) {
	_, err := mapper.RESTMapping(schema.GroupKind{Group: resourcev1.GroupName, Kind: "ResourceSlice"}, resourcev1.SchemeGroupVersion.Version)
	if meta.IsNoMatchError(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("asking the API server for ResourceSlices: %w", err)
	}
	return true, nil
}

// NodeChanged passes changes of a node that bear on placement, which heartbeats
// do not.
var NodeChanged = predicate.Funcs{
	UpdateFunc: func(e event.UpdateEvent) bool {
		return convert.NodeDiffers(e.ObjectOld.(*corev1.Node), e.ObjectNew.(*corev1.Node))
	},
}

// EvidenceChanged passes changes of what people and agents say of the fabric,
// and not of what the manager itself writes.
var EvidenceChanged = predicate.Funcs{
	CreateFunc: func(e event.CreateEvent) bool { return isEvidence(e.Object) },
	DeleteFunc: func(e event.DeleteEvent) bool { return isEvidence(e.Object) },
	UpdateFunc: func(e event.UpdateEvent) bool {
		before, after := e.ObjectOld.(*v1alpha1.TopologyDomain), e.ObjectNew.(*v1alpha1.TopologyDomain)
		return isEvidence(after) && (before.Generation != after.Generation || !equality.Semantic.DeepEqual(before.Status.Node, after.Status.Node))
	},
}

func isEvidence(object client.Object) bool {
	return object.GetLabels()[v1alpha1.LabelTopologySource] == ""
}

// PodMoved passes Pods that begin or cease to take room on a node.
var PodMoved = predicate.Funcs{
	CreateFunc: func(e event.CreateEvent) bool { return takesRoom(e.Object.(*corev1.Pod)) },
	DeleteFunc: func(e event.DeleteEvent) bool { return e.Object.(*corev1.Pod).Spec.NodeName != "" },
	UpdateFunc: func(e event.UpdateEvent) bool {
		return takesRoom(e.ObjectOld.(*corev1.Pod)) != takesRoom(e.ObjectNew.(*corev1.Pod))
	},
}

func takesRoom(pod *corev1.Pod) bool {
	return pod.Spec.NodeName != "" && pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed
}

// CommitmentChanged passes gangs that begin or cease to hold room.
var CommitmentChanged = predicate.Funcs{
	CreateFunc: func(e event.CreateEvent) bool {
		return holdsRoom(e.Object.(*v1alpha1.GangSchedulingGroup))
	},
	UpdateFunc: func(e event.UpdateEvent) bool {
		before, after := e.ObjectOld.(*v1alpha1.GangSchedulingGroup), e.ObjectNew.(*v1alpha1.GangSchedulingGroup)
		return before.Status.Epoch != after.Status.Epoch || holdsRoom(before) != holdsRoom(after)
	},
}

func holdsRoom(group *v1alpha1.GangSchedulingGroup) bool {
	return group.Status.Placement != nil && !meta.IsStatusConditionTrue(group.Status.Conditions, v1alpha1.ConditionFinished)
}
