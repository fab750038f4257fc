package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// logTailBytes is how much of a failed component's log an error quotes.
const logTailBytes = 2000

// processes starts the components and kills them together.
//
// On Linux a component is killed by the kernel when the thread that started it
// ends. Go ends and reuses threads as it likes, so one goroutine that keeps its
// thread to itself starts all of them, and lives until they are dead.
type processes struct {
	logs   string
	starts chan func()
	failed chan error

	mu       sync.Mutex
	running  []*process
	stopping bool
}

// process is one component.
type process struct {
	name string
	cmd  *exec.Cmd
	log  string
	done chan struct{} // closed when it has ended
}

func newProcesses(logs string) *processes {
	p := &processes{logs: logs, starts: make(chan func()), failed: make(chan error, 1)}
	go func() {
		runtime.LockOSThread()
		for start := range p.starts {
			start()
		}
	}()
	return p
}

// start starts a component with its output in logs/<name>.log.
func (p *processes) start(name, path string, args ...string) (*process, error) {
	return p.startWith(childAttributes(), name, path, args...)
}

func (p *processes) startWith(attributes *syscall.SysProcAttr, name, path string, args ...string) (*process, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopping {
		return nil, fmt.Errorf("starting %s: the sandbox is being stopped", name)
	}
	if err := os.MkdirAll(p.logs, 0o700); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	logPath := filepath.Join(p.logs, name+".log")
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	defer log.Close()

	proc := &process{name: name, log: logPath, cmd: &exec.Cmd{Path: path, Args: append([]string{path}, args...)}, done: make(chan struct{})}
	proc.cmd.Stdout, proc.cmd.Stderr = log, log
	proc.cmd.Env = componentEnv()
	proc.cmd.Dir = filepath.Dir(p.logs)
	proc.cmd.SysProcAttr = attributes
	started := make(chan error)
	p.starts <- func() { started <- proc.cmd.Start() }
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	p.running = append(p.running, proc)
	go p.wait(proc)
	return proc, nil
}

// componentEnv is the environment of every component.
func componentEnv() []string {
	// No proxy stands between parts of a cluster, and a person's PATH may lack
	// what only root runs.
	env := slices.DeleteFunc(os.Environ(), func(entry string) bool {
		name, _, _ := strings.Cut(strings.ToUpper(entry), "=")
		return name == "HTTP_PROXY" || name == "HTTPS_PROXY" || name == "ALL_PROXY"
	})
	return append(env, "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin",
		// Garbage collection is a fifth of what loading a fleet costs the API server;
		// memory is cheaper.
		"GOGC=200")
}

func (p *processes) wait(proc *process) {
	err := proc.cmd.Wait()
	close(proc.done)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopping || !slices.Contains(p.running, proc) {
		return
	}
	select {
	case p.failed <- fmt.Errorf("%s ended: %w", proc.name, proc.quote(err)):
	default:
	}
}

// forget ends components, in this order, without that counting as a failure, so
// that they can be started again.
func (p *processes) forget(procs ...*process) {
	hasFailed := slices.ContainsFunc(procs, isDone)
	p.mu.Lock()
	p.running = slices.DeleteFunc(p.running, func(other *process) bool { return slices.Contains(procs, other) })
	p.mu.Unlock()
	for _, proc := range procs {
		kill(proc)
	}
	for _, proc := range procs {
		<-proc.done
	}
	if !hasFailed {
		return
	}
	select {
	case <-p.failed: // its own failure, which the caller knows
	default:
	}
}

// stop kills all components at once and waits for them. There is nothing to end
// in order: the data they would save is about to be removed.
func (p *processes) stop() {
	p.mu.Lock()
	alreadyStopping := p.stopping
	p.stopping = true
	running := slices.Clone(p.running)
	p.mu.Unlock()
	for _, proc := range running {
		kill(proc)
	}
	for _, proc := range running {
		<-proc.done
	}
	if !alreadyStopping {
		close(p.starts)
	}
}

// kill ends the component and whatever it has started.
func kill(proc *process) {
	if !isDone(proc) {
		_ = syscall.Kill(-proc.cmd.Process.Pid, syscall.SIGKILL)
	}
}

func isDone(proc *process) bool {
	select {
	case <-proc.done:
		return true
	default:
		return false
	}
}

// quote adds the end of the component's log to an error.
func (proc *process) quote(err error) error {
	if err == nil {
		err = errors.New("exit status 0")
	}
	data, readErr := os.ReadFile(proc.log)
	if readErr != nil {
		return fmt.Errorf("%w (its log cannot be read: %w)", err, readErr)
	}
	if len(data) > logTailBytes {
		data = data[len(data)-logTailBytes:]
		if _, rest, found := bytes.Cut(data, []byte("\n")); found {
			data = rest
		}
	}
	return fmt.Errorf("%w; the end of its log:\n%s", err, bytes.TrimSpace(data))
}
