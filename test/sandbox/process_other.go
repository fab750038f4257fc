//go:build !linux

package sandbox

import "syscall"

// childAttributes give a component a process group of its own. Only Linux can tie
// a child's life to its parent's: elsewhere a SIGKILL of the owner leaves the
// components running.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}

// Real nodes are refused elsewhere than on Linux before anything starts.
func networkAttributes() *syscall.SysProcAttr { return childAttributes() }
func machineAttributes() *syscall.SysProcAttr { return childAttributes() }
