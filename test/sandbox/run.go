package sandbox

import (
	"fmt"
	"syscall"
)

// Process is a program that runs beside the cluster and ends with it.
type Process struct {
	cluster *Cluster
	proc    *process
}

// Run starts a program that ends with the cluster at the latest. Its output goes
// to Dir/logs/<name>.log, which starts anew; an end that Kill did not cause shows
// in Failed.
func (c *Cluster) Run(name, path string, args ...string) (*Process, error) {
	proc, err := c.procs.start(name, path, args...)
	if err != nil {
		return nil, err
	}
	return &Process{cluster: c, proc: proc}, nil
}

// Done is closed when the program has ended.
func (p *Process) Done() <-chan struct{} { return p.proc.done }

// Log is the path of the program's output.
func (p *Process) Log() string { return p.proc.log }

// Freeze stops the program in its tracks, as a machine that hangs would, until
// Thaw lets it go on where it was.
func (p *Process) Freeze() error { return p.proc.cmd.Process.Signal(syscall.SIGSTOP) }

// Thaw ends a Freeze.
func (p *Process) Thaw() error { return p.proc.cmd.Process.Signal(syscall.SIGCONT) }

// Kill ends the program with SIGKILL and returns when it is gone.
func (p *Process) Kill() { p.cluster.procs.forget(p.proc) }

// Down ends a component with SIGKILL until up starts it anew. Components are
// named after their binaries, such as "kube-scheduler".
func (c *Cluster) Down(component string) (up func() error, err error) {
	proc := c.procs.find(component)
	if proc == nil {
		return nil, fmt.Errorf("no component %s runs", component)
	}
	c.procs.forget(proc)
	return func() error {
		_, err := c.procs.start(component, proc.cmd.Path, proc.cmd.Args[1:]...)
		return err
	}, nil
}

// find returns the running component of that name, nil when there is none.
func (p *processes) find(name string) *process {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, proc := range p.running {
		if proc.name == name {
			return proc
		}
	}
	return nil
}
