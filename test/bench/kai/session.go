package main

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	kaiv1alpha1 "github.com/NVIDIA/KAI-scheduler/pkg/apis/kai/v1alpha1"
	"github.com/NVIDIA/KAI-scheduler/pkg/apis/scheduling/v2alpha2"
	"github.com/NVIDIA/KAI-scheduler/pkg/common/constants"
	"github.com/NVIDIA/KAI-scheduler/pkg/scheduler/api/common_info"
	"github.com/NVIDIA/KAI-scheduler/pkg/scheduler/api/node_info"
	"github.com/NVIDIA/KAI-scheduler/pkg/scheduler/api/pod_info"
	"github.com/NVIDIA/KAI-scheduler/pkg/scheduler/api/pod_status"
	"github.com/NVIDIA/KAI-scheduler/pkg/scheduler/api/podgroup_info"
	"github.com/NVIDIA/KAI-scheduler/pkg/scheduler/api/podgroup_info/subgroup_info"
	"github.com/NVIDIA/KAI-scheduler/pkg/scheduler/api/resource_info"
	"github.com/NVIDIA/KAI-scheduler/pkg/scheduler/api/topology_info"
	"github.com/NVIDIA/KAI-scheduler/pkg/scheduler/cache"
	"github.com/NVIDIA/KAI-scheduler/pkg/scheduler/cache/cluster_info"
	"github.com/NVIDIA/KAI-scheduler/pkg/scheduler/framework"
	"github.com/NVIDIA/KAI-scheduler/pkg/scheduler/test_utils"
	"github.com/NVIDIA/KAI-scheduler/pkg/scheduler/test_utils/jobs_fake"
	"go.uber.org/mock/gomock"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

const (
	namespace = "default"
	queue     = "hgx"
	topology  = "fabric"
	gangName  = "gang"
	// trainPriority is KAI's priority of training jobs.
	trainPriority = 50
	unbounded     = 1e9
)

// open is what KAI does at the start of a cycle: nodes, jobs, queues and plugins,
// here from the question instead of an API server.
func (q *question) open(g gang) (*framework.Session, error) {
	affinity := cache.NewK8sClusterPodAffinityInfo()
	nodes := make(map[string]*node_info.NodeInfo, len(q.Fabric.Nodes))
	for i := range q.Fabric.Nodes {
		object := q.Fabric.node(i)
		nodes[object.Name] = node_info.NewNodeInfo(object, cluster_info.NewK8sNodePodAffinityInfo(object, affinity))
	}
	jobs := map[common_info.PodGroupID]*podgroup_info.PodGroupInfo{}
	for _, p := range q.Fabric.Pods {
		name := q.Fabric.Nodes[p.Node].Name
		task := q.Fabric.task(p.Name, p.Name, name, p.Devices)
		job := newJob(p.Name, jobs_fake.DefaultSubGroup(1), []*pod_info.PodInfo{task})
		jobs[job.UID] = job
		if err := nodes[name].AddTask(task); err != nil {
			return nil, fmt.Errorf("starting pod %s: %w", p.Name, err)
		}
	}
	root, subgroups := q.subgroups(g)
	var tasks []*pod_info.PodInfo
	for i := range g.Pods {
		task := q.Fabric.task(fmt.Sprintf("%s-%d", gangName, i), gangName, "", q.Devices)
		task.SubGroupName = subgroups[i*len(subgroups)/g.Pods]
		tasks = append(tasks, task)
	}
	job := newJob(gangName, root, tasks)
	jobs[job.UID] = job

	// The default plugins. A session without CacheRequirements drops the predicates.
	basic := test_utils.TestTopologyBasic{
		Queues:      []test_utils.TestQueueBasic{{Name: queue, ParentQueue: "all", DeservedGPUs: unbounded, GPUOverQuotaWeight: 1}},
		Departments: []test_utils.TestDepartmentBasic{{Name: "all", DeservedGPUs: unbounded}},
		Mocks:       &test_utils.TestMock{CacheRequirements: &test_utils.CacheMocking{NumberOfCacheBinds: g.Pods}},
	}
	queues := test_utils.BuildQueueInfoMap(basic)
	maps.Copy(queues, test_utils.BuildDepartmentInfoMap(basic))
	cluster_info.UpdateQueueHierarchy(queues)
	plugins := &test_utils.TestSessionConfig{Plugins: test_utils.BuildPlugins(basic), CachePlugins: map[string]bool{"predicates": true}}
	session := test_utils.CreateFakeSession(plugins, nodes, jobs, queues, basic, gomock.NewController(reporter{}), true, q.Fabric.topology(), affinity)
	if len(session.PredicateFns) == 0 || len(session.SubsetNodesFns) == 0 {
		return nil, errors.New("the session lacks the plugins predicates and topology")
	}
	return session, nil
}

// topology are the levels of the fabric.
func (f *fabric) topology() []*kaiv1alpha1.Topology {
	out := &kaiv1alpha1.Topology{ObjectMeta: metav1.ObjectMeta{Name: topology}}
	for _, key := range []string{f.BlockLabel, f.RackLabel, f.HostLabel} {
		out.Spec.Levels = append(out.Spec.Levels, kaiv1alpha1.TopologyLevel{NodeLabel: key})
	}
	return []*kaiv1alpha1.Topology{out}
}

// subgroups is a gang's tree in KAI's terms, with the names of its leaves.
func (q *question) subgroups(g gang) (*subgroup_info.SubGroupSet, []string) {
	within := &topology_info.TopologyConstraintInfo{Topology: topology, RequiredLevel: q.Fabric.BlockLabel, PreferredLevel: q.Fabric.RackLabel}
	each, leaf := g.Pods, (*topology_info.TopologyConstraintInfo)(nil)
	switch g.Kind {
	case "any":
		within.RequiredLevel = ""
	case "slices":
		each, within.PreferredLevel = q.SliceSize, ""
		leaf = &topology_info.TopologyConstraintInfo{Topology: topology, RequiredLevel: q.Fabric.RackLabel}
	}
	root := subgroup_info.NewSubGroupSet(subgroup_info.RootSubGroupSetName, within)
	var names []string
	for i := 0; i < g.Pods; i += each {
		name := fmt.Sprintf("slice-%d", i/each)
		root.AddPodSet(subgroup_info.NewPodSet(name, int32(each), leaf))
		names = append(names, name)
	}
	return root, names
}

func newJob(name string, root *subgroup_info.SubGroupSet, tasks []*pod_info.PodInfo) *podgroup_info.PodGroupInfo {
	allocated := resource_info.EmptyResource()
	for _, task := range tasks {
		if task.NodeName != "" {
			allocated.AddResourceRequirements(task.ResReq)
		}
	}
	return jobs_fake.BuildJobInfo(name, namespace, common_info.PodGroupID(name), allocated, root, tasks,
		trainPriority, v2alpha2.Preemptible, queue, time.Now().Add(-time.Minute), nil)
}

// task is a pod: one that runs where node names where, else one that waits.
func (f *fabric) task(name, job, where string, devices int) *pod_info.PodInfo {
	amounts := map[string]int64{}
	for resource, amount := range f.PerDevice {
		amounts[resource] = amount * int64(devices)
	}
	object := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: namespace, UID: types.UID(name), Labels: map[string]string{},
			Annotations: map[string]string{constants.PodGroupAnnotationForPod: job},
		},
		Spec: corev1.PodSpec{
			NodeName: where, NodeSelector: f.Selector, SchedulerName: "kai-scheduler",
			Tolerations: []corev1.Toleration{{Key: f.Taint.Key, Operator: corev1.TolerationOpExists}},
			Containers:  []corev1.Container{{Name: "main", Resources: corev1.ResourceRequirements{Requests: quantities(amounts)}}},
		},
		Status: corev1.PodStatus{Phase: corev1.PodPending},
	}
	if where != "" {
		object.Status.Phase = corev1.PodRunning
		object.Annotations[pod_info.ReceivedResourceTypeAnnotationName] = string(pod_info.ReceivedTypeRegular)
	}
	return pod_info.NewTaskInfo(object)
}

// node is a node as its API object.
func (f *fabric) node(i int) *corev1.Node {
	labels := maps.Clone(f.Labels)
	labels[f.BlockLabel], labels[f.RackLabel], labels[f.HostLabel] = f.Nodes[i].Block, f.Nodes[i].Rack, f.Nodes[i].Name
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: f.Nodes[i].Name, Labels: labels},
		Spec:       corev1.NodeSpec{Taints: []corev1.Taint{{Key: f.Taint.Key, Value: f.Taint.Value, Effect: corev1.TaintEffectNoSchedule}}},
		Status: corev1.NodeStatus{
			Allocatable: quantities(f.Capacity), Capacity: quantities(f.Capacity),
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
		},
	}
}

func quantities(amounts map[string]int64) corev1.ResourceList {
	out := corev1.ResourceList{}
	for name, amount := range amounts {
		if name == "cpu" {
			out[corev1.ResourceCPU] = *resource.NewMilliQuantity(amount, resource.DecimalSI)
			continue
		}
		out[corev1.ResourceName(name)] = *resource.NewQuantity(amount, resource.DecimalSI)
	}
	return out
}

// read is where the pods of the gang are bound to, or why they are not.
func read(session *framework.Session) (nodes []string, reason string) {
	job := session.PodGroupInfos[gangName]
	for i := range len(job.GetAllPodsMap()) {
		task := job.GetAllPodsMap()[common_info.PodID(fmt.Sprintf("%s-%d", gangName, i))]
		if task == nil || task.Status != pod_status.Binding {
			var reasons []string
			for _, e := range job.JobFitErrors {
				reasons = append(reasons, e.DetailedMessage())
			}
			return nil, "not placed: " + strings.Join(reasons, "; ")
		}
		nodes = append(nodes, task.NodeName)
	}
	return nodes, ""
}

// reporter is what the generated mock of KAI's cache calls when a call does not
// belong; the answer would be worth nothing then.
type reporter struct{}

func (reporter) Errorf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (reporter) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
