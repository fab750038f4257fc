package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

const twoGangs = `apiVersion: k8s4ai.io/v1alpha1
kind: GangSchedulingGroup
metadata: {name: fits}
spec:
  topology: {required: Leaf}
  roles:
  - name: worker
    replicas: 16
    template: {spec: {containers: [{name: c, resources: {limits: {nvidia.com/gpu: 8}}}]}}
---
apiVersion: k8s4ai.io/v1alpha1
kind: GangSchedulingGroup
metadata: {name: large, namespace: ml}
spec:
  topology: {required: Leaf}
  roles:
  - name: worker
    replicas: 17
    template: {spec: {containers: [{name: c, resources: {limits: {nvidia.com/gpu: 8}}}]}}
`

// file writes a file of the test and returns its path.
func file(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestPlanCommand(t *testing.T) {
	gangs := file(t, "gangs.yaml", twoGangs)
	one, _, _ := strings.Cut(twoGangs, "---\n")

	out, _, err := execute(t, "plan", "--fleet", "hgx-64", "--gangs", file(t, "one.yaml", one))
	if err != nil || !strings.Contains(out, "default/fits fits in Leaf block-a-leaf-0") || !strings.Contains(out, "1 of 1 gang fits on 64 nodes; 384 of 512 nvidia.com/gpu left") {
		t.Errorf("one gang that fits: %v\n%s", err, out)
	}
	out, _, err = execute(t, "plan", "--fleet", "hgx-64", "--gangs", gangs)
	if ExitCode(err) != ExitNoFit {
		t.Errorf("exit code %d of %v, want %d", ExitCode(err), err, ExitNoFit)
	}
	for _, want := range []string{"ml/large does not fit: Unsatisfiable", "best is block-a-leaf-0 with 16", "topology.required: Block instead of Leaf", "roles[worker].minReplicas: 16 of 17"} {
		if !strings.Contains(out, want) {
			t.Errorf("the plan lacks %q:\n%s", want, out)
		}
	}
	out, _, err = execute(t, "plan", "--fleet", "hgx-64", "--gangs", gangs, "-n", "team", "-o", "json")
	var plan Plan
	if ExitCode(err) != ExitNoFit || json.Unmarshal([]byte(out), &plan) != nil {
		t.Fatalf("plan -o json: %v\n%s", err, out)
	}
	if plan.Kind != "Plan" || plan.Fit != 1 || plan.Nodes != 64 || plan.Gangs[0].Namespace != "team" || plan.Gangs[0].Placement.Roles[0].Replicas != 16 || *plan.Gangs[1].Refusal.Found != 16 {
		t.Errorf("plan -o json: %s", out)
	}
	yamlOut, _, _ := execute(t, "plan", "--fleet", "hgx-64", "--gangs", gangs, "-n", "team", "-o", "yaml")
	var fromYAML Plan
	if err := yaml.Unmarshal([]byte(yamlOut), &fromYAML); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(plan, fromYAML, cmp.AllowUnexported(Refusal{})); diff != "" {
		t.Errorf("plan -o yaml (-json +yaml):\n%s", diff)
	}
}

// The gangs of one file take room from each other, and what is in the way is named.
func TestPlanTakesRoom(t *testing.T) {
	one, _, _ := strings.Cut(twoGangs, "---\n")
	machines := file(t, "fleet.yaml", "name: small\nprovider: none\nfabric: {name: f, linkLayer: Ethernet}\npools: [{name: p, shape: HGX-H100x8, blocks: 1, leaves: 1, nodes: 16, nicGbps: 400}]\n")
	gangs := file(t, "gangs.yaml", one+"---\n"+strings.ReplaceAll(one, "name: fits", "name: second"))
	out, _, err := execute(t, "plan", "--fleet", machines, "--gangs", gangs)
	if ExitCode(err) != ExitNoFit || !strings.Contains(out, "default/second does not fit: WaitingForRoom") || !strings.Contains(out, "- the end of default/fits") {
		t.Errorf("two gangs in the room of one: %v\n%s", err, out)
	}
}

func TestPlanWithClasses(t *testing.T) {
	gangs := file(t, "gangs.yaml", strings.Replace(twoGangs, "replicas: 16\n", "replicas: 16\n    accelerator: {className: nvidia-h100-sxm-80gb}\n", 1))
	_, warnings, err := execute(t, "plan", "--fleet", "hgx-64", "--gangs", gangs)
	if ExitCode(err) != ExitNoFit || !strings.Contains(warnings, "give them with --classes") {
		t.Errorf("without classes: %v, %s", err, warnings)
	}
	out, _, _ := execute(t, "plan", "--fleet", "hgx-64", "--gangs", gangs, "--classes", "../../config/catalog")
	if !strings.Contains(out, "fits fits in Leaf") || !strings.Contains(out, "nvidia-h100-sxm-80gb") {
		t.Errorf("with classes:\n%s", out)
	}
	_, _, err = execute(t, "plan", "--fleet", "hgx-64", "--gangs", gangs, "--classes", "../../config/catalog,../../config/catalog/nvidia-h100-sxm-80gb.yaml")
	if err == nil || !strings.Contains(err.Error(), "class nvidia-h100-sxm-80gb is in") {
		t.Errorf("a class twice: %v", err)
	}
}

func TestPlanOfATrace(t *testing.T) {
	trace := file(t, "trace.csv", "arrival,duration,roles\n0,100,worker=64x8\n1,100,worker=64x8\n2,10,worker=1x8\n")
	out, _, err := execute(t, "plan", "--fleet", "hgx-64", "--trace", trace, "--policy", "fifo,easy", "--preempt")
	if err != nil || !strings.Contains(out, "POLICY fifo+preempt: 3 of 3") || !strings.Contains(out, "SIDE BY SIDE") {
		t.Errorf("plan --trace: %v\n%s", err, out)
	}
	out, _, err = execute(t, "plan", "--fleet", "hgx-64", "--trace", trace, "-o", "json")
	var simulation Simulation
	if err != nil || json.Unmarshal([]byte(out), &simulation) != nil || len(simulation.Reports) != 2 || simulation.Reports[1].Policy != "easy" {
		t.Errorf("plan --trace -o json: %v\n%s", err, out)
	}
	first, _, err := execute(t, "plan", "--fleet", "hgx-64", "--draw", "40", "--seed", "7", "-o", "json")
	again, _, _ := execute(t, "plan", "--fleet", "hgx-64", "--draw", "40", "--seed", "7", "-o", "json")
	other, _, _ := execute(t, "plan", "--fleet", "hgx-64", "--draw", "40", "--seed", "8", "-o", "json")
	if err != nil || first != again || first == other {
		t.Errorf("plan --draw: %v; the same seed gives the same: %v, another one another: %v", err, first == again, first != other)
	}
	_, _, err = execute(t, "plan", "--fleet", "hgx-64", "--trace", file(t, "bad.csv", "arrival,duration,roles\n0,soon,w=1x8\n"))
	if err == nil || !strings.Contains(err.Error(), "bad.csv: reading the trace: line 2") {
		t.Errorf("a trace that cannot be read: %v", err)
	}
}

func TestPlanRefusesFiles(t *testing.T) {
	good := file(t, "gangs.yaml", twoGangs)
	cases := map[string]struct {
		args []string
		want string
	}{
		"no such fleet":    {[]string{"--fleet", "no-such", "--gangs", good}, "one of the ready-made fleets doks-rails-32"},
		"no such file":     {[]string{"--fleet", "hgx-64", "--gangs", "no-such.yaml"}, "reading the gangs: open no-such.yaml"},
		"a folder":         {[]string{"--fleet", t.TempDir(), "--gangs", good}, "is a directory"},
		"an empty folder":  {[]string{"--fleet", "hgx-64", "--gangs", good, "--classes", t.TempDir()}, "has no file that ends in .yaml"},
		"gangs as a fleet": {[]string{"--fleet", good, "--gangs", good}, "has 2 documents"},
		"no input":         {[]string{"--fleet", "-", "--gangs", good}, "standard input: there is none"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, _, err := execute(t, append([]string{"plan"}, tc.args...)...)
			if err == nil || !strings.Contains(err.Error(), tc.want) || ExitCode(err) != ExitFailed {
				t.Errorf("error %v with exit code %d, want %q and %d", err, ExitCode(err), tc.want, ExitFailed)
			}
		})
	}
}

func TestPlanUsage(t *testing.T) {
	cases := map[string]struct {
		args []string
		want string
	}{
		"no fleet":          {[]string{"plan"}, "--fleet: give a file"},
		"no gangs":          {[]string{"plan", "--fleet", "hgx-64"}, "--gangs: give a file"},
		"input twice":       {[]string{"plan", "--fleet", "-", "--gangs", "-"}, "standard input can be read once"},
		"gangs and a trace": {[]string{"plan", "--fleet", "a", "--gangs", "b", "--trace", "c"}, "leave out --gangs"},
		"read and drawn":    {[]string{"plan", "--fleet", "hgx-64", "--trace", "c", "--draw", "3"}, "leave out --draw"},
		"a policy":          {[]string{"plan", "--fleet", "hgx-64", "--draw", "3", "--policy", "lifo"}, "write fifo or easy"},
		"a policy twice":    {[]string{"plan", "--fleet", "hgx-64", "--draw", "3", "--policy", "fifo,fifo"}, "fifo is given twice"},
		"a format":          {[]string{"plan", "--fleet", "hgx-64", "-o", "xml"}, "write table, json or yaml"},
		"an argument":       {[]string{"plan", "hgx-64"}, "unknown command"},
		"snapshot as table": {[]string{"snapshot", "-o", "table"}, "write yaml or json"},
		"explain nothing":   {[]string{"explain", "gang"}, "accepts 1 arg"},
		"explain in xml":    {[]string{"explain", "gang", "a", "-o", "xml"}, "write table, json or yaml"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, _, err := execute(t, tc.args...)
			if err == nil || !strings.Contains(err.Error(), tc.want) || ExitCode(err) != ExitUsage {
				t.Errorf("error %v with exit code %d, want %q and %d", err, ExitCode(err), tc.want, ExitUsage)
			}
		})
	}
}
