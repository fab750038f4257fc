package planfile

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
)

// Trim is a gang with what a plan needs of it and nothing else. What is kept is
// listed, not what is dropped: a field that Kubernetes adds to Pods stays out
// until somebody has thought about it. Environment, commands, arguments, images,
// volumes, annotations and messages are not kept, because they can hold secrets.
func Trim(group *v1alpha1.GangSchedulingGroup) v1alpha1.GangSchedulingGroup {
	out := v1alpha1.GangSchedulingGroup{
		ObjectMeta: metav1.ObjectMeta{
			Name: group.Name, Namespace: group.Namespace, Generation: group.Generation,
			CreationTimestamp: group.CreationTimestamp, DeletionTimestamp: group.DeletionTimestamp,
		},
		Spec:   *group.Spec.DeepCopy(),
		Status: trimStatus(&group.Status),
	}
	for i := range out.Spec.Roles {
		role := &out.Spec.Roles[i]
		role.Template = corev1.PodTemplateSpec{Spec: trimPod(&role.Template.Spec)}
	}
	return out
}

// trimPod keeps of a Pod what its requests, its nodes and its tolerations follow
// from.
func trimPod(spec *corev1.PodSpec) corev1.PodSpec {
	out := corev1.PodSpec{
		InitContainers: trimContainers(spec.InitContainers),
		Containers:     trimContainers(spec.Containers),
		NodeSelector:   spec.NodeSelector,
		Tolerations:    spec.Tolerations,
		Overhead:       spec.Overhead,
	}
	if spec.Resources != nil {
		out.Resources = &corev1.ResourceRequirements{Requests: spec.Resources.Requests, Limits: spec.Resources.Limits}
	}
	if a := spec.Affinity; a != nil && a.NodeAffinity != nil && a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution != nil {
		required := a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution
		out.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: required}}
	}
	return out
}

func trimContainers(containers []corev1.Container) []corev1.Container {
	var out []corev1.Container
	for i := range containers {
		c := &containers[i]
		out = append(out, corev1.Container{
			Name: c.Name, RestartPolicy: c.RestartPolicy,
			Resources: corev1.ResourceRequirements{Requests: c.Resources.Requests, Limits: c.Resources.Limits},
		})
	}
	return out
}

// trimStatus keeps where the gang is, and what its conditions are. Messages can
// quote what a container printed.
func trimStatus(status *v1alpha1.GangSchedulingGroupStatus) v1alpha1.GangSchedulingGroupStatus {
	kept := status.DeepCopy()
	out := v1alpha1.GangSchedulingGroupStatus{
		Epoch: kept.Epoch, StartedEpoch: kept.StartedEpoch, Restarts: kept.Restarts, Placement: kept.Placement,
	}
	for _, c := range kept.Conditions {
		c.Message = ""
		out.Conditions = append(out.Conditions, c)
	}
	if kept.Release != nil {
		out.Release = &v1alpha1.GangRelease{Reason: kept.Release.Reason}
	}
	return out
}
