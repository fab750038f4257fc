package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// drillTime bounds what a drill does on its own.
const drillTime = 10 * time.Second

// Kill takes the node down like a machine that loses power: daemons, containers,
// mounts and network are gone at once, its files stay. Start boots it again. A
// node that is down stays so.
func (n *Node) Kill() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.kill()
}

func (n *Node) kill() {
	if len(n.procs) == 0 {
		return
	}
	// The first process takes all others along; the rest is only waited for.
	n.cluster.procs.forget(n.procs...)
	n.procs = nil
	ctx, cancel := context.WithTimeout(context.Background(), drillTime)
	defer cancel()
	n.cluster.network.unplug(ctx, n.index)
}

// Partition cuts the node off: the cluster and this machine do not reach it, and
// everything on it goes on.
func (n *Node) Partition() error { return n.setPort("down") }

// Heal ends a Partition.
func (n *Node) Heal() error { return n.setPort("up") }

func (n *Node) setPort(state string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.checkUp(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), drillTime)
	defer cancel()
	return n.cluster.network.inSwitch(ctx, "link set "+port(n.index)+" "+state)
}

// Freeze stops every process of the node in its tracks, daemons and containers, as
// a machine that hangs. Its connections stay open and unanswered.
func (n *Node) Freeze() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.checkUp(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), drillTime)
	defer cancel()
	// A process that is not stopped yet can still start others.
	return poll(ctx, "freezing node "+n.Name, func(context.Context) (bool, error) {
		running, err := n.signal(syscall.SIGSTOP, func(state string) bool { return !strings.ContainsAny(state, "TtZX") })
		return running == 0, err
	})
}

// Thaw ends a Freeze: everything goes on where it was.
func (n *Node) Thaw() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.checkUp(); err != nil {
		return err
	}
	_, err := n.signal(syscall.SIGCONT, func(string) bool { return true })
	return err
}

// Exec runs a command in the node, with its file system and network, and returns
// what it prints.
func (n *Node) Exec(ctx context.Context, args ...string) (string, error) {
	n.mu.Lock()
	if err := n.checkUp(); err != nil {
		n.mu.Unlock()
		return "", err
	}
	cmd := n.command(ctx, args...)
	n.mu.Unlock()
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("running %s on node %s: %w: %s", args[0], n.Name, err, out)
	}
	return string(out), err
}

func (n *Node) checkUp() error {
	if len(n.procs) == 0 {
		return fmt.Errorf("node %s is down: call Start first", n.Name)
	}
	return nil
}

// signal sends a signal to the node's processes in one of the states that wanted
// accepts, and returns how many there were.
func (n *Node) signal(signal syscall.Signal, wanted func(state string) bool) (int, error) {
	var roots []int
	for _, proc := range n.procs {
		roots = append(roots, proc.cmd.Process.Pid)
	}
	tree, err := descendants(roots)
	if err != nil {
		return 0, err
	}
	count := 0
	for pid, state := range tree {
		if !wanted(state) {
			continue
		}
		count++
		if err := syscall.Kill(pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return count, fmt.Errorf("signalling process %d of node %s: %w", pid, n.Name, err)
		}
	}
	return count, nil
}

// descendants are the processes and everything below them, each with the letter of
// its state in /proc.
func descendants(roots []int) (map[int]string, error) {
	children, states := map[int][]int{}, map[int]string{}
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, fmt.Errorf("listing processes: %w", err)
	}
	for _, dir := range dirs {
		stat, err := os.ReadFile(filepath.Join(dir, "stat"))
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // it has just ended
		}
		if err != nil {
			return nil, fmt.Errorf("listing processes: %w", err)
		}
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		// The name before the last parenthesis may hold anything.
		_, after, _ := strings.Cut(string(stat[max(0, strings.LastIndex(string(stat), ")")):]), ")")
		fields := strings.Fields(after)
		if len(fields) < 2 {
			continue
		}
		parent, err := strconv.Atoi(fields[1])
		if err != nil {
			continue
		}
		states[pid] = fields[0]
		children[parent] = append(children[parent], pid)
	}
	tree := map[int]string{}
	for todo := slices.Clone(roots); len(todo) > 0; todo = todo[1:] {
		if state, exists := states[todo[0]]; exists {
			tree[todo[0]] = state
			todo = append(todo, children[todo[0]]...)
		}
	}
	return tree, nil
}
