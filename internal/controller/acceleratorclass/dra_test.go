package acceleratorclass

import (
	"context"
	"testing"

	resourcev1 "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/testkit"
)

// publish plays a DRA driver: the pool of a node has one slice with these
// devices, each with its model and UUID.
func (s *stage) publish(node string, generation int64, models ...string) *resourcev1.ResourceSlice {
	s.t.Helper()
	slice := &resourcev1.ResourceSlice{
		ObjectMeta: metav1.ObjectMeta{GenerateName: node + "-"},
		Spec: resourcev1.ResourceSliceSpec{
			Driver: "gpu.example.com", NodeName: &node, Pool: resourcev1.ResourcePool{Name: node, Generation: generation, ResourceSliceCount: 1},
		},
	}
	for i, model := range models {
		slice.Spec.Devices = append(slice.Spec.Devices, resourcev1.Device{
			Name: "gpu-" + string(rune('0'+i)),
			Attributes: map[resourcev1.QualifiedName]resourcev1.DeviceAttribute{
				"model": {StringValue: &model}, "uuid": {StringValue: new("GPU-" + node + "-" + string(rune('0'+i)))},
			},
		})
	}
	s.Create(s.t, slice)
	s.t.Cleanup(func() {
		if err := client.IgnoreNotFound(s.Client.Delete(context.Background(), slice)); err != nil {
			s.t.Error(err)
		}
	})
	return slice
}

// Devices that only a DRA driver tells of count, an agent's own are the same ones,
// and what a driver no longer tells goes.
func TestDRADevicesCount(t *testing.T) {
	class := testkit.Class("h100").Obj()
	class.Spec.Match.DeviceSelector = `device.driver == "gpu.example.com" && device.attributes["gpu.example.com"].model == "H100"`
	l40s := byID("l40s", l40sID)
	s := newStage(t, class, l40s, testkit.Class("by-label").OnLabel(product, "H100").Obj(),
		testkit.Node("n1").Label(product, "H100").Obj(), testkit.Node("n2").GPUs(2).Obj())
	s.settle()
	s.wantLabels("n1", map[string]string{"by-label": "true"})

	old := s.publish("n1", 1, "H100", "H100", "NIC")
	s.settle()
	s.wantLabels("n1", map[string]string{"h100": "true"})
	s.wantClass("h100", "1 nodes; 0/2 free; Ready Matched")
	s.wantClass("by-label", "0 nodes; 0/0 free; Ready NoNodes")

	// What the agent knows by its PCI ID is of that class. The other device is of
	// the class that DRA tells, and not counted twice.
	s.publish("n2", 1, "H100", "H100")
	s.reportDevices("n2", l40sID, "10de:ffff")
	s.settle()
	s.wantLabels("n2", map[string]string{"h100": "true", "l40s": "true"})
	s.wantClass("h100", "2 nodes; 1/3 free; Ready Matched")
	s.wantClass("l40s", "1 nodes; 1/1 free; Ready Matched")

	s.publish("n1", 2, "H100")
	s.settle()
	s.wantClass("h100", "2 nodes; 1/2 free; Ready Matched")
	if err := s.Client.Delete(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	s.settle()
	s.wantClass("h100", "2 nodes; 1/2 free; Ready Matched")

	edit(s, class, func(c *v1alpha1.AcceleratorClass) { c.Spec.Match.DeviceSelector = "false" })
	s.settle()
	s.wantLabels("n1", map[string]string{"by-label": "true"})
	s.wantClass("h100", "0 nodes; 0/0 free; Ready NoNodes")
}
