package sandbox

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// ErrNoRealNodes is returned by Start when this machine cannot run real nodes. The
// error says what is missing and how to get it.
var ErrNoRealNodes = errors.New("this machine cannot run real nodes")

// cniPlugins is where Debian has the network plugins of containers.
const cniPlugins = "/usr/lib/cni"

// needed are the files that real nodes need, and the Debian packages that have
// them.
var needed = []struct{ file, pkg string }{
	{"containerd", "containerd"},
	{"containerd-shim-runc-v2", "containerd"},
	{"ctr", "containerd"},
	{"runc", "runc"},
	{filepath.Join(cniPlugins, "bridge"), "containernetworking-plugins"},
	{filepath.Join(cniPlugins, "host-local"), "containernetworking-plugins"},
	{filepath.Join(cniPlugins, "loopback"), "containernetworking-plugins"},
	{"ip", "iproute2"},
	{"nft", "nftables"},
	{"mount", "mount"},
	{"nsenter", "util-linux"},
}

// checkMachine returns an error that names everything that real nodes lack here.
func checkMachine() error {
	return machineError(runtime.GOOS, os.Geteuid(), func(file string) bool { return findTool(file) != "" })
}

func machineError(system string, user int, has func(file string) bool) error {
	if system != "linux" {
		return fmt.Errorf("%w: they need Linux, and this is %s", ErrNoRealNodes, system)
	}
	var problems, packages []string
	if user != 0 {
		problems = append(problems, "run as root, for namespaces, mounts and cgroups")
	}
	for _, n := range needed {
		if !has(n.file) && !slices.Contains(packages, n.pkg) {
			packages = append(packages, n.pkg)
		}
	}
	if len(packages) > 0 {
		problems = append(problems, "install what is missing: apt-get install -y --no-install-recommends "+strings.Join(packages, " "))
	}
	if len(problems) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrNoRealNodes, strings.Join(problems, "; "))
}

// findTool returns the path of a program, "" when it is not there. A person's PATH
// may lack what only root runs.
func findTool(name string) string {
	if found, err := exec.LookPath(name); err == nil {
		return found
	}
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		if found, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return found
		}
	}
	return ""
}

// tool is the path of a program that checkMachine has seen, or its name.
func tool(name string) string {
	if found := findTool(name); found != "" {
		return found
	}
	return name
}
