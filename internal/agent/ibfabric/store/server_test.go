package store

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/fabricscan"
	"github.com/k8s4ai/k8s4ai/internal/testkit"
)

const managers = "k8s4ai-system"

func TestMain(m *testing.M) { os.Exit(testkit.Run(m)) }

// apply creates the objects of a manifest.
func apply(t *testing.T, server *testkit.Server, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
	for {
		object := &unstructured.Unstructured{}
		if err := decoder.Decode(&object.Object); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
		if err := server.Client.Create(t.Context(), object); err != nil && !apierrors.IsAlreadyExists(err) {
			t.Fatal(err)
		}
	}
}

// On a real API server, with nothing but the permissions of config/fabric-scan,
// a scan of 10,000 machines is stored, found again by label, and replaced.
func TestOnTheAPIServer(t *testing.T) {
	server := testkit.APIServer(t)
	for _, name := range []string{managers, "k8s4ai-agent"} {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if err := server.Client.Create(t.Context(), namespace); err != nil && !apierrors.IsAlreadyExists(err) {
			t.Fatal(err)
		}
	}
	apply(t, server, "../../../../config/fabric-scan/rbac.yaml")
	config := rest.CopyConfig(server.Config)
	config.Impersonate.UserName = "system:serviceaccount:k8s4ai-agent:k8s4ai-fabric-scan"
	scanner, err := corev1client.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	s := newStore(scanner.ConfigMaps(managers))
	for seed := range uint64(3) {
		scan := scanOf(1024, seed)
		mustWrite(t, s, scan)
		var stored corev1.ConfigMapList
		if err := server.Client.List(t.Context(), &stored, client.InNamespace(managers), client.HasLabels{v1alpha1.LabelFabricScan}); err != nil {
			t.Fatal(err)
		}
		seen, info, err := fabricscan.Read(stored.Items)
		if err != nil {
			t.Fatal(err)
		}
		if !cmp.Equal(scan, seen) || info.Generation != int64(seed)+1 {
			t.Errorf("managers see generation %d, want %d", info.Generation, seed+1)
		}
		if _, isWritten, err := s.Write(t.Context(), scan); err != nil || isWritten {
			t.Errorf("an equal scan was written again: %t, %v", isWritten, err)
		}
	}
	// What the scan does not need it may not do.
	maps := scanner.ConfigMaps(managers)
	other := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "other", Namespace: managers}}
	if err := server.Client.Create(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	_, errList := maps.List(t.Context(), metav1.ListOptions{})
	_, errGet := maps.Get(t.Context(), "other", metav1.GetOptions{})
	_, errUpdate := maps.Update(t.Context(), other, metav1.UpdateOptions{})
	_, errElsewhere := scanner.ConfigMaps("default").Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "x"}}, metav1.CreateOptions{})
	for what, err := range map[string]error{
		"list": errList, "get of another": errGet, "update of another": errUpdate, "create elsewhere": errElsewhere,
		"delete": maps.Delete(t.Context(), fabricscan.PartName("a", 0), metav1.DeleteOptions{}),
	} {
		if !apierrors.IsForbidden(err) {
			t.Errorf("%s of ConfigMaps: got %v, want it to be forbidden", what, err)
		}
	}
}
