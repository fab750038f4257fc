package sandbox

import "syscall"

// childAttributes give a component a process group of its own, so that Ctrl-C in
// a terminal reaches only the owner, and tie its life to the owner's.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
