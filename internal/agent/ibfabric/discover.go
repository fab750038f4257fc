package ibfabric

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"strings"
	"time"

	"github.com/k8s4ai/k8s4ai/internal/topology"
)

const (
	// DefaultPath is looked up in PATH.
	DefaultPath = "ibnetdiscover"

	maxWarningBytes = 512
	// killDelay is how long a stopped ibnetdiscover may keep its output open.
	killDelay = 2 * time.Second
)

// Discover runs ibnetdiscover and reads what it prints. It needs /dev/infiniband
// and takes as long as the fabric is large: seconds for thousands of adapters.
type Discover struct {
	// Path is the program, a name or a path. Unset means DefaultPath.
	Path string
	// Args are its arguments, such as -C mlx5_0 for the adapter to start from.
	Args []string
	// Timeout ends it. It must be positive.
	Timeout time.Duration
}

// Run fails when the program cannot be run, says that it failed, runs out of
// time, or prints what Read refuses.
func (d Discover) Run(ctx context.Context) (Result, error) {
	path := d.Path
	if path == "" {
		path = DefaultPath
	}
	ctx, cancel := context.WithTimeoutCause(ctx, d.Timeout, fmt.Errorf("it took longer than %s: raise --timeout", d.Timeout))
	defer cancel()
	command := exec.CommandContext(ctx, path, d.Args...) //nolint:gosec // The administrator names the program on the command line.
	command.WaitDelay = killDelay
	warnings := &head{}
	command.Stderr = warnings
	out, err := command.StdoutPipe()
	if err != nil {
		return Result{}, fmt.Errorf("running %s: %w", path, err)
	}
	if err := command.Start(); err != nil {
		if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
			return Result{}, fmt.Errorf("%s not found: install infiniband-diags or use the k8s4ai node-agent image", path)
		}
		return Result{}, fmt.Errorf("running %s: %w", path, err)
	}
	result, readErr := Read(out)
	timedOut := ctx.Err() != nil
	isRefused := readErr != nil && !errors.Is(readErr, errNoSwitch)
	if isRefused {
		cancel() // Nobody reads what else it prints.
	}
	err = command.Wait()
	switch {
	case isRefused && !timedOut:
		return Result{}, readErr
	case timedOut:
		return Result{}, fmt.Errorf("%s was stopped: %w%s", path, context.Cause(ctx), warnings.hint())
	case err != nil:
		return Result{}, fmt.Errorf("%s failed: %w%s", path, err, warnings.hint())
	case readErr != nil:
		return Result{}, fmt.Errorf("%w%s", readErr, warnings.hint())
	}
	if warnings.text.Len() > 0 {
		result.Problems = append(result.Problems, path+" warns: "+oneLine(warnings.text.String()))
	}
	return result, nil
}

// head keeps the beginning of what is written to it, where the cause stands.
type head struct{ text strings.Builder }

func (h *head) Write(p []byte) (int, error) {
	if room := maxWarningBytes - h.text.Len(); room > 0 {
		h.text.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

// hint returns what the program said, and what to do about the usual cause.
func (h *head) hint() string {
	said := oneLine(h.text.String())
	switch {
	case said == "":
		return ""
	case strings.Contains(said, "UMAD port"):
		return ": " + said + " (is /dev/infiniband mounted, the module ib_umad loaded and an InfiniBand port up? Name one with --device)"
	default:
		return ": " + said
	}
}

// oneLine puts text of several lines on one and leaves out what is not
// printable.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, strings.ReplaceAll(strings.TrimSpace(text), "\n", "; "))
}

// Merge joins scans that started from different adapters, for machines that are
// plugged into several fabrics. A leaf switch in more than one scan counts once.
func Merge(scans ...topology.Scan) topology.Scan {
	var all topology.Scan
	seen := map[string]bool{}
	for _, scan := range scans {
		for _, leaf := range scan.Leaves {
			if !seen[leaf.GUID] {
				seen[leaf.GUID] = true
				all.Leaves = append(all.Leaves, leaf)
			}
		}
	}
	sortLeaves(all.Leaves)
	return all
}
