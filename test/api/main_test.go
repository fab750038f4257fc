// Package api tests what the API server itself accepts and refuses: the schema,
// the CEL rules with their messages, the samples that people start from, and the
// mistakes they make.
//
// One API server serves all tests of the package. Objects are read and written
// as a person's YAML, not as Go types, so that empty strings, misspelt fields and
// missing objects can be said; unknown fields are refused as kubectl asks for.
package api

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/k8s4ai/k8s4ai/test/sandbox"
)

const (
	crdDir     = "../../config/crd/bases"
	sampleDir  = "../../config/samples"
	invalidDir = "testdata/invalid"
)

// shared is the API server of all tests, started by the first that needs it.
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

// cluster returns the shared API server. Without the binaries it skips the test,
// and fails it where CI is set, as sandbox.StartForTest does.
func cluster(t *testing.T) *sandbox.Cluster {
	t.Helper()
	shared.once.Do(func() {
		// The cluster outlives the test that starts it, and so its context.
		shared.cluster, shared.err = sandbox.Start(context.Background(), sandbox.Options{CRDs: []string{crdDir}})
	})
	if sandbox.MaySkip(shared.err) {
		t.Skip(shared.err)
	}
	if shared.err != nil {
		t.Fatalf("starting the sandbox: %v", shared.err)
	}
	return shared.cluster
}

// strict is a client that lets the API server refuse unknown and repeated fields.
func strict(t *testing.T) client.Client {
	t.Helper()
	return client.WithFieldValidation(cluster(t).Client, metav1.FieldValidationStrict)
}

// bases are valid objects, with as little in them as the kind allows.
var bases = map[string]string{
	"TopologyDomain": `
apiVersion: k8s4ai.io/v1alpha1
kind: TopologyDomain
metadata: {generateName: row-}
spec: {level: Leaf}`,
	"AcceleratorClass": `
apiVersion: k8s4ai.io/v1alpha1
kind: AcceleratorClass
metadata: {generateName: row-}
spec:
  vendor: NVIDIA
  model: H100 SXM5 80GB
  match: {pciIDs: ["10de:2330"]}`,
	"GangSchedulingGroup": `
apiVersion: k8s4ai.io/v1alpha1
kind: GangSchedulingGroup
metadata: {generateName: row-, namespace: default}
spec:
  roles:
  - name: worker
    replicas: 4
    template: {spec: {containers: [{name: train, image: example.com/train:1}]}}`,
}

// object is the base of a kind with edits. An edit is "path: value" with the
// value in YAML, such as "spec.groups[0].name: tp", or "-path" to remove a field.
func object(t *testing.T, kind string, edits ...string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(bases[kind]), &u.Object); err != nil || u.Object == nil {
		t.Fatalf("reading the base of %q: %v", kind, err)
	}
	edit(t, u, edits...)
	return u
}

func edit(t *testing.T, u *unstructured.Unstructured, edits ...string) {
	t.Helper()
	for _, e := range edits {
		path, text, sets := strings.Cut(e, ": ")
		var value any
		if err := yaml.Unmarshal([]byte(text), &value); err != nil {
			t.Fatalf("reading the edit %q: %v", e, err)
		}
		path, removes := strings.CutPrefix(path, "-")
		if sets == removes {
			t.Fatalf("the edit %q is neither %q nor %q", e, "path: value", "-path")
		}
		setField(t, u.Object, path, value, removes)
	}
}

var segment = regexp.MustCompile(`[^.\[\]]+`)

// setField sets or removes the field at path, and makes the objects on the way.
func setField(t *testing.T, into map[string]any, path string, value any, removes bool) {
	t.Helper()
	var at any = into
	names := segment.FindAllString(path, -1)
	for i, name := range names {
		isLast := i == len(names)-1
		switch parent := at.(type) {
		case map[string]any:
			switch {
			case isLast && removes:
				delete(parent, name)
			case isLast:
				parent[name] = value
			case parent[name] == nil:
				parent[name] = map[string]any{}
			}
			at = parent[name]
		case []any:
			n, err := strconv.Atoi(name)
			if err != nil || n >= len(parent) {
				t.Fatalf("the path %q has no element %q", path, name)
			}
			if isLast {
				parent[n] = value
			}
			at = parent[n]
		default:
			t.Fatalf("the path %q leads through a value at %q", path, name)
		}
	}
}

// create creates an object that goes away with the test.
func create(t *testing.T, u *unstructured.Unstructured) error {
	t.Helper()
	c := strict(t)
	if err := c.Create(t.Context(), u); err != nil {
		return err
	}
	t.Cleanup(func() {
		if err := c.Delete(context.Background(), u); err != nil && !apierrors.IsNotFound(err) {
			t.Errorf("removing %s: %v", u.GetName(), err)
		}
	})
	return nil
}

// update edits a stored object: its status where the first edit is of the
// status, else the rest of it.
func update(t *testing.T, u *unstructured.Unstructured, edits ...string) error {
	t.Helper()
	edit(t, u, edits...)
	if strings.HasPrefix(strings.TrimPrefix(edits[0], "-"), "status") {
		return strict(t).Status().Update(t.Context(), u)
	}
	return strict(t).Update(t.Context(), u)
}

// file is one YAML document of a file.
type file struct {
	name string
	yaml []byte
}

// documents returns the YAML documents of a directory's files.
func documents(t *testing.T, dir string) []file {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil || len(names) == 0 {
		t.Fatalf("%s has no YAML files: %v", dir, err)
	}
	var out []file
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for i, document := range strings.Split(string(data), "\n---\n") {
			base := filepath.Base(name)
			if i > 0 {
				base += "#" + strconv.Itoa(i+1)
			}
			out = append(out, file{name: base, yaml: []byte(document)})
		}
	}
	return out
}

func decode(t *testing.T, f file) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := yaml.UnmarshalStrict(f.yaml, &u.Object); err != nil || u.GetKind() == "" {
		t.Fatalf("%s is no object: %v", f.name, err)
	}
	return u
}
