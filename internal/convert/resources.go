package convert

import (
	"math"

	corev1 "k8s.io/api/core/v1"
	resourcehelper "k8s.io/component-helpers/resource"

	"github.com/k8s4ai/k8s4ai/internal/placement"
)

// podSlots is the resource that limits the number of pods of a node.
const podSlots = string(corev1.ResourcePods)

// Resources turns a resource list into the units of placement.
func Resources(list corev1.ResourceList) placement.Resources {
	out := make(placement.Resources, len(list))
	for name, quantity := range list {
		if name == corev1.ResourceCPU {
			out[string(name)] = quantity.MilliValue()
			continue
		}
		out[string(name)] = quantity.Value()
	}
	return out
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
// server fills in only when it stores the pod.
func TemplateRequests(template *corev1.PodTemplateSpec) corev1.ResourceList {
	spec := template.Spec.DeepCopy()
	for _, containers := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for i := range containers {
			requireLimits(&containers[i].Resources)
		}
	}
	if spec.Resources != nil {
		requireLimits(spec.Resources)
	}
	return resourcehelper.PodRequests(&corev1.Pod{Spec: *spec}, resourcehelper.PodResourcesOptions{})
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

// add sums amounts without overflow; a sum that is too large stays at the
// largest integer.
func add(into, from placement.Resources) {
	for name, amount := range from {
		if amount > 0 && into[name] > math.MaxInt64-amount {
			into[name] = math.MaxInt64
			continue
		}
		into[name] += amount
	}
}
