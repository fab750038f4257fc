package planfile

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/convert"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// Bounds that the API server keeps for a GangSchedulingGroup. They are the same
// here, so that what can be planned can be applied.
const (
	maxGangName  = 40
	maxRoles     = 16
	maxGroups    = 16
	maxRoleName  = 16
	maxGroupName = 63
	maxReplicas  = 4096
	maxSpares    = 1024
)

var (
	gangName = regexp.MustCompile(`^[a-z]([-a-z0-9]*[a-z0-9])?$`)
	partName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)
)

// validateGang lists what the API server would refuse, as far as it bears on
// placement. at is the path of the gang, nil for the document itself.
func validateGang(at *field.Path, g *v1alpha1.GangSchedulingGroup) field.ErrorList {
	out := named(at.Child("metadata", "name"), g.Name, maxGangName, gangName)
	spec := at.Child("spec")
	out = append(out, validateRoles(spec.Child("roles"), g.Spec.Roles)...)
	if t := g.Spec.Topology; t != nil {
		out = append(out, levels(spec.Child("topology"), t.Required, t.Preferred, t.Pattern)...)
	}
	out = append(out, validateGroups(spec.Child("groups"), g.Spec.Groups)...)
	if len(out) > 0 {
		return out
	}
	if _, err := convert.GangRequest(g, nil); err != nil {
		where, what, _ := strings.Cut(err.Error(), ": ")
		return field.ErrorList{field.Invalid(spec.Child(where), field.OmitValueType{}, what)}
	}
	return nil
}

func validateRoles(at *field.Path, roles []v1alpha1.GangRole) field.ErrorList {
	switch {
	case len(roles) == 0:
		return field.ErrorList{field.Required(at, "a gang has at least one role")}
	case len(roles) > maxRoles:
		return field.ErrorList{field.TooMany(at, len(roles), maxRoles)}
	}
	var out field.ErrorList
	names, pods := map[string]bool{}, int64(0)
	for i := range roles {
		r, at := &roles[i], at.Index(i)
		out = append(out, named(at.Child("name"), r.Name, maxRoleName, partName)...)
		if names[r.Name] {
			out = append(out, field.Duplicate(at.Child("name"), r.Name))
		}
		names[r.Name] = true
		if r.Replicas < 1 || r.Replicas > maxReplicas {
			out = append(out, field.Invalid(at.Child("replicas"), r.Replicas, fmt.Sprintf("must be 1 to %d", maxReplicas)))
		}
		if r.MinReplicas < 0 || r.MinReplicas > r.Replicas {
			out = append(out, field.Invalid(at.Child("minReplicas"), r.MinReplicas, "must not exceed replicas: lower minReplicas or raise replicas"))
		}
		out = append(out, within(at.Child("spares"), int64(r.Spares), maxSpares)...)
		if a := r.Accelerator; a != nil && (a.ClassName != "") == (a.Capabilities != nil) {
			out = append(out, field.Invalid(at.Child("accelerator"), field.OmitValueType{}, "set exactly one of className and capabilities"))
		}
		if l := r.DeviceLocality; l != "" && !slices.Contains(localities, l) {
			out = append(out, field.NotSupported(at.Child("deviceLocality"), l, localities))
		}
		out = append(out, validateTemplate(at.Child("template", "spec"), &r.Template.Spec)...)
		pods += int64(r.Replicas) + int64(r.Spares)
	}
	if len(out) == 0 && pods > maxReplicas {
		out = append(out, field.Invalid(at, pods, fmt.Sprintf("a gang holds at most %d pods, spares included: lower replicas, or split the gang", maxReplicas)))
	}
	return out
}

func validateTemplate(at *field.Path, spec *corev1.PodSpec) field.ErrorList {
	var out field.ErrorList
	if len(spec.Containers) == 0 {
		out = append(out, field.Required(at.Child("containers"), "a Pod has at least one container"))
	}
	if spec.NodeName != "" {
		out = append(out, field.Forbidden(at.Child("nodeName"), "the nodes are chosen for the gang: narrow them with nodeSelector or node affinity"))
	}
	out = append(out, validateContainers(at.Child("initContainers"), spec.InitContainers)...)
	out = append(out, validateContainers(at.Child("containers"), spec.Containers)...)
	if spec.Resources != nil {
		out = append(out, quantities(at.Child("resources", "requests"), spec.Resources.Requests)...)
		out = append(out, quantities(at.Child("resources", "limits"), spec.Resources.Limits)...)
	}
	return append(out, quantities(at.Child("overhead"), spec.Overhead)...)
}

func validateContainers(at *field.Path, containers []corev1.Container) field.ErrorList {
	var out field.ErrorList
	for i := range containers {
		resources := at.Index(i).Child("resources")
		out = append(out, quantities(resources.Child("requests"), containers[i].Resources.Requests)...)
		out = append(out, quantities(resources.Child("limits"), containers[i].Resources.Limits)...)
	}
	return out
}

func quantities(at *field.Path, list corev1.ResourceList) field.ErrorList {
	var out field.ErrorList
	for _, name := range slices.Sorted(maps.Keys(list)) {
		if q := list[name]; q.Sign() < 0 {
			out = append(out, field.Invalid(at.Key(string(name)), q.String(), "must not be negative"))
		}
	}
	return out
}

func validateGroups(at *field.Path, groups []v1alpha1.GangGroup) field.ErrorList {
	if len(groups) > maxGroups {
		return field.ErrorList{field.TooMany(at, len(groups), maxGroups)}
	}
	var out field.ErrorList
	names := map[string]bool{}
	for i := range groups {
		g, at := &groups[i], at.Index(i)
		out = append(out, named(at.Child("name"), g.Name, maxGroupName, partName)...)
		if names[g.Name] {
			out = append(out, field.Duplicate(at.Child("name"), g.Name))
		}
		names[g.Name] = true
		if len(g.RoleNames) > maxRoles {
			out = append(out, field.TooMany(at.Child("roleNames"), len(g.RoleNames), maxRoles))
		}
		out = append(out, within(at.Child("sliceSize"), int64(g.SliceSize), maxReplicas)...)
		out = append(out, levels(at, g.Required, g.Preferred, g.Pattern)...)
	}
	return out
}

var (
	localities = []v1alpha1.DeviceLocality{v1alpha1.DeviceLocalityNode, v1alpha1.DeviceLocalityIsland}
	allLevels  = append(slices.Clone(domainLevels), v1alpha1.LevelNode)
	patterns   = []v1alpha1.CommunicationPattern{
		v1alpha1.PatternRing, v1alpha1.PatternTree, v1alpha1.PatternAllToAll, v1alpha1.PatternPipeline, v1alpha1.PatternPrefillDecode,
	}
)

// levels checks where a set of Pods sits and how they talk.
func levels(at *field.Path, required, preferred v1alpha1.TopologyLevel, pattern v1alpha1.CommunicationPattern) field.ErrorList {
	var out field.ErrorList
	outer, known := topology.ParseLevel(string(required))
	if !known || required == v1alpha1.TopologyLevel(topology.Cluster.String()) {
		out = append(out, field.NotSupported(at.Child("required"), required, allLevels))
	}
	inner, known := topology.ParseLevel(string(preferred))
	if !known || preferred == v1alpha1.TopologyLevel(topology.Cluster.String()) {
		out = append(out, field.NotSupported(at.Child("preferred"), preferred, allLevels))
	}
	if len(out) == 0 && preferred != "" && inner < outer {
		out = append(out, field.Invalid(at.Child("preferred"), preferred, fmt.Sprintf("is wider than the required %s: choose a narrower level, or remove it", required)))
	}
	if pattern != "" && !slices.Contains(patterns, pattern) {
		out = append(out, field.NotSupported(at.Child("pattern"), pattern, patterns))
	}
	return out
}

func named(at *field.Path, name string, most int, form *regexp.Regexp) field.ErrorList {
	switch {
	case name == "":
		return field.ErrorList{field.Required(at, "")}
	case len(name) > most:
		return field.ErrorList{field.TooLong(at, name, most)}
	case !form.MatchString(name):
		return field.ErrorList{field.Invalid(at, name, "must be lower-case letters, digits and dashes, "+form.String())}
	}
	return nil
}
