package sandbox

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// helperEnv makes the test binary start a cluster of that many real nodes, print
// where it is, and wait to be killed.
const helperEnv = "SANDBOX_TEST_HELPER"

func TestMain(m *testing.M) {
	if os.Getenv(helperEnv) != "" {
		helper()
	}
	os.Exit(m.Run())
}

func helper() {
	realNodes, err := strconv.Atoi(os.Getenv(helperEnv))
	if err != nil {
		fail(err)
	}
	c, err := Start(context.Background(), Options{RealNodes: NewRealNodes(realNodes)})
	if err != nil {
		fail(err)
	}
	for _, node := range c.RealNodes {
		if err := runPause(c, node.Name); err != nil {
			fail(err)
		}
	}
	fmt.Println("dir", c.Dir)
	tree, err := descendants(componentPIDs(c))
	if err != nil {
		fail(err)
	}
	for pid := range tree {
		fmt.Println("pid", pid)
	}
	if c.network != nil {
		fmt.Println("network", c.network.index)
	}
	fmt.Println("up")
	select {}
}

func fail(err error) {
	fmt.Println("error", err)
	os.Exit(1)
}

// runPause runs a container on a real node, so that there is something to end.
func runPause(c *Cluster, node string) error {
	ctx := context.Background()
	pod := podOn(node, nil)
	pod.Spec.Containers[0].Image = PauseImage
	if err := c.Client.Create(ctx, pod); err != nil {
		return err
	}
	return poll(ctx, "waiting for the pod", func(ctx context.Context) (bool, error) {
		err := c.Client.Get(ctx, client.ObjectKeyFromObject(pod), pod)
		return pod.Status.Phase == corev1.PodRunning, err
	})
}

// Whatever ends the owner, no component outlives it. The directory goes at once
// where the owner can still act, and at the next sweep where it cannot.
func TestNothingIsLeft(t *testing.T) {
	cases := map[string]struct {
		signal      syscall.Signal
		realNodes   int
		needsASweep bool
	}{
		"SIGINT":                  {signal: syscall.SIGINT},
		"SIGTERM":                 {signal: syscall.SIGTERM},
		"SIGKILL":                 {signal: syscall.SIGKILL, needsASweep: true},
		"SIGTERM with real nodes": {signal: syscall.SIGTERM, realNodes: 2},
		"SIGKILL with real nodes": {signal: syscall.SIGKILL, realNodes: 2, needsASweep: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			skipUnlessStartable(t, Options{RealNodes: NewRealNodes(tc.realNodes)})
			h := startHelper(t, tc.realNodes)
			if isAbandoned(h.dir) {
				t.Error("the directory of a live owner counts as abandoned")
			}
			if h.network != nil && len(h.pids) < 5*tc.realNodes {
				t.Errorf("only %d processes are known: the nodes' are not among them", len(h.pids))
			}
			if err := h.owner.Process.Signal(tc.signal); err != nil {
				t.Fatal(err)
			}
			var exit *exec.ExitError
			if err := h.owner.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != tc.signal {
				t.Errorf("the owner ended with %v, want the signal", err)
			}
			if tc.needsASweep {
				sweep(t.Logf)
			}
			assertGone(t, h.dir, h.pids)
			if h.network != nil {
				assertNetworkGone(t, h.network)
			}
		})
	}
}

// helped is a process that owns a cluster, and what it says of it.
type helped struct {
	owner   *exec.Cmd
	dir     string
	pids    []int
	network *network // nil without real nodes
}

func startHelper(t *testing.T, realNodes int) helped {
	t.Helper()
	h := helped{owner: exec.CommandContext(t.Context(), os.Args[0])}
	h.owner.Env = append(os.Environ(), helperEnv+"="+strconv.Itoa(realNodes))
	output, err := h.owner.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := h.owner.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.owner.Process.Kill() })
	lines := bufio.NewScanner(output)
	for lines.Scan() {
		word, value, _ := strings.Cut(lines.Text(), " ")
		number, _ := strconv.Atoi(value)
		switch word {
		case "dir":
			h.dir = value
		case "pid":
			h.pids = append(h.pids, number)
		case "network":
			h.network = &network{index: number}
		case "up":
			return h
		default:
			t.Fatal(lines.Text())
		}
	}
	t.Fatal("the helper ended before its cluster was up")
	return helped{}
}

// A directory that another process is just creating is left alone, and one
// without an owner for long is not.
func TestSweepSparesNewDirs(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	fresh, old := filepath.Join(os.TempDir(), dirPrefix+"fresh"), filepath.Join(os.TempDir(), dirPrefix+"old")
	for _, dir := range []string{fresh, old} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	longAgo := time.Now().Add(-2 * unownedGrace)
	if err := os.Chtimes(old, longAgo, longAgo); err != nil {
		t.Fatal(err)
	}
	sweep(t.Logf)
	if _, err := os.Stat(fresh); err != nil {
		t.Errorf("the new directory: %v", err)
	}
	if _, err := os.Stat(old); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the old directory: %v, want it gone", err)
	}
}

func componentPIDs(c *Cluster) []int {
	c.procs.mu.Lock()
	defer c.procs.mu.Unlock()
	var pids []int
	for _, proc := range c.procs.running {
		pids = append(pids, proc.cmd.Process.Pid)
	}
	return pids
}

// assertGone waits for processes that the kernel is ending, and checks the
// directory.
func assertGone(t *testing.T, dir string, pids []int) {
	t.Helper()
	for _, pid := range pids {
		eventually(t, fmt.Sprintf("component with pid %d to end", pid), func() bool { return !isAlive(pid) })
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory %s: %v, want it gone", dir, err)
	}
}

// isAlive is false for a zombie too: where nothing reaps orphans, a killed process
// stays in the table.
func isAlive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return !errors.Is(err, os.ErrNotExist)
	}
	_, state, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(state, "Z")
}

// assertNetworkGone checks what real nodes have beyond processes and a directory.
func assertNetworkGone(t *testing.T, n *network) {
	t.Helper()
	eventually(t, "link "+n.link()+" to go", func() bool { return !n.hasLink() })
	dirs, err := hierarchies()
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		if _, err := os.Stat(filepath.Join(dir, n.cgroup())); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the cgroup %s in %s: %v, want it gone", n.cgroup(), dir, err)
		}
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(mounts), dirPrefix) {
		t.Errorf("this machine has mounts of a sandbox:\n%s", mounts)
	}
}

// skipUnlessStartable skips a test, or fails it where CI is set, on a machine that
// lacks what the options need.
func skipUnlessStartable(t *testing.T, options Options) {
	t.Helper()
	if _, err := binaries("", options.wanted()); err != nil {
		skipOrFail(t, err)
	}
	if err := checkRealNodes(options.RealNodes); err != nil {
		skipOrFail(t, err)
	}
}

// skipOrFail ends the test when the error says that this machine lacks something.
func skipOrFail(t *testing.T, err error) {
	t.Helper()
	if MaySkip(err) {
		t.Skip(err)
	}
	if errors.Is(err, ErrNoBinaries) || errors.Is(err, ErrNoRealNodes) {
		t.Fatal(err)
	}
}
