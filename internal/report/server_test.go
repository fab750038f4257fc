package report

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Run(m)) }

// withStatus is a domain as a controller applies its status.
func withStatus(uid types.UID, status v1alpha1.TopologyDomainStatus) *v1alpha1.TopologyDomain {
	return &v1alpha1.TopologyDomain{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "TopologyDomain"},
		ObjectMeta: metav1.ObjectMeta{Name: "d", UID: uid}, Status: status,
	}
}

func counts(total int32) *v1alpha1.NodeCounts {
	return &v1alpha1.NodeCounts{Total: new(total), Ready: new(int32(0))}
}

func stored(t *testing.T, s *testkit.Server) *v1alpha1.TopologyDomain {
	t.Helper()
	out := &v1alpha1.TopologyDomain{}
	if err := s.Client.Get(t.Context(), client.ObjectKey{Name: "d"}, out); err != nil {
		t.Fatal(err)
	}
	return out
}

// Two owners share a status. A field that its owner leaves out goes; the other
// owner's stay.
func TestApplyStatusShares(t *testing.T) {
	s := testkit.APIServer(t)
	domain := testkit.Domain("d", v1alpha1.LevelBlock).Obj()
	s.Create(t, domain)
	apply := func(owner string, status v1alpha1.TopologyDomainStatus) {
		t.Helper()
		if err := ApplyStatus(t.Context(), s.Client, withStatus(domain.UID, status), owner); err != nil {
			t.Fatal(err)
		}
	}
	apply("one", v1alpha1.TopologyDomainStatus{Nodes: counts(3), ParentName: "p"})
	apply("two", v1alpha1.TopologyDomainStatus{Node: &v1alpha1.NodeReport{AgentVersion: "1"}})
	apply("one", v1alpha1.TopologyDomainStatus{Nodes: counts(4)})
	want := v1alpha1.TopologyDomainStatus{Nodes: counts(4), Node: &v1alpha1.NodeReport{AgentVersion: "1"}}
	if diff := cmp.Diff(want, stored(t, s).Status); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	if spec := stored(t, s).Spec; spec.Level != v1alpha1.LevelBlock {
		t.Errorf("the spec became %+v", spec)
	}
}

// The status of an object that was deleted makes no new one.
func TestApplyStatusOfADeletedObject(t *testing.T) {
	s := testkit.APIServer(t)
	domain := testkit.Domain("d", v1alpha1.LevelBlock).Obj()
	s.Create(t, domain)
	late := withStatus(domain.UID, v1alpha1.TopologyDomainStatus{Nodes: counts(3)})
	if err := s.Client.Delete(t.Context(), domain); err != nil {
		t.Fatal(err)
	}
	if err := ApplyStatus(t.Context(), s.Client, late, "one"); err != nil {
		t.Errorf("ApplyStatus() = %v", err)
	}
	if err := s.Client.Get(t.Context(), client.ObjectKey{Name: "d"}, &v1alpha1.TopologyDomain{}); !apierrors.IsNotFound(err) {
		t.Errorf("the object is back: %v", err)
	}
}

// What the API server refuses is an error that names the object.
func TestApplyStatusRefused(t *testing.T) {
	s := testkit.APIServer(t)
	domain := testkit.Domain("d", v1alpha1.LevelBlock).Obj()
	s.Create(t, domain)
	err := ApplyStatus(t.Context(), s.Client, withStatus(domain.UID, v1alpha1.TopologyDomainStatus{Nodes: counts(-1)}), "one")
	if !apierrors.IsInvalid(err) {
		t.Errorf("ApplyStatus() = %v, want Invalid", err)
	}
	if err := ApplyStatus(t.Context(), s.Client, withStatus(domain.UID, v1alpha1.TopologyDomainStatus{}), "one"); err == nil {
		t.Error("an object without a status has no error")
	}
}

func TestLabelNode(t *testing.T) {
	s := testkit.APIServer(t)
	node := testkit.Node("n1").Label("stays", "1").Label("changes", "1").Label("goes", "1").Obj()
	s.Create(t, node)
	change := map[string]*string{"changes": new("2"), "comes": new(""), "goes": nil, "was-not-there": nil}
	if err := LabelNode(t.Context(), s.Client, "n1", change); err != nil {
		t.Fatal(err)
	}
	var got corev1.Node
	if err := s.Client.Get(t.Context(), client.ObjectKeyFromObject(node), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{corev1.LabelHostname: "n1", "stays": "1", "changes": "2", "comes": ""}
	if diff := cmp.Diff(want, got.Labels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	if err := LabelNode(t.Context(), s.Client, "gone", change); err != nil {
		t.Errorf("LabelNode() of a node that is gone = %v", err)
	}
	if err := s.Client.Get(t.Context(), client.ObjectKey{Name: "gone"}, &got); !apierrors.IsNotFound(err) {
		t.Errorf("the node is back: %v", err)
	}
	if err := LabelNode(t.Context(), s.Client, "n1", map[string]*string{"a": new("no label value!")}); !apierrors.IsInvalid(err) {
		t.Errorf("LabelNode() with an invalid value = %v, want Invalid", err)
	}
}
