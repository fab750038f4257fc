package main

import (
	"os"
	"path/filepath"
	"testing"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
)

func TestOwnNamespace(t *testing.T) {
	file := filepath.Join(t.TempDir(), "namespace")
	if got := ownNamespace(file); got != defaultNamespace {
		t.Errorf("outside of a cluster the namespace is %q", got)
	}
	if err := os.WriteFile(file, []byte("platform\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := ownNamespace(file); got != "platform" {
		t.Errorf("the namespace is %q", got)
	}
}

// The manager keeps no Leases and no ConfigMaps but those that it reads.
func TestCached(t *testing.T) {
	options, err := cached("agents", "own")
	if err != nil {
		t.Fatal(err)
	}
	for object, by := range options.ByObject {
		switch object.(type) {
		case *coordinationv1.Lease:
			if _, ok := by.Namespaces["agents"]; !ok || len(by.Namespaces) != 1 {
				t.Errorf("Leases of %v", by.Namespaces)
			}
		case *corev1.ConfigMap:
			if _, ok := by.Namespaces["own"]; !ok || len(by.Namespaces) != 1 {
				t.Errorf("ConfigMaps of %v", by.Namespaces)
			}
			if !by.Label.Matches(labels.Set{v1alpha1.LabelFabricScan: "0"}) || by.Label.Matches(labels.Set{"app": "x"}) {
				t.Errorf("ConfigMaps with %s", by.Label)
			}
		default:
			t.Errorf("%T is restricted", object)
		}
	}
}
