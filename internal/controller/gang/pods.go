package gang

import (
	"fmt"
	"maps"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/convert"
)

// defaultMasterPort is the port of rank 0 when the spec names none; it is the
// default of PyTorch's torchrun.
const defaultMasterPort = 29500

// member is one planned Pod of a gang.
type member struct {
	name  string
	role  string
	index int
	rank  int
	node  string
}

// membersOf lists the planned Pods of a placement in rank order.
func membersOf(gang string, roles []convert.PlacedRole) []member {
	var out []member
	for _, role := range roles {
		for i, node := range role.Nodes {
			out = append(out, member{name: podName(gang, role.Name, i), role: role.Name, index: i, rank: len(out), node: node})
		}
	}
	return out
}

func podName(gang, role string, index int) string {
	return gang + "-" + role + "-" + strconv.Itoa(index)
}

// buildPod makes the Pod of a member: the role's template, pinned to the
// planned node, with rank labels, environment and a stable host name.
func buildPod(group *v1alpha1.GangSchedulingGroup, m member, all []member) *corev1.Pod {
	template := roleOf(group, m.role).Template.DeepCopy()
	pod := &corev1.Pod{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{
			Name: m.name, Namespace: group.Namespace,
			Labels: template.Labels, Annotations: template.Annotations,
			OwnerReferences: []metav1.OwnerReference{ownerRef(group)},
		},
		Spec: template.Spec,
	}
	if pod.Labels == nil {
		pod.Labels = map[string]string{}
	}
	maps.Copy(pod.Labels, map[string]string{
		v1alpha1.LabelGang:      group.Name,
		v1alpha1.LabelRole:      m.role,
		v1alpha1.LabelRoleIndex: strconv.Itoa(m.index),
		v1alpha1.LabelRank:      strconv.Itoa(m.rank),
		v1alpha1.LabelEpoch:     strconv.FormatInt(group.Status.Epoch, 10),
	})
	pod.Spec.Hostname, pod.Spec.Subdomain = m.name, group.Name
	// A Pod that names its node itself goes around kube-scheduler, and to another
	// node than planned.
	pod.Spec.NodeName = ""
	if pod.Spec.RestartPolicy == "" {
		pod.Spec.RestartPolicy = corev1.RestartPolicyNever
	}
	pin(&pod.Spec, m.node)
	env := environment(group, m, all)
	for i := range pod.Spec.InitContainers {
		pod.Spec.InitContainers[i].Env = append(env[:len(env):len(env)], pod.Spec.InitContainers[i].Env...)
	}
	for i := range pod.Spec.Containers {
		pod.Spec.Containers[i].Env = append(env[:len(env):len(env)], pod.Spec.Containers[i].Env...)
	}
	return pod
}

// pin leaves kube-scheduler one node to look at. Only a match on the field
// metadata.name does that; a label selector makes it visit every node.
func pin(spec *corev1.PodSpec, node string) {
	here := corev1.NodeSelectorRequirement{Key: metav1.ObjectNameField, Operator: corev1.NodeSelectorOpIn, Values: []string{node}}
	if spec.Affinity == nil {
		spec.Affinity = &corev1.Affinity{}
	}
	if spec.Affinity.NodeAffinity == nil {
		spec.Affinity.NodeAffinity = &corev1.NodeAffinity{}
	}
	required := spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	if required == nil || len(required.NodeSelectorTerms) == 0 {
		required = &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{}}}
	}
	var terms []corev1.NodeSelectorTerm
	for _, term := range required.NodeSelectorTerms {
		// A term without requirements matches nothing and must not start to match
		// the node, unless it is the one made above.
		if len(required.NodeSelectorTerms) > 1 && len(term.MatchExpressions) == 0 && len(term.MatchFields) == 0 {
			continue
		}
		term.MatchFields = append(term.MatchFields[:len(term.MatchFields):len(term.MatchFields)], here)
		terms = append(terms, term)
	}
	spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution = &corev1.NodeSelector{NodeSelectorTerms: terms}
}

// environment is what every container learns about its place in the gang. It
// stands before the template's own variables, which may refer to it and win.
func environment(group *v1alpha1.GangSchedulingGroup, m member, all []member) []corev1.EnvVar {
	port := group.Spec.MasterPort
	if port == 0 {
		port = defaultMasterPort
	}
	return []corev1.EnvVar{
		{Name: v1alpha1.EnvRank, Value: strconv.Itoa(m.rank)},
		{Name: v1alpha1.EnvWorldSize, Value: strconv.Itoa(len(all))},
		{Name: v1alpha1.EnvLocalRank, Value: "0"},
		{Name: v1alpha1.EnvMasterAddr, Value: fmt.Sprintf("%s.%s.%s.svc", all[0].name, group.Name, group.Namespace)},
		{Name: v1alpha1.EnvMasterPort, Value: strconv.Itoa(int(port))},
		{Name: v1alpha1.EnvEpoch, Value: strconv.FormatInt(group.Status.Epoch, 10)},
		{Name: v1alpha1.EnvRole, Value: m.role},
		{Name: v1alpha1.EnvRoleIndex, Value: strconv.Itoa(m.index)},
	}
}

// buildService makes the headless Service that gives the Pods their names.
// Members find each other before they are ready, so it publishes all of them.
func buildService(group *v1alpha1.GangSchedulingGroup) *corev1.Service {
	return &corev1.Service{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: metav1.ObjectMeta{
			Name: group.Name, Namespace: group.Namespace,
			Labels:          map[string]string{v1alpha1.LabelGang: group.Name},
			OwnerReferences: []metav1.OwnerReference{ownerRef(group)},
		},
		Spec: corev1.ServiceSpec{
			ClusterIP:                corev1.ClusterIPNone,
			Selector:                 map[string]string{v1alpha1.LabelGang: group.Name},
			PublishNotReadyAddresses: true,
		},
	}
}

func ownerRef(group *v1alpha1.GangSchedulingGroup) metav1.OwnerReference {
	return metav1.OwnerReference{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: "GangSchedulingGroup",
		Name: group.Name, UID: group.UID,
		Controller: new(true), BlockOwnerDeletion: new(true),
	}
}

// roleOf returns the role of that name. A placement is released when the spec
// changes before all Pods exist, so the role is always there; an empty one keeps
// a hand-edited status from crashing the manager.
func roleOf(group *v1alpha1.GangSchedulingGroup, name string) *v1alpha1.GangRole {
	for i := range group.Spec.Roles {
		if group.Spec.Roles[i].Name == name {
			return &group.Spec.Roles[i]
		}
	}
	return &v1alpha1.GangRole{Name: name}
}
