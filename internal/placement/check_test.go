package placement

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/k8s4ai/k8s4ai/internal/topology"
)

func TestPlaceNamesTheInvalidField(t *testing.T) {
	shape := func(change func(*Shape)) Request {
		return within(0, workers(1, 1).with(func(r *Role) { change(&r.Shape) }))
	}
	requirement := func(r Requirement) Request {
		return shape(func(s *Shape) { s.Selector = []Term{{{Key: "ok", Op: "Exists"}, r}} })
	}
	toleration := func(x Toleration) Request {
		return shape(func(s *Shape) { s.Tolerations = []Toleration{x} })
	}
	role := func(change func(*Role)) Request { return within(0, workers(1, 1).with(change)) }
	root := func(change func(*Group)) Request {
		r := within(0, workers(1, 1))
		change(&r.Root)
		return r
	}
	nested := func(change func(*Group)) Request {
		r := copiesOf(2, 1, 0, 0)
		change(&r.Root.Groups[0])
		return r
	}
	many := func(roles int) Request {
		var r Request
		for i := range roles {
			r.Root.Roles = append(r.Root.Roles, Role{Name: fmt.Sprint(i), Count: 1})
		}
		return r
	}
	deep := func(depth int) Request {
		g := Group{Name: "g", Roles: []Role{workers(1, 1)}}
		for range depth - 1 {
			g = Group{Name: "g", Groups: []Group{g}}
		}
		return Request{Root: g}
	}
	cases := map[string]struct {
		request Request
		want    string
	}{
		"nothing to place":            {Request{}, "roles: must not be empty in a group without groups"},
		"an empty nested group":       {nested(func(g *Group) { g.Roles = nil }), "groups[tp].roles: must not be empty in a group without groups"},
		"copies of the root":          {root(func(g *Group) { g.Copies = 2 }), "copies: must be 0 or 1"},
		"negative copies of the root": {root(func(g *Group) { g.Copies = -1 }), "copies: must be 0 or 1"},
		"negative copies":             {nested(func(g *Group) { g.Copies = -1 }), "groups[tp].copies: must be 0..65536"},
		"too many copies":             {nested(func(g *Group) { g.Copies = 65537 }), "groups[tp].copies: must be 0..65536"},
		"too many copies of copies": {nested(func(g *Group) {
			g.Copies = 60000
			g.Groups = []Group{{Name: "x", Copies: 2, Roles: many(1).Root.Roles}}
		}), "groups[tp].groups[x].copies: more than 65536 copies in all"},
		"more copies at least than all": {nested(func(g *Group) { g.MinCopies = 3 }), "groups[tp].minCopies: must be 0..2"},
		"negative least copies":         {nested(func(g *Group) { g.MinCopies = -1 }), "groups[tp].minCopies: must be 0..2"},
		"a group without a name":        {nested(func(g *Group) { g.Name = "" }), "groups[0].name: must not be empty"},
		"an unknown required level":     {root(func(g *Group) { g.Required = 6 }), "required: unknown level"},
		"an unknown preferred level":    {root(func(g *Group) { g.Preferred = -1 }), "preferred: unknown level"},
		"preferred wider than required": {nested(func(g *Group) { g.Required = topology.Leaf; g.Preferred = topology.Block }), "groups[tp].preferred: Block is wider than the required Leaf"},
		"an unknown pattern":            {root(func(g *Group) { g.Pattern = "Star" }), `pattern: unknown pattern "Star"`},
		"groups too deep":               {deep(5), "groups[g].groups[g].groups[g].groups: nested deeper than 4"},
		"no pods":                       {role(func(r *Role) { r.Count = 0 }), "roles[worker].count: must be 1..65536"},
		"a negative count":              {role(func(r *Role) { r.Count = -4 }), "roles[worker].count: must be 1..65536"},
		"a count too large":             {role(func(r *Role) { r.Count = 65537 }), "roles[worker].count: must be 1..65536"},
		"too many pods in all":          {nested(func(g *Group) { g.Copies = 65536; g.Roles[0].Count = 2 }), "groups[tp].roles[worker].count: more than 65536 pods and spares in all"},
		"too many pods with spares":     {role(func(r *Role) { r.Count = 65536; r.Spares = 1 }), "roles[worker].count: more than 65536 pods and spares in all"},
		"more pods at least than all":   {role(func(r *Role) { r.MinCount = 2 }), "roles[worker].minCount: must be 0..1"},
		"a negative least count":        {role(func(r *Role) { r.MinCount = -1 }), "roles[worker].minCount: must be 0..1"},
		"a least count in copies":       {nested(func(g *Group) { g.Roles[0].MinCount = 1 }), "groups[tp].roles[worker].minCount: must be 0 in a group with copies"},
		"negative spares":               {role(func(r *Role) { r.Spares = -1 }), "roles[worker].spares: must be 0..65536"},
		"a role without a name":         {role(func(r *Role) { r.Name = "" }), "roles[0].name: must not be empty"},
		"a name used twice":             {root(func(g *Group) { g.Groups = copiesOf(1, 1, 0, 0).Root.Groups }), "groups[tp].roles[worker].name: is used twice"},
		"too many roles":                {many(65), "roles[64].name: more than 64 roles"},
		"a negative resource":           {shape(func(s *Shape) { s.Resources = Resources{"cpu": -1} }), "roles[worker].shape.resources[cpu]: must not be negative"},
		"an empty class":                {shape(func(s *Shape) { s.Classes = []string{"a", ""} }), "roles[worker].shape.classes[1]: must not be empty or named before"},
		"a class named twice":           {shape(func(s *Shape) { s.Classes = []string{"a", "a"} }), "roles[worker].shape.classes[1]: must not be empty or named before"},
		"a requirement without a key":   {requirement(Requirement{Op: "Exists"}), "roles[worker].shape.selector[0][1].key: must not be empty"},
		"an unknown operator":           {requirement(Requirement{Key: "a", Op: "Like"}), `roles[worker].shape.selector[0][1].op: unknown operator "Like"`},
		"In without values":             {requirement(Requirement{Key: "a", Op: "In"}), "roles[worker].shape.selector[0][1].values: must not be empty for In"},
		"Exists with values":            {requirement(Requirement{Key: "a", Op: "Exists", Values: []string{"x"}}), "roles[worker].shape.selector[0][1].values: must be empty for Exists"},
		"Gt with two values":            {requirement(Requirement{Key: "a", Op: "Gt", Values: []string{"1", "2"}}), "roles[worker].shape.selector[0][1].values: must be one integer for Gt"},
		"Lt with a word":                {requirement(Requirement{Key: "a", Op: "Lt", Values: []string{"x"}}), "roles[worker].shape.selector[0][1].values: must be one integer for Lt"},
		"an unknown field":              {requirement(Requirement{Key: "spec.x", Op: "In", Values: []string{"x"}, Field: true}), "roles[worker].shape.selector[0][1].key: a field is metadata.name with In or NotIn"},
		"an unknown effect":             {toleration(Toleration{Key: "a", Effect: "Never"}), `roles[worker].shape.tolerations[0].effect: unknown effect "Never"`},
		"an unknown toleration":         {toleration(Toleration{Key: "a", Operator: "Like"}), `roles[worker].shape.tolerations[0].operator: unknown operator "Like"`},
		"a toleration of no key":        {toleration(Toleration{Value: "a"}), "roles[worker].shape.tolerations[0].key: must not be empty unless the operator is Exists"},
	}
	s := racks().snapshot()
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(Verdict{Invalid: tc.want, Proof: Exact}, Place(s, tc.request)); diff != "" {
				t.Errorf("Place() (-want +got):\n%s", diff)
			}
		})
	}
	for name, sound := range map[string]Request{
		"the most roles":      many(64),
		"the deepest nesting": deep(4),
		"the most pods":       role(func(r *Role) { r.Count = 65535; r.Spares = 1 }),
	} {
		if v := Place(s, sound); v.Invalid != "" {
			t.Errorf("%s: %s", name, v.Invalid)
		}
	}
}
