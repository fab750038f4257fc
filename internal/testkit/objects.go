package testkit

import (
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
)

// NodeBuilder builds a Node.
type NodeBuilder struct{ node corev1.Node }

// Node begins a Ready node with 64 cores, 256 GiB and 110 Pod slots.
func Node(name string) *NodeBuilder {
	b := &NodeBuilder{corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: name}}}}
	b.node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	return b.Allocatable(corev1.ResourceCPU, "64").Allocatable(corev1.ResourceMemory, "256Gi").Allocatable(corev1.ResourcePods, "110")
}

// Obj returns the node.
func (b *NodeBuilder) Obj() *corev1.Node { return b.node.DeepCopy() }

// Allocatable sets how much of a resource the node has.
func (b *NodeBuilder) Allocatable(name corev1.ResourceName, amount string) *NodeBuilder {
	if b.node.Status.Allocatable == nil {
		b.node.Status.Allocatable = corev1.ResourceList{}
	}
	b.node.Status.Allocatable[name] = resource.MustParse(amount)
	b.node.Status.Capacity = b.node.Status.Allocatable
	return b
}

// GPUs sets the number of GPUs.
func (b *NodeBuilder) GPUs(n int64) *NodeBuilder {
	return b.Allocatable(GPU, strconv.FormatInt(n, 10))
}

// Label sets a label.
func (b *NodeBuilder) Label(key, value string) *NodeBuilder {
	b.node.Labels[key] = value
	return b
}

// NotReady makes the node not Ready.
func (b *NodeBuilder) NotReady() *NodeBuilder {
	b.node.Status.Conditions[0].Status = corev1.ConditionFalse
	return b
}

// Cordoned makes the node take no new Pods.
func (b *NodeBuilder) Cordoned() *NodeBuilder {
	b.node.Spec.Unschedulable = true
	return b
}

// DomainBuilder builds a declared TopologyDomain.
type DomainBuilder struct{ domain v1alpha1.TopologyDomain }

// Domain begins a domain of a level.
func Domain(name string, level v1alpha1.TopologyLevel) *DomainBuilder {
	return &DomainBuilder{v1alpha1.TopologyDomain{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       v1alpha1.TopologyDomainSpec{Level: level},
	}}
}

// Obj returns the domain.
func (b *DomainBuilder) Obj() *v1alpha1.TopologyDomain { return b.domain.DeepCopy() }

// Parent sets the domain that holds this one.
func (b *DomainBuilder) Parent(name string) *DomainBuilder {
	b.domain.Spec.ParentName = name
	return b
}

// Nodes declares the nodes of the domain.
func (b *DomainBuilder) Nodes(names ...string) *DomainBuilder {
	b.domain.Spec.Members = &v1alpha1.TopologyDomainMembers{NodeNames: names}
	return b
}

// ClassBuilder builds an AcceleratorClass.
type ClassBuilder struct {
	class v1alpha1.AcceleratorClass
}

// Class begins a class of vendor NVIDIA.
func Class(name string) *ClassBuilder {
	return &ClassBuilder{v1alpha1.AcceleratorClass{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       v1alpha1.AcceleratorClassSpec{Vendor: "NVIDIA", Model: name},
	}}
}

// Obj returns the class.
func (b *ClassBuilder) Obj() *v1alpha1.AcceleratorClass { return b.class.DeepCopy() }

// OnLabel recognises nodes by a label.
func (b *ClassBuilder) OnLabel(key string, values ...string) *ClassBuilder {
	b.class.Spec.Match.NodeLabels = append(b.class.Spec.Match.NodeLabels, v1alpha1.NodeLabelMatch{Key: key, Values: values})
	return b
}

// PodBuilder builds a Pod.
type PodBuilder struct{ pod corev1.Pod }

// Pod begins a Pod of nobody with one container "main".
func Pod(name string) *PodBuilder {
	return &PodBuilder{corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "example.com/other:1"}}},
	}}
}

// Obj returns the Pod.
func (b *PodBuilder) Obj() *corev1.Pod { return b.pod.DeepCopy() }

// Namespace sets the namespace.
func (b *PodBuilder) Namespace(namespace string) *PodBuilder {
	b.pod.Namespace = namespace
	return b
}

// Of makes the Pod one of a gang's, of an epoch.
func (b *PodBuilder) Of(gang *v1alpha1.GangSchedulingGroup, epoch int64) *PodBuilder {
	b.pod.OwnerReferences = []metav1.OwnerReference{{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: "GangSchedulingGroup",
		Name: gang.Name, UID: gang.UID, Controller: new(true),
	}}
	return b.Label(v1alpha1.LabelGang, gang.Name).Label(v1alpha1.LabelEpoch, strconv.FormatInt(epoch, 10))
}

// Label sets a label.
func (b *PodBuilder) Label(key, value string) *PodBuilder {
	b.pod.Labels[key] = value
	return b
}

// On binds the Pod to a node.
func (b *PodBuilder) On(node string) *PodBuilder {
	b.pod.Spec.NodeName = node
	return b
}

// GPUs sets the number of GPUs.
func (b *PodBuilder) GPUs(n int64) *PodBuilder {
	amount := corev1.ResourceList{GPU: *resource.NewQuantity(n, resource.DecimalSI)}
	b.pod.Spec.Containers[0].Resources = corev1.ResourceRequirements{Requests: amount, Limits: amount}
	return b
}

// Phase sets the phase.
func (b *PodBuilder) Phase(phase corev1.PodPhase) *PodBuilder {
	b.pod.Status.Phase = phase
	return b
}

// Reason sets why the Pod is in its phase.
func (b *PodBuilder) Reason(reason, message string) *PodBuilder {
	b.pod.Status.Reason, b.pod.Status.Message = reason, message
	return b
}

// Exited gives the Pod's container an exit code.
func (b *PodBuilder) Exited(code int32) *PodBuilder {
	b.pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name: "main", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Reason: "Error"}},
	}}
	return b
}

// Deleted marks the Pod as being deleted.
func (b *PodBuilder) Deleted() *PodBuilder {
	b.pod.DeletionTimestamp = &metav1.Time{}
	b.pod.DeletionTimestamp.Time = metav1.Now().Time
	return b
}
