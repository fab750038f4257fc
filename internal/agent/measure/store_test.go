package measure

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Run(m)) }

func measured(uuid, value string) v1alpha1.DeviceMeasurement {
	q := resource.MustParse(value)
	return v1alpha1.DeviceMeasurement{UUID: uuid, Time: new(metav1.Unix(1, 0)), Figures: []v1alpha1.DeviceFigure{
		{Name: v1alpha1.FigureBF16, Value: &q, Method: "cuBLASLt"},
	}}
}

// stored is what the API server holds, by device.
func stored(t *testing.T, server *testkit.Server, node string) (domain v1alpha1.TopologyDomain, bf16 map[string]string) {
	t.Helper()
	if err := server.Client.Get(t.Context(), client.ObjectKey{Name: node}, &domain); err != nil {
		t.Fatal(err)
	}
	bf16 = map[string]string{}
	for _, m := range domain.Status.Measurements {
		bf16[m.UUID] = m.Figures[0].Value.String()
	}
	return domain, bf16
}

func TestStore(t *testing.T) {
	server := testkit.APIServer(t)
	dynamicClient, err := dynamic.NewForConfig(server.Config)
	if err != nil {
		t.Fatal(err)
	}
	store := Store{Client: dynamicClient, Node: "n1"}
	if err := store.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "there is no TopologyDomain n1") {
		t.Errorf("without an object: %v", err)
	}
	node := &v1alpha1.TopologyDomain{ObjectMeta: metav1.ObjectMeta{Name: "n1"}, Spec: v1alpha1.TopologyDomainSpec{Level: v1alpha1.LevelNode, NodeName: "n1"}}
	leaf := &v1alpha1.TopologyDomain{ObjectMeta: metav1.ObjectMeta{Name: "n2"}, Spec: v1alpha1.TopologyDomainSpec{Level: v1alpha1.LevelLeaf}}
	server.Create(t, node, leaf)
	if err := (Store{Client: dynamicClient, Node: "n2"}).Check(t.Context()); err == nil || !strings.Contains(err.Error(), "is not the one of node n2") {
		t.Errorf("with the object of a leaf: %v", err)
	}
	node.Status.Node = &v1alpha1.NodeReport{BootID: "boot"}
	if err := server.Client.Status().Update(t.Context(), node, client.FieldOwner("k8s4ai-node-agent")); err != nil {
		t.Fatal(err)
	}
	if err := store.Check(t.Context()); err != nil {
		t.Error(err)
	}
	for _, step := range []struct {
		fresh []v1alpha1.DeviceMeasurement
		want  map[string]string
	}{
		{[]v1alpha1.DeviceMeasurement{measured("a", "700"), measured("b", "710.5")}, map[string]string{"a": "700", "b": "710500m"}},
		{[]v1alpha1.DeviceMeasurement{measured("b", "720")}, map[string]string{"a": "700", "b": "720"}},
	} {
		if err := store.Write(t.Context(), step.fresh); err != nil {
			t.Fatal(err)
		}
		domain, got := stored(t, server, "n1")
		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Error(diff)
		}
		if domain.Status.Node == nil || domain.Status.Node.BootID != "boot" {
			t.Errorf("the agent's report is %+v", domain.Status.Node)
		}
	}
	if err := store.Write(t.Context(), nil); err == nil {
		t.Error("nothing is stored without an error")
	}
}
