package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/k8s4ai/k8s4ai/internal/fleet"
	"github.com/k8s4ai/k8s4ai/internal/image"
	"github.com/k8s4ai/k8s4ai/test/sandbox"
)

// machineRoot is where a real node of the sandbox keeps the file system of the
// machine that it stands for: a simulated /sys and /proc, and a fake driver. The
// node agent sees it as the root of its host.
const machineRoot = "/run/machine"

// ontoMachines makes the simulated machine the agent's host. It is the one
// difference to config/default.
const ontoMachines = `
- target: {kind: DaemonSet, name: k8s4ai-node-agent}
  patch: |-
    - {op: replace, path: /spec/template/spec/volumes/0/hostPath/path, value: ` + machineRoot + `}
`

// images are the product's images, built from the binaries in bin/ and loaded into
// every node.
var images = []image.Spec{
	{Name: "k8s4ai/manager:v0.1.0", Binary: "manager"},
	{Name: "k8s4ai/node-agent:v0.1.0", Binary: "node-agent", Root: true}, // without ibnetdiscover: the fabric is not scanned here
}

// StartReal starts tier 3 with one real node for each machine of a fleet, and
// config/default on it: manager and node agents run as Pods, from their images.
// The hardware of the machines is fake: a driver library and a sysfs tree that are
// made from the fleet file.
func StartReal(ctx context.Context, fleetName string, logf func(format string, args ...any)) (*Env, error) {
	bin, err := sandbox.FindBin()
	if err != nil {
		return nil, err
	}
	described, err := fleet.Load(fleetName)
	if err != nil {
		return nil, fmt.Errorf("loading the fleet: %w", err)
	}
	var nodes []sandbox.RealNode
	for _, node := range described.Nodes() {
		nodes = append(nodes, sandbox.RealNode{Name: node.Name, Labels: node.Labels, Taints: node.Spec.Taints})
	}
	root := filepath.Dir(bin)
	cluster, err := sandbox.Start(ctx, sandbox.Options{
		Dir: os.Getenv("K8S4AI_SANDBOX_DIR"), BinDir: bin, RealNodes: nodes, Logf: logf,
		CRDs: []string{filepath.Join(root, "config", "crd", "bases")},
	})
	if err != nil {
		return nil, fmt.Errorf("starting the sandbox: %w", err)
	}
	e := &Env{Cluster: cluster, Root: root, bin: bin}
	if err := e.furnish(ctx, described); err != nil {
		return nil, errors.Join(err, cluster.Stop())
	}
	return e, nil
}

// furnish gives the nodes their machines and the product.
func (e *Env) furnish(ctx context.Context, f *fleet.Fleet) error {
	for _, spec := range images {
		archive := filepath.Join(e.Dir, spec.Binary+".tar")
		spec.Binary = filepath.Join(e.bin, spec.Binary)
		if err := image.Write(ctx, spec, archive); err != nil {
			return fmt.Errorf("building an image (`make build` makes the programs): %w", err)
		}
		if err := e.LoadImage(ctx, archive); err != nil {
			return err
		}
	}
	driver := filepath.Join(e.Dir, "fakenvml")
	build := exec.CommandContext(ctx, filepath.Join(e.Root, "hack", "fakenvml", "build.sh"), driver)
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building the fake driver: %w: %s", err, out)
	}
	nodes := f.Nodes()
	for i, machine := range f.Machines() {
		if err := e.simulate(f, machine, filepath.Join(driver, "libnvidia-ml.so.1")); err != nil {
			return fmt.Errorf("simulating the machine of node %s: %w", machine.Name, err)
		}
		if err := e.offer(ctx, &nodes[i]); err != nil {
			return fmt.Errorf("offering the devices of node %s: %w", machine.Name, err)
		}
	}
	return e.deploy(ctx)
}

// simulate writes the machine of a node.
func (e *Env) simulate(f *fleet.Fleet, machine fleet.Machine, driver string) error {
	root := e.MachineRoot(machine.Name)
	library := filepath.Dir(e.FakeDriver(machine.Name))
	if err := os.MkdirAll(library, 0o755); err != nil {
		return err
	}
	if err := f.Sysfs(machine, root); err != nil {
		return err
	}
	content, err := os.ReadFile(driver)
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(library, "libnvidia-ml.so.1"), content, 0o755),
		os.WriteFile(e.FakeDriver(machine.Name), f.NVML(machine), 0o644),
	)
}

// MachineRoot is the path of a node's simulated machine, seen from here.
func (e *Env) MachineRoot(node string) string {
	for _, n := range e.RealNodes {
		if n.Name == node {
			return n.Path(machineRoot)
		}
	}
	return ""
}

// FakeDriver is the description that a node's fake driver reads, seen from here.
func (e *Env) FakeDriver(node string) string {
	return filepath.Join(e.MachineRoot(node), "usr", "lib", "x86_64-linux-gnu", "fakenvml.txt")
}

// offer publishes the extended resources of a node, in the place of the device
// plugin that a real one has.
func (e *Env) offer(ctx context.Context, described *corev1.Node) error {
	var node corev1.Node
	if err := e.Client.Get(ctx, client.ObjectKeyFromObject(described), &node); err != nil {
		return err
	}
	before := node.DeepCopy()
	for name, amount := range described.Status.Capacity {
		if _, isOwn := node.Status.Capacity[name]; !isOwn {
			node.Status.Capacity[name], node.Status.Allocatable[name] = amount, amount
		}
	}
	return e.Client.Status().Patch(ctx, &node, client.MergeFrom(before))
}

// deploy applies config/default and waits until it runs.
func (e *Env) deploy(ctx context.Context) error {
	if err := e.apply(ctx, ontoMachines); err != nil {
		return err
	}
	for _, workload := range [][]string{{"-n=k8s4ai-system", "deployment/k8s4ai-manager"}, {"-n=k8s4ai-agent", "daemonset/k8s4ai-node-agent"}} {
		if out, err := e.Kubectl(ctx, "rollout", "status", "--timeout=90s", workload[0], workload[1]); err != nil {
			return fmt.Errorf("waiting for %s: %w: %s", workload[1], err, out)
		}
	}
	return nil
}
