package sandbox

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/fleet"
)

// Tier 1: objects can be applied, pods created without a controller manager, and
// after Stop neither a process nor a file is left.
func TestControlPlane(t *testing.T) {
	c := StartForTest(t, Options{})
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "train"}}
	pod := podOn("", nil)
	pod.Namespace = "train"
	if err := c.Apply(t.Context(), namespace, pod); err != nil {
		t.Fatal(err)
	}
	if err := c.Client.Get(t.Context(), client.ObjectKeyFromObject(pod), &corev1.Pod{}); err != nil {
		t.Errorf("reading the pod: %v", err)
	}
	pids := componentPIDs(c)
	if len(pids) != 2 {
		t.Errorf("got %d components, want etcd and kube-apiserver", len(pids))
	}
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	assertGone(t, c.Dir, pids)
}

// Several clusters of one process do not meet, and a named directory keeps logs.
func TestTwoClustersAndNamedDir(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "named")
	named, other := StartForTest(t, Options{Dir: dir}), StartForTest(t, Options{})
	if named.RESTConfig.Host == other.RESTConfig.Host {
		t.Errorf("both clusters listen on %s", named.RESTConfig.Host)
	}
	if err := named.Stop(); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != "logs" {
		t.Errorf("after Stop the directory holds %v, %v; want logs only", entries, err)
	}
	if err := other.Client.List(t.Context(), &corev1.NamespaceList{}); err != nil {
		t.Errorf("the other cluster stopped too: %v", err)
	}
}

// A component that cannot start is named, its log quoted, and nothing is left.
func TestFailedStart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "failed")
	c, err := Start(t.Context(), Options{Dir: dir, APIServerArgs: []string{"--no-such-flag"}})
	if c != nil || err == nil {
		t.Fatalf("Start() = %v, %v; want an error", c, err)
	}
	skipOrFail(t, err)
	for _, want := range []string{"kube-apiserver ended", "unknown flag: --no-such-flag"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q: %v", want, err)
		}
	}
}

func TestMissingBinaries(t *testing.T) {
	empty := t.TempDir()
	_, err := Start(t.Context(), Options{BinDir: empty})
	if err == nil || !strings.Contains(err.Error(), "make tools") || !strings.Contains(err.Error(), empty) {
		t.Errorf("Start() = %v; want the missing binaries, where they should be, and how to build them", err)
	}
}

// Tier 2: a fleet is Ready, its pods run, end when told to and go when deleted,
// and a node fails and comes back.
func TestFleet(t *testing.T) {
	f, err := fleet.Parse([]byte(`{name: small, provider: none, fabric: {name: f, linkLayer: InfiniBand}, pools: [
		{name: hgx, shape: HGX-H100x8, blocks: 1, leaves: 2, nodes: 2, nicGbps: 400}, {name: cpu, shape: CPU, nodes: 1}]}`))
	if err != nil {
		t.Fatal(err)
	}
	c := StartForTest(t, Options{Fleet: f, CRDs: []string{topologyCRD(t)}})

	var domains v1alpha1.TopologyDomainList
	if err := c.Client.List(t.Context(), &domains); err != nil {
		t.Fatal(err)
	}
	if got, want := len(domains.Items), 1+1+2+4; got != want {
		t.Errorf("got %d TopologyDomains, want %d: fabric, block, leaves, reports", got, want)
	}
	t.Run("run-for", func(t *testing.T) {
		pod := createPod(t, c, "hgx-a-0-01", map[string]string{AnnotationRunFor: "2s"})
		ended := waitPhase(t, c, pod, corev1.PodSucceeded)
		state := ended.Status.ContainerStatuses[0].State
		if state.Running != nil || state.Terminated.FinishedAt.Sub(ended.Status.StartTime.Time) < time.Second {
			t.Errorf("the pod started at %s, its container is %+v", ended.Status.StartTime, state)
		}
	})
	t.Run("fail-after wins over run-for", func(t *testing.T) {
		pod := createPod(t, c, "hgx-a-1-00", map[string]string{AnnotationFailAfter: "1s", AnnotationRunFor: "1ms"})
		failed := waitPhase(t, c, pod, corev1.PodFailed)
		if state := failed.Status.ContainerStatuses[0].State; state.Terminated.ExitCode != 1 {
			t.Errorf("the container is %+v, want exit code 1", state)
		}
	})
	t.Run("a deleted pod ends, and goes without its finalizers", func(t *testing.T) { deletePod(t, c) })
	t.Run("a node fails and comes back", func(t *testing.T) {
		annotateNode(t, c, `{"metadata":{"annotations":{"sandbox.k8s4ai.io/not-ready":"true"}}}`)
		eventually(t, "node to be NotReady", func() bool { return !readyNode(t, c) })
		annotateNode(t, c, `{"metadata":{"annotations":{"sandbox.k8s4ai.io/not-ready":null}}}`)
		eventually(t, "node to be Ready again", func() bool { return readyNode(t, c) })
	})
}

func deletePod(t *testing.T, c *Cluster) {
	pod := waitPhase(t, c, createPod(t, c, gpuNode, nil), corev1.PodRunning)
	pod.Finalizers = []string{"sandbox.k8s4ai.io/test"}
	if err := c.Client.Update(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	if err := c.Client.Delete(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	pod = waitPhase(t, c, pod, corev1.PodFailed)
	if err := c.Client.Patch(t.Context(), pod, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`))); err != nil {
		t.Fatal(err)
	}
	eventually(t, "deleted pod to go", func() bool {
		return apierrors.IsNotFound(c.Client.Get(t.Context(), client.ObjectKeyFromObject(pod), &corev1.Pod{}))
	})
}

// BenchmarkLoadFleet reports how long 512 nodes with their reports take.
func BenchmarkLoadFleet(b *testing.B) {
	f, err := fleet.Load("hgx-64")
	if err != nil {
		b.Fatal(err)
	}
	f.Pools[0].Leaves *= 8
	for b.Loop() {
		StartForTest(b, Options{Fleet: f, CRDs: []string{topologyCRD(b)}})
	}
}

const gpuNode = "hgx-a-0-00"

func annotateNode(t *testing.T, c *Cluster, patch string) {
	t.Helper()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: gpuNode}}
	if err := c.Client.Patch(t.Context(), node, client.RawPatch(types.MergePatchType, []byte(patch))); err != nil {
		t.Fatal(err)
	}
}

func readyNode(t *testing.T, c *Cluster) bool {
	t.Helper()
	node := &corev1.Node{}
	if err := c.Client.Get(t.Context(), types.NamespacedName{Name: gpuNode}, node); err != nil {
		t.Fatal(err)
	}
	return isUsable(node)
}

func createPod(t *testing.T, c *Cluster, node string, annotations map[string]string) *corev1.Pod {
	t.Helper()
	pod := podOn(node, annotations)
	if err := c.Client.Create(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	return pod
}

func waitPhase(t *testing.T, c *Cluster, pod *corev1.Pod, phase corev1.PodPhase) *corev1.Pod {
	t.Helper()
	found := &corev1.Pod{}
	eventually(t, "pod to be "+string(phase), func() bool {
		if err := c.Client.Get(t.Context(), client.ObjectKeyFromObject(pod), found); err != nil {
			t.Fatal(err)
		}
		return found.Status.Phase == phase
	})
	return found
}

// podOn is a pod that the scheduler can bind to one node only; without a node, to
// any.
func podOn(node string, annotations map[string]string) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "pod-" + node, Namespace: "default", Annotations: annotations},
		Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever,
			Containers:    []corev1.Container{{Name: "main", Image: "none"}},
		},
	}
	if node == "" {
		pod.Name = "pod"
		return pod
	}
	pod.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
		RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
			MatchFields: []corev1.NodeSelectorRequirement{{Key: "metadata.name", Operator: corev1.NodeSelectorOpIn, Values: []string{node}}},
		}}},
	}}
	return pod
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	eventuallyIn(t, 30*time.Second, what, holds)
}

func eventuallyIn(t *testing.T, limit time.Duration, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s for the %s", limit, what)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func topologyCRD(t testing.TB) string {
	t.Helper()
	return filepath.Join("..", "..", "config", "crd", "bases", "k8s4ai.io_topologydomains.yaml")
}
