package observe

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/convert"
)

// Stores are where a cache keeps the kinds of which clusters have many objects. A
// list that is read from them costs a pointer for each object. Read through a
// client it costs a copy of each, which for the Pods of a large cluster takes
// longer than everything that is done with them.
type Stores struct{ nodes, domains, pods toolscache.Store }

// NewStores finds the stores of a cache. It returns an error for a cache that
// divides one of the kinds by namespace.
func NewStores(ctx context.Context, informers cache.Informers) (*Stores, error) {
	var out Stores
	for _, kind := range []struct {
		object client.Object
		into   *toolscache.Store
	}{{&corev1.Node{}, &out.nodes}, {&v1alpha1.TopologyDomain{}, &out.domains}, {&corev1.Pod{}, &out.pods}} {
		informer, err := informers.GetInformer(ctx, kind.object, cache.BlockUntilSynced(false))
		if err != nil {
			return nil, fmt.Errorf("finding the cache of %T: %w", kind.object, err)
		}
		shared, ok := informer.(interface{ GetStore() toolscache.Store })
		if !ok {
			return nil, fmt.Errorf("the cache of %T has no one store: let it cache all namespaces", kind.object)
		}
		*kind.into = shared.GetStore()
	}
	return &out, nil
}

// Objects lists everything that bears on where a gang may go, for a Follower: from
// stores, and what is not in them, or all where stores is nil, through reader. The
// objects are shared with the cache behind: the caller must not change them.
func Objects(ctx context.Context, reader client.Reader, stores *Stores) (convert.Objects, error) {
	var out convert.Objects
	if stores != nil {
		out.Nodes, out.Domains, out.Pods = inStore[corev1.Node](stores.nodes), inStore[v1alpha1.TopologyDomain](stores.domains), inStore[corev1.Pod](stores.pods)
	} else {
		var nodes corev1.NodeList
		var domains v1alpha1.TopologyDomainList
		var pods corev1.PodList
		for _, list := range []client.ObjectList{&nodes, &domains, &pods} {
			if err := reader.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
				return out, fmt.Errorf("reading the cluster: %w", err)
			}
		}
		out.Nodes, out.Domains, out.Pods = pointers(nodes.Items), pointers(domains.Items), pointers(pods.Items)
	}
	var classes v1alpha1.AcceleratorClassList
	if err := reader.List(ctx, &classes, client.UnsafeDisableDeepCopy); err != nil {
		return out, fmt.Errorf("reading the cluster: %w", err)
	}
	out.Classes = classes.Items
	var err error
	if out.Slices, err = published(ctx, reader); err != nil {
		return out, err
	}
	out.Scan, _, err = scanned(ctx, reader)
	return out, err
}

func inStore[T any](store toolscache.Store) []*T {
	list := store.List()
	out := make([]*T, len(list))
	for i := range list {
		out[i] = list[i].(*T)
	}
	return out
}

func pointers[T any](items []T) []*T {
	out := make([]*T, len(items))
	for i := range items {
		out[i] = &items[i]
	}
	return out
}
