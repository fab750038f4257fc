package planfile

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/convert"
	"github.com/k8s4ai/k8s4ai/internal/fleet"
	"github.com/k8s4ai/k8s4ai/internal/placement"
	"github.com/k8s4ai/k8s4ai/internal/testkit"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// catalogue are the classes of config/catalog.
func catalogue(t testing.TB) []v1alpha1.AcceleratorClass {
	t.Helper()
	files, err := filepath.Glob("../../config/catalog/*-*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no catalogue: %v", err)
	}
	var out []v1alpha1.AcceleratorClass
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		classes, err := ParseClasses(file, data)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, classes...)
	}
	return out
}

// samples are the gangs of config/samples.
func samples(t testing.TB) []v1alpha1.GangSchedulingGroup {
	t.Helper()
	files, err := filepath.Glob("../../config/samples/gang_*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no samples: %v", err)
	}
	var out []v1alpha1.GangSchedulingGroup
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		// The samples name classes of their own; the catalogue has the same devices.
		data = []byte(strings.NewReplacer("className: h", "className: nvidia-h").Replace(string(data)))
		gangs, err := ParseGangs(file, data, "default")
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, gangs...)
	}
	return out
}

// A snapshot file gives the verdicts of what it was taken from: machines with
// gangs on them, broken and cordoned nodes, and gangs that do and do not fit.
func TestSnapshotGivesTheSameVerdicts(t *testing.T) {
	for _, name := range []string{"hgx-64", "doks-rails-32", "nvl72-4racks", "mixed-1k"} {
		t.Run(name, func(t *testing.T) {
			f, err := fleet.Load(name)
			if err != nil {
				t.Fatal(err)
			}
			world := convert.World{Nodes: f.Nodes(), Domains: append(f.Domains(), f.Reports()...), Classes: catalogue(t)}
			world.Nodes[0].Spec.Unschedulable = true
			world.Nodes[1].Status.Conditions[0].Status = corev1.ConditionFalse
			world.Pods = []corev1.Pod{*testkit.Pod("p").GPUs(1).On(world.Nodes[2].Name).Obj()}
			running := testkit.Gang("running").Namespace("x").Role("w", 2, 4).Placed(1, world.Nodes[3].Name, world.Nodes[3].Name).Obj()
			world.Commit([]v1alpha1.GangSchedulingGroup{*running})
			scene := world.Scene()
			live, err := scene.Snapshot()
			if err != nil {
				t.Fatal(err)
			}
			taken := Take(scene, world.Classes, []v1alpha1.GangSchedulingGroup{*running}, &metav1.Time{})
			for _, form := range []string{"json", "yaml"} {
				read := written(t, taken, form)
				offline, err := read.Placement()
				if err != nil {
					t.Fatal(err)
				}
				for _, g := range samples(t) {
					want := convert.Decide(&g, scene.Profiles, live, live.Emptied())
					got := convert.Decide(&g, convert.Profiles(read.AcceleratorClasses()), offline, offline.Emptied())
					if diff := cmp.Diff(want, got); diff != "" {
						t.Errorf("%s: the verdict about %s (-cluster +file):\n%s", form, g.Name, diff)
					}
				}
			}
		})
	}
}

// written is a snapshot after it was a file.
func written(t testing.TB, s *Snapshot, form string) *Snapshot {
	t.Helper()
	data, err := json.Marshal(s)
	if err == nil && form == "yaml" {
		data, err = yaml.JSONToYAML(data)
	}
	if err != nil {
		t.Fatal(err)
	}
	out, err := ParseFleet("f", data, nil)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Nothing that placement knows of a node or a domain gets lost in a file. A field
// that placement adds fails here until the file has it, too.
func TestSnapshotHoldsEveryField(t *testing.T) {
	var node placement.Node
	fill(reflect.ValueOf(&node).Elem(), new(int))
	back := nodeOf(&node)
	if diff := cmp.Diff(node, back.node()); diff != "" {
		t.Errorf("a node (-before +after):\n%s", diff)
	}
	vertices, fields := reflect.TypeFor[topology.Vertex](), reflect.TypeFor[Domain]()
	if vertices.NumField() != fields.NumField() {
		t.Errorf("a vertex has %d fields, a domain of a file %d", vertices.NumField(), fields.NumField())
	}
}

// fill gives every field a value of its own.
func fill(v reflect.Value, n *int) {
	*n++
	switch v.Kind() {
	case reflect.String:
		v.SetString(fmt.Sprintf("s3cret-%d", *n))
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(int64(*n))
	case reflect.Uint8:
		v.SetUint('s')
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), n)
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, n)
		fill(value, n)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i), n)
			}
		}
	default:
		panic("no value for a " + v.Kind().String())
	}
}

// Of everything that a template can hold, a file has only what placement needs.
// Every text of the template is marked, and the marks that are left are looked
// at: they stand under names that are listed here.
func TestTrimKeepsNoSecret(t *testing.T) {
	group := testkit.Gang("a").Namespace("n").Role("w", 1, 1).Obj()
	group.Labels, group.Annotations = map[string]string{"k": "s3cret-label"}, map[string]string{"k": "s3cret-annotation"}
	fill(reflect.ValueOf(&group.Spec.Roles[0].Template).Elem(), new(int))
	fill(reflect.ValueOf(&group.Status.Conditions).Elem(), new(int))
	group.Status.Release = &v1alpha1.GangRelease{Reason: "PodFailed", Message: "s3cret-message"}
	group.Status.Refusal = &v1alpha1.GangRefusal{Message: "s3cret-message"}
	group.Status.Backoff = &v1alpha1.GangBackoff{Message: "s3cret-message"}

	trimmed := Trim(group)
	text, err := json.Marshal(trimmed)
	if err != nil {
		t.Fatal(err)
	}
	var value any
	if err := json.Unmarshal(text, &value); err != nil {
		t.Fatal(err)
	}
	pod := "spec.roles.template.spec."
	kept := []string{
		pod + "nodeSelector", pod + "tolerations", pod + "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution",
		pod + "containers.name", pod + "containers.restartPolicy", pod + "containers.resources.limits", pod + "containers.resources.requests",
		pod + "initContainers.name", pod + "initContainers.restartPolicy", pod + "initContainers.resources.limits", pod + "initContainers.resources.requests",
		pod + "overhead", pod + "resources.limits", pod + "resources.requests",
		"status.conditions.type", "status.conditions.status", "status.conditions.reason",
	}
	found := marks("", value)
	if len(found) < len(kept) {
		t.Errorf("%d marks are left, fewer than the %d fields that are kept: the test marks nothing", len(found), len(kept))
	}
	for _, at := range found {
		allowed := false
		for _, prefix := range kept {
			allowed = allowed || at == prefix || strings.HasPrefix(at, prefix+".")
		}
		if !allowed {
			t.Errorf("%s is in the file", at)
		}
	}
}

// marks are the paths of the marked texts and keys, without indexes.
func marks(at string, value any) []string {
	var out []string
	switch v := value.(type) {
	case string:
		if strings.Contains(v, "s3cret") {
			out = append(out, at)
		}
	case []any:
		for _, item := range v {
			out = append(out, marks(at, item)...)
		}
	case map[string]any:
		for key, item := range v {
			if strings.Contains(key, "s3cret") {
				out = append(out, at)
			}
			out = append(out, marks(joined(at, key), item)...)
		}
	}
	return out
}

// What is trimmed asks for the same.
func TestTrimKeepsTheRequest(t *testing.T) {
	groups := samples(t)
	for i := range groups {
		trimmed := Trim(&groups[i])
		want, err := convert.GangRequest(&groups[i], nil)
		got, errTrimmed := convert.GangRequest(&trimmed, nil)
		if diff := cmp.Diff(want, got); diff != "" || err != nil || errTrimmed != nil {
			t.Errorf("%s: %v, %v (-whole +trimmed):\n%s", groups[i].Name, err, errTrimmed, diff)
		}
	}
}

const head = "apiVersion: plan.k8s4ai.io/v1\nkind: Snapshot\n"

func TestParseFleetRefuses(t *testing.T) {
	nodes := "nodes: [{name: m}]\n"
	cases := map[string]struct{ file, want string }{
		"nothing":            {"", "f.yaml: has no document: write at least one"},
		"two":                {head + nodes + "---\n" + head, "f.yaml: has 2 documents: a fleet file has one"},
		"a fleet":            {"name: a\nprovider: gke\npools: []\n", "f.yaml: fleet is invalid: pools: Required value: a fleet has at least one pool"},
		"pools of a name":    {"name: a\nprovider: none\npools: [{name: p, shape: CPU, nodes: 1}, {name: p, shape: CPU, nodes: 1}]\n", `f.yaml: fleet is invalid: pools[1].name: Duplicate value: "p"`},
		"a speed of nan":     {"name: a\nprovider: none\nfabric: {name: x, linkLayer: Ethernet}\npools:\n- {name: p, shape: HGX-H100x8, nodes: 1,\n   nicGbps: .nan}\n", "f.yaml: line 6: pools[0].nicGbps: must be a number: .nan and .inf are none"},
		"another version":    {"apiVersion: plan.k8s4ai.io/v2\nkind: Snapshot\n" + nodes, `f.yaml: line 1: apiVersion: Unsupported value: "plan.k8s4ai.io/v2": supported values: "plan.k8s4ai.io/v1"`},
		"another kind":       {"apiVersion: plan.k8s4ai.io/v1\nkind: Plan\nnodes: [{name: m}]\n", `f.yaml: line 2: kind: Unsupported value: "Plan": supported values: "Snapshot"`},
		"unknown field":      {head + "nodes: [{name: m, gpus: 8}]\n", "f.yaml: line 3: nodes[0].gpus: unknown field: correct its name, or remove it"},
		"no nodes":           {head, "f.yaml: line 1: nodes: Required value: a fleet has at least one node"},
		"nodes of a name":    {head + "nodes:\n- name: m\n- name: m\n", `f.yaml: line 5: nodes[1].name: Duplicate value: "m"`},
		"domains of a name":  {head + nodes + "domains:\n- {name: a, level: Block}\n- {name: a, level: Leaf}\n", `f.yaml: line 6: domains[1].name: Duplicate value: "a"`},
		"a circle":           {head + nodes + "domains:\n- {name: a, level: Block, parent: b}\n- {name: b, level: Leaf, parent: a}\n", `f.yaml: line 5: domains[0].parent: Invalid value: "b": a Leaf is not wider than a Block: a parent is, so that no domain lies in itself`},
		"its own parent":     {head + nodes + "domains: [{name: a, level: Block, parent: a}]\n", `f.yaml: line 4: domains[0].parent: Invalid value: "a": a Block is not wider than a Block: a parent is, so that no domain lies in itself`},
		"no such parent":     {head + nodes + "domains: [{name: a, level: Leaf, parent: b}]\n", `f.yaml: line 4: domains[0].parent: Not found: "b"`},
		"a level":            {head + nodes + "domains: [{name: a, level: Node}]\n", `f.yaml: line 4: domains[0].level: Unsupported value: "Node": supported values: "Fabric", "Block", "Leaf", "NVLinkDomain"`},
		"a bandwidth of nan": {head + nodes + "domains: [{name: a, level: Leaf, uplinkGbps: .NaN}]\n", "f.yaml: line 4: domains[0].uplinkGbps: must be a number: .nan and .inf are none"},
		"an endless one":     {head + nodes + "domains: [{name: a, level: Leaf, uplinkGbps: -.inf}]\n", "f.yaml: line 4: domains[0].uplinkGbps: must be a number: .nan and .inf are none"},
		"a negative one":     {head + nodes + "domains: [{name: a, level: Leaf, uplinkGbps: -1}]\n", "f.yaml: line 4: domains[0].uplinkGbps: Invalid value: -1: must be 0 to 1099511627776"},
		"a large one":        {head + nodes + "domains: [{name: a, level: Leaf, uplinkGbps: 1e30}]\n", "f.yaml: line 4: domains[0].uplinkGbps: must be a whole number of at most 9223372036854775807, not 1e+30"},
		"no such domain":     {head + "nodes: [{name: m, domain: d}]\n", `f.yaml: line 3: nodes[0].domain: Not found: "d"`},
		"less than none":     {head + "nodes: [{name: m, capacity: {nvidia.com/gpu: -1}}]\n", "f.yaml: line 3: nodes[0].capacity[nvidia.com/gpu]: Invalid value: -1: must not be negative"},
		"a quantity":         {head + "nodes: [{name: m, capacity: {memory: 1Ti}}]\n", `f.yaml: line 3: nodes[0].capacity.memory: must be a whole number of at most 9223372036854775807, not "1Ti"`},
		"many islands":       {head + "nodes: [{name: m, islands: {nvidia.com/gpu: [1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]}}]\n", "f.yaml: line 3: nodes[0].islands[nvidia.com/gpu]: Too many: 17: must have at most 16 items"},
		"a large island":     {head + "nodes: [{name: m, islands: {nvidia.com/gpu: [65]}}]\n", "f.yaml: line 3: nodes[0].islands[nvidia.com/gpu][0]: Invalid value: 65: must be 0 to 64"},
		"classes of a name":  {head + nodes + "classes: [{name: c, spec: {vendor: v, model: m}}, {name: c, spec: {vendor: v, model: m}}]\n", `f.yaml: line 4: classes[1].name: Duplicate value: "c"`},
		"a gang":             {head + nodes + "gangs: [{metadata: {name: g}, spec: {roles: [{name: w, replicas: 0}]}}]\n", "f.yaml: line 4: gangs[0].spec.roles[0].replicas: Invalid value: 0: must be 1 to 4096\nf.yaml: line 4: gangs[0].spec.roles[0].template.spec.containers: Required value: a Pod has at least one container"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := ParseFleet("f.yaml", []byte(tc.file), nil)
			if err == nil {
				t.Fatal("no error")
			}
			if diff := cmp.Diff(tc.want, err.Error()); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}

// A snapshot has the classes of its cluster.
func TestParseFleetWithClasses(t *testing.T) {
	classes := []v1alpha1.AcceleratorClass{*testkit.Class("c").Obj()}
	if _, err := ParseFleet("f", []byte(head+"nodes: [{name: m}]"), classes); err == nil {
		t.Error("classes were given with a snapshot, and no error")
	}
	machines, err := ParseFleet("f", []byte("name: a\nprovider: none\npools: [{name: p, shape: CPU, nodes: 3}]\n"), classes)
	if err != nil || len(machines.Nodes) != 3 || len(machines.Classes) != 1 {
		t.Errorf("got %+v, %v", machines, err)
	}
}
