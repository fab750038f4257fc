package placement

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// checker walks a request and keeps the first problem.
type checker struct {
	names map[string]bool
	pods  int
}

// invalid names the first field of the request that makes no sense, and is
// empty for a sound request.
func invalid(r Request) string {
	if r.Root.Copies > 1 || r.Root.Copies < 0 {
		return "copies: must be 0 or 1"
	}
	c := checker{names: map[string]bool{}}
	return c.group("", &r.Root, 1, 1)
}

// group checks a group of which outer copies of its parent exist.
func (c *checker) group(path string, g *Group, outer, depth int) string {
	if problem := checkGroup(g); problem != "" {
		return path + problem
	}
	if depth == MaxDepth && len(g.Groups) > 0 {
		return fmt.Sprintf("%sgroups: nested deeper than %d", path, MaxDepth)
	}
	copies := outer * max(1, g.Copies)
	if copies > MaxPods {
		return fmt.Sprintf("%scopies: more than %d copies in all", path, MaxPods)
	}
	for i := range g.Roles {
		role := &g.Roles[i]
		at := fmt.Sprintf("%sroles[%s].", path, role.Name)
		if role.Name == "" {
			return fmt.Sprintf("%sroles[%d].name: must not be empty", path, i)
		}
		if problem := c.role(role, g); problem != "" {
			return at + problem
		}
		c.pods += copies * (role.Count + role.Spares)
		if c.pods > MaxPods {
			return fmt.Sprintf("%scount: more than %d pods and spares in all", at, MaxPods)
		}
	}
	for i := range g.Groups {
		if g.Groups[i].Name == "" {
			return fmt.Sprintf("%sgroups[%d].name: must not be empty", path, i)
		}
		at := fmt.Sprintf("%sgroups[%s].", path, g.Groups[i].Name)
		if problem := c.group(at, &g.Groups[i], copies, depth+1); problem != "" {
			return problem
		}
	}
	if len(g.Roles) == 0 && len(g.Groups) == 0 {
		return path + "roles: must not be empty in a group without groups"
	}
	return ""
}

// checkGroup checks the fields of a group that are not roles or groups.
func checkGroup(g *Group) string {
	isLevel := func(l topology.Level) bool { return topology.Cluster <= l && l <= topology.Node }
	switch {
	case g.Copies < 0 || g.Copies > MaxPods:
		return fmt.Sprintf("copies: must be 0..%d", MaxPods)
	case g.MinCopies < 0 || g.MinCopies > max(1, g.Copies):
		return fmt.Sprintf("minCopies: must be 0..%d", max(1, g.Copies))
	case !isLevel(g.Required):
		return "required: unknown level"
	case !isLevel(g.Preferred):
		return "preferred: unknown level"
	case g.Preferred != topology.Cluster && g.Preferred < g.Required:
		return fmt.Sprintf("preferred: %s is wider than the required %s", g.Preferred, g.Required)
	}
	switch g.Pattern {
	case "", Ring, Tree, AllToAll, Pipeline, PrefillDecode:
		return ""
	}
	return fmt.Sprintf("pattern: unknown pattern %q", g.Pattern)
}

// role checks one role of the group.
func (c *checker) role(r *Role, g *Group) string {
	if c.names[r.Name] {
		return "name: is used twice"
	}
	c.names[r.Name] = true
	switch {
	case len(c.names) > MaxRoles:
		return fmt.Sprintf("name: more than %d roles", MaxRoles)
	case r.Count < 1 || r.Count > MaxPods:
		return fmt.Sprintf("count: must be 1..%d", MaxPods)
	case r.MinCount < 0 || r.MinCount > r.Count:
		return fmt.Sprintf("minCount: must be 0..%d", r.Count)
	case r.MinCount > 0 && g.Copies > 1:
		return "minCount: must be 0 in a group with copies"
	case r.Spares < 0 || r.Spares > MaxPods:
		return fmt.Sprintf("spares: must be 0..%d", MaxPods)
	}
	return checkShape(&r.Shape)
}

// checkShape checks what a pod asks of its node.
func checkShape(s *Shape) string {
	switch {
	case len(s.Resources) > MaxResources:
		return fmt.Sprintf("shape.resources: more than %d", MaxResources)
	case len(s.Classes) > MaxClasses:
		return fmt.Sprintf("shape.classes: more than %d", MaxClasses)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Resources)) {
		if s.Resources[name] < 0 {
			return fmt.Sprintf("shape.resources[%s]: must not be negative", name)
		}
	}
	for i, class := range s.Classes {
		if class == "" || slices.Contains(s.Classes[:i], class) {
			return fmt.Sprintf("shape.classes[%d]: must not be empty or named before", i)
		}
	}
	for i, term := range s.Selector {
		for j, requirement := range term {
			if problem := checkRequirement(requirement); problem != "" {
				return fmt.Sprintf("shape.selector[%d][%d].%s", i, j, problem)
			}
		}
	}
	for i, t := range s.Tolerations {
		if problem := checkToleration(t); problem != "" {
			return fmt.Sprintf("shape.tolerations[%d].%s", i, problem)
		}
	}
	return ""
}

func checkRequirement(r Requirement) string {
	if r.Key == "" {
		return "key: must not be empty"
	}
	if r.Field && (r.Key != fieldName || (r.Op != opIn && r.Op != opNotIn)) {
		return "key: a field is metadata.name with In or NotIn"
	}
	switch r.Op {
	case opIn, opNotIn:
		if len(r.Values) == 0 {
			return "values: must not be empty for " + r.Op
		}
	case opExists, opDoesNotExist:
		if len(r.Values) > 0 {
			return "values: must be empty for " + r.Op
		}
	case opGt, opLt:
		if len(r.Values) != 1 {
			return "values: must be one integer for " + r.Op
		}
		if _, err := strconv.ParseInt(r.Values[0], 10, 64); err != nil {
			return "values: must be one integer for " + r.Op
		}
	default:
		return fmt.Sprintf("op: unknown operator %q", r.Op)
	}
	return ""
}

func checkToleration(t Toleration) string {
	switch t.Effect {
	case "", effectNoSchedule, effectPreferNoSchedule, effectNoExecute:
	default:
		return fmt.Sprintf("effect: unknown effect %q", t.Effect)
	}
	switch t.Operator {
	case "", opEqual, opExists:
	default:
		return fmt.Sprintf("operator: unknown operator %q", t.Operator)
	}
	if t.Key == "" && t.Operator != opExists {
		return "key: must not be empty unless the operator is Exists"
	}
	return ""
}
