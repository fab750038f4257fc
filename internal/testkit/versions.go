package testkit

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Versions lists the objects of some kinds with their resource versions. The
// text changes when any of them is written, made or deleted.
func (s *Server) Versions(t testing.TB, lists ...client.ObjectList) string {
	t.Helper()
	var out strings.Builder
	for _, list := range lists {
		if err := s.Client.List(t.Context(), list); err != nil {
			t.Fatalf("listing objects: %v", err)
		}
		objects, err := meta.ExtractList(list)
		if err != nil {
			t.Fatalf("reading a list: %v", err)
		}
		for _, object := range objects {
			fmt.Fprintln(&out, object.(client.Object).GetNamespace(), object.(client.Object).GetName(), object.(client.Object).GetResourceVersion())
		}
	}
	return out.String()
}
