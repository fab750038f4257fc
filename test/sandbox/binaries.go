package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

var (
	controlPlaneBinaries = []string{"etcd", "kube-apiserver"}
	nodeBinaries         = []string{"kube-controller-manager", "kube-scheduler", "kwok"}
	realNodeBinaries     = []string{"kubelet", "kube-proxy"}
)

// ErrNoBinaries is returned by Start when a binary is missing.
var ErrNoBinaries = errors.New("binaries of the sandbox are missing: run `make tools`, or set K8S4AI_BIN to where they are")

// FindBin returns the directory of the binaries: $K8S4AI_BIN, or bin/ next to the
// nearest go.mod of this module above the working directory.
func FindBin() (string, error) {
	if dir := os.Getenv("K8S4AI_BIN"); dir != "" {
		return dir, nil
	}
	root, err := findRoot()
	if err != nil {
		return "", err
	}
	return filepath.Join(root, "bin"), nil
}

// findRoot walks up to the directory of this module's go.mod.
func findRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("looking for the repository: %w", err)
	}
	for {
		data, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(data), "module github.com/k8s4ai/k8s4ai\n") {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("not inside the k8s4ai repository: set K8S4AI_BIN to the directory of the binaries")
		}
		dir = parent
	}
}

// binaries returns dir, or FindBin's, once it has the wanted ones.
func binaries(dir string, wanted []string) (string, error) {
	if dir == "" {
		found, err := FindBin()
		if err != nil {
			return "", err
		}
		dir = found
	}
	var missing []string
	for _, name := range wanted {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.IsDir() {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return "", fmt.Errorf("%s not in %s: %w", strings.Join(missing, ", "), dir, ErrNoBinaries)
	}
	return dir, nil
}

// wanted are the binaries that the options need.
func (o Options) wanted() []string {
	wanted := slices.Clone(controlPlaneBinaries)
	if o.Nodes {
		wanted = append(wanted, nodeBinaries...)
	}
	if len(o.RealNodes) > 0 {
		wanted = append(wanted, realNodeBinaries...)
	}
	return wanted
}

// RepositoryCRDs returns the directory of this repository's own CRDs, or "" when
// there is none above the working directory.
func RepositoryCRDs() string {
	root, err := findRoot()
	if err != nil {
		return ""
	}
	dir := filepath.Join(root, "config", "crd", "bases")
	if files, err := filepath.Glob(filepath.Join(dir, "*.yaml")); err != nil || len(files) == 0 {
		return ""
	}
	return dir
}
