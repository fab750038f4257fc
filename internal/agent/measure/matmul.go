package measure

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/agent/cuda"
)

// matmul is the best of the products that fit.
func (b *bench) matmul(ctx context.Context, name v1alpha1.FigureName, precision cuda.Precision) (out Figure, err error) {
	blas, err := b.context.OpenBLAS(b.o.Search)
	if err != nil {
		return out, &gapError{ReasonNoLibrary, fmt.Sprintf("%v: the driver does not bring cuBLASLt; name its place with --cublaslt", err)}
	}
	path, number := blas.Path(), blas.Version()
	b.events <- event{libraries: func(l *Libraries) { l.BLAS, l.BLASVersion = path, version(number, 100) }}
	defer func() {
		if !errors.Is(err, errHung) && !cuda.Sticky(err) {
			err = errors.Join(err, blas.Close())
		}
	}()
	free, err := b.free()
	if err != nil {
		return out, err
	}
	sizes := matmulSizes(free, precision)
	if len(sizes) == 0 {
		return out, errNoRoom
	}
	for _, n := range sizes {
		one, err := b.product(ctx, name, blas, precision, n)
		var gap *gapError
		// The first size may have used up the time.
		if out.Value > 0 && errors.As(err, &gap) && gap.reason == ReasonTimeLimit {
			return out, nil
		}
		if err != nil {
			return Figure{}, fmt.Errorf("%d x %d: %w", n, n, err)
		}
		if one.Value > out.Value {
			out = one
		}
	}
	return out, nil
}

// product measures one size.
func (b *bench) product(ctx context.Context, name v1alpha1.FigureName, blas *cuda.BLAS, precision cuda.Precision, n int64) (out Figure, err error) {
	factor := n * n * precision.Bytes()
	err = b.with([]int64{factor, factor, 2 * n * n, 4, workspaceBytes}, func(m []cuda.Memory) (err error) {
		memory := cuda.MatmulMemory{A: m[0], B: m[1], D: m[2], Scale: m[3], Workspace: m[4]}
		if err := b.fill(memory, precision); err != nil {
			return err
		}
		product, err := blas.NewMatmul(precision, n, memory)
		if err != nil {
			return err
		}
		defer func() {
			if !errors.Is(err, errHung) {
				err = errors.Join(err, product.Close())
			}
		}()
		best, err := b.fastest(ctx, product)
		if err != nil {
			return err
		}
		seconds, err := b.limits.sample(ctx, b.queue, func() error { return product.Queue(b.queue, best) })
		if err != nil {
			return err
		}
		out, err = figure(name, 2*math.Pow(float64(n), 3)/1e12, seconds)
		return err
	})
	out.Method, out.Detail = "cuBLASLt", fmt.Sprintf("%d x %d x %d", n, n, n)
	return out, err
}

// fastest tries the algorithms that cuBLASLt proposes, since its order is a guess.
func (b *bench) fastest(ctx context.Context, product *cuda.Matmul) (int, error) {
	const tries = 3
	best, least := 0, math.Inf(1)
	for algorithm := range product.Algorithms() {
		if err := b.limits.check(ctx); err != nil {
			return 0, err
		}
		run := func() error { return product.Queue(b.queue, algorithm) }
		if _, err := b.limits.timed(b.queue, 1, run); err != nil {
			return 0, err
		}
		seconds, err := b.limits.timed(b.queue, tries, run)
		if err != nil {
			return 0, err
		}
		if seconds < least {
			best, least = algorithm, seconds
		}
	}
	return best, nil
}

// fill copies random numbers to both factors and 1 to the scale. The numbers
// repeat, which the device does not notice.
func (b *bench) fill(memory cuda.MatmulMemory, precision cuda.Precision) error {
	const part = 32 * mebibyte
	host, err := b.pinned()
	if err != nil {
		return err
	}
	fill(host.Bytes()[:part], precision)
	copies := func() error {
		for _, to := range []cuda.Memory{memory.A, memory.B} {
			for offset := int64(0); offset < to.Bytes; offset += part {
				if err := b.queue.CopyToDevice(to, offset, host, min(part, to.Bytes-offset)); err != nil {
					return err
				}
			}
		}
		return nil
	}
	if _, err := b.limits.timed(b.queue, 1, copies); err != nil {
		return err
	}
	binary.LittleEndian.PutUint32(host.Bytes(), math.Float32bits(1))
	_, err = b.limits.timed(b.queue, 1, func() error { return b.queue.CopyToDevice(memory.Scale, 0, host, memory.Scale.Bytes) })
	return err
}
