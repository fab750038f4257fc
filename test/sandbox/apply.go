package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
)

// fieldManager owns what the sandbox applies.
const fieldManager = "sandbox"

var crdKind = schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"}

// Apply applies objects in the given order by server-side apply. Typed objects
// need their kind in Options.Scheme. Status is left out, for it has an API of its
// own; use Cluster.Client.
func (c *Cluster) Apply(ctx context.Context, objects ...client.Object) error {
	for _, object := range objects {
		u, err := c.toApply(object)
		if err != nil {
			return err
		}
		applied := client.ApplyConfigurationFromUnstructured(u)
		if err := c.Client.Apply(ctx, applied, client.FieldOwner(fieldManager), client.ForceOwnership); err != nil {
			return fmt.Errorf("applying %s %s: %w", u.GetKind(), client.ObjectKeyFromObject(u), err)
		}
	}
	return nil
}

// toApply turns an object into what server-side apply takes: its kind is set, and
// fields that the server writes are absent.
func (c *Cluster) toApply(object client.Object) (*unstructured.Unstructured, error) {
	kind, err := apiutil.GVKForObject(object, c.options.Scheme)
	if err != nil {
		return nil, fmt.Errorf("applying %s: its kind is not in Options.Scheme: %w", object.GetName(), err)
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return nil, fmt.Errorf("applying %s %s: %w", kind.Kind, object.GetName(), err)
	}
	u := (&unstructured.Unstructured{Object: content}).DeepCopy()
	u.SetGroupVersionKind(kind)
	unstructured.RemoveNestedField(u.Object, "status")
	for _, field := range []string{"creationTimestamp", "managedFields", "resourceVersion", "uid", "generation"} {
		unstructured.RemoveNestedField(u.Object, "metadata", field)
	}
	return u, nil
}

// installCRDs applies Options.CRDs and waits until all of them are served.
func (c *Cluster) installCRDs(ctx context.Context) error {
	var crds []client.Object
	for _, path := range c.options.CRDs {
		objects, err := readObjects(path)
		if err != nil {
			return fmt.Errorf("reading CRDs: %w", err)
		}
		for _, object := range objects {
			if object.GroupVersionKind() == crdKind {
				crds = append(crds, object)
			}
		}
		if len(crds) == 0 {
			return fmt.Errorf("reading CRDs: %s has no CustomResourceDefinition", path)
		}
	}
	if err := c.Apply(ctx, crds...); err != nil {
		return err
	}
	for _, crd := range crds {
		doing := "waiting for the CRD " + crd.GetName() + " to be served"
		if err := poll(ctx, doing, func(ctx context.Context) (bool, error) { return c.isServed(ctx, crd) }); err != nil {
			return err
		}
	}
	return nil
}

// isServed is true when objects of the definition's versions can be listed:
// Established comes a moment before that.
func (c *Cluster) isServed(ctx context.Context, crd client.Object) (bool, error) {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(crdKind)
	if err := c.Client.Get(ctx, types.NamespacedName{Name: crd.GetName()}, u); err != nil {
		return false, fmt.Errorf("reading it: %w", err)
	}
	group, _, _ := unstructured.NestedString(u.Object, "spec", "group")
	kind, _, _ := unstructured.NestedString(u.Object, "spec", "names", "kind")
	versions, _, _ := unstructured.NestedSlice(u.Object, "spec", "versions")
	for _, version := range versions {
		fields, _ := version.(map[string]any)
		if served, _ := fields["served"].(bool); !served {
			continue
		}
		name, _ := fields["name"].(string)
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(schema.GroupVersionKind{Group: group, Version: name, Kind: kind + "List"})
		if err := c.Client.List(ctx, list, client.Limit(1)); err != nil {
			if apierrors.IsForbidden(err) || apierrors.IsInvalid(err) {
				return false, err
			}
			return false, nil // not served yet is what is being waited for
		}
	}
	return true, nil
}

// readObjects reads every YAML document of a file, or of the files of a directory.
func readObjects(path string) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	err := filepath.WalkDir(path, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() || !strings.HasSuffix(path, ".yaml") {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096)
		for {
			u := &unstructured.Unstructured{}
			err := decoder.Decode(u)
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return fmt.Errorf("decoding %s: %w", path, err)
			}
			if len(u.Object) > 0 {
				objects = append(objects, u)
			}
		}
	})
	return objects, err
}
