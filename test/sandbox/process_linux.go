package sandbox

import "syscall"

// childAttributes give a component a process group of its own, so that Ctrl-C in
// a terminal reaches only the owner, and tie its life to the owner's.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// networkAttributes give a child a network of its own as well, which goes when
// its last process ends.
func networkAttributes() *syscall.SysProcAttr {
	attributes := childAttributes()
	attributes.Cloneflags = syscall.CLONE_NEWNET
	return attributes
}

// machineAttributes make a child the first process of a machine of its own:
// network, processes, mounts and host name. When it ends, the kernel kills every
// process of the machine, and then its mounts and network go.
func machineAttributes() *syscall.SysProcAttr {
	attributes := networkAttributes()
	attributes.Cloneflags |= syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC
	// Unlike the clone flag, this one also keeps the machine's mounts from
	// spreading to this one.
	attributes.Unshareflags = syscall.CLONE_NEWNS
	return attributes
}
