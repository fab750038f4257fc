package planfile

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// gang is a manifest with a spec in YAML, flow style or indented by two.
func gang(name, spec string) string {
	return "apiVersion: k8s4ai.io/v1alpha1\nkind: GangSchedulingGroup\nmetadata: {name: " + name + "}\nspec:\n" + spec
}

// role is one role with some fields more.
func role(name, more string) string {
	return fmt.Sprintf("  - {name: %s, %s, template: {spec: {containers: [{name: c}]}}}\n", name, more)
}

const pair = "  roles:\n  - name: w\n    replicas: 2\n    template: {spec: {containers: [{name: c, resources: {limits: {nvidia.com/gpu: 8}}}]}}\n"

func TestParseGangs(t *testing.T) {
	cases := map[string]struct {
		file string
		want []string
	}{
		"one":               {gang("a", pair), []string{"ns/a"}},
		"several":           {"# first\n---\n" + gang("a", pair) + "---\n\n---\n" + gang("b", pair) + "...\n" + gang("c", pair), []string{"ns/a", "ns/b", "ns/c"}},
		"a namespace":       {strings.Replace(gang("a", pair), "{name: a}", "{name: a, namespace: x}", 1), []string{"x/a"}},
		"a List":            {"apiVersion: v1\nkind: List\nitems:\n- " + strings.ReplaceAll(gang("a", pair), "\n", "\n  "), []string{"ns/a"}},
		"JSON, one by one":  {`{"apiVersion":"k8s4ai.io/v1alpha1","kind":"GangSchedulingGroup","metadata":{"name":"a"},"spec":{"roles":[{"name":"w","replicas":1,"template":{"spec":{"containers":[{"name":"c"}]}}}]}}` + "\n" + `{"apiVersion":"k8s4ai.io/v1alpha1","kind":"GangSchedulingGroup","metadata":{"name":"b"},"spec":{"roles":[{"name":"w","replicas":1,"template":{"spec":{"containers":[{"name":"c"}]}}}]}}`, []string{"ns/a", "ns/b"}},
		"a mark and a text": {"---  \n" + gang("a", pair), []string{"ns/a"}},
		"Windows lines":     {strings.ReplaceAll("---\n"+gang("a", pair)+"---\n"+gang("b", pair), "\n", "\r\n"), []string{"ns/a", "ns/b"}},
		"written by get": {strings.Replace(gang("a", pair), "{name: a}", "{name: a, uid: u, resourceVersion: '7', managedFields: [{manager: m}]}", 1) +
			"status: {epoch: 1}\n", []string{"ns/a"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			groups, err := ParseGangs("f.yaml", []byte(tc.file), "ns")
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for i := range groups {
				got = append(got, groups[i].Namespace+"/"+groups[i].Name)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("gangs (-want +got):\n%s", diff)
			}
		})
	}
}

// Every error names the file, the document, the line and the field.
func TestParseGangsRefuses(t *testing.T) {
	var roles, groups strings.Builder
	for i := range 65 {
		roles.WriteString(role(fmt.Sprintf("r%d", i), "replicas: 1"))
	}
	for i := range 50 {
		fmt.Fprintf(&groups, "  - {name: g%d, parentName: g%d}\n", i, i-1)
	}
	nested := "  groups: [{name: a}, {name: b, parentName: a}, {name: c, parentName: b}, {name: d, parentName: c, roleNames: [w]}]\n"
	cases := map[string]struct{ file, want string }{
		"nothing":          {"# nothing\n---\n", "f.yaml: has no document: write at least one"},
		"no YAML":          {"a: [1\n", "f.yaml: yaml: line 1: did not find expected ',' or ']'"},
		"text":             {"hello", "f.yaml: must be a GangSchedulingGroup: write apiVersion, kind, metadata and spec"},
		"another kind":     {"apiVersion: v1\nkind: Pod\n", `f.yaml: line 1: apiVersion: must be k8s4ai.io/v1alpha1, not "v1"`},
		"another kind of":  {"apiVersion: k8s4ai.io/v1alpha1\nkind: TopologyDomain\n", `f.yaml: line 2: kind: must be GangSchedulingGroup, not "TopologyDomain": this file holds nothing else`},
		"unknown field":    {gang("a", "  rolls: []\n"+pair), "f.yaml: line 5: spec.rolls: unknown field: correct its name, or remove it"},
		"a key twice":      {gang("a", pair+"  suspend: true\n  suspend: false\n"), `f.yaml: yaml: unmarshal errors: line 10: key "suspend" already set in map`},
		"no pods":          {gang("a", "  roles:\n"+role("w", "replicas: 0")), `f.yaml: line 6: spec.roles[0].replicas: Invalid value: 0: must be 1 to 4096`},
		"2^31 pods":        {gang("a", "  roles:\n"+role("w", "replicas: 2147483648")), "f.yaml: line 6: spec.roles[0].replicas: must be a whole number of at most 2147483647, not 2147483648"},
		"half a pod":       {gang("a", "  roles:\n"+role("w", "replicas: 1.5")), "f.yaml: line 6: spec.roles[0].replicas: must be a whole number of at most 2147483647, not 1.5"},
		"not a number":     {gang("a", "  roles:\n"+role("w", "replicas: .nan")), "f.yaml: line 6: spec.roles[0].replicas: must be a number: .nan and .inf are none"},
		"too many pods":    {gang("a", "  roles:\n"+role("w", "replicas: 4096")+role("x", "replicas: 1")), "f.yaml: line 5: spec.roles: Invalid value: 4097: a gang holds at most 4096 pods, spares included: lower replicas, or split the gang"},
		"65 roles":         {gang("a", "  roles:\n"+roles.String()), "f.yaml: line 5: spec.roles: Too many: 65: must have at most 16 items"},
		"wider than":       {gang("a", pair+"  topology: {required: Leaf, preferred: Block}\n"), `f.yaml: line 9: spec.topology.preferred: Invalid value: "Block": is wider than the required Leaf: choose a narrower level, or remove it`},
		"unknown level":    {gang("a", pair+"  topology: {required: Rack}\n"), `f.yaml: line 9: spec.topology.required: Unsupported value: "Rack": supported values: "Fabric", "Block", "Leaf", "NVLinkDomain", "Node"`},
		"a locality":       {gang("a", "  roles:\n"+role("w", "replicas: 1, deviceLocality: Rack")), `f.yaml: line 6: spec.roles[0].deviceLocality: Unsupported value: "Rack": supported values: "Node", "Island"`},
		"no level":         {gang("a", pair+"  topology: {required: Cluster}\n"), `f.yaml: line 9: spec.topology.required: Unsupported value: "Cluster": supported values: "Fabric", "Block", "Leaf", "NVLinkDomain", "Node"`},
		"50 deep":          {gang("a", pair+"  groups:\n"+groups.String()), "f.yaml: line 9: spec.groups: Too many: 50: must have at most 16 items"},
		"5 deep":           {gang("a", pair+nested), "f.yaml: line 9: spec.groups[d]: Invalid value: groups nest at most 3 deep below the gang: attach it further up"},
		"a circle":         {gang("a", pair+"  groups: [{name: a, parentName: b}, {name: b, parentName: a}]\n"), "f.yaml: line 9: spec.groups: Invalid value: parentName leads in a circle: remove parentName from one group of the circle"},
		"uneven slices":    {gang("a", "  groups: [{name: g, roleNames: [w], sliceSize: 3}]\n"+pair), "f.yaml: line 5: spec.groups[g].sliceSize: Invalid value: 3 does not divide its 2 pods into equal slices: change sliceSize or replicas"},
		"a quantity":       {gang("a", "  roles:\n  - name: w\n    replicas: 1\n    template:\n      spec:\n        containers:\n        - resources:\n            limits: {nvidia.com/gpu: eight}\n"), `f.yaml: line 12: spec.roles[0].template.spec.containers[0].resources.limits[nvidia.com/gpu]: cannot read "eight": quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'`},
		"less than none":   {gang("a", "  roles:\n  - name: w\n    replicas: 1\n    template:\n      spec:\n        containers:\n        - resources:\n            limits: {nvidia.com/gpu: -8}\n"), `f.yaml: line 12: spec.roles[0].template.spec.containers[0].resources.limits[nvidia.com/gpu]: Invalid value: "-8": must not be negative`},
		"no container":     {gang("a", "  roles: [{name: w, replicas: 1}]\n"), "f.yaml: line 5: spec.roles[0].template.spec.containers: Required value: a Pod has at least one container"},
		"no name":          {gang("''", pair), "f.yaml: line 3: metadata.name: Required value"},
		"a name":           {gang("A", pair), `f.yaml: line 3: metadata.name: Invalid value: "A": must be lower-case letters, digits and dashes, ^[a-z]([-a-z0-9]*[a-z0-9])?$`},
		"a name twice":     {gang("a", pair) + "---\n" + gang("a", pair), `f.yaml: document 2: line 12: metadata.name: Duplicate value: "ns/a"`},
		"the second":       {gang("a", pair) + "---\n" + gang("b", "  oops: 1\n"+pair), "f.yaml: document 2: line 14: spec.oops: unknown field: correct its name, or remove it"},
		"second is broken": {gang("a", pair) + "---\na: [1\n", "f.yaml: document 2 (line 9): yaml: line 10: did not find expected ',' or ']'"},
		"in a List":        {"apiVersion: v1\nkind: List\nitems:\n- apiVersion: k8s4ai.io/v1alpha1\n  kind: GangSchedulingGroup\n  metadata: {name: a}\n  spec: {roles: [{name: w, replicas: x}]}\n", `f.yaml: line 7: items[0].spec.roles[0].replicas: must be a whole number of at most 2147483647, not "x"`},
		"a List of others": {"apiVersion: v1\nkind: List\nitems: [{apiVersion: k8s4ai.io/v1alpha1, kind: Pod}]\n", `f.yaml: line 3: items[0].kind: must be GangSchedulingGroup, not "Pod": this file holds nothing else`},
		"a control":        {gang(`"\u001b[31m"`, pair), `f.yaml: line 3: metadata.name: Invalid value: "\x1b[31m": must be lower-case letters, digits and dashes, ^[a-z]([-a-z0-9]*[a-z0-9])?$`},
		"too large":        {strings.Repeat("#", MaxGangsBytes+1), "f.yaml: more than 16 MiB: divide it"},
		"many documents":   {strings.Repeat("a\n---\n", maxDocuments+1), "f.yaml: has more than 10000 documents: divide it"},
		"ten aliases deep": {bomb(), "f.yaml: yaml: document contains excessive aliasing"},
		"deep":             {strings.Repeat("[", 100000), "f.yaml: yaml: exceeded max depth of 10000"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := ParseGangs("f.yaml", []byte(tc.file), "ns")
			if err == nil {
				t.Fatal("no error")
			}
			if diff := cmp.Diff(tc.want, err.Error()); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}

// bomb is a small document that aliases make very large.
func bomb() string {
	var out strings.Builder
	out.WriteString("a0: &a0 [x,x,x,x,x,x,x,x,x]\n")
	for i := range 12 {
		fmt.Fprintf(&out, "a%d: &a%d [%s*a%d]\n", i+1, i+1, strings.Repeat(fmt.Sprintf("*a%d,", i), 8), i)
	}
	return out.String()
}

// An error stays short, however much is wrong.
func TestErrorsAreBounded(t *testing.T) {
	cases := map[string]string{
		"many documents": strings.Repeat(gang("A", "  x: 1\n  roles: []\n")+"---\n", 5000),
		"many fields":    gang("a", pair+strings.Repeat("  x"+strings.Repeat("y", 50)+": 1\n", 1)+manyFields(5000)),
		"a long value":   gang("a", "  roles:\n"+role("w", "replicas: "+strings.Repeat("9", 1<<20))),
		"a long name":    gang(strings.Repeat("A", 1<<20), pair),
		"a long kind":    "apiVersion: k8s4ai.io/v1alpha1\nkind: " + strings.Repeat("K", 1<<20),
	}
	for name, file := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := ParseGangs("f.yaml", []byte(file), "ns")
			if err == nil || len(err.Error()) > 20000 {
				t.Errorf("an error of %d bytes", len(fmt.Sprint(err)))
			}
		})
	}
}

func manyFields(n int) string {
	var out strings.Builder
	for i := range n {
		fmt.Fprintf(&out, "  f%d: 1\n", i)
	}
	return out.String()
}

func TestParseClasses(t *testing.T) {
	class := "apiVersion: k8s4ai.io/v1alpha1\nkind: AcceleratorClass\nmetadata: {name: h100}\nspec: {vendor: NVIDIA, model: H100}\n"
	classes, err := ParseClasses("c.yaml", []byte(class))
	if err != nil || len(classes) != 1 || classes[0].Name != "h100" {
		t.Errorf("got %v, %v", classes, err)
	}
	_, err = ParseClasses("c.yaml", []byte(class+"---\n"+class))
	if want := `c.yaml: document 2: line 8: metadata.name: Duplicate value: "h100"`; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}
