package sandbox

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// helperEnv makes the test binary start a cluster, print where it is, and wait to
// be killed.
const helperEnv = "SANDBOX_TEST_HELPER"

func TestMain(m *testing.M) {
	if os.Getenv(helperEnv) != "" {
		helper()
	}
	os.Exit(m.Run())
}

func helper() {
	c, err := Start(context.Background(), Options{})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	fmt.Println("dir", c.Dir)
	for _, pid := range componentPIDs(c) {
		fmt.Println("pid", pid)
	}
	fmt.Println("up")
	select {}
}

// Whatever ends the owner, no component outlives it. The directory goes at once
// where the owner can still act, and at the next sweep where it cannot.
func TestNothingIsLeft(t *testing.T) {
	for name, tc := range map[string]struct {
		signal      syscall.Signal
		needsASweep bool
	}{
		"SIGINT":  {signal: syscall.SIGINT},
		"SIGTERM": {signal: syscall.SIGTERM},
		"SIGKILL": {signal: syscall.SIGKILL, needsASweep: true},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := binaries("", false); err != nil {
				skipWithoutBinaries(t, err)
				t.Fatal(err)
			}
			owner, dir, pids := startHelper(t)
			if isAbandoned(dir) {
				t.Error("the directory of a live owner counts as abandoned")
			}
			if err := owner.Process.Signal(tc.signal); err != nil {
				t.Fatal(err)
			}
			var exit *exec.ExitError
			if err := owner.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != tc.signal {
				t.Errorf("the owner ended with %v, want the signal", err)
			}
			if tc.needsASweep {
				sweep(t.Logf)
			}
			assertGone(t, dir, pids)
		})
	}
}

// startHelper returns a process that owns a cluster.
func startHelper(t *testing.T) (owner *exec.Cmd, dir string, pids []int) {
	t.Helper()
	owner = exec.CommandContext(t.Context(), os.Args[0])
	owner.Env = append(os.Environ(), helperEnv+"=1")
	output, err := owner.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = owner.Process.Kill() })
	lines := bufio.NewScanner(output)
	for lines.Scan() {
		word, value, _ := strings.Cut(lines.Text(), " ")
		var pid int
		switch word {
		case "dir":
			dir = value
		case "pid":
			if _, err := fmt.Sscan(value, &pid); err != nil {
				t.Fatal(err)
			}
			pids = append(pids, pid)
		case "up":
			return owner, dir, pids
		default:
			t.Fatal(lines.Text())
		}
	}
	t.Fatal("the helper ended before its cluster was up")
	return nil, "", nil
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

func skipWithoutBinaries(t *testing.T, err error) {
	t.Helper()
	if errors.Is(err, ErrNoBinaries) && os.Getenv("CI") == "" {
		t.Skip(err)
	}
}
