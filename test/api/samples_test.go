package api

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/convert"
)

// Every sample can be created as it stands, and what is stored is what the file
// says: nothing is pruned.
func TestSamplesAreAccepted(t *testing.T) {
	for _, f := range documents(t, sampleDir) {
		t.Run(f.name, func(t *testing.T) {
			u := decode(t, f)
			if err := create(t, u); err != nil {
				t.Fatalf("refused: %v", err)
			}
			if !strings.Contains(f.name, "#") && !bytes.HasPrefix(f.yaml, []byte("# ")) {
				t.Error("the file does not begin with a comment that says what it shows")
			}
			if missing := lacks("", decode(t, f).Object, u.Object); len(missing) > 0 {
				t.Errorf("the API server dropped or changed %s", strings.Join(missing, ", "))
			}
		})
	}
}

// Every sample decodes into the Go types without an unknown field, and comes
// back with everything that was in the file.
func TestSamplesRoundTrip(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	kinds := map[string]bool{}
	for _, f := range documents(t, sampleDir) {
		t.Run(f.name, func(t *testing.T) {
			u := decode(t, f)
			kinds[u.GetKind()] = true
			typed, err := scheme.New(u.GroupVersionKind())
			if err != nil {
				t.Fatal(err)
			}
			if err := yaml.UnmarshalStrict(f.yaml, typed); err != nil {
				t.Fatalf("decoding: %v", err)
			}
			data, err := yaml.Marshal(typed)
			if err != nil {
				t.Fatalf("encoding: %v", err)
			}
			back := &unstructured.Unstructured{}
			if err := yaml.Unmarshal(data, &back.Object); err != nil {
				t.Fatal(err)
			}
			if missing := lacks("", u.Object, back.Object); len(missing) > 0 {
				t.Errorf("the Go types dropped or changed %s", strings.Join(missing, ", "))
			}
			again, _ := scheme.New(u.GroupVersionKind())
			if err := yaml.UnmarshalStrict(data, again); err != nil {
				t.Fatalf("decoding what was encoded: %v", err)
			}
			if diff := cmp.Diff(typed, again); diff != "" {
				t.Errorf("decoded twice (-first +second):\n%s", diff)
			}
		})
	}
	for kind := range bases {
		if !kinds[kind] {
			t.Errorf("%s has no sample of kind %s", sampleDir, kind)
		}
	}
}

// A sample gang makes sense beyond its schema: its slices divide, its classes are
// among the samples.
func TestSampleGangsCanBePlanned(t *testing.T) {
	var classes []v1alpha1.AcceleratorClass
	var gangs []v1alpha1.GangSchedulingGroup
	for _, f := range documents(t, sampleDir) {
		switch decode(t, f).GetKind() {
		case class:
			classes = append(classes, v1alpha1.AcceleratorClass{})
			mustDecode(t, f, &classes[len(classes)-1])
		case gang:
			gangs = append(gangs, v1alpha1.GangSchedulingGroup{})
			mustDecode(t, f, &gangs[len(gangs)-1])
		}
	}
	for i := range gangs {
		roles, err := convert.RoleClasses(&gangs[i], convert.Profiles(classes))
		if err == nil {
			_, err = convert.GangRequest(&gangs[i], roles)
		}
		if err != nil {
			t.Errorf("gang %s: %v", gangs[i].Name, err)
		}
	}
}

func mustDecode(t *testing.T, f file, into client.Object) {
	t.Helper()
	if err := yaml.UnmarshalStrict(f.yaml, into); err != nil {
		t.Fatalf("decoding %s: %v", f.name, err)
	}
}

// Typical mistakes are refused, each with the text on the file's first line.
func TestMistakesAreRefused(t *testing.T) {
	for _, f := range documents(t, invalidDir) {
		t.Run(f.name, func(t *testing.T) {
			first, _, _ := bytes.Cut(f.yaml, []byte("\n"))
			want, found := strings.CutPrefix(string(first), "# want: ")
			if !found || want == "" {
				t.Fatalf("the first line is %q, want \"# want: \" and a part of the message", first)
			}
			err := create(t, decode(t, f))
			switch {
			case err == nil:
				t.Errorf("accepted, want %q", want)
			case !strings.Contains(err.Error(), want):
				t.Errorf("got %v\nwant %q", err, want)
			}
		})
	}
}

// The metadata of a Pod template reaches the Pods. A CRD that was generated
// without generateEmbeddedObjectMeta drops it without a word.
func TestTemplateMetadataIsKept(t *testing.T) {
	u := object(t, gang, "spec.roles[0].template.metadata: {labels: {app: train}, annotations: {example.com/note: kept}}")
	if err := create(t, u); err != nil {
		t.Fatalf("refused, are the CRDs generated with crd:generateEmbeddedObjectMeta=true? %v", err)
	}
	stored := &v1alpha1.GangSchedulingGroup{}
	if err := cluster(t).Client.Get(t.Context(), client.ObjectKeyFromObject(u), stored); err != nil {
		t.Fatal(err)
	}
	template := stored.Spec.Roles[0].Template
	if template.Labels["app"] != "train" || template.Annotations["example.com/note"] != "kept" {
		t.Errorf("got labels %v and annotations %v", template.Labels, template.Annotations)
	}
}

// lacks lists the paths at which got misses what want has. Fields that only got
// has are fine: types without omitempty and the API server add some.
func lacks(at string, want, got any) []string {
	switch w := want.(type) {
	case map[string]any:
		g, _ := got.(map[string]any)
		var out []string
		for _, key := range slices.Sorted(maps.Keys(w)) {
			out = append(out, lacks(strings.TrimPrefix(at+"."+key, "."), w[key], g[key])...)
		}
		return out
	case []any:
		g, _ := got.([]any)
		if len(g) != len(w) {
			return []string{at}
		}
		var out []string
		for i := range w {
			out = append(out, lacks(at+"[]", w[i], g[i])...)
		}
		return out
	}
	if !reflect.DeepEqual(plain(want), plain(got)) {
		return []string{at}
	}
	return nil
}

// plain writes a scalar so that the kinds of number do not matter.
func plain(scalar any) string {
	data, err := json.Marshal(scalar)
	if err != nil {
		return err.Error()
	}
	return string(data)
}
