package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/k8s4ai/k8s4ai/internal/agent/cuda"
	"github.com/k8s4ai/k8s4ai/internal/agent/measure"
)

// Exit codes of measure beside 0 for success and 1 for any other error.
const (
	exitNoAccelerator   = 3
	exitNothingMeasured = 4
)

// exitError is an error with the exit code that it stands for.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// ExitCode is what the process ends with.
func (e *exitError) ExitCode() int { return e.code }

const measureLong = `measure finds out what the accelerators of this machine really deliver: matrix
products, device memory, host to device, between devices, and NVMe to device.

Only idle devices are measured, one after the other, and each within a time
limit. A device is idle when no other process computes on it, its utilisation is
at most 5 %% and no more than 5 %% of its memory is in use. What cannot be
measured is left out and named with its reason. The report goes to standard
output, progress to standard error.

Figures: %s.

Exit codes:
  0  at least one figure was measured
  1  an error, which is printed
  3  no accelerator: no CUDA driver, or a driver without a device
  4  accelerators, but none could be measured`

const measureExample = `  # Everything that can be measured, for people
  node-agent measure -o table

  # Two figures of one device
  node-agent measure --devices GPU-5c89c0ab-4d0c-8b2d-9f0a-0d2c4d3f6a11 --figures BF16TeraFLOPS,MemoryGBps

  # With a disk, and with cuBLASLt from a folder
  node-agent measure --nvme-path /mnt/nvme0 --cublaslt /opt/cuda/lib64

  # In a cluster: keep the result in the node's TopologyDomain
  NODE_NAME=gpu-node-0 node-agent measure --store`

// measureFlags are the flags of measure.
type measureFlags struct {
	devices, figures []string
	output           string
	store, force     bool
	timeLimit        time.Duration
	nvmePath         string
	hostRoot         string
	nvml             string
	search           cuda.Search
}

// newMeasureCommand is `node-agent measure`. Its error has a method ExitCode where
// the process ends with another code than 1.
func newMeasureCommand() *cobra.Command {
	var f measureFlags
	command := &cobra.Command{
		Use:           "measure",
		Short:         "Measure what the accelerators of this machine deliver",
		Long:          fmt.Sprintf(measureLong, strings.Join(figureNames(), ", ")),
		Example:       measureExample,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(command *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(command.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return f.run(ctx, command.OutOrStdout(), command.ErrOrStderr())
		},
	}
	flags := command.Flags()
	flags.StringSliceVar(&f.devices, "devices", nil, "UUIDs of the devices; by default all that the driver shows to this process")
	flags.StringSliceVar(&f.figures, "figures", nil, "names of the figures; by default all")
	flags.StringVarP(&f.output, "output", "o", "json", "json or table")
	flags.BoolVar(&f.store, "store", false, "keep the result in the TopologyDomain of the node that NODE_NAME names")
	flags.BoolVar(&f.force, "force", false, "measure devices that are in use, too: nobody is asked who uses them; their figures are then too low, and the work that uses them is slowed down")
	flags.DurationVar(&f.timeLimit, "time-limit", time.Minute, "for all figures of one device")
	flags.StringVar(&f.nvmePath, "nvme-path", "", "folder on an NVMe device for a scratch file of at most 1 GiB; without it NVMeToDeviceGBps is left out")
	flags.StringVar(&f.hostRoot, "host-root", "", "folder below which the host's file system is seen; libraries are looked for there first")
	flags.StringVar(&f.search.Driver, "libcuda", "", "libcuda.so.1, or its folder")
	flags.StringVar(&f.nvml, "libnvidia-ml", "", "libnvidia-ml.so.1, or its folder; without that library only the memory in use tells whether a device is idle")
	flags.StringVar(&f.search.BLASLt, "cublaslt", "", "libcublasLt.so.12 or .13, or its folder")
	flags.StringVar(&f.search.CUFile, "cufile", "", "libcufile.so.0, or its folder")
	return command
}

func figureNames() []string {
	var names []string
	for _, name := range measure.Figures {
		names = append(names, string(name))
	}
	return names
}

// options checks the flags.
func (f *measureFlags) options() (measure.Options, error) {
	o := measure.Options{
		Search: f.search, Devices: f.devices, TimeLimit: f.timeLimit, StallLimit: 10 * time.Second, NVMePath: f.nvmePath,
		SysRoot: filepath.Join(cmp.Or(f.hostRoot, string(filepath.Separator)), "sys"), ScratchBytes: 1 << 30, Force: f.force, Clock: measure.Clock{Now: time.Now, Sleep: time.Sleep},
	}
	o.Search.HostRoot = f.hostRoot
	for _, name := range f.figures {
		if !slices.Contains(figureNames(), name) {
			return o, fmt.Errorf("--figures: %q is none that can be measured: choose from %s", name, strings.Join(figureNames(), ", "))
		}
	}
	// The order is fixed: what heats the device up comes after the copies.
	for _, name := range measure.Figures {
		if len(f.figures) == 0 || slices.Contains(f.figures, string(name)) {
			o.Figures = append(o.Figures, name)
		}
	}
	if f.output != "json" && f.output != "table" {
		return o, fmt.Errorf("--output: %q is neither json nor table", f.output)
	}
	const most = time.Hour
	if f.timeLimit < time.Second || f.timeLimit > most {
		return o, fmt.Errorf("--time-limit: %v is not between 1s and %v", f.timeLimit, most)
	}
	return o, nil
}

func (f *measureFlags) run(ctx context.Context, out, progress io.Writer) error {
	o, err := f.options()
	if err != nil {
		return err
	}
	node := os.Getenv("NODE_NAME")
	var store *measure.Store
	if f.store {
		if store, err = inCluster(node); err != nil {
			return err
		}
		if err := store.Check(ctx); err != nil {
			return err
		}
	}
	o.Idle = newIdleChecker(f.nvml, f.hostRoot)
	o.Progress = func(line string) { _, _ = fmt.Fprintln(progress, line) }
	report, err := measure.Run(ctx, o)
	if errors.Is(err, cuda.ErrNoLibrary) || errors.Is(err, cuda.ErrNoDevice) {
		return &exitError{exitNoAccelerator, fmt.Errorf("no accelerator: %w; a container sees one only when it asks for it, and libcuda only with NVIDIA_DRIVER_CAPABILITIES=compute,utility", err)}
	}
	if err != nil {
		return err
	}
	report.NodeName = node
	write := report.WriteJSON
	if f.output == "table" {
		write = report.WriteTable
	}
	if err := write(out); err != nil {
		return err
	}
	return f.keep(ctx, store, report)
}

// keep stores what was measured, unless the run was cut short: a part would replace
// the whole of an earlier run.
func (f *measureFlags) keep(ctx context.Context, store *measure.Store, report measure.Report) error {
	if ctx.Err() != nil {
		return errors.New("stopped before the end; nothing is stored")
	}
	if !report.Measured() {
		return &exitError{exitNothingMeasured, errors.New("nothing could be measured; the report says why")}
	}
	if store == nil {
		return nil
	}
	return store.Write(ctx, report.Measurements())
}

// inCluster is the store of the node on which this Pod runs.
func inCluster(node string) (*measure.Store, error) {
	if node == "" {
		return nil, errors.New("--store: NODE_NAME is not set: take it from spec.nodeName, as config/measure/job.yaml does")
	}
	config, err := rest.InClusterConfig()
	if err != nil {
		return nil, fmt.Errorf("--store: %w", err)
	}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("--store: making a client: %w", err)
	}
	return &measure.Store{Client: client, Node: node}, nil
}
