package convert

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/placement"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// GangRequest turns a gang into a request. classes gives the accelerator
// classes that each role may use, in order of preference; a role that is not in
// it takes any node. The error says what to write instead; it is for the person
// who wrote the gang.
func GangRequest(group *v1alpha1.GangSchedulingGroup, classes map[string][]string) (placement.Request, error) {
	tree := &groupTree{
		spec:     &group.Spec,
		classes:  classes,
		children: map[string][]*v1alpha1.GangGroup{},
		roles:    map[string]*v1alpha1.GangRole{},
		grouped:  map[string]bool{},
	}
	for i := range group.Spec.Roles {
		tree.roles[group.Spec.Roles[i].Name] = &group.Spec.Roles[i]
	}
	for i := range group.Spec.Groups {
		g := &group.Spec.Groups[i]
		if g.ParentName != "" && !slices.ContainsFunc(group.Spec.Groups, func(p v1alpha1.GangGroup) bool { return p.Name == g.ParentName }) {
			return placement.Request{}, fmt.Errorf("groups[%s].parentName: there is no group %q: correct the name, or remove parentName", g.Name, g.ParentName)
		}
		tree.children[g.ParentName] = append(tree.children[g.ParentName], g)
		for _, name := range g.RoleNames {
			if tree.roles[name] == nil {
				return placement.Request{}, fmt.Errorf("groups[%s].roleNames: there is no role %q: correct the name or add the role", g.Name, name)
			}
			if tree.grouped[name] {
				return placement.Request{}, fmt.Errorf("groups[%s].roleNames: role %q is in another group already: remove it from one of them", g.Name, name)
			}
			tree.grouped[name] = true
		}
	}
	root, err := tree.root()
	if err != nil {
		return placement.Request{}, err
	}
	if tree.visited != len(group.Spec.Groups) {
		return placement.Request{}, fmt.Errorf("groups: parentName leads in a circle: remove parentName from one group of the circle")
	}
	return placement.Request{Root: root}, nil
}

// groupTree builds the nested groups of a request from the flat list of a spec.
type groupTree struct {
	spec     *v1alpha1.GangSchedulingGroupSpec
	classes  map[string][]string
	children map[string][]*v1alpha1.GangGroup
	roles    map[string]*v1alpha1.GangRole
	grouped  map[string]bool
	visited  int
}

func (t *groupTree) root() (placement.Group, error) {
	out := placement.Group{Copies: 1}
	if topo := t.spec.Topology; topo != nil {
		out.Required, out.Preferred, out.Pattern = level(topo.Required), level(topo.Preferred), placement.Pattern(topo.Pattern)
	}
	for i := range t.spec.Roles {
		if t.grouped[t.spec.Roles[i].Name] {
			continue
		}
		role, err := t.role(&t.spec.Roles[i], 1)
		if err != nil {
			return out, err
		}
		out.Roles = append(out.Roles, role)
	}
	var err error
	out.Groups, err = t.groups("", 1, 2)
	return out, err
}

// groups builds the groups below a parent, of which copies exist in the whole
// gang.
func (t *groupTree) groups(parent string, copies int, depth int) ([]placement.Group, error) {
	var out []placement.Group
	for _, g := range t.children[parent] {
		t.visited++
		if depth > placement.MaxDepth {
			return nil, fmt.Errorf("groups[%s]: groups nest at most %d deep below the gang: attach it further up", g.Name, placement.MaxDepth-1)
		}
		group, err := t.group(g, copies, depth)
		if err != nil {
			return nil, err
		}
		out = append(out, group)
	}
	return out, nil
}

func (t *groupTree) group(g *v1alpha1.GangGroup, parentCopies, depth int) (placement.Group, error) {
	copies, err := t.slices(g, parentCopies)
	if err != nil {
		return placement.Group{}, err
	}
	out := placement.Group{
		Name: g.Name, Copies: copies, MinCopies: t.minSlices(g, copies, parentCopies),
		Required: level(g.Required), Preferred: level(g.Preferred), Pattern: placement.Pattern(g.Pattern),
	}
	for _, name := range g.RoleNames {
		role, err := t.role(t.roles[name], parentCopies*copies)
		if err != nil {
			return out, err
		}
		out.Roles = append(out.Roles, role)
	}
	out.Groups, err = t.groups(g.Name, parentCopies*copies, depth+1)
	if err == nil && len(out.Roles) == 0 && len(out.Groups) == 0 {
		err = fmt.Errorf("groups[%s]: has no pods: list its roles in roleNames, or remove it", g.Name)
	}
	return out, err
}

// slices is the number of slices of a group in one slice of its parent.
func (t *groupTree) slices(g *v1alpha1.GangGroup, parentCopies int) (int, error) {
	if g.SliceSize == 0 {
		return 1, nil
	}
	pods := 0
	for _, role := range t.rolesOf(g, 1) {
		pods += int(role.Replicas)
	}
	perParent := pods / parentCopies
	if pods == 0 || pods%parentCopies != 0 || perParent%int(g.SliceSize) != 0 {
		return 0, fmt.Errorf("groups[%s].sliceSize: %d does not divide its %d pods into equal slices: change sliceSize or replicas", g.Name, g.SliceSize, perParent)
	}
	return perParent / int(g.SliceSize), nil
}

// rolesOf lists the roles of a group and the groups below it. depth keeps a
// circle of parents from going on for ever.
func (t *groupTree) rolesOf(g *v1alpha1.GangGroup, depth int) []*v1alpha1.GangRole {
	var out []*v1alpha1.GangRole
	for _, name := range g.RoleNames {
		out = append(out, t.roles[name])
	}
	if depth > placement.MaxDepth {
		return out
	}
	for _, child := range t.children[g.Name] {
		out = append(out, t.rolesOf(child, depth+1)...)
	}
	return out
}

// minSlices is the number of slices that minReplicas of all roles in the group
// allow. Only the outermost sliced group shrinks: below it a slice is whole.
func (t *groupTree) minSlices(g *v1alpha1.GangGroup, copies, parentCopies int) int {
	if parentCopies > 1 || copies == 1 {
		return 0
	}
	least := 1
	for _, role := range t.rolesOf(g, 1) {
		perSlice := max(int(role.Replicas)/copies, 1)
		least = max(least, (minReplicas(role)+perSlice-1)/perSlice)
	}
	return min(least, copies)
}

// minReplicas is the least number of pods of a role; unset means all.
func minReplicas(role *v1alpha1.GangRole) int {
	if role.MinReplicas == 0 {
		return int(role.Replicas)
	}
	return int(role.MinReplicas)
}

// role turns a role into its part of one of copies slices.
func (t *groupTree) role(r *v1alpha1.GangRole, copies int) (placement.Role, error) {
	if int(r.Replicas)%copies != 0 {
		return placement.Role{}, fmt.Errorf("roles[%s].replicas: %d pods do not divide into %d equal slices: change replicas or sliceSize", r.Name, r.Replicas, copies)
	}
	if int(r.Spares)%copies != 0 {
		return placement.Role{}, fmt.Errorf("roles[%s].spares: %d spares do not divide into %d equal slices: change spares", r.Name, r.Spares, copies)
	}
	out := placement.Role{
		Name: r.Name, Count: int(r.Replicas) / copies, Spares: int(r.Spares) / copies,
		Shape: placement.Shape{
			Resources:   Resources(TemplateRequests(&r.Template)),
			Classes:     t.classes[r.Name],
			Selector:    selector(&r.Template.Spec),
			Tolerations: tolerations(r.Template.Spec.Tolerations),
		},
	}
	if copies == 1 {
		out.MinCount = minReplicas(r)
	}
	if r.DeviceLocality == v1alpha1.DeviceLocalityIsland {
		if !hasDevices(out.Shape.Resources) {
			return out, fmt.Errorf("roles[%s].deviceLocality: Island is for Pods with devices: ask for some in template.spec.containers[].resources, or remove deviceLocality", r.Name)
		}
		out.Shape.WithinIsland = true
	}
	return out, nil
}

// hasDevices says whether a Pod asks for an extended resource, which are those
// whose name has a domain.
func hasDevices(requests placement.Resources) bool {
	for name, amount := range requests {
		if strings.Contains(name, "/") && amount > 0 {
			return true
		}
	}
	return false
}

func level(l v1alpha1.TopologyLevel) topology.Level {
	parsed, _ := topology.ParseLevel(string(l))
	return parsed
}

// apiLevel is the API name of a level, "" for the whole cluster.
func apiLevel(l topology.Level) v1alpha1.TopologyLevel {
	if l == topology.Cluster {
		return ""
	}
	return v1alpha1.TopologyLevel(l.String())
}

// never is a term that no node satisfies.
var never = placement.Term{
	{Key: corev1.LabelHostname, Op: string(corev1.NodeSelectorOpExists)},
	{Key: corev1.LabelHostname, Op: string(corev1.NodeSelectorOpDoesNotExist)},
}

// selector joins nodeSelector and required node affinity, with the meaning that
// kube-scheduler gives them: a term without requirements matches nothing.
func selector(spec *corev1.PodSpec) []placement.Term {
	var common placement.Term
	for _, key := range slices.Sorted(maps.Keys(spec.NodeSelector)) {
		common = append(common, placement.Requirement{Key: key, Op: string(corev1.NodeSelectorOpIn), Values: []string{spec.NodeSelector[key]}})
	}
	if spec.Affinity == nil || spec.Affinity.NodeAffinity == nil || spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		if common == nil {
			return nil
		}
		return []placement.Term{common}
	}
	var out []placement.Term
	for _, term := range spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
		if len(term.MatchExpressions) == 0 && len(term.MatchFields) == 0 {
			continue
		}
		joined := slices.Clone(common)
		for _, r := range term.MatchExpressions {
			joined = append(joined, placement.Requirement{Key: r.Key, Op: string(r.Operator), Values: r.Values})
		}
		for _, r := range term.MatchFields {
			joined = append(joined, placement.Requirement{Key: r.Key, Op: string(r.Operator), Values: r.Values, Field: true})
		}
		out = append(out, joined)
	}
	if out == nil {
		return []placement.Term{never}
	}
	return out
}

func tolerations(list []corev1.Toleration) []placement.Toleration {
	var out []placement.Toleration
	for _, t := range list {
		out = append(out, placement.Toleration{Key: t.Key, Operator: string(t.Operator), Value: t.Value, Effect: string(t.Effect)})
	}
	return out
}
