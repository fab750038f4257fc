package testkit

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

// ErrInjected is what a write gets that was made to fail.
var ErrInjected = errors.New("injected fault")

// Faults makes one write of a client fail. The zero value makes none fail.
type Faults struct {
	// At is the number of the write that fails, from 1. 0 is none.
	At int
	// Lost lets the failing write reach the API server: only its answer is lost.
	Lost bool
	// Fatal makes every write after it fail as well, without reaching the API
	// server: the process is dead, and only does not know it yet.
	Fatal bool

	mu    sync.Mutex
	count int
}

// Writes is the number of writes so far.
func (f *Faults) Writes() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count
}

// Happened says whether the fault was injected.
func (f *Faults) Happened() bool { return f.At > 0 && f.Writes() >= f.At }

// Client returns c with the fault.
func (f *Faults) Client(c client.WithWatch) client.WithWatch {
	return interceptor.NewClient(c, interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			return f.write(func() error { return c.Create(ctx, o, opts...) })
		},
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			return f.write(func() error { return c.Delete(ctx, o, opts...) })
		},
		Update: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
			return f.write(func() error { return c.Update(ctx, o, opts...) })
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			return f.write(func() error { return c.Patch(ctx, o, p, opts...) })
		},
		SubResourceUpdate: func(ctx context.Context, c client.Client, name string, o client.Object, opts ...client.SubResourceUpdateOption) error {
			return f.write(func() error { return c.SubResource(name).Update(ctx, o, opts...) })
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, name string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
			return f.write(func() error { return c.SubResource(name).Patch(ctx, o, p, opts...) })
		},
	})
}

func (f *Faults) write(do func() error) error {
	f.mu.Lock()
	f.count++
	now := f.At > 0 && f.count == f.At
	dead := f.At > 0 && f.count > f.At && f.Fatal
	f.mu.Unlock()
	switch {
	case dead, now && !f.Lost:
		return ErrInjected
	case now:
		if err := do(); err != nil {
			return errors.Join(ErrInjected, fmt.Errorf("the write itself: %v", err)) //nolint:errorlint // A lost answer must not be recognised.
		}
		return ErrInjected
	}
	return do()
}
