package main

import (
	"context"
	"fmt"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	kueueapi "sigs.k8s.io/kueue/apis/kueue/v1beta2"
	kueue "sigs.k8s.io/kueue/pkg/cache/scheduler"
	"sigs.k8s.io/kueue/pkg/controller/core/indexer"
	"sigs.k8s.io/kueue/pkg/resources"
)

const (
	kueueName = "hgx"
	podSet    = kueueapi.PodSetReference("main")
)

// kueueCache is the scheduler cache of Kueue with one flavor on one topology.
type kueueCache struct {
	fabric *Fabric
	cache  *kueue.Cache
	// workloads counts the workloads so far: each has a UID of its own, or Kueue
	// answers from what it remembers of the last one.
	workloads int
}

// newKueue tells Kueue of a fabric with all its pods, as its controllers do.
func newKueue(ctx context.Context, f *Fabric) (*kueueCache, error) {
	scheme := runtime.NewScheme()
	if err := kueueapi.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("registering Kueue's kinds: %w", err)
	}
	k := &kueueCache{fabric: f, cache: kueue.New(fake.NewClientBuilder().WithScheme(scheme).
		WithIndex(&kueueapi.LocalQueue{}, indexer.QueueClusterQueueKey, indexer.IndexQueueClusterQueue).
		WithIndex(&kueueapi.Workload{}, indexer.WorkloadQueueKey, indexer.IndexWorkloadQueue).
		WithIndex(&kueueapi.Workload{}, indexer.WorkloadClusterQueueKey, indexer.IndexWorkloadClusterQueue).Build())}
	log := logr.Discard()
	topology := &kueueapi.Topology{ObjectMeta: metav1.ObjectMeta{Name: kueueName}}
	for _, key := range []string{f.BlockLabel, f.RackLabel, f.HostLabel} {
		topology.Spec.Levels = append(topology.Spec.Levels, kueueapi.TopologyLevel{NodeLabel: key})
	}
	k.cache.AddOrUpdateTopology(log, topology)
	reference := kueueapi.TopologyReference(kueueName)
	k.cache.AddOrUpdateResourceFlavor(log, &kueueapi.ResourceFlavor{
		ObjectMeta: metav1.ObjectMeta{Name: kueueName},
		Spec:       kueueapi.ResourceFlavorSpec{NodeLabels: f.Selector, TopologyName: &reference},
	})
	if err := k.cache.AddClusterQueue(ctx, f.clusterQueue()); err != nil {
		return nil, fmt.Errorf("adding Kueue's queue: %w", err)
	}
	for i := range f.Nodes {
		k.cache.TASCache().SyncNode(f.node(i))
	}
	for _, p := range f.Pods {
		k.cache.TASCache().Update(f.running(p), log)
	}
	return k, nil
}

// clusterQueue has quota for everything.
func (f *Fabric) clusterQueue() *kueueapi.ClusterQueue {
	group := kueueapi.ResourceGroup{Flavors: []kueueapi.FlavorQuotas{{Name: kueueName}}}
	for name := range f.PerDevice {
		group.CoveredResources = append(group.CoveredResources, corev1.ResourceName(name))
		group.Flavors[0].Resources = append(group.Flavors[0].Resources, kueueapi.ResourceQuota{
			Name: corev1.ResourceName(name), NominalQuota: resource.MustParse("1E"),
		})
	}
	return &kueueapi.ClusterQueue{
		ObjectMeta: metav1.ObjectMeta{Name: kueueName},
		Spec:       kueueapi.ClusterQueueSpec{ResourceGroups: []kueueapi.ResourceGroup{group}, NamespaceSelector: &metav1.LabelSelector{}},
	}
}

// node is a node as its API object.
func (f *Fabric) node(i int) *corev1.Node {
	n := &f.Nodes[i]
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: n.Name, Labels: f.labels(n)},
		Spec:       corev1.NodeSpec{Taints: []corev1.Taint{{Key: f.Taint.Key, Value: f.Taint.Value, Effect: corev1.TaintEffectNoSchedule}}},
		Status: corev1.NodeStatus{
			Allocatable: quantities(f.Capacity), Capacity: quantities(f.Capacity),
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
		},
	}
}

// running is a pod that runs on its node.
func (f *Fabric) running(p Pod) *corev1.Pod {
	spec := f.podSpec(p.Devices)
	spec.NodeName = f.Nodes[p.Node].Name
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: p.Name, Namespace: "default", UID: types.UID(p.Name)},
		Spec:       spec, Status: corev1.PodStatus{Phase: corev1.PodRunning},
	}
}

func (f *Fabric) podSpec(devices int) corev1.PodSpec {
	return corev1.PodSpec{
		NodeSelector: f.Selector,
		Tolerations:  []corev1.Toleration{{Key: f.Taint.Key, Operator: corev1.TolerationOpExists}},
		Containers: []corev1.Container{{
			Name: "main", Resources: corev1.ResourceRequirements{Requests: quantities(f.requests(devices))},
		}},
	}
}

func quantities(amounts map[string]int64) corev1.ResourceList {
	out := corev1.ResourceList{}
	for name, amount := range amounts {
		if name == cpu {
			out[corev1.ResourceCPU] = *resource.NewMilliQuantity(amount, resource.DecimalSI)
			continue
		}
		out[corev1.ResourceName(name)] = *resource.NewQuantity(amount, resource.DecimalSI)
	}
	return out
}

// snapshot is what Kueue takes at the start of each cycle.
func (k *kueueCache) snapshot(ctx context.Context) (*kueue.ClusterQueueSnapshot, error) {
	all, err := k.cache.Snapshot(ctx)
	if err != nil {
		return nil, fmt.Errorf("taking Kueue's snapshot: %w", err)
	}
	queue := all.ClusterQueue(kueueName)
	if queue == nil {
		return nil, fmt.Errorf("queue %s of Kueue is not active", kueueName)
	}
	return queue, nil
}

// kueueAsk is a gang in Kueue's terms.
type kueueAsk struct {
	requests kueue.WorkloadTASRequests
	workload kueue.FindTopologyAssignmentsOption
}

// ask makes a workload that Kueue has never seen. Kueue takes a required or a
// preferred level: a gang of kind single has the required one.
func (k *kueueCache) ask(g Gang) kueueAsk {
	k.workloads++
	request := &kueueapi.PodSetTopologyRequest{}
	switch g.Kind {
	case anywhere:
		request.Preferred = &k.fabric.RackLabel
	case sliced:
		size := int32(sliceSize)
		request.Required, request.PodSetSliceRequiredTopology, request.PodSetSliceSize = &k.fabric.BlockLabel, &k.fabric.RackLabel, &size
	default:
		request.Required = &k.fabric.BlockLabel
	}
	set := kueueapi.PodSet{Name: podSet, Count: int32(g.Pods), TopologyRequest: request}
	set.Template.Spec = k.fabric.podSpec(devicesPerNode)
	name := fmt.Sprintf("gang-%d", k.workloads)
	workload := &kueueapi.Workload{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", UID: types.UID(name)},
		Spec:       kueueapi.WorkloadSpec{QueueName: kueueName, PodSets: []kueueapi.PodSet{set}},
	}
	return kueueAsk{workload: kueue.WithWorkload(workload), requests: kueue.WorkloadTASRequests{kueueName: {{
		PodSet: &workload.Spec.PodSets[0], SinglePodRequests: resources.NewRequestsFromPodSpec(&set.Template.Spec),
		Count: set.Count, Flavor: kueueName,
	}}}}
}

// find is the decision that is measured.
func (a kueueAsk) find(ctx context.Context, queue *kueue.ClusterQueueSnapshot) kueue.TASAssignmentsResult {
	return queue.FindTopologyAssignmentsForWorkload(ctx, a.requests, a.workload)
}

// kueueAnswer is Kueue's answer as every engine's is compared. It names hosts.
func kueueAnswer(result kueue.TASAssignmentsResult) Answer {
	if failure := result.Failure(); failure != nil {
		return Answer{Reason: failure.Reason}
	}
	var out Answer
	for _, d := range result[podSet].TopologyAssignment.Domains {
		for range d.Count {
			out.Nodes = append(out.Nodes, d.Values[len(d.Values)-1])
		}
	}
	return out
}
