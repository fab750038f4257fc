package measure

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/agent/cuda"
)

const giga = 1e9

var errNoRoom = &gapError{ReasonOutOfMemory, "too little device memory is free"}

// memory copies from one half of a range to the other. Each byte counts twice: it
// is read and written.
func (b *bench) memory(ctx context.Context) (out Figure, err error) {
	free, err := b.free()
	if err != nil {
		return out, err
	}
	size := copyBytes(free, b.device.L2Bytes)
	if size == 0 {
		return out, errNoRoom
	}
	err = b.with([]int64{size, size}, func(m []cuda.Memory) error {
		seconds, err := b.limits.sample(ctx, b.queue, func() error { return b.queue.Copy(m[0], m[1]) })
		if err != nil {
			return err
		}
		out, err = figure(v1alpha1.FigureMemoryBandwidth, 2*float64(size)/giga, seconds)
		return err
	})
	out.Method, out.Detail = "DeviceCopy", fmt.Sprintf("%d MiB, read and written", size/mebibyte)
	return out, err
}

// fromHost copies from pinned memory of the NUMA node on which the process runs.
func (b *bench) fromHost(ctx context.Context) (out Figure, err error) {
	size, host, err := b.transfer()
	if err != nil {
		return out, err
	}
	err = b.with([]int64{size}, func(m []cuda.Memory) error {
		seconds, err := b.limits.sample(ctx, b.queue, func() error { return b.queue.CopyToDevice(m[0], 0, host, size) })
		if err != nil {
			return err
		}
		out, err = figure(v1alpha1.FigureHostToDevice, float64(size)/giga, seconds)
		return err
	})
	out.Method, out.Detail = "PinnedCopy", fmt.Sprintf("%d MiB", size/mebibyte)
	return out, err
}

// transfer is the size of a transfer and pinned memory of at least that size.
func (b *bench) transfer() (int64, cuda.HostMemory, error) {
	free, err := b.free()
	if err != nil {
		return 0, cuda.HostMemory{}, err
	}
	size := transferBytes(free)
	if size == 0 {
		return 0, cuda.HostMemory{}, errNoRoom
	}
	host, err := b.pinned()
	return size, host, err
}

// toPeers copies to each other device that can be reached directly, one at a time
// and in one direction. The figure is the worst of them: a gang is as fast as its
// slowest pair, and a median would hide the one broken link.
func (b *bench) toPeers(ctx context.Context) (Figure, error) {
	var worst Figure
	var peers []PeerFigure
	var failures []string
	for _, peer := range b.peers {
		if peer.UUID == b.device.UUID {
			continue
		}
		if err := b.limits.check(ctx); err != nil {
			return Figure{}, err
		}
		can, err := b.driver.CanAccessPeer(b.device, peer)
		if err != nil {
			return Figure{}, err
		}
		if !can || peer.Slice {
			failures = append(failures, peer.UUID+": no direct access")
			continue
		}
		one, err := b.toPeer(ctx, peer)
		var gap *gapError
		if errors.As(err, &gap) && gap.reason == ReasonBusy {
			failures = append(failures, peer.UUID+": "+gap.message)
			continue
		}
		if err != nil {
			return Figure{}, fmt.Errorf("to %s: %w", peer.UUID, err)
		}
		peers = append(peers, PeerFigure{UUID: peer.UUID, Value: one.Value})
		if worst.Value == 0 || one.Value < worst.Value {
			worst = one
			worst.Detail = fmt.Sprintf("the worst peer, %s", peer.UUID)
		}
	}
	if len(peers) == 0 {
		message := "no other device of this run can be reached directly"
		if len(failures) > 0 {
			message += ": " + strings.Join(failures, "; ")
		}
		return Figure{}, &gapError{ReasonNoPeer, message}
	}
	worst.Method, worst.Peers = "PeerCopy", peers
	return worst, nil
}

func (b *bench) toPeer(ctx context.Context, device cuda.Device) (out Figure, err error) {
	if why, _ := b.inUse(device); why != "" {
		return out, &gapError{ReasonBusy, why}
	}
	peer, err := b.driver.Attach(device)
	if err != nil {
		return out, err
	}
	var target cuda.Memory
	defer func() {
		if errors.Is(err, errHung) || cuda.Sticky(err) {
			return
		}
		if target.Bytes > 0 {
			err = errors.Join(err, peer.Use(), peer.Free(target))
		}
		err = errors.Join(err, peer.Close(), b.context.Use())
	}()
	free, total, err := peer.MemoryInfo()
	if err != nil {
		return out, err
	}
	if why := busy(free, total); why != "" && !b.o.Force {
		return out, &gapError{ReasonBusy, why}
	}
	memory, err := peer.Alloc(max(transferBytes(free), mebibyte))
	if err != nil {
		return out, err
	}
	target = memory
	if err := errors.Join(b.context.Use(), b.context.EnablePeer(peer)); err != nil {
		return out, err
	}
	err = b.with([]int64{target.Bytes}, func(m []cuda.Memory) error {
		seconds, err := b.limits.sample(ctx, b.queue, func() error { return b.queue.CopyToPeer(peer, target, m[0]) })
		if err != nil {
			return err
		}
		out, err = figure(v1alpha1.FigurePeerToPeer, float64(target.Bytes)/giga, seconds)
		return err
	})
	return out, err
}
