package testkit

import (
	"errors"
	"os"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
)

func TestMain(m *testing.M) { os.Exit(Run(m)) }

// A frozen kind shows what was there, filtered like a cache; other kinds and
// writes are up to date. Thawed, it catches up.
func TestCache(t *testing.T) {
	s := APIServer(t)
	byNode := func(o client.Object) []string { return []string{o.(*corev1.Pod).Spec.NodeName} }
	cache := NewCache(s.Client, map[string]client.IndexerFunc{"node": byNode})
	s.Create(t, Pod("a").On("n1").Label("x", "1").Obj(), Pod("b").On("n2").Label("x", "1").Obj())
	count := func(opts ...client.ListOption) int {
		t.Helper()
		var pods corev1.PodList
		if err := cache.Client.List(t.Context(), &pods, append(opts, client.UnsafeDisableDeepCopy)...); err != nil {
			t.Fatal(err)
		}
		return len(pods.Items)
	}
	onN1 := client.MatchingFields{"node": "n1"}
	if got := count(onN1); got != 1 {
		t.Errorf("%d pods on n1, want 1", got)
	}
	cache.Freeze(t, s.Client, &corev1.PodList{})
	s.Create(t, Pod("c").On("n1").Label("x", "2").Obj())
	for _, c := range []struct {
		want int
		opts []client.ListOption
	}{
		{2, nil}, {1, []client.ListOption{onN1}}, {0, []client.ListOption{client.InNamespace("other")}},
		{2, []client.ListOption{client.MatchingLabels{"x": "1"}}}, {0, []client.ListOption{client.MatchingLabels{"x": "2"}}},
	} {
		if got := count(c.opts...); got != c.want {
			t.Errorf("frozen, with %v: %d pods, want %d", c.opts, got, c.want)
		}
	}
	key := client.ObjectKey{Namespace: s.Namespace, Name: "c"}
	if err := cache.Client.Get(t.Context(), key, &corev1.Pod{}); client.IgnoreNotFound(err) != nil || err == nil {
		t.Errorf("reading a pod that the frozen cache does not have: %v", err)
	}
	key.Name = "a"
	pod := &corev1.Pod{}
	if err := cache.Client.Get(t.Context(), key, pod); err != nil || pod.Spec.NodeName != "n1" {
		t.Errorf("reading a frozen pod: %v, node %q", err, pod.Spec.NodeName)
	}
	cache.Thaw()
	if got := count(onN1); got != 2 {
		t.Errorf("thawed: %d pods on n1, want 2", got)
	}
	if err := cache.Client.List(t.Context(), &corev1.PodList{}, client.MatchingFields{"unknown": "x"}); err == nil {
		t.Error("a field without an index was served")
	}
}

// Every kind of write counts, the chosen one fails, and a lost one arrives.
func TestFaults(t *testing.T) {
	s := APIServer(t)
	exists := func(name string) bool {
		t.Helper()
		err := s.Client.Get(t.Context(), client.ObjectKey{Namespace: s.Namespace, Name: name}, &corev1.Pod{})
		if client.IgnoreNotFound(err) != nil {
			t.Fatal(err)
		}
		return err == nil
	}
	write := func(f *Faults, names ...string) (failed []bool) {
		c := f.Client(s.Client)
		for _, name := range names {
			err := c.Create(t.Context(), Pod(name).Namespace(s.Namespace).Obj())
			if err != nil && !errors.Is(err, ErrInjected) {
				t.Fatal(err)
			}
			failed = append(failed, err != nil)
		}
		return failed
	}
	if got := write(&Faults{At: 2}, "a", "b", "c"); got[0] || !got[1] || got[2] || exists("b") || !exists("c") {
		t.Errorf("the second write fails: %v; b exists: %v", got, exists("b"))
	}
	if got := write(&Faults{At: 1, Lost: true}, "d", "e"); !got[0] || got[1] || !exists("d") {
		t.Errorf("the first answer is lost: %v; d exists: %v", got, exists("d"))
	}
	if got := write(&Faults{At: 1, Fatal: true}, "f", "g"); !got[0] || !got[1] || exists("f") || exists("g") {
		t.Errorf("the first write kills: %v", got)
	}
}

// Every test starts with an empty world, whatever another one has left.
func TestEmptyWorld(t *testing.T) {
	first := APIServer(t)
	stuck := Gang("g").Role("worker", 1, 8).Obj()
	stuck.Finalizers = []string{v1alpha1.FinalizerGang}
	first.Create(t, stuck, Node("n").GPUs(8).Label("a", "b").Obj(), Pod("p").On("n").Obj(),
		Domain("leaf", v1alpha1.LevelLeaf).Parent("block").Nodes("n").Obj(), Class("h100").OnLabel("a", "b").Obj())
	second := APIServer(t)
	if second.Namespace == first.Namespace {
		t.Error("two tests share a namespace")
	}
	for _, list := range []client.ObjectList{
		&v1alpha1.GangSchedulingGroupList{}, &corev1.NodeList{}, &corev1.PodList{}, &v1alpha1.TopologyDomainList{}, &v1alpha1.AcceleratorClassList{},
	} {
		if err := second.Client.List(t.Context(), list); err != nil {
			t.Fatal(err)
		}
		if left := items(list); len(left) > 0 {
			t.Errorf("%T: %s is left", list, left[0].GetName())
		}
	}
}
