package testkit

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/test/sandbox"
)

// Server is one test's view of the API server of the test binary.
type Server struct {
	// Client is an administrator that reads and writes without a cache.
	Client client.WithWatch
	// Config is the same administrator, and Kubeconfig the path of its kubeconfig.
	Config     *rest.Config
	Kubeconfig string
	// Namespace is the test's own.
	Namespace string
}

// shared is the API server of this process. It starts with the first test that
// asks for it.
var shared struct {
	once    sync.Once
	cluster *sandbox.Cluster
	client  client.WithWatch
	err     error
}

// Run runs the tests of a package and stops the API server after the last one:
//
//	func TestMain(m *testing.M) { os.Exit(testkit.Run(m)) }
func Run(m *testing.M) int {
	log.SetLogger(zap.New(zap.WriteTo(io.Discard)))
	code := m.Run()
	if shared.cluster == nil {
		return code
	}
	if err := shared.cluster.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, "stopping the API server:", err)
		return 1
	}
	return code
}

// APIServer returns the API server of this test binary with this repository's
// CRDs, without any node, gang, Pod, domain or class, and a fresh namespace.
// Tests that use it must not run in parallel. Without the binaries it skips the
// test, and fails it where CI is set.
func APIServer(t testing.TB) *Server {
	t.Helper()
	shared.once.Do(startShared)
	if sandbox.MaySkip(shared.err) {
		t.Skip(shared.err)
	}
	if shared.err != nil {
		t.Fatalf("starting the API server: %v", shared.err)
	}
	s := &Server{Client: shared.client, Config: rest.CopyConfig(shared.cluster.RESTConfig), Kubeconfig: shared.cluster.Kubeconfig}
	if err := s.wipe(t.Context()); err != nil {
		t.Fatalf("emptying the API server: %v", err)
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	if err := s.Client.Create(t.Context(), namespace); err != nil {
		t.Fatalf("creating a namespace: %v", err)
	}
	s.Namespace = namespace.Name
	return s
}

// startShared starts the API server. It outlives the test that starts it.
func startShared() {
	shared.cluster, shared.err = sandbox.Start(context.Background(), sandbox.Options{CRDs: []string{sandbox.RepositoryCRDs()}})
	if shared.err != nil {
		return
	}
	config := rest.CopyConfig(shared.cluster.RESTConfig)
	config.WarningHandler = rest.NoWarnings{}
	shared.client, shared.err = client.NewWithWatch(config, client.Options{Scheme: shared.cluster.Client.Scheme()})
}

// Create creates objects, namespaced ones in the test's namespace unless they
// name another.
func (s *Server) Create(t testing.TB, objects ...client.Object) {
	t.Helper()
	for _, object := range objects {
		if namespaced, err := s.Client.IsObjectNamespaced(object); err != nil {
			t.Fatal(err)
		} else if namespaced && object.GetNamespace() == "" {
			object.SetNamespace(s.Namespace)
		}
		if err := s.Client.Create(t.Context(), object); err != nil {
			t.Fatalf("creating %T %s: %v", object, object.GetName(), err)
		}
	}
}

// wipe removes what another test has left. Nobody else would: there is no
// controller manager that empties namespaces or collects garbage.
func (s *Server) wipe(ctx context.Context) error {
	for _, list := range []client.ObjectList{
		&v1alpha1.GangSchedulingGroupList{}, &corev1.PodList{}, &corev1.ServiceList{}, &corev1.ResourceQuotaList{},
		&corev1.NodeList{}, &v1alpha1.TopologyDomainList{}, &v1alpha1.AcceleratorClassList{},
	} {
		if err := s.Client.List(ctx, list); err != nil {
			return err
		}
		for _, object := range items(list) {
			if object.GetNamespace() == "default" {
				continue // The API server's own Service.
			}
			if err := s.Purge(ctx, object); err != nil {
				return err
			}
		}
	}
	return nil
}

// Purge deletes an object at once, whatever its finalizers and grace period.
func (s *Server) Purge(ctx context.Context, object client.Object) error {
	if len(object.GetFinalizers()) > 0 {
		patch := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`))
		if err := s.Client.Patch(ctx, object, patch); client.IgnoreNotFound(err) != nil {
			return err
		}
	}
	return client.IgnoreNotFound(s.Client.Delete(ctx, object, client.GracePeriodSeconds(0)))
}
