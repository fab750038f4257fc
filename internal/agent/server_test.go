package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/agent/machine"
	"github.com/k8s4ai/k8s4ai/test/sandbox"
)

const (
	agentNamespace = "k8s4ai-agent"
	agentAccount   = "k8s4ai-node-agent"
)

// shared is the API server of all tests of the package, with config/agent applied.
var shared struct {
	once    sync.Once
	cluster *sandbox.Cluster
	err     error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.cluster != nil {
		if err := shared.cluster.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stopping the sandbox:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// world is the API server of one test, with a Node and a token of its agent.
type world struct {
	*sandbox.Cluster
	// node is the Node, pod the agent's Pod on it.
	node, pod string
	uid       string
}

// newWorld returns a world with a Node that no other test has. Without the
// binaries it skips the test, and fails it where CI is set.
func newWorld(t *testing.T) *world {
	t.Helper()
	shared.once.Do(func() { shared.err = startShared() })
	if sandbox.MaySkip(shared.err) {
		t.Skip(shared.err)
	}
	if shared.err != nil {
		t.Fatalf("starting the sandbox: %v", shared.err)
	}
	w := &world{Cluster: shared.cluster}
	w.node, w.uid = w.addNode(t)
	w.pod = w.addPod(t, w.node)
	t.Cleanup(func() {
		for _, object := range []client.Object{
			&v1alpha1.TopologyDomain{ObjectMeta: metav1.ObjectMeta{Name: w.node}},
			&coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: agentNamespace, Name: w.node}},
		} {
			if err := w.Client.Delete(context.Background(), object); client.IgnoreNotFound(err) != nil {
				t.Errorf("deleting %T %s: %v", object, object.GetName(), err)
			}
		}
	})
	return w
}

// startShared starts the API server. It outlives the test that starts it.
func startShared() error {
	ctx := context.Background()
	var err error
	if shared.cluster, err = sandbox.Start(ctx, sandbox.Options{CRDs: []string{sandbox.RepositoryCRDs()}}); err != nil {
		return err
	}
	objects, err := manifests("../../config/agent")
	if err != nil {
		return err
	}
	// The API server makes its own namespaces a moment after it is ready.
	for range 100 {
		if err = shared.cluster.Apply(ctx, objects...); err == nil || !strings.Contains(err.Error(), "not found") {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
	return err
}

// manifests reads the objects of a directory, as kubectl apply -k does.
func manifests(dir string) ([]client.Object, error) {
	list, err := os.ReadFile(filepath.Join(dir, "kustomization.yaml"))
	if err != nil {
		return nil, err
	}
	var kustomization struct{ Resources []string }
	if err := yaml.Unmarshal(list, &kustomization); err != nil {
		return nil, err
	}
	var out []client.Object
	for _, name := range kustomization.Resources {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		for decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096); ; {
			u := &unstructured.Unstructured{}
			if err := decoder.Decode(u); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return nil, fmt.Errorf("reading %s: %w", name, err)
			}
			out = append(out, u)
		}
	}
	if len(out) < 8 {
		return nil, fmt.Errorf("%s has %d objects: %w", dir, len(out), fs.ErrNotExist)
	}
	return out, nil
}

func (w *world) addNode(t *testing.T) (name, uid string) {
	t.Helper()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{GenerateName: "gpu-"}}
	w.create(t, node)
	return node.Name, string(node.UID)
}

// addPod makes the Pod of an agent; node is "" for one that no node has.
func (w *world) addPod(t *testing.T, node string) string {
	t.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: agentNamespace, GenerateName: agentAccount + "-"},
		Spec: corev1.PodSpec{
			NodeName: node, ServiceAccountName: agentAccount, Containers: []corev1.Container{{Name: "node-agent", Image: "k8s4ai/node-agent:v0.1.0"}},
		},
	}
	w.create(t, pod)
	return pod.Name
}

func (w *world) create(t *testing.T, object client.Object) {
	t.Helper()
	if err := w.Client.Create(t.Context(), object); err != nil {
		t.Fatalf("creating %T: %v", object, err)
	}
	t.Cleanup(func() {
		err := w.Client.Delete(context.Background(), object, client.GracePeriodSeconds(0))
		if client.IgnoreNotFound(err) != nil {
			t.Errorf("deleting %T %s: %v", object, object.GetName(), err)
		}
	})
}

// as returns the configuration of a ServiceAccount's token, bound to a Pod as the
// kubelet binds it, or to nothing.
func (w *world) as(t *testing.T, account, pod string) *rest.Config {
	t.Helper()
	request := &authenticationv1.TokenRequest{}
	if pod != "" {
		request.Spec.BoundObjectRef = &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: pod}
	}
	owner := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: agentNamespace, Name: account}}
	if err := w.Client.SubResource("token").Create(t.Context(), owner, request); err != nil {
		t.Fatalf("asking for a token of %s: %v", account, err)
	}
	config := rest.AnonymousClientConfig(w.RESTConfig)
	config.BearerToken, config.QPS = request.Status.Token, -1
	config.WarningHandler = rest.NoWarnings{}
	return config
}

// domain reads the TopologyDomain of the world's node, nil when there is none.
func (w *world) domain(t *testing.T) *v1alpha1.TopologyDomain {
	t.Helper()
	var out v1alpha1.TopologyDomain
	err := w.Client.Get(t.Context(), client.ObjectKey{Name: w.node}, &out)
	if client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
	if err != nil {
		return nil
	}
	return &out
}

// lease reads the Lease of the world's node, nil when there is none.
func (w *world) lease(t *testing.T) *coordinationv1.Lease {
	t.Helper()
	var out coordinationv1.Lease
	err := w.Client.Get(t.Context(), client.ObjectKey{Namespace: agentNamespace, Name: w.node}, &out)
	if client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
	if err != nil {
		return nil
	}
	return &out
}

// fakeSource is a machine that a test describes. It is a fake: no device is read.
type fakeSource struct {
	facts machine.Facts
	err   error
}

func (s *fakeSource) Read(context.Context) (machine.Facts, error) { return s.facts, s.err }

func (s *fakeSource) Events(ctx context.Context, _ func(string, uint64)) { <-ctx.Done() }

// gpus is a machine with some GPUs and a port beside each.
func gpus(n int) machine.Facts {
	f := machine.Facts{BootID: "boot-1", Driver: "580.95.05"}
	for i := range n {
		uuid, port := fmt.Sprintf("GPU-%d", i), fmt.Sprintf("mlx5_%d", i)
		f.GPUs = append(f.GPUs, machine.GPU{
			UUID: uuid, Index: i, Name: "NVIDIA H100 80GB HBM3", PCIID: "10de:2330", PCIAddress: fmt.Sprintf("0000:%02x:00.0", 16+i), MemoryTotal: 80 << 30,
		})
		f.Links = append(f.Links, machine.Link{From: uuid, To: "switch-0000:05:00.0", Total: 18, Active: 18})
		f.NICs = append(f.NICs, machine.NIC{Name: port, LinkLayer: "InfiniBand", State: "Active", Gbps: 400})
		f.Relations = append(f.Relations, machine.Relation{From: uuid, To: port, Path: "PIX"})
	}
	return f
}

// wire stands between an agent and the API server.
type wire struct {
	mu     sync.Mutex
	writes []string
	// broken answers instead of the API server, nil lets calls through.
	broken func(*http.Request) (*http.Response, error)
}

func (w *wire) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		w.mu.Lock()
		if r.Method != http.MethodGet {
			w.writes = append(w.writes, r.Method+" "+strings.Join(strings.Split(r.URL.Path, "/")[4:], "/"))
		}
		broken := w.broken
		w.mu.Unlock()
		if broken != nil {
			return broken(r)
		}
		return next.RoundTrip(r)
	})
}

// take returns the writes since the last call, with the node called "node".
func (w *wire) take(node string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := w.writes
	w.writes = nil
	for i := range out {
		out[i] = strings.ReplaceAll(strings.ReplaceAll(out[i], node, "node"), agentNamespace, "ns")
	}
	return out
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// runner drives an agent through virtual time.
type runner struct {
	*Agent
	source *fakeSource
	wire   *wire
	now    time.Time
}

// agent returns an agent of the world's node that has done nothing yet, with the
// token that a kubelet would give it. Its random delays are all 0.
func (w *world) agent(t *testing.T, facts machine.Facts) *runner {
	t.Helper()
	r := &runner{source: &fakeSource{facts: facts}, wire: &wire{}, now: time.Now()}
	config := w.as(t, agentAccount, w.pod)
	config.Wrap(r.wire.wrap)
	a, err := New(Options{
		Node: w.node, Pod: w.pod, Namespace: agentNamespace, Version: "v1", Interval: 5 * time.Second, Config: config,
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Now: func() time.Time { return r.now },
	}, r.source)
	if err != nil {
		t.Fatal(err)
	}
	a.pace.random = func() float64 { return 0 }
	r.Agent = a
	return r
}

// pass lets time pass and does all that is due.
func (r *runner) pass(t *testing.T, d time.Duration) {
	t.Helper()
	for end := r.now.Add(d); ; {
		next, err := r.step(t.Context(), r.now)
		if err != nil {
			t.Fatal(err)
		}
		if next.After(end) {
			r.now = end
			return
		}
		r.now = max2(next, r.now.Add(time.Millisecond))
	}
}

func max2(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
