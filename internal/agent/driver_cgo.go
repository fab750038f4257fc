//go:build cgo

package agent

import (
	"context"
	"errors"
	"fmt"

	"github.com/k8s4ai/k8s4ai/internal/agent/nvml"
)

func findDriver(root string) string { return nvml.Find(root) }

func openDriver(path string) (driver, error) {
	d, err := nvml.Open(path)
	switch {
	case errors.Is(err, nvml.ErrNoDriver):
		return nil, fmt.Errorf("%w: %w", errNoDriver, err)
	case errors.Is(err, nvml.ErrReplaced):
		return nil, fmt.Errorf("%w: %w", ErrReplaced, err)
	case err != nil:
		return nil, err
	}
	return nvidia{d}, nil
}

// nvidia is the NVIDIA driver.
type nvidia struct{ driver *nvml.Driver }

func (n nvidia) read() reading {
	r := n.driver.Read()
	return reading{version: r.Driver, gpus: r.GPUs, links: r.Links, problems: r.Problems}
}

func (n nvidia) events(ctx context.Context, found func(uuid string, xid uint64)) {
	n.driver.Events(ctx, found)
}

func (n nvidia) close() error { return n.driver.Close() }
