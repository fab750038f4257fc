package report

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// ApplyStatus stores the status of an object by server-side apply: the fields
// that it holds are the owner's, fields of other owners stay. The object must
// have its kind set. It has no effect on an object that was deleted.
func ApplyStatus(ctx context.Context, c client.Client, object client.Object, owner string) error {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return fmt.Errorf("preparing the status of %s: %w", object.GetName(), err)
	}
	status, found, err := unstructured.NestedMap(content, "status")
	if err != nil || !found {
		return fmt.Errorf("preparing the status of %s: it has none", object.GetName())
	}
	metadata := map[string]any{"name": object.GetName()}
	if object.GetNamespace() != "" {
		metadata["namespace"] = object.GetNamespace()
	}
	apply := &unstructured.Unstructured{Object: map[string]any{"metadata": metadata, "status": status}}
	apply.SetGroupVersionKind(object.GetObjectKind().GroupVersionKind())
	err = c.Status().Apply(ctx, client.ApplyConfigurationFromUnstructured(apply), client.FieldOwner(owner), client.ForceOwnership)
	if err := client.IgnoreNotFound(err); err != nil {
		return fmt.Errorf("storing the status of %s: %w", object.GetName(), err)
	}
	return nil
}
