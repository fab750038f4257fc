package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/fleet"
	"github.com/k8s4ai/k8s4ai/test/bench"
	"github.com/k8s4ai/k8s4ai/test/sandbox"
)

const (
	// agentFleet is one HGX H100 machine: 8 GPUs behind NVSwitches, 8 RDMA ports.
	agentFleet = `
name: agent
provider: none
fabric: {name: fabric-a, linkLayer: InfiniBand}
pools: [{name: hgx, shape: HGX-H100x8, blocks: 1, leaves: 1, nodes: 1, nicGbps: 400}]
`
	// agentSettles passes before the measurement: start and first report are over.
	agentSettles = 10 * time.Second
	// agentIdle is how long the agent is measured. It holds a dozen looks and several
	// heartbeats.
	agentIdle = 60 * time.Second
	// reportTimeout bounds the wait for the first report.
	reportTimeout = 60 * time.Second
	// clockTicks is what the kernel counts CPU time in, per second.
	clockTicks = 100
)

// agentRows measures what the node agent costs a machine on which nothing happens:
// the real binary, a fake driver and a generated sysfs, against a real API server.
func agentRows(ctx context.Context, root string) (rows []bench.Row, err error) {
	dir, err := os.MkdirTemp("", "agent")
	if err != nil {
		return nil, fmt.Errorf("making a directory for the fake machine: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	node, err := fakeMachine(ctx, root, dir)
	if err != nil {
		return nil, err
	}
	binary := filepath.Join(dir, "node-agent")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", binary, "./cmd/node-agent")
	build.Dir, build.Env = root, append(os.Environ(), "CGO_ENABLED=1")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building the node agent: %w\n%s", err, out)
	}
	cluster, err := sandbox.Start(ctx, sandbox.Options{CRDs: []string{sandbox.RepositoryCRDs()}})
	if err != nil {
		return nil, fmt.Errorf("starting an API server for the agent: %w", err)
	}
	defer func() { err = errors.Join(err, cluster.Stop()) }()
	if err := cluster.Client.Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node}}); err != nil {
		return nil, fmt.Errorf("creating the agent's node: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	agent := exec.CommandContext(ctx, binary, "run", "--host-root", dir, "--kubeconfig", cluster.Kubeconfig,
		"--node-name", node, "--pod-name", node, "--namespace", "default", "--listen", "127.0.0.1:0")
	var log bytes.Buffer
	agent.Stdout, agent.Stderr = io.Discard, &log
	if err := agent.Start(); err != nil {
		return nil, fmt.Errorf("starting the node agent: %w", err)
	}
	rows, err = measureAgent(ctx, cluster.Client, node, agent.Process.Pid)
	cancel()
	_ = agent.Wait() // It was killed.
	if err != nil {
		return nil, fmt.Errorf("%w; the log of the agent:\n%s", err, log.String())
	}
	return rows, nil
}

// fakeMachine writes the machine of agentFleet below dir, and returns its name.
func fakeMachine(ctx context.Context, root, dir string) (string, error) {
	f, err := fleet.Parse([]byte(agentFleet))
	if err != nil {
		return "", fmt.Errorf("reading the fleet of the agent: %w", err)
	}
	m := f.Machines()[0]
	if err := f.Sysfs(m, dir); err != nil {
		return "", err
	}
	library := dir + "/usr/lib/x86_64-linux-gnu"
	if err := os.MkdirAll(library, 0o755); err != nil {
		return "", fmt.Errorf("making the fake machine: %w", err)
	}
	if err := os.WriteFile(filepath.Join(library, "fakenvml.txt"), f.NVML(m), 0o644); err != nil {
		return "", fmt.Errorf("making the fake machine: %w", err)
	}
	if out, err := exec.CommandContext(ctx, root+"/hack/fakenvml/build.sh", library).CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the fake driver: %w\n%s", err, out)
	}
	return m.Name, nil
}

// measureAgent waits for the first report, and then watches the process.
func measureAgent(ctx context.Context, c client.Client, node string, pid int) ([]bench.Row, error) {
	if err := waitForReport(ctx, c, node); err != nil {
		return nil, err
	}
	if err := pause(ctx, agentSettles); err != nil {
		return nil, err
	}
	before, err := cpuTime(pid)
	if err != nil {
		return nil, err
	}
	most := 0.0
	for range agentIdle / time.Second {
		if err := pause(ctx, time.Second); err != nil {
			return nil, err
		}
		rss, err := residentMiB(pid)
		if err != nil {
			return nil, err
		}
		most = max(most, rss)
	}
	after, err := cpuTime(pid)
	if err != nil {
		return nil, err
	}
	return []bench.Row{
		{Case: "agent", Metric: "idle_cpu_millicores", Value: (after - before).Seconds() / agentIdle.Seconds() * 1000, Unit: "millicores"},
		{Case: "agent", Metric: "rss_mib", Value: most, Unit: "MiB"},
	}, nil
}

func waitForReport(ctx context.Context, c client.Client, node string) error {
	ctx, cancel := context.WithTimeout(ctx, reportTimeout)
	defer cancel()
	for {
		var domain v1alpha1.TopologyDomain
		err := c.Get(ctx, client.ObjectKey{Name: node}, &domain)
		if err == nil && domain.Status.Node != nil {
			if n := len(domain.Status.Node.Accelerators); n != 8 {
				return fmt.Errorf("the agent reports %d accelerators, the machine has 8", n)
			}
			return nil
		}
		if pauseErr := pause(ctx, 100*time.Millisecond); pauseErr != nil {
			return fmt.Errorf("waiting for the first report: %w", errors.Join(err, pauseErr))
		}
	}
}

func pause(ctx context.Context, length time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(length):
		return nil
	}
}

// cpuTime is what a process has used since it started.
func cpuTime(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("reading the CPU time of the agent: %w", err)
	}
	// The name of the program is in parentheses and may hold anything.
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	const user, system = 11, 12
	ticks := 0
	for _, at := range []int{user, system} {
		if at >= len(fields) {
			return 0, fmt.Errorf("reading the CPU time of the agent: %q", text)
		}
		n, err := strconv.Atoi(string(fields[at]))
		if err != nil {
			return 0, fmt.Errorf("reading the CPU time of the agent: %w", err)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / clockTicks, nil
}

// residentMiB is the memory of a process that is in use.
func residentMiB(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("reading the memory of the agent: %w", err)
	}
	for line := range bytes.Lines(text) {
		fields := bytes.Fields(line)
		if len(fields) == 3 && string(fields[0]) == "VmRSS:" {
			kib, err := strconv.ParseFloat(string(fields[1]), 64)
			return kib / 1024, err
		}
	}
	return 0, errors.New("reading the memory of the agent: the kernel tells none")
}
