package measure

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/agent/cuda"
)

// bench is the measuring of one device. Everything below measure runs on one
// thread, the one that holds the device's context.
type bench struct {
	o      Options
	driver *cuda.Driver
	device cuda.Device
	// peers are all devices of the run, this one too.
	peers  []cuda.Device
	events chan event

	limits  limits
	context *cuda.Context
	queue   *cuda.Queue
	// host is pinned memory of transferBytes.
	host cuda.HostMemory
	// undo gives back what is held for all figures, last first.
	undo []func() error
}

// measure tells about each figure, or why the device is skipped.
func (b *bench) measure(ctx context.Context) {
	b.limits = limits{clock: b.o.Clock, deadline: b.o.Clock.Now().Add(b.o.TimeLimit), stall: b.o.StallLimit}
	if gap := b.prepare(); gap != nil {
		b.events <- event{skipped: gap}
		b.close()
		return
	}
	for i, name := range b.o.Figures {
		b.events <- event{line: fmt.Sprintf("%s (%s): measuring %s", b.device.UUID, b.device.Name, name)}
		out, err := b.figure(ctx, name)
		if err == nil {
			b.events <- event{figure: &out}
			continue
		}
		b.events <- event{gap: gapOf(name, err)}
		if hung := errors.Is(err, errHung); hung || cuda.Sticky(err) {
			b.lose(b.o.Figures[i+1:], name, hung)
			return
		}
	}
	b.close()
}

// lose leaves the rest out. Nothing is given back: every call would fail, or hang.
func (b *bench) lose(rest []v1alpha1.FigureName, at v1alpha1.FigureName, hung bool) {
	reason := ReasonDeviceError
	if hung {
		reason = ReasonHung
	}
	for _, name := range rest {
		b.events <- event{gap: &Gap{Name: name, Reason: reason, Message: fmt.Sprintf("the device was lost while %s was measured", at)}}
	}
	b.events <- event{hung: hung}
}

// prepare checks that the device is idle and takes it into use.
func (b *bench) prepare() *Gap {
	if b.device.Slice {
		return &Gap{Reason: ReasonSlice, Message: "figures of a MIG slice say nothing about the device's model"}
	}
	why, unknown := b.inUse(b.device)
	if why != "" {
		return &Gap{Reason: ReasonBusy, Message: why}
	}
	if unknown != "" {
		b.events <- event{line: fmt.Sprintf("%s: taken for idle, though not all can be told: %s", b.device.UUID, unknown)}
	}
	var err error
	if b.context, err = b.driver.Attach(b.device); err != nil {
		return gapOf("", err)
	}
	b.undo = append(b.undo, b.context.Close)
	free, total, err := b.context.MemoryInfo()
	if err != nil {
		return gapOf("", err)
	}
	if why := busy(free, total); why != "" && !b.o.Force {
		return &Gap{Reason: ReasonBusy, Message: why}
	}
	if b.queue, err = b.context.NewQueue(); err != nil {
		return gapOf("", err)
	}
	b.undo = append(b.undo, b.queue.Close)
	return nil
}

// inUse says why a device is not idle, and else what of that is unknown. Force asks
// nobody.
func (b *bench) inUse(device cuda.Device) (why, unknown string) {
	if b.o.Idle == nil || b.o.Force {
		return "", ""
	}
	idle, told := b.o.Idle.Idle(device.UUID)
	if idle {
		return "", told
	}
	return cmp.Or(told, "something uses it"), ""
}

// close gives everything back. A device that does not take it has lost its
// context, which ends with the process.
func (b *bench) close() {
	for i := len(b.undo) - 1; i >= 0; i-- {
		if err := b.undo[i](); err != nil {
			b.events <- event{line: fmt.Sprintf("%s: giving back: %v", b.device.UUID, err)}
			return
		}
	}
}

// figure measures one figure.
func (b *bench) figure(ctx context.Context, name v1alpha1.FigureName) (Figure, error) {
	if err := b.limits.check(ctx); err != nil {
		return Figure{}, err
	}
	if err := supports(name, b.device.Major, b.device.Minor); err != nil {
		return Figure{}, err
	}
	switch name {
	case v1alpha1.FigureBF16:
		return b.matmul(ctx, name, cuda.BF16)
	case v1alpha1.FigureFP8:
		return b.matmul(ctx, name, cuda.FP8)
	case v1alpha1.FigureMemoryBandwidth:
		return b.memory(ctx)
	case v1alpha1.FigureHostToDevice:
		return b.fromHost(ctx)
	case v1alpha1.FigurePeerToPeer:
		return b.toPeers(ctx)
	case v1alpha1.FigureNVMeToDevice:
		return b.fromNVMe(ctx)
	default:
		return Figure{}, &gapError{ReasonUnsupported, "nothing here measures it"}
	}
}

// with takes device memory for the time of use. The memory of a device that was
// lost is not given back.
func (b *bench) with(sizes []int64, use func([]cuda.Memory) error) (err error) {
	var held []cuda.Memory
	defer func() {
		if errors.Is(err, errHung) || cuda.Sticky(err) {
			return
		}
		for _, m := range held {
			err = errors.Join(err, b.context.Free(m))
		}
	}()
	for _, size := range sizes {
		m, err := b.context.Alloc(size)
		if err != nil {
			return err
		}
		held = append(held, m)
	}
	return use(held)
}

// pinned is host memory that all figures of the device share.
func (b *bench) pinned() (cuda.HostMemory, error) {
	if b.host.Len() > 0 {
		return b.host, nil
	}
	host, err := b.context.AllocHost(hostBytes)
	if err != nil {
		return cuda.HostMemory{}, fmt.Errorf("taking %d MiB of host memory: %w", hostBytes/mebibyte, err)
	}
	b.host = host
	b.undo = append(b.undo, func() error { return b.context.FreeHost(host) })
	return host, nil
}

// free is the device memory that nobody uses.
func (b *bench) free() (int64, error) {
	free, _, err := b.context.MemoryInfo()
	return free, err
}

// gapOf turns an error into what the report says.
func gapOf(name v1alpha1.FigureName, err error) *Gap {
	gap := &Gap{Name: name, Reason: ReasonDeviceError, Message: err.Error()}
	var known *gapError
	var symbol *cuda.SymbolError
	switch {
	case errors.As(err, &known):
		gap.Reason = known.reason
	case errors.Is(err, cuda.ErrNoLibrary), errors.As(err, &symbol):
		gap.Reason = ReasonNoLibrary
	case cuda.Sticky(err):
		gap.Reason = ReasonDeviceError
	case cuda.OutOfMemory(err):
		gap.Reason = ReasonOutOfMemory
	case cuda.NotSupported(err):
		gap.Reason = ReasonUnsupported
	}
	return gap
}
