//go:build !cgo

package agent

import (
	"errors"
	"os"
	"path/filepath"
)

// findDriver finds a driver that is loaded, to tell that this program cannot use it.
func findDriver(root string) string {
	path := filepath.Join(root, "proc/driver/nvidia/version")
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}

func openDriver(string) (driver, error) {
	return nil, errors.New("this program was built without cgo and reads no NVIDIA GPU: build it with CGO_ENABLED=1")
}
