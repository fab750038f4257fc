package testkit

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

// Cache reads as the cache of a manager does: it serves custom field indexes,
// and it can lag behind the API server, kind by kind. Unless it is frozen it is
// up to date.
type Cache struct {
	// Client reads from the cache and writes to the client below.
	Client client.WithWatch

	mu     sync.Mutex
	index  map[string]client.IndexerFunc
	frozen map[reflect.Type]client.ObjectList
}

// NewCache returns a cache above c with the given indexes, by field name.
func NewCache(c client.WithWatch, index map[string]client.IndexerFunc) *Cache {
	cache := &Cache{index: index, frozen: map[reflect.Type]client.ObjectList{}}
	cache.Client = interceptor.NewClient(c, interceptor.Funcs{Get: cache.get, List: cache.list})
	return cache
}

// Freeze makes the cache show the kinds of the given lists as they are at this
// moment, until Thaw.
func (c *Cache) Freeze(t testing.TB, server client.Reader, lists ...client.ObjectList) {
	t.Helper()
	for _, list := range lists {
		if err := server.List(t.Context(), list); err != nil {
			t.Fatalf("freezing the cache: %v", err)
		}
		c.mu.Lock()
		c.frozen[reflect.TypeOf(list)] = list
		c.mu.Unlock()
	}
}

// Thaw brings the cache up to date.
func (c *Cache) Thaw() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.frozen)
}

func (c *Cache) list(ctx context.Context, below client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
	options := (&client.ListOptions{}).ApplyOptions(opts)
	wanted := options.FieldSelector
	direct := *options
	direct.FieldSelector, direct.UnsafeDisableDeepCopy = nil, nil
	found, frozen := c.frozenList(list)
	if !frozen {
		if err := below.List(ctx, list, &direct); err != nil {
			return err
		}
		found = list
	}
	var kept []runtime.Object
	for _, object := range items(found) {
		matches, err := c.matches(object, wanted)
		if err != nil {
			return err
		}
		inScope := options.Namespace == "" || object.GetNamespace() == options.Namespace
		if matches && inScope && (options.LabelSelector == nil || options.LabelSelector.Matches(labels.Set(object.GetLabels()))) {
			kept = append(kept, object.DeepCopyObject())
		}
	}
	return meta.SetList(list, kept)
}

func (c *Cache) frozenList(list client.ObjectList) (client.ObjectList, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	found, ok := c.frozen[reflect.TypeOf(list)]
	return found, ok
}

// matches applies a selector of indexed fields, as a cache does: only equality,
// only fields with an index.
func (c *Cache) matches(object client.Object, selector fields.Selector) (bool, error) {
	if selector == nil {
		return true, nil
	}
	for _, r := range selector.Requirements() {
		index, ok := c.index[r.Field]
		if !ok {
			return false, fmt.Errorf("the cache has no index %q, it has %v", r.Field, slices.Sorted(maps.Keys(c.index)))
		}
		if !slices.Contains(index(object), r.Value) {
			return false, nil
		}
	}
	return true, nil
}

func (c *Cache) get(ctx context.Context, below client.WithWatch, key client.ObjectKey, object client.Object, opts ...client.GetOption) error {
	kind, err := apiutil.GVKForObject(object, below.Scheme())
	if err != nil {
		return err
	}
	list, err := below.Scheme().New(kind.GroupVersion().WithKind(kind.Kind + "List"))
	if err != nil {
		return below.Get(ctx, key, object, opts...)
	}
	found, frozen := c.frozenList(list.(client.ObjectList))
	if !frozen {
		return below.Get(ctx, key, object, opts...)
	}
	for _, there := range items(found) {
		if client.ObjectKeyFromObject(there) == key {
			reflect.ValueOf(object).Elem().Set(reflect.ValueOf(there.DeepCopyObject()).Elem())
			return nil
		}
	}
	return apierrors.NewNotFound(schema.GroupResource{Group: kind.Group, Resource: kind.Kind}, key.Name)
}

// items are the objects of a list.
func items(list client.ObjectList) []client.Object {
	objects, err := meta.ExtractList(list)
	if err != nil {
		panic(fmt.Sprintf("%T is not a list: %v", list, err))
	}
	out := make([]client.Object, len(objects))
	for i := range objects {
		out[i] = objects[i].(client.Object)
	}
	return out
}
