package report

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// writers bounds the API calls in flight of one Each.
const writers = 16

// Each runs a write for every item, some at a time, and joins the errors: one
// object that cannot be written does not keep the others from it.
func Each[T any](items []T, write func(T) error) error {
	errs := make([]error, len(items))
	var group errgroup.Group
	group.SetLimit(writers)
	for i, item := range items {
		group.Go(func() error {
			errs[i] = write(item)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return errors.Join(errs...)
}

// LabelNode sets labels of a node, and removes those whose value is nil. A node
// that was deleted stays deleted.
func LabelNode(ctx context.Context, c client.Client, node string, labels map[string]*string) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"labels": labels}})
	if err != nil {
		return fmt.Errorf("labelling node %s: %w", node, err)
	}
	object := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node}}
	if err := client.IgnoreNotFound(c.Patch(ctx, object, client.RawPatch(types.MergePatchType, patch))); err != nil {
		return fmt.Errorf("labelling node %s: %w", node, err)
	}
	return nil
}
