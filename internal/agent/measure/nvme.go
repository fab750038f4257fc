package measure

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/agent/cuda"
)

const (
	// readers read at once; one alone does not keep an NVMe device busy.
	readers    = 4
	chunkBytes = 16 * mebibyte
	// The scratch file takes at most a tenth of what is free on its file system.
	scratchShare = 10
	leastScratch = readers * chunkBytes
)

// reader brings chunks of the scratch file to the device, on a thread of its own.
type reader struct {
	read func(offset int64) error
}

// fromNVMe reads a scratch file past the page cache: directly to the device where
// cuFile can do that for sure, and through pinned host memory elsewhere. Which of
// the two it was is the method.
func (b *bench) fromNVMe(ctx context.Context) (out Figure, err error) {
	if b.o.NVMePath == "" {
		return out, &gapError{ReasonNoPath, "give a folder on an NVMe device with --nvme-path"}
	}
	disk, err := nvmeOf(b.o.SysRoot, b.o.NVMePath)
	if err != nil {
		return out, err
	}
	host, err := b.pinned()
	if err != nil {
		return out, err
	}
	fill(host.Bytes()[:chunkBytes], cuda.BF16)
	file, err := writeScratch(b.o.NVMePath, b.o.ScratchBytes, host.Bytes()[:chunkBytes], func() error { return b.limits.check(ctx) })
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()

	sizes := make([]int64, readers)
	for i := range sizes {
		sizes[i] = chunkBytes
	}
	err = b.with(sizes, func(m []cuda.Memory) error {
		var direct error
		if out, direct = b.directly(ctx, file, m); direct == nil {
			out.Method = "GPUDirectStorage"
			return nil
		}
		var gap *gapError
		if errors.As(direct, &gap) || cuda.Sticky(direct) {
			return direct
		}
		b.events <- event{line: fmt.Sprintf("%s: no GPUDirect Storage, reading through the host: %v", b.device.UUID, direct)}
		out, err = b.throughHost(ctx, file, m, host)
		out.Method = "ThroughHost"
		return err
	})
	out.Detail = fmt.Sprintf("%d MiB from %s, %d readers", file.size/mebibyte, disk, readers)
	return out, err
}

// directly reads with cuFile. An error that is no gapError means that the other
// way is left.
func (b *bench) directly(ctx context.Context, file *scratch, memory []cuda.Memory) (out Figure, err error) {
	files, err := cuda.OpenFiles(b.o.Search)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, files.Close()) }()
	registered, err := files.Register(file.descriptor())
	if err != nil {
		return out, err
	}
	defer registered.Close()
	var all []reader
	var pinned []cuda.Memory
	defer func() {
		for _, m := range pinned {
			err = errors.Join(err, files.Unpin(m))
		}
	}()
	for _, m := range memory {
		if err := files.Pin(m); err != nil {
			return out, err
		}
		pinned = append(pinned, m)
		all = append(all, reader{read: func(offset int64) error { return registered.Read(m, offset, chunkBytes) }})
	}
	path := files.Path()
	if out, err = b.passes(ctx, file, all); err == nil {
		b.events <- event{libraries: func(l *Libraries) { l.Files = path }}
	}
	return out, err
}

// throughHost reads to pinned memory and copies from there.
func (b *bench) throughHost(ctx context.Context, file *scratch, memory []cuda.Memory, host cuda.HostMemory) (out Figure, err error) {
	var all []reader
	var queues []*cuda.Queue
	defer func() {
		if errors.Is(err, errHung) || cuda.Sticky(err) {
			return
		}
		for _, queue := range queues {
			err = errors.Join(err, queue.Close())
		}
	}()
	for i, m := range memory {
		queue, err := b.context.NewQueue()
		if err != nil {
			return out, err
		}
		queues = append(queues, queue)
		part := host.Part(int64(i)*chunkBytes, chunkBytes)
		all = append(all, reader{read: func(offset int64) error {
			if err := file.readAt(part.Bytes(), offset); err != nil {
				return err
			}
			_, err := b.limits.timed(queue, 1, func() error { return queue.CopyToDevice(m, 0, part, chunkBytes) })
			return err
		}})
	}
	return b.passes(ctx, file, all)
}

// passes reads the file several times. The time is the host's: a read from disk is
// no work of the device's.
func (b *bench) passes(ctx context.Context, file *scratch, all []reader) (Figure, error) {
	var seconds []float64
	for pass := range repetitions + 1 {
		if err := b.limits.check(ctx); err != nil {
			if len(seconds) >= leastRepetitions && ctx.Err() == nil {
				break
			}
			return Figure{}, err
		}
		start := b.o.Clock.Now()
		if err := b.pass(ctx, file, all); err != nil {
			return Figure{}, err
		}
		// The first pass warms up.
		if pass > 0 {
			seconds = append(seconds, b.o.Clock.Now().Sub(start).Seconds())
		}
	}
	return figure(v1alpha1.FigureNVMeToDevice, float64(file.size)/giga, seconds)
}

// pass reads the file once, with all readers at the same time.
func (b *bench) pass(ctx context.Context, file *scratch, all []reader) error {
	var next atomic.Int64
	var group sync.WaitGroup
	failures := make([]error, len(all))
	for i, r := range all {
		group.Go(func() {
			// The context belongs to the thread; the thread ends with the goroutine.
			runtime.LockOSThread()
			if failures[i] = b.context.Use(); failures[i] != nil {
				return
			}
			for failures[i] == nil {
				offset := (next.Add(1) - 1) * chunkBytes
				if offset >= file.size {
					return
				}
				if failures[i] = b.limits.check(ctx); failures[i] == nil {
					failures[i] = r.read(offset)
				}
			}
		})
	}
	group.Wait()
	return errors.Join(failures...)
}
