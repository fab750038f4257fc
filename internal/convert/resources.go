package convert

import (
	"math"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	resourcehelper "k8s.io/component-helpers/resource"

	"github.com/k8s4ai/k8s4ai/internal/placement"
)

// podSlots is the resource that limits the number of pods of a node.
const podSlots = string(corev1.ResourcePods)

// Resources turns a resource list into the units of placement.
func Resources(list corev1.ResourceList) placement.Resources {
	out := make(placement.Resources, len(list))
	for name, quantity := range list {
		scale := resource.Scale(0)
		if name == corev1.ResourceCPU {
			scale = resource.Milli
		}
		out[string(name)] = amountOf(quantity, scale)
	}
	return out
}

// amountOf is a quantity in units of a scale, the largest integer for one that
// is larger: a sum of quantities can be, and ScaledValue then wraps around. Less
// than nothing counts as nothing.
func amountOf(quantity resource.Quantity, scale resource.Scale) int64 {
	if quantity.Sign() < 0 {
		return 0
	}
	if quantity.Cmp(*resource.NewScaledQuantity(math.MaxInt64, scale)) >= 0 {
		return math.MaxInt64
	}
	return quantity.ScaledValue(scale)
}

// PodRequests is the room that a pod takes: its effective requests, init
// containers and overhead included, and one pod slot.
func PodRequests(pod *corev1.Pod) placement.Resources {
	out := Resources(resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{}))
	out[podSlots] = 1
	return out
}

// TemplateRequests is what the API server will count for a pod of the
// template. A limit without a request counts as the request, which the API
// server fills in only when it stores the pod. For the pod as a whole the
// requests of its containers come before the limit, as they do there.
func TemplateRequests(template *corev1.PodTemplateSpec) corev1.ResourceList {
	spec := template.Spec.DeepCopy()
	for _, containers := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for i := range containers {
			requireLimits(&containers[i].Resources)
		}
	}
	if spec.Resources != nil && len(spec.Resources.Limits) > 0 {
		requireContainers(spec)
		requireLimits(spec.Resources)
	}
	return resourcehelper.PodRequests(&corev1.Pod{Spec: *spec}, resourcehelper.PodResourcesOptions{})
}

// requireContainers gives the pod as a whole what its containers request, where
// it does not say itself. Huge pages cannot be overcommitted: their request is
// the limit.
func requireContainers(spec *corev1.PodSpec) {
	containers := resourcehelper.AggregateContainerRequests(&corev1.Pod{Spec: *spec}, resourcehelper.PodResourcesOptions{})
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		request, requested := containers[name]
		if _, set := spec.Resources.Requests[name]; set || !requested {
			continue
		}
		if spec.Resources.Requests == nil {
			spec.Resources.Requests = corev1.ResourceList{}
		}
		spec.Resources.Requests[name] = request
	}
}

func requireLimits(r *corev1.ResourceRequirements) {
	for name, limit := range r.Limits {
		if _, set := r.Requests[name]; set {
			continue
		}
		if r.Requests == nil {
			r.Requests = corev1.ResourceList{}
		}
		r.Requests[name] = limit
	}
}

// add sums amounts without overflow.
func add(into, from placement.Resources) {
	for name, amount := range from {
		into[name] = Sum(into[name], amount)
	}
}

// Sum adds without overflow; a sum that is too large stays at the largest
// integer.
func Sum(a, b int64) int64 {
	if b > 0 && a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}
