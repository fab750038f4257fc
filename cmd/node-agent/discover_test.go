package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/agent/machine"
	"github.com/k8s4ai/k8s4ai/internal/fleet"
)

// tray is a made-up machine with something of everything, and something broken.
func tray() machine.Facts {
	f := machine.Facts{
		BootID: "0b9a3d8e-5f0e-4a40-9f0e-0d4a4a4b4c4d", Driver: "580.95.05",
		NUMANodes: []machine.NUMANode{{ID: 0, CPUs: "0-71", MemoryBytes: 480 << 30}, {ID: 1, CPUs: "72-143", MemoryBytes: 480 << 30}},
		NVMes:     []machine.NVMe{{Name: "nvme0", Model: "Fake NVMe", PCIAddress: "0005:01:00.0", NUMANode: 0, SizeBytes: 3840e9}},
		Problems:  []machine.Problem{{Device: "mlx5_2", What: "its state cannot be read"}},
	}
	fabric := machine.Fabric{ClusterUUID: "5c1f0000-0000-4000-8000-000000000001", CliqueID: 32766, State: "Completed", Health: "Healthy", Rack: "r1"}
	for i := range 2 {
		uuid, port := fmt.Sprintf("GPU-0000000%d", i), fmt.Sprintf("mlx5_%d", i)
		f.GPUs = append(f.GPUs, machine.GPU{
			UUID: uuid, Index: i, Name: "NVIDIA GB200", PCIAddress: fmt.Sprintf("000%d:01:00.0", 8+i), PCIID: "10de:2941", NUMANode: i,
			MemoryTotal: 189471 << 20, MemoryReserved: machine.Unknown, ComputeCapability: "10.0", C2CLinks: 10, C2CGBps: 450, Fabric: &fabric,
		})
		f.Links = append(f.Links, machine.Link{From: uuid, To: "switch-unknown", Total: 18, Active: 18 - i, Gbps: 400, Version: "5.0"})
		f.NICs = append(f.NICs, machine.NIC{
			Name: port, GUID: fmt.Sprintf("0a7f:bc12:0034:567%d", i), PCIAddress: fmt.Sprintf("000%d:03:00.0", i), NUMANode: i, LinkLayer: "Ethernet", Gbps: 400,
			State: "Active", Interface: fmt.Sprintf("eth%d", i), Subnet: fmt.Sprintf("10.%d.0.0/16", i),
		})
		f.Relations = append(f.Relations, machine.Relation{From: uuid, To: port, Path: "PHB"})
	}
	return f
}

// The table is for people, the other forms are the object that run would write.
func TestPrint(t *testing.T) {
	domain := domainOf("gpu-node-0", tray())
	for _, output := range []string{"table", "yaml", "json"} {
		t.Run(output, func(t *testing.T) {
			write, err := printerOf(output)
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			if err := write(&out, domain); err != nil {
				t.Fatal(err)
			}
			if output == "json" {
				var back v1alpha1.TopologyDomain
				if err := json.Unmarshal(out.Bytes(), &back); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(domain, &back); diff != "" {
					t.Errorf("json (-want +got):\n%s", diff)
				}
				return
			}
			golden := filepath.Join("testdata", "discover."+output)
			if os.Getenv("UPDATE_GOLDEN") != "" {
				if err := os.WriteFile(golden, out.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), out.String()); diff != "" {
				t.Errorf("%s (-want +got; UPDATE_GOLDEN=1 writes it):\n%s", golden, diff)
			}
		})
	}
}

func TestDiscoverFlags(t *testing.T) {
	cases := map[string]struct {
		args []string
		want string
	}{
		"an unknown form":     {[]string{"--output", "xml"}, `--output is "xml": choose table, json or yaml`},
		"a root that is none": {[]string{"--host-root", "/does/not/exist"}, "--host-root /does/not/exist is no directory"},
		"an argument":         {[]string{"gpu"}, `unknown command "gpu"`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			root := newRootCommand()
			root.SetArgs(append([]string{"discover"}, tc.args...))
			root.SetOut(&bytes.Buffer{})
			if err := root.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("discover %v: %v, want %q", tc.args, err, tc.want)
			}
		})
	}
}

func TestRunFlags(t *testing.T) {
	for _, name := range []string{"NODE_NAME", "POD_NAME", "POD_NAMESPACE"} {
		t.Setenv(name, "")
	}
	cases := map[string]struct {
		args []string
		want string
	}{
		"no node":            {nil, "set --node-name, or NODE_NAME"},
		"no namespace":       {[]string{"--node-name=n"}, "set --namespace, or POD_NAMESPACE"},
		"too often":          {[]string{"--node-name=n", "--namespace=s", "--interval=1ms"}, "--interval is 1ms: choose from 1s to 1h"},
		"no root":            {[]string{"--node-name=n", "--namespace=s", "--host-root=/does/not/exist"}, "mount the machine's / there"},
		"no such kubeconfig": {[]string{"--node-name=n", "--namespace=s", "--host-root=/", "--kubeconfig=/does/not/exist"}, "set --kubeconfig outside of one"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			root := newRootCommand()
			root.SetArgs(append([]string{"run"}, tc.args...))
			if err := root.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("run %v: %v, want %q", tc.args, err, tc.want)
			}
		})
	}
}

// Every command has help with examples.
func TestHelp(t *testing.T) {
	for _, command := range newRootCommand().Commands() {
		if command.IsAvailableCommand() && command.Name() != "help" && (command.Short == "" || command.Example == "") {
			t.Errorf("%s has no summary or no example", command.Name())
		}
	}
}

const everyShape = `
name: every
provider: PROVIDER
fabric: {name: fabric-a, linkLayer: LAYER}
pools:
`

// shapes are the pools of every kind of machine that a provider has.
func shapes(t *testing.T, provider, layer string) *fleet.Fleet {
	t.Helper()
	text := strings.NewReplacer("PROVIDER", provider, "LAYER", layer).Replace(everyShape)
	whole := text
	for i, shape := range fleet.ShapeNames() {
		for _, place := range []string{"blocks: 1, leaves: 1, nodes: 1, nicGbps: 400", "blocks: 1, racks: 1, nodes: 18, nicGbps: 400", "blocks: 1, leaves: 1, nodes: 1"} {
			pool := fmt.Sprintf("- {name: p%d, shape: %s, %s}\n", i, shape, place)
			if _, err := fleet.Parse([]byte(text + pool)); err == nil {
				whole += pool
				break
			}
		}
	}
	f, err := fleet.Parse([]byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// The real program, on simulated machines of every shape, reports what the fleet
// file says. The driver's library is a fake that is loaded as the real one.
func TestDiscoverAgreesWithFleet(t *testing.T) {
	if _, err := exec.LookPath("gcc"); err != nil && os.Getenv("CI") == "" {
		t.Skip("no C compiler")
	}
	dir := t.TempDir()
	program, library := filepath.Join(dir, "node-agent"), filepath.Join(dir, "fake")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=1")
	for _, command := range []*exec.Cmd{build, exec.CommandContext(t.Context(), "../../hack/fakenvml/build.sh", library)} {
		if out, err := command.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", command.Args, err, out)
		}
	}
	for _, provider := range []string{"none", "doks"} {
		layer := map[string]string{"none": "InfiniBand", "doks": "Ethernet"}[provider]
		f := shapes(t, provider, layer)
		want := map[string]v1alpha1.NodeReport{}
		for _, domain := range f.Reports() {
			want[domain.Name] = *domain.Status.Node
		}
		seen := map[string]bool{}
		for _, m := range f.Machines() {
			if seen[m.Shape] {
				continue
			}
			seen[m.Shape] = true
			t.Run(provider+" "+m.Shape, func(t *testing.T) {
				got := discovered(t, f, m, program, library)
				if _, isReported := want[m.Name]; !isReported {
					if len(got.NUMANodes) == 0 || got.Accelerators != nil || got.NICs != nil {
						t.Errorf("a machine without devices is %+v", got)
					}
					return
				}
				if diff := cmp.Diff(anonymous(want[m.Name]), anonymous(got)); diff != "" {
					t.Errorf("report (-fleet +discovered):\n%s", diff)
				}
			})
		}
		if len(seen) < 5 {
			t.Errorf("only %d shapes: %v", len(seen), seen)
		}
	}
}

// discovered runs the program on a simulated machine.
func discovered(t *testing.T, f *fleet.Fleet, m fleet.Machine, program, library string) v1alpha1.NodeReport {
	t.Helper()
	root := t.TempDir()
	if err := f.Sysfs(m, root); err != nil {
		t.Fatal(err)
	}
	if description := f.NVML(m); description != nil {
		at := root + "/usr/lib/x86_64-linux-gnu"
		if err := os.MkdirAll(at, 0o755); err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(filepath.Join(library, "libnvidia-ml.so.1"))
		if err != nil {
			t.Fatal(err)
		}
		for name, data := range map[string][]byte{"fakenvml.txt": description, "libnvidia-ml.so.1": content} {
			if err := os.WriteFile(filepath.Join(at, name), data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	out, err := exec.CommandContext(t.Context(), program, "discover", "--host-root", root, "--node-name", m.Name, "-o", "yaml").Output()
	if err != nil {
		t.Fatal(err)
	}
	var domain v1alpha1.TopologyDomain
	if err := yaml.UnmarshalStrict(out, &domain); err != nil {
		t.Fatal(err)
	}
	if c := domain.Status.Conditions; len(c) != 2 || c[0].Status != "True" || c[1].Status != "True" {
		t.Errorf("conditions %+v", c)
	}
	return *domain.Status.Node
}

// anonymous leaves out who wrote the report.
func anonymous(r v1alpha1.NodeReport) v1alpha1.NodeReport {
	r.AgentVersion, r.ObservedTime = "", nil
	return r
}
