package harness

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/k8s4ai/k8s4ai/test/sandbox"
)

// restartDelay is how long a manager that has ended stays down, as under a
// kubelet.
const restartDelay = time.Second

// manager is the manager's process, which is started again when it ends by
// itself, as a Deployment would.
type manager struct {
	mu      sync.Mutex
	process *sandbox.Process
	runs    int
	crashes []string
}

// StartManager starts the manager. It competes for the leader lease; a lease of
// three seconds lets a new process take over soon after a kill. On a busy machine
// a leader may lose it, end, and be started again. Later flags win over the usual
// ones.
func (e *Env) StartManager(flags ...string) error {
	e.manager.mu.Lock()
	defer e.manager.mu.Unlock()
	e.manager.runs++
	process, err := e.runManager(fmt.Sprintf("manager-%d", e.manager.runs), flags)
	if err != nil {
		return err
	}
	e.manager.process = process
	go e.keep(process, flags)
	return nil
}

// StartStandby starts a second manager, which waits for the lease of the first.
// It is not started again when it ends.
func (e *Env) StartStandby() (*sandbox.Process, error) { return e.runManager("standby", nil) }

// Manager is the process of the manager at this moment.
func (e *Env) Manager() *sandbox.Process {
	e.manager.mu.Lock()
	defer e.manager.mu.Unlock()
	return e.manager.process
}

func (e *Env) runManager(name string, flags []string) (*sandbox.Process, error) {
	usual := []string{"--kubeconfig", e.managerKubeconfig, "--leader-election-namespace", "k8s4ai-system",
		"--leader-election-lease-duration", "3s", "--metrics-bind-address", "0", "--health-probe-bind-address", "0"}
	process, err := e.Run(name, filepath.Join(e.bin, "manager"), append(usual, flags...)...)
	if err != nil {
		return nil, fmt.Errorf("starting the manager (`make build` makes it): %w", err)
	}
	return process, nil
}

// keep starts the manager again when it ends and nobody has killed it.
func (e *Env) keep(process *sandbox.Process, flags []string) {
	<-process.Done()
	e.manager.mu.Lock()
	wanted := e.manager.process == process
	if wanted {
		e.noteEnd(process)
	}
	e.manager.mu.Unlock()
	if !wanted {
		return
	}
	time.Sleep(restartDelay)
	if err := e.StartManager(flags...); err != nil {
		e.manager.mu.Lock()
		e.manager.crashes = append(e.manager.crashes, err.Error())
		e.manager.mu.Unlock()
	}
}

// noteEnd remembers an end that is not the loss of the leader lease.
func (e *Env) noteEnd(process *sandbox.Process) {
	output, err := os.ReadFile(process.Log())
	if err == nil && bytes.Contains(output, []byte("leader election lost")) {
		return
	}
	e.manager.crashes = append(e.manager.crashes, fmt.Sprintf("the manager ended by itself: %s", output[max(0, len(output)-2000):]))
}

// KillManager ends the manager with SIGKILL, and returns when it is gone.
func (e *Env) KillManager() {
	e.manager.mu.Lock()
	process := e.manager.process
	e.manager.process = nil
	e.manager.mu.Unlock()
	if process != nil {
		process.Kill()
	}
}

// Crashes lists the ends of managers that nobody asked for, other than by the
// loss of the leader lease.
func (e *Env) Crashes() []string {
	e.manager.mu.Lock()
	defer e.manager.mu.Unlock()
	return slices.Clone(e.manager.crashes)
}

// Stop ends the manager and the sandbox. It may be called more than once.
func (e *Env) Stop() error {
	e.KillManager()
	return e.Cluster.Stop()
}
