package observe

import (
	"context"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/convert"
	"github.com/k8s4ai/k8s4ai/internal/testkit"
)

// namesOf writes what was listed as "kind name", in order.
func namesOf(objects convert.Objects) []string {
	var out []string
	for _, n := range objects.Nodes {
		out = append(out, "node "+n.Name)
	}
	for _, d := range objects.Domains {
		out = append(out, "domain "+d.Name)
	}
	for _, p := range objects.Pods {
		out = append(out, "pod "+p.Name)
	}
	for i := range objects.Classes {
		out = append(out, "class "+objects.Classes[i].Name)
	}
	slices.Sort(out)
	return out
}

// What a manager's cache has in its stores is what it lists, and not a copy of it.
func TestObjects(t *testing.T) {
	s := testkit.APIServer(t)
	s.Create(t, testkit.Node("n1").Obj(), testkit.Node("n2").Obj(), testkit.Domain("d", v1alpha1.LevelBlock).Obj(),
		testkit.Class("c").OnLabel("a", "b").Obj(), testkit.Pod("p").On("n1").Obj(), testkit.Pod("q").Obj())
	ctx, cancel := context.WithCancel(t.Context())
	c, err := cache.New(s.Config, cache.Options{Scheme: s.Client.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	stores, err := NewStores(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	if !c.WaitForCacheSync(ctx) {
		t.Fatal("the cache does not fill")
	}
	want := []string{"class c", "domain d", "node n1", "node n2", "pod p", "pod q"}
	var looks []convert.Objects
	for name, from := range map[string]*Stores{"from stores": stores, "from stores again": stores, "from lists": nil} {
		objects, err := Objects(ctx, c, from)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, namesOf(objects)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if from != nil {
			looks = append(looks, objects)
		}
	}
	for _, p := range looks[0].Pods {
		if !slices.Contains(looks[1].Pods, p) {
			t.Error("a Pod was copied")
		}
	}
}

// A cache that divides Pods by namespace has no store that holds all of them.
func TestStoresOfADividedCache(t *testing.T) {
	s := testkit.APIServer(t)
	c, err := cache.New(s.Config, cache.Options{
		Scheme:   s.Client.Scheme(),
		ByObject: map[client.Object]cache.ByObject{&corev1.Pod{}: {Namespaces: map[string]cache.Config{"a": {}, "b": {}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewStores(t.Context(), c); err == nil {
		t.Error("no error")
	}
}

// A list that fails is an error, never a cluster without the rest.
func TestObjectsFail(t *testing.T) {
	s := testkit.APIServer(t)
	for name, kind := range map[string]client.ObjectList{
		"nodes": &corev1.NodeList{}, "domains": &v1alpha1.TopologyDomainList{}, "classes": &v1alpha1.AcceleratorClassList{},
		"pods": &corev1.PodList{}, "scans": &corev1.ConfigMapList{},
	} {
		t.Run(name, func(t *testing.T) {
			broken := interceptor.NewClient(s.Client, interceptor.Funcs{
				List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
					if typeName(list) == typeName(kind) {
						return testkit.ErrInjected
					}
					return c.List(ctx, list, opts...)
				},
			})
			if _, err := Objects(t.Context(), broken, nil); err == nil {
				t.Error("no error")
			}
		})
	}
}
