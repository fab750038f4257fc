//go:build cgo

package main

import (
	"cmp"
	"os"
	"path/filepath"
	"sync"

	"github.com/k8s4ai/k8s4ai/internal/agent/measure"
	"github.com/k8s4ai/k8s4ai/internal/agent/nvml"
)

// newIdleChecker asks libnvidia-ml who uses a device. library is the file or its
// folder; without it the host's is used, and then that of this container.
func newIdleChecker(library, hostRoot string) measure.IdleChecker {
	return &nvmlIdle{path: func() string {
		if info, err := os.Stat(library); err == nil && info.IsDir() {
			return filepath.Join(library, "libnvidia-ml.so.1")
		}
		root := string(filepath.Separator)
		return cmp.Or(library, nvml.Find(cmp.Or(hostRoot, root)), nvml.Find(root))
	}}
}

// nvmlIdle opens the library at the first question: on a broken machine opening can
// hang, and only the asking has a time limit. It stays open until the process ends,
// because closing would wait for a call that hangs.
type nvmlIdle struct {
	path   func() string
	once   sync.Once
	driver *nvml.Driver
	err    error
}

// Idle implements measure.IdleChecker. A library that cannot be used tells nothing.
func (n *nvmlIdle) Idle(uuid string) (idle bool, why string) {
	n.once.Do(func() { n.driver, n.err = nvml.Open(n.path()) })
	if n.err != nil {
		return true, n.err.Error()
	}
	return n.driver.Idle(uuid)
}
