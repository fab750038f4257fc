package cli

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/fleet"
	"github.com/k8s4ai/k8s4ai/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Run(m)) }

// execute runs the plugin with arguments and returns what it prints.
func execute(t *testing.T, args ...string) (out, warnings string, err error) {
	t.Helper()
	var stdout, stderr strings.Builder
	streams := Streams{Out: &stdout, Err: &stderr, Width: 100, Now: func() time.Time { return time.Unix(100_000, 0) }}
	cmd := NewCommand(streams, "test")
	cmd.SetArgs(args)
	err = cmd.ExecuteContext(t.Context())
	return stdout.String(), stderr.String(), err
}

// The command against a real API server: table, JSON, one domain, one node.
func TestTopologyCommand(t *testing.T) {
	s := testkit.APIServer(t)
	kubeconfig := s.Kubeconfig
	machine := reported(t)
	s.Create(t, testkit.Node(machine.Name).GPUs(8).Obj(), testkit.Domain("rack", v1alpha1.LevelLeaf).Obj())
	status := machine.Status
	s.Create(t, &machine)
	machine.Status = status
	if err := s.Client.Status().Update(t.Context(), &machine); err != nil {
		t.Fatal(err)
	}

	out, _, err := execute(t, "topology", "--kubeconfig", kubeconfig)
	if err != nil || !strings.Contains(out, machine.Name) || !strings.Contains(out, "not looked at by the manager yet") {
		t.Errorf("topology: %v\n%s", err, out)
	}
	out, _, err = execute(t, "topology", machine.Name, "--kubeconfig", kubeconfig)
	for _, want := range []string{"Driver     580", "NVIDIA H100", "18/18", "mlx5_7", "Changed    16m ago", "NUMA"} {
		if err != nil || !strings.Contains(out, want) {
			t.Errorf("topology of a node lacks %q: %v\n%s", want, err, out)
		}
	}
	out, _, err = execute(t, "topology", "rack", "-o", "json", "--kubeconfig", kubeconfig)
	var tree struct{ Roots []Vertex }
	if err != nil || json.Unmarshal([]byte(out), &tree) != nil || len(tree.Roots) != 1 || tree.Roots[0].Name != "rack" {
		t.Errorf("topology -o json: %v\n%s", err, out)
	}
	if _, _, err = execute(t, "topology", "nowhere", "--kubeconfig", kubeconfig); err == nil || ExitCode(err) != ExitFailed {
		t.Errorf("a name that does not exist: %v", err)
	}
	out, _, err = execute(t, "__complete", "topology", "--kubeconfig", kubeconfig, "")
	if err != nil || !strings.Contains(out, "rack\tLeaf") {
		t.Errorf("completion: %v\n%s", err, out)
	}
}

// reported is a machine with the report of its agent.
func reported(t *testing.T) v1alpha1.TopologyDomain {
	t.Helper()
	f, err := fleet.Load("hgx-64")
	if err != nil {
		t.Fatal(err)
	}
	machine := f.Reports()[0]
	machine.Status.Node.ObservedTime = &metav1.Time{Time: time.Unix(99_000, 0)}
	return machine
}

// A command line that cannot be understood is told without a cluster.
func TestUsage(t *testing.T) {
	cases := map[string]struct {
		args []string
		want string
	}{
		"an unknown format":  {[]string{"topology", "-o", "xml"}, "write table, json or yaml"},
		"an unknown level":   {[]string{"topology", "--depth", "Rack"}, "write one of Fabric, Block"},
		"an unknown flag":    {[]string{"topology", "--deep"}, "See 'kubectl k8s4ai topology --help'"},
		"too many arguments": {[]string{"topology", "a", "b"}, "at most 1"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, _, err := execute(t, tc.args...)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("error %v, want one with %q", err, tc.want)
			}
			if diff := cmp.Diff(ExitUsage, ExitCode(err)); diff != "" {
				t.Errorf("exit code (-want +got):\n%s", diff)
			}
		})
	}
}
