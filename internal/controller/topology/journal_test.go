package topology

import (
	"context"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/k8s4ai/k8s4ai/internal/testkit"
)

// journal notes the writes of a client as "verb name". With a limit, writes
// beyond it fail without reaching the API server, as they do when the process is
// dead and does not know it yet.
type journal struct {
	mu     sync.Mutex
	lines  []string
	limit  int
	writes int
}

// take returns the writes since the last call, sorted.
func (j *journal) take() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	taken := j.lines
	j.lines = nil
	slices.Sort(taken)
	return taken
}

func (j *journal) note(verb string, object any, do func() error) error {
	j.mu.Lock()
	j.writes++
	dead := j.limit > 0 && j.writes > j.limit
	if !dead {
		j.lines = append(j.lines, verb+" "+object.(interface{ GetName() string }).GetName())
	}
	j.mu.Unlock()
	if dead {
		return testkit.ErrInjected
	}
	return do()
}

func (j *journal) client(c client.WithWatch) client.WithWatch {
	return interceptor.NewClient(c, interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			return j.note("create", o, func() error { return c.Create(ctx, o, opts...) })
		},
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			return j.note("delete", o, func() error { return c.Delete(ctx, o, opts...) })
		},
		Update: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
			return j.note("update", o, func() error { return c.Update(ctx, o, opts...) })
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			return j.note("patch", o, func() error { return c.Patch(ctx, o, p, opts...) })
		},
		Apply: func(ctx context.Context, c client.WithWatch, o runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
			return j.note("apply", o, func() error { return c.Apply(ctx, o, opts...) })
		},
		SubResourceApply: func(ctx context.Context, c client.Client, sub string, o runtime.ApplyConfiguration, opts ...client.SubResourceApplyOption) error {
			return j.note(sub, o, func() error { return c.SubResource(sub).Apply(ctx, o, opts...) })
		},
	})
}
