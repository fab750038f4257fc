package measure

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/agent/cuda"
)

// IdleChecker tells whether nothing uses a device. Where something does, why says
// what, and where that cannot be told for sure, idle is true and why says what is
// unknown. It is asked within the time limit of a device, before that is in use.
type IdleChecker interface {
	Idle(uuid string) (idle bool, why string)
}

// Options say what is measured and how.
type Options struct {
	// Search says where libraries are.
	Search cuda.Search
	// Devices are the UUIDs of the devices; none means all.
	Devices []string
	// Figures are from Figures; none means all.
	Figures []v1alpha1.FigureName
	// TimeLimit is for one device. StallLimit is how long one call or piece of work
	// may last beyond it before the device counts as hung.
	TimeLimit, StallLimit time.Duration
	// NVMePath is a folder on an NVMe device, "" for none. SysRoot is where sysfs
	// is, usually "/sys".
	NVMePath, SysRoot string
	// ScratchBytes is the most that the scratch file takes on NVMePath.
	ScratchBytes int64
	// Force measures devices that are in use, too.
	Force bool
	// Idle may be nil; then only the memory in use tells.
	Idle  IdleChecker
	Clock Clock
	// Progress is told what goes on, line by line.
	Progress func(line string)
}

// event is what the measuring of a device tells while it goes on.
type event struct {
	figure    *Figure
	gap       *Gap
	skipped   *Gap
	libraries func(*Libraries)
	line      string
	hung      bool
}

// Run measures. The report is of use also when there is an error, which is
// cuda.ErrNoLibrary or cuda.ErrNoDevice on a machine without an accelerator.
//
// When a device hangs, a thread of the process hangs with it: end the process
// after the report is written, without waiting for anything.
func Run(ctx context.Context, o Options) (Report, error) {
	report := Report{Schema: Schema, Devices: []DeviceReport{}}
	defer func() { report.Time = o.Clock.Now().UTC().Truncate(time.Second) }()
	driver, devices, err := open(ctx, o)
	if err != nil {
		return report, err
	}
	report.Libraries = Libraries{Driver: driver.Path(), CUDA: version(driver.Version(), 10)}
	if devices, err = selected(devices, o.Devices); err != nil {
		return report, err
	}
	if len(o.Figures) == 0 {
		o.Figures = Figures
	}
	var stopped string
	for _, device := range devices {
		out := DeviceReport{
			UUID: device.UUID, Name: device.Name, PCIAddress: device.PCIAddress, MemoryBytes: device.MemoryBytes,
			ComputeCapability: fmt.Sprintf("%d.%d", device.Major, device.Minor),
		}
		if ctx.Err() != nil && stopped == "" {
			stopped = "the run was stopped"
		}
		if stopped == "" {
			b := &bench{o: o, driver: driver, device: device, peers: devices}
			if hung := b.collect(ctx, &out, &report.Libraries); hung {
				stopped = device.UUID + " hung"
			}
		} else {
			out.Skipped = &Gap{Reason: ReasonNotTried, Message: stopped}
		}
		out.Time = o.Clock.Now().UTC().Truncate(time.Second)
		report.Devices = append(report.Devices, out)
	}
	report.Time = o.Clock.Now().UTC().Truncate(time.Second)
	return report, nil
}

// open starts the driver on a thread of its own: it can hang, too.
func open(ctx context.Context, o Options) (*cuda.Driver, []cuda.Device, error) {
	type result struct {
		driver  *cuda.Driver
		devices []cuda.Device
		err     error
	}
	done := make(chan result, 1)
	go func() {
		var r result
		if r.driver, r.err = cuda.OpenDriver(o.Search); r.err == nil {
			r.devices, r.err = r.driver.Devices()
		}
		done <- r
	}()
	select {
	case r := <-done:
		return r.driver, r.devices, r.err
	case <-time.After(o.TimeLimit + o.StallLimit):
		return nil, nil, errors.New("the CUDA driver does not come back: look for errors in the kernel's log")
	case <-ctx.Done():
		return nil, nil, fmt.Errorf("starting the CUDA driver: %w", context.Cause(ctx))
	}
}

// selected are the devices with the UUIDs, in the driver's order.
func selected(devices []cuda.Device, uuids []string) ([]cuda.Device, error) {
	var known []string
	for _, d := range devices {
		if slices.Contains(known, d.UUID) {
			return nil, fmt.Errorf("two devices have the UUID %s: nothing measured can be told apart", d.UUID)
		}
		known = append(known, d.UUID)
	}
	for _, uuid := range uuids {
		if !slices.Contains(known, uuid) {
			return nil, fmt.Errorf("no device %q: this machine has %s", uuid, strings.Join(known, ", "))
		}
	}
	if len(uuids) == 0 {
		return devices, nil
	}
	return slices.DeleteFunc(devices, func(d cuda.Device) bool { return !slices.Contains(uuids, d.UUID) }), nil
}

// collect measures one device and is true when it hung.
func (b *bench) collect(ctx context.Context, out *DeviceReport, libraries *Libraries) (hung bool) {
	// Room for all that one device can tell, so that a device that comes back late
	// does not wait for a reader.
	b.events = make(chan event, 64)
	go func() {
		defer close(b.events)
		// The thread holds a context of the driver and ends with the goroutine.
		runtime.LockOSThread()
		b.measure(ctx)
	}()
	watchdog := time.NewTimer(b.o.TimeLimit + 2*b.o.StallLimit)
	defer watchdog.Stop()
	cancelled := ctx.Done()
	for {
		select {
		case e, more := <-b.events:
			if !more {
				return hung
			}
			hung = hung || e.hung
			b.record(e, out, libraries)
		case <-cancelled:
			cancelled = nil
			watchdog.Reset(2 * b.o.StallLimit)
		case <-watchdog.C:
			b.abandon(out)
			return true
		}
	}
}

func (b *bench) record(e event, out *DeviceReport, libraries *Libraries) {
	switch {
	case e.figure != nil:
		out.Figures = append(out.Figures, *e.figure)
		e.line = fmt.Sprintf("%s: %s %.5g (%s, spread %.1f %%)", b.device.UUID, e.figure.Name, e.figure.Value, e.figure.Method, e.figure.SpreadPercent)
	case e.gap != nil:
		out.Omitted = append(out.Omitted, *e.gap)
		e.line = fmt.Sprintf("%s: no %s: %s: %s", b.device.UUID, e.gap.Name, e.gap.Reason, e.gap.Message)
	case e.skipped != nil:
		out.Skipped = e.skipped
		e.line = fmt.Sprintf("%s: skipped: %s: %s", b.device.UUID, e.skipped.Reason, e.skipped.Message)
	case e.libraries != nil:
		e.libraries(libraries)
	}
	if e.line != "" && b.o.Progress != nil {
		b.o.Progress(e.line)
	}
}

// abandon gives up on a call that does not return.
func (b *bench) abandon(out *DeviceReport) {
	for _, name := range b.o.Figures {
		has := slices.ContainsFunc(out.Figures, func(f Figure) bool { return f.Name == name }) ||
			slices.ContainsFunc(out.Omitted, func(g Gap) bool { return g.Name == name })
		if !has {
			out.Omitted = append(out.Omitted, Gap{Name: name, Reason: ReasonHung, Message: "a call of the driver does not return: look for Xid errors in the kernel's log, and reset the device"})
		}
	}
	if b.o.Progress != nil {
		b.o.Progress(b.device.UUID + ": given up, a call of the driver does not return")
	}
}
