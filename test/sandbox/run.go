package sandbox

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

// Kill ends the program with SIGKILL and returns when it is gone.
func (p *Process) Kill() { p.cluster.procs.forget(p.proc) }
