package observe

import (
	"errors"
	"testing"

	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/k8s4ai/k8s4ai/internal/testkit"
)

// Only an API server that has ResourceSlices is watched for them.
func TestServesSlices(t *testing.T) {
	mapper := meta.NewDefaultRESTMapper(nil)
	if served, err := ServesSlices(mapper); served || err != nil {
		t.Errorf("without the kind: %t, %v", served, err)
	}
	mapper.Add(resourcev1.SchemeGroupVersion.WithKind("ResourceSlice"), meta.RESTScopeRoot)
	if served, err := ServesSlices(mapper); !served || err != nil {
		t.Errorf("with the kind: %t, %v", served, err)
	}
	if _, err := ServesSlices(failingMapper{}); err == nil {
		t.Error("an API server that does not answer has no ResourceSlices")
	}
	if served, err := ServesSlices(testkit.APIServer(t).Client.RESTMapper()); !served || err != nil {
		t.Errorf("the test's API server: %t, %v", served, err)
	}
}

// failingMapper is an API server that does not answer.
type failingMapper struct{ meta.RESTMapper }

func (failingMapper) RESTMapping(schema.GroupKind, ...string) (*meta.RESTMapping, error) {
	return nil, errors.New("no answer")
}
