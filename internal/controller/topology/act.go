package topology

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/report"
)

// act writes what was decided. It returns what could not be written, which has to
// be looked at again.
func (r *Reconciler) act(ctx context.Context, next decision) (batch, error) {
	failed := newBatch()
	var mu sync.Mutex
	keep := func(into map[string]struct{}, name string, err error) error {
		if err != nil {
			mu.Lock()
			defer mu.Unlock()
			into[name] = struct{}{}
		}
		return err
	}
	removed := report.Each(next.remove, func(d *v1alpha1.TopologyDomain) error { return keep(failed.domains, d.Name, r.remove(ctx, d)) })
	created := report.Each(next.create, func(d *v1alpha1.TopologyDomain) error { return keep(failed.domains, d.Name, r.create(ctx, d)) })
	corrected := report.Each(next.correct, func(c correction) error { return keep(failed.domains, c.is.Name, r.correct(ctx, c)) })
	told := report.Each(next.status, func(d *v1alpha1.TopologyDomain) error {
		return keep(failed.domains, d.Name, report.ApplyStatus(ctx, r.Client, d, owner))
	})
	labelled := report.Each(next.labels, func(l relabelling) error {
		return keep(failed.nodes, l.node, report.LabelNode(ctx, r.Client, l.node, l.change))
	})
	return failed, errors.Join(removed, created, corrected, told, labelled)
}

func (r *Reconciler) remove(ctx context.Context, domain *v1alpha1.TopologyDomain) error {
	if err := client.IgnoreNotFound(r.Client.Delete(ctx, domain.DeepCopy(), client.Preconditions{UID: &domain.UID})); err != nil {
		return fmt.Errorf("deleting domain %s: %w", domain.Name, err)
	}
	return nil
}

func (r *Reconciler) create(ctx context.Context, domain *v1alpha1.TopologyDomain) error {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(domain)
	if err != nil {
		return fmt.Errorf("preparing domain %s: %w", domain.Name, err)
	}
	delete(content, "status")
	apply := client.ApplyConfigurationFromUnstructured(&unstructured.Unstructured{Object: content})
	if err := r.Client.Apply(ctx, apply, client.FieldOwner(owner), client.ForceOwnership); err != nil {
		return fmt.Errorf("applying domain %s: %w", domain.Name, err)
	}
	return nil
}

// correct replaces the whole spec: to apply it would leave the fields of whoever
// edited the domain.
func (r *Reconciler) correct(ctx context.Context, c correction) error {
	changed := c.is.DeepCopy()
	changed.Spec = c.wanted.Spec
	changed.Labels[v1alpha1.LabelTopologySource] = c.wanted.Labels[v1alpha1.LabelTopologySource]
	patch := client.MergeFromWithOptions(c.is, client.MergeFromWithOptimisticLock{})
	if err := client.IgnoreNotFound(r.Client.Patch(ctx, changed, patch, client.FieldOwner(owner))); err != nil {
		return fmt.Errorf("correcting domain %s: %w", c.is.Name, err)
	}
	return nil
}
