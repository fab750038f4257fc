package topology

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/report"
)

func (r *Reconciler) applyDomains(ctx context.Context, next decision) error {
	var errs []error
	for _, domain := range next.remove {
		if err := client.IgnoreNotFound(r.Client.Delete(ctx, domain.DeepCopy(), client.Preconditions{UID: &domain.UID})); err != nil {
			errs = append(errs, fmt.Errorf("deleting domain %s: %w", domain.Name, err))
		}
	}
	for _, domain := range next.create {
		content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(domain)
		if err != nil {
			return fmt.Errorf("preparing domain %s: %w", domain.Name, err)
		}
		delete(content, "status")
		apply := client.ApplyConfigurationFromUnstructured(&unstructured.Unstructured{Object: content})
		if err := r.Client.Apply(ctx, apply, client.FieldOwner(owner), client.ForceOwnership); err != nil {
			errs = append(errs, fmt.Errorf("applying domain %s: %w", domain.Name, err))
		}
	}
	for _, c := range next.correct {
		// Apply would leave the fields of whoever edited the domain.
		changed := c.is.DeepCopy()
		changed.Spec = c.wanted.Spec
		changed.Labels[v1alpha1.LabelTopologySource] = c.wanted.Labels[v1alpha1.LabelTopologySource]
		patch := client.MergeFromWithOptions(c.is, client.MergeFromWithOptimisticLock{})
		if err := client.IgnoreNotFound(r.Client.Patch(ctx, changed, patch, client.FieldOwner(owner))); err != nil {
			errs = append(errs, fmt.Errorf("correcting domain %s: %w", c.is.Name, err))
		}
	}
	return errors.Join(errs...)
}

func (r *Reconciler) applyStatus(ctx context.Context, next decision) error {
	return report.Each(next.status, func(domain *v1alpha1.TopologyDomain) error { return report.ApplyStatus(ctx, r.Client, domain, owner) })
}

func (r *Reconciler) labelNodes(ctx context.Context, next decision) error {
	return report.Each(slices.Sorted(maps.Keys(next.labels)), func(node string) error {
		return report.LabelNode(ctx, r.Client, node, next.labels[node])
	})
}
