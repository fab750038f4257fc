package gang

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	ctrlcache "sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/convert"
	"github.com/k8s4ai/k8s4ai/internal/fleet"
	"github.com/k8s4ai/k8s4ai/internal/observe"
	"github.com/k8s4ai/k8s4ai/internal/placement"
	"github.com/k8s4ai/k8s4ai/internal/testkit"
)

// fakeCache is a fake cache: it lists what a test puts into it, with the cost of a
// manager's cache, which copies each object by value into the list.
type fakeCache struct {
	client.Client
	indexers map[reflect.Type]cache.Indexer
	versions int
}

func newFakeCache() *fakeCache { return &fakeCache{indexers: map[reflect.Type]cache.Indexer{}} }

// put stores a copy of each object as a new version of it.
func (f *fakeCache) put(objects ...client.Object) {
	for _, o := range objects {
		o = o.DeepCopyObject().(client.Object)
		f.versions++
		o.SetResourceVersion(strconv.Itoa(f.versions))
		if o.GetUID() == "" {
			o.SetUID(types.UID(fmt.Sprintf("00000000-0000-0000-0000-%012d", f.versions)))
		}
		if err := f.store(reflect.TypeOf(o).Elem()).Add(o); err != nil {
			panic(err)
		}
	}
}

func (f *fakeCache) store(of reflect.Type) cache.Indexer {
	if f.indexers[of] == nil {
		f.indexers[of] = cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})
	}
	return f.indexers[of]
}

func (f *fakeCache) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	items, err := meta.GetItemsPtr(list)
	if err != nil {
		return err
	}
	stored := f.store(reflect.TypeOf(items).Elem().Elem()).List()
	objects := make([]runtime.Object, len(stored))
	for i := range stored {
		objects[i] = stored[i].(runtime.Object)
	}
	return meta.SetList(list, objects)
}

// crowd fills a cache with 10,240 nodes of 8 GPUs, their reports, the catalogue of
// classes, and five Pods on each node, of which one has a GPU.
func crowd(b *testing.B) *fakeCache {
	b.Helper()
	f, err := fleet.Load("hgx-10k")
	if err != nil {
		b.Fatal(err)
	}
	out := newFakeCache()
	nodes, reports, domains := f.Nodes(), f.Reports(), f.Domains()
	for i := range nodes {
		out.put(&nodes[i])
		for p := range 5 {
			pod := testkit.Pod(fmt.Sprintf("pod-%d", p)).Namespace(fmt.Sprintf("team-%d", i)).On(nodes[i].Name)
			if p == 0 {
				pod.GPUs(1)
			}
			out.put(pod.Obj())
		}
	}
	for i := range reports {
		out.put(&reports[i])
	}
	for i := range domains {
		out.put(&domains[i])
	}
	files, err := filepath.Glob("../../../config/catalog/*-*.yaml")
	if err != nil || len(files) == 0 {
		b.Fatal("no catalogue: ", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			b.Fatal(err)
		}
		class := &v1alpha1.AcceleratorClass{}
		if err := yaml.Unmarshal(data, class); err != nil {
			b.Fatal(err)
		}
		out.put(class)
	}
	return out
}

// cpu reports the processor time of an operation beside its duration, which says
// little on a machine that does other things.
func cpu(b *testing.B, op func()) {
	b.Helper()
	spent := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before, n := spent(), 0
	for b.Loop() {
		op()
		n++
	}
	b.ReportMetric(float64(spent()-before)/float64(n)/1e6, "cpu-ms/op")
}

// Stores are what observe.NewStores finds in a manager's cache.
func (f *fakeCache) stores(b *testing.B) *observe.Stores {
	b.Helper()
	out, err := observe.NewStores(b.Context(), fakeInformers{cache: f})
	if err != nil {
		b.Fatal(err)
	}
	return out
}

// fakeInformers are fake: they never tell of an event.
type fakeInformers struct {
	ctrlcache.Informers
	cache *fakeCache
}

func (f fakeInformers) GetInformer(_ context.Context, o client.Object, _ ...ctrlcache.InformerGetOption) (ctrlcache.Informer, error) {
	return fakeInformer{store: f.cache.store(reflect.TypeOf(o).Elem())}, nil
}

type fakeInformer struct {
	ctrlcache.Informer
	store cache.Store
}

func (f fakeInformer) GetStore() cache.Store { return f.store }

// BenchmarkLook is what a pass costs before it places the first gang, on 10,240
// nodes with 51,200 Pods: from scratch, as the first pass does, and after changes of
// a hundred objects and as many heartbeats.
func BenchmarkLook(b *testing.B) {
	c := crowd(b)
	look := func(p *Planner) {
		if _, err := p.look(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("world and scene from scratch", func(b *testing.B) {
		cpu(b, func() {
			world, err := observe.World(b.Context(), c)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := world.Scene().Snapshot(); err != nil {
				b.Fatal(err)
			}
		})
	})
	b.Run("first pass", func(b *testing.B) {
		cpu(b, func() {
			p := NewPlanner(c, c, nil)
			p.Stores = c.stores(b)
			look(p)
		})
	})
	for _, by := range []struct {
		name   string
		stores *observe.Stores
	}{{"", c.stores(b)}, {" by lists", nil}} {
		p := NewPlanner(c, c, nil)
		p.Stores = by.stores
		look(p)
		b.Run("nothing changed"+by.name, func(b *testing.B) { cpu(b, func() { look(p) }) })
		turn := 0
		names := c.store(reflect.TypeFor[corev1.Node]()).ListKeys()
		slices.Sort(names)
		b.Run("100 changed and 100 heartbeats"+by.name, func(b *testing.B) {
			cpu(b, func() {
				turn++
				c.change(turn, names)
				look(p)
			})
		})
	}
}

// BenchmarkCommit is what a commit of 512 Pods of 8 GPUs costs a pass, beside its
// write: the room is taken, and the next snapshot has it.
func BenchmarkCommit(b *testing.B) {
	c := crowd(b)
	p := NewPlanner(c, c, nil)
	p.Stores = c.stores(b)
	if _, err := p.look(b.Context()); err != nil {
		b.Fatal(err)
	}
	names := c.store(reflect.TypeFor[corev1.Node]()).ListKeys()
	slices.Sort(names)
	turn := 0
	cpu(b, func() {
		turn++
		held := &convert.Holding{Epoch: int64(turn)}
		for i := range 512 {
			held.Uses = append(held.Uses, placement.Use{Node: names[(turn*512+i)%len(names)], Resources: placement.Resources{"nvidia.com/gpu": 8, "cpu": 96000, "pods": 1}})
		}
		if err := p.cluster.Hold("gang", held); err != nil {
			b.Fatal(err)
		}
		p.cluster.Snapshot()
	})
}

// change turns over 70 Pods, relabels, cordons and hurts 10 nodes each, and lets 100
// nodes send a heartbeat.
func (f *fakeCache) change(turn int, names []string) {
	nodes, pods, domains := f.store(reflect.TypeFor[corev1.Node]()), f.store(reflect.TypeFor[corev1.Pod]()), f.store(reflect.TypeFor[v1alpha1.TopologyDomain]())
	pick := func(i int) string { return names[(turn*211+i*97)%len(names)] }
	for i := range 70 {
		key := fmt.Sprintf("team-%d/pod-0", (turn*70+i)%len(names))
		stored, _, _ := pods.GetByKey(key)
		pod := stored.(*corev1.Pod).DeepCopy()
		pod.Status.Phase = map[bool]corev1.PodPhase{true: corev1.PodSucceeded, false: corev1.PodRunning}[pod.Status.Phase == corev1.PodRunning]
		f.put(pod)
	}
	for i := range 120 {
		stored, _, _ := nodes.GetByKey(pick(i))
		node := stored.(*corev1.Node).DeepCopy()
		switch {
		case i < 10:
			node.Labels["turn"] = strconv.Itoa(turn)
		case i < 20:
			node.Spec.Unschedulable = !node.Spec.Unschedulable
		default:
			node.Status.Conditions[0].LastHeartbeatTime.Time = time.Unix(int64(turn), 0)
		}
		f.put(node)
	}
	for i := range 10 {
		stored, _, _ := domains.GetByKey(pick(i))
		domain := stored.(*v1alpha1.TopologyDomain).DeepCopy()
		gpu := &domain.Status.Node.Accelerators[i%8]
		gpu.Health = map[bool]v1alpha1.DeviceHealth{true: v1alpha1.DeviceUnhealthy, false: v1alpha1.DeviceHealthy}[gpu.Health == v1alpha1.DeviceHealthy]
		f.put(domain)
	}
}
