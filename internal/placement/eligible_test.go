package placement

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestIneligible(t *testing.T) {
	labels := func(term ...Requirement) Shape { return Shape{Selector: []Term{term}} }
	tolerates := func(all ...Toleration) Shape { return Shape{Tolerations: all} }
	node := Node{
		Name: "n1", Classes: []string{"h100", "hopper"},
		Labels: map[string]string{"zone": "a", "gen": "7", "word": "x"},
	}
	tainted := node
	tainted.Taints = []Taint{{"gpu", "yes", "NoSchedule"}}
	evicting := node
	evicting.Taints = []Taint{{"gpu", "yes", "NoExecute"}}
	soft := node
	soft.Taints = []Taint{{"gpu", "yes", "PreferNoSchedule"}}
	gone := tainted
	gone.Unavailable = "cordoned"
	const outside = "outside the selector"
	cases := map[string]struct {
		node  Node
		shape Shape
		class string
		want  string
	}{
		"a plain shape takes a plain node":             {node, Shape{}, "", ""},
		"a node of the class is taken":                 {node, Shape{}, "hopper", ""},
		"a node without the class is not":              {node, Shape{}, "b200", "of another class"},
		"unavailable comes before every other reason":  {gone, Shape{}, "b200", "cordoned"},
		"In matches one of its values":                 {node, labels(Requirement{Key: "zone", Op: "In", Values: []string{"b", "a"}}), "", ""},
		"In does not match other values":               {node, labels(Requirement{Key: "zone", Op: "In", Values: []string{"b"}}), "", outside},
		"In does not match a missing label":            {node, labels(Requirement{Key: "none", Op: "In", Values: []string{""}}), "", outside},
		"NotIn matches a missing label":                {node, labels(Requirement{Key: "none", Op: "NotIn", Values: []string{"a"}}), "", ""},
		"NotIn does not match its values":              {node, labels(Requirement{Key: "zone", Op: "NotIn", Values: []string{"a"}}), "", outside},
		"Exists matches a label":                       {node, labels(Requirement{Key: "zone", Op: "Exists"}), "", ""},
		"Exists does not match a missing label":        {node, labels(Requirement{Key: "none", Op: "Exists"}), "", outside},
		"DoesNotExist matches a missing label":         {node, labels(Requirement{Key: "none", Op: "DoesNotExist"}), "", ""},
		"DoesNotExist does not match a label":          {node, labels(Requirement{Key: "zone", Op: "DoesNotExist"}), "", outside},
		"Gt compares numbers":                          {node, labels(Requirement{Key: "gen", Op: "Gt", Values: []string{"6"}}), "", ""},
		"Gt is strict":                                 {node, labels(Requirement{Key: "gen", Op: "Gt", Values: []string{"7"}}), "", outside},
		"Lt compares numbers":                          {node, labels(Requirement{Key: "gen", Op: "Lt", Values: []string{"10"}}), "", ""},
		"Lt does not match what is no number":          {node, labels(Requirement{Key: "word", Op: "Lt", Values: []string{"10"}}), "", outside},
		"Gt does not match a missing label":            {node, labels(Requirement{Key: "none", Op: "Gt", Values: []string{"-1"}}), "", outside},
		"a field is the node's name":                   {node, labels(Requirement{Key: "metadata.name", Op: "In", Values: []string{"n1"}, Field: true}), "", ""},
		"a label of that name is not the field":        {node, labels(Requirement{Key: "metadata.name", Op: "In", Values: []string{"n1"}}), "", outside},
		"all requirements of a term have to match":     {node, labels(Requirement{Key: "zone", Op: "Exists"}, Requirement{Key: "none", Op: "Exists"}), "", outside},
		"a term without requirements selects nothing":  {node, labels(), "", outside},
		"one of the terms is enough":                   {node, Shape{Selector: []Term{{}, {{Key: "zone", Op: "Exists"}}}}, "", ""},
		"a taint keeps pods away":                      {tainted, Shape{}, "", "tainted gpu"},
		"so does one that evicts":                      {evicting, Shape{}, "", "tainted gpu"},
		"a soft taint does not":                        {soft, Shape{}, "", ""},
		"an equal value is tolerated":                  {tainted, tolerates(Toleration{Key: "gpu", Value: "yes"}), "", ""},
		"another value is not":                         {tainted, tolerates(Toleration{Key: "gpu", Operator: "Equal", Value: "no"}), "", "tainted gpu"},
		"Exists tolerates every value":                 {tainted, tolerates(Toleration{Key: "gpu", Operator: "Exists"}), "", ""},
		"Exists without a key tolerates everything":    {evicting, tolerates(Toleration{Operator: "Exists"}), "", ""},
		"another key is not tolerated":                 {tainted, tolerates(Toleration{Key: "other", Operator: "Exists"}), "", "tainted gpu"},
		"another effect is not tolerated":              {tainted, tolerates(Toleration{Key: "gpu", Operator: "Exists", Effect: "NoExecute"}), "", "tainted gpu"},
		"one of several tolerations is enough":         {tainted, tolerates(Toleration{Key: "other"}, Toleration{Key: "gpu", Value: "yes", Effect: "NoSchedule"}), "", ""},
		"a toleration does not help against the class": {tainted, tolerates(Toleration{Operator: "Exists"}), "b200", "of another class"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := ineligible(&tc.node, &tc.shape, tc.class); got != tc.want {
				t.Errorf("ineligible() = %q, want %q", got, tc.want)
			}
		})
	}
}

func TestPlaceOnClasses(t *testing.T) {
	class := func(name string) func(*Node) { return func(n *Node) { n.Classes = []string{name} } }
	fleet := world{nodes: []Node{
		machine("h1", "", 0, class("h100")), machine("h2", "", 0, class("h100")),
		machine("b1", "", 0, class("b200")),
		machine("plain", "", 0),
	}}
	on := func(count int, name string, classes ...string) Role {
		return workers(count, 8).with(func(r *Role) { r.Name = name; r.Shape.Classes = classes })
	}
	cases := map[string]struct {
		roles []Role
		want  string
	}{
		"the preferred class is taken where it fits": {
			[]Role{on(1, "a", "b200", "h100")}, "a on b200: b1 in Node b1"},
		"all pods of a role are on one class": {
			[]Role{on(2, "a", "b200", "h100")}, "a on h100: h1 h2 in Cluster"},
		"classes of one role do not add up": {
			[]Role{on(3, "a", "b200", "h100")},
			"needs 3 slots in the cluster, there are 2; short of nvidia.com/gpu; left out: 2 nodes of another class"},
		"the first role has the first choice": {
			[]Role{on(1, "a", "b200", "h100"), on(1, "b", "b200", "h100")}, "a on b200: b1, b on h100: h1 in Cluster"},
		"a role without classes takes any node": {
			[]Role{on(4, "a")}, "a: b1 h1 h2 plain in Cluster"},
		"an unknown class has no eligible nodes": {
			[]Role{on(1, "a", "tpu")},
			"needs 1 slot in the cluster, there are none; short of eligible nodes; left out: 4 nodes of another class"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			v := Place(fleet.snapshot(), within(0, tc.roles...))
			if diff := cmp.Diff(tc.want, summary(v)); diff != "" {
				t.Errorf("Place() (-want +got):\n%s", diff)
			}
		})
	}
}
