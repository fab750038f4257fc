package acceleratorclass

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/convert"
	"github.com/k8s4ai/k8s4ai/internal/observe"
	"github.com/k8s4ai/k8s4ai/internal/testkit"
)

const (
	product = "nvidia.com/gpu.product"
	h100ID  = "10de:2330"
	l40sID  = "10de:26b9"
)

func byID(name string, ids ...string) *v1alpha1.AcceleratorClass {
	out := testkit.Class(name).Obj()
	out.Spec.Match.PCIIDs = ids
	return out
}

func (s *stage) wantLabels(node string, want map[string]string) {
	s.t.Helper()
	if diff := cmp.Diff(want, s.classLabels(node)); diff != "" {
		s.t.Errorf("class labels of %s (-want +got):\n%s", node, diff)
	}
}

// The label of a class appears with the evidence and goes with it, and with the
// class.
func TestClassLabels(t *testing.T) {
	n1 := testkit.Node("n1").GPUs(8).Label(product, "H100").Label(v1alpha1.LabelClassPrefix+"former", "true").Obj()
	class := testkit.Class("h100").OnLabel(product, "H100", "H100-NVL").Obj()
	s := newStage(t, n1, testkit.Node("n2").GPUs(8).Label(product, "H200").Obj(), testkit.Node("cpu").Obj(), class)
	s.settle()
	s.wantLabels("n1", map[string]string{"h100": "true"})
	s.wantLabels("n2", map[string]string{})
	s.wantLabels("cpu", map[string]string{})
	s.wantClass("h100", "1 nodes; 8/8 free; Ready Matched")

	edit(s, n1, func(n *corev1.Node) { n.Labels[v1alpha1.LabelClassPrefix+"h100"] = "maybe" })
	s.settle()
	s.wantLabels("n1", map[string]string{"h100": "true"})

	edit(s, n1, func(n *corev1.Node) { n.Labels[product] = "H200" })
	s.settle()
	s.wantLabels("n1", map[string]string{})
	s.wantClass("h100", "0 nodes; 0/0 free; Ready NoNodes")

	edit(s, class, func(c *v1alpha1.AcceleratorClass) { c.Spec.Match.NodeLabels[0].Values = []string{"H200"} })
	s.settle()
	s.wantLabels("n1", map[string]string{"h100": "true"})
	s.wantLabels("n2", map[string]string{"h100": "true"})

	if err := s.Client.Delete(t.Context(), class); err != nil {
		t.Fatal(err)
	}
	s.settle()
	s.wantLabels("n1", map[string]string{})
	s.wantLabels("n2", map[string]string{})
}

// What is free follows Pods, committed gangs, broken devices and nodes that take
// nothing.
func TestClassCounts(t *testing.T) {
	n3 := testkit.Node("n3").GPUs(8).Obj()
	gang := testkit.Gang("train").Role("worker", 2, 2).Obj()
	s := newStage(t, byID("h100", h100ID), testkit.Node("n1").GPUs(8).Obj(), testkit.Node("n2").GPUs(8).Obj(), n3)
	for _, node := range []string{"n1", "n2", "n3"} {
		s.reportDevices(node, h100ID, h100ID, h100ID, h100ID, h100ID, h100ID, h100ID, h100ID)
	}
	s.settle()
	s.wantClass("h100", "3 nodes; 24/24 free; Ready Matched")

	s.Create(t, testkit.Pod("busy").On("n1").GPUs(3).Obj(), testkit.Pod("waiting").GPUs(8).Obj(), gang)
	s.settle()
	s.wantClass("h100", "3 nodes; 21/24 free; Ready Matched")

	s.commit(gang, "n1,n2")
	s.settle()
	s.wantClass("h100", "3 nodes; 17/24 free; Ready Matched")
	s.Create(t, testkit.Pod("rank-0").Of(gang, 1).On("n1").GPUs(2).Obj())
	s.settle()
	s.wantClass("h100", "3 nodes; 17/24 free; Ready Matched")

	s.reportDevices("n2", h100ID+"!", h100ID, h100ID, h100ID, h100ID, h100ID, h100ID, h100ID+"!")
	s.settle()
	s.wantClass("h100", "3 nodes; 15/24 free, 2 broken; Ready Matched")

	edit(s, n3, func(n *corev1.Node) { n.Spec.Unschedulable = true })
	s.settle()
	s.wantClass("h100", "3 nodes; 7/24 free, 2 broken; Ready Matched")
}

// commit stores a placement of the gang's one role.
func (s *stage) commit(gang *v1alpha1.GangSchedulingGroup, hosts string) {
	s.t.Helper()
	roles := []v1alpha1.RolePlacement{{
		Name: "worker", Replicas: 2, Hosts: hosts,
		Slot: corev1.ResourceList{testkit.GPU: resource.MustParse("2")},
	}}
	gang.Status.Epoch = 1
	gang.Status.Placement = &v1alpha1.GangPlacement{Generation: 1, CommittedTime: &metav1.Time{Time: time.Unix(1000, 0)}, Roles: roles}
	if err := s.Client.Status().Update(s.t.Context(), gang); err != nil {
		s.t.Fatal(err)
	}
	if _, held := convert.Commitment(gang); !held {
		s.t.Fatal("the placement holds no room")
	}
}

// Devices that two classes claim equally belong to neither, and both say so. A
// more exact class ends it.
func TestAmbiguousClasses(t *testing.T) {
	b := byID("b", h100ID)
	s := newStage(t, byID("a", h100ID), b, testkit.Node("n1").GPUs(2).Obj())
	s.reportDevices("n1", h100ID, h100ID)
	s.settle()
	const rivals = "0 nodes; 0/0 free; Ready NoNodes; Stalled Ambiguous: devices match a, b equally well and belong to none of them: add pciIDs or minMemory to one"
	s.wantClass("a", rivals)
	s.wantClass("b", rivals)
	s.wantLabels("n1", map[string]string{})

	edit(s, b, func(c *v1alpha1.AcceleratorClass) { c.Spec.Match.PCIIDs = []string{l40sID} })
	s.settle()
	s.wantClass("a", "1 nodes; 2/2 free; Ready Matched")
	s.wantClass("b", "0 nodes; 0/0 free; Ready NoNodes")
	s.wantLabels("n1", map[string]string{"a": "true"})
}

// A fallback that does not exist is told until it does.
func TestFallbackNotFound(t *testing.T) {
	class := testkit.Class("h200").OnLabel(product, "H200").Obj()
	class.Spec.Fallback = []string{"h100", "a100"}
	s := newStage(t, class)
	s.settle()
	s.wantClass("h200", "0 nodes; 0/0 free; Ready NoNodes; Stalled FallbackNotFound: fallback names classes that do not exist: create h100, a100, or remove it")
	s.Create(t, testkit.Class("h100").OnLabel(product, "H100").Obj())
	s.settle()
	s.wantClass("h200", "0 nodes; 0/0 free; Ready NoNodes; Stalled FallbackNotFound: fallback names classes that do not exist: create a100, or remove it")
	s.Create(t, testkit.Class("a100").OnLabel(product, "A100").Obj())
	s.settle()
	s.wantClass("h200", "0 nodes; 0/0 free; Ready NoNodes")
}

// A node with two kinds of devices has both classes; a label speaks for neither,
// and a broken device counts for its own class alone.
func TestHeterogeneousNode(t *testing.T) {
	n1 := testkit.Node("n1").GPUs(3).Label(product, "H100").Obj()
	s := newStage(t, byID("h100", h100ID), byID("l40s", l40sID), testkit.Class("by-label").OnLabel(product, "H100").Obj(), n1)
	s.settle()
	s.wantLabels("n1", map[string]string{"by-label": "true"})

	s.reportDevices("n1", h100ID, h100ID+"!", l40sID)
	s.settle()
	s.wantLabels("n1", map[string]string{"h100": "true", "l40s": "true"})
	s.wantClass("h100", "1 nodes; 1/2 free, 1 broken; Ready Matched")
	s.wantClass("l40s", "1 nodes; 1/1 free; Ready Matched")
	s.wantClass("by-label", "0 nodes; 0/0 free; Ready NoNodes")

	// Nobody tells which device the Pod got: each class counts what may be free.
	s.Create(t, testkit.Pod("busy").On("n1").GPUs(1).Obj())
	s.settle()
	s.wantClass("h100", "1 nodes; 1/2 free, 1 broken; Ready Matched")
	s.wantClass("l40s", "1 nodes; 1/1 free; Ready Matched")
}

// A node that claims more devices than a status can count does not stop the pass.
func TestAbsurdNodeIsCounted(t *testing.T) {
	class := testkit.Class("h100").OnLabel("cloud.google.com/gke-accelerator", "nvidia-h100-80gb").Obj()
	var objects []client.Object
	for _, name := range []string{"n1", "n2", "n3"} {
		objects = append(objects, testkit.Node(name).GPUs(8).Label("cloud.google.com/gke-accelerator", "nvidia-h100-80gb").Obj())
	}
	s := newStage(t, append(objects, class, testkit.Node("huge").Allocatable(testkit.GPU, "9223372036854775807").Label("cloud.google.com/gke-accelerator", "nvidia-h100-80gb").Obj())...)
	s.settle()
	s.wantClass("h100", "4 nodes; 2147483647/2147483647 free; Ready Matched")
}

// What agents measure becomes the spread of the class, and goes with the
// measurements.
func TestMeasuredFigures(t *testing.T) {
	h100 := byID("h100", h100ID)
	h100.Spec.Figures = []v1alpha1.AcceleratorFigure{{Name: v1alpha1.FigureBF16, Value: new(resource.MustParse("989")), Source: "datasheet"}}
	s := newStage(t, h100, byID("l40s", l40sID), testkit.Node("n1").GPUs(4).Obj(), testkit.Node("n2").GPUs(2).Obj())
	s.reportDevices("n1", h100ID, h100ID, h100ID, h100ID)
	s.reportDevices("n2", h100ID, l40sID)
	s.settle()
	s.wantMeasured("h100", "False NotMeasured")

	s.measure("n1", time.Now(), v1alpha1.FigureBF16, "794.5", "790", "780", "500")
	s.measure("n2", time.Now(), v1alpha1.FigureBF16, "800", "180")
	s.settle()
	s.wantMeasured("h100", "BF16TeraFLOPS 500/790/800 of 5 by cuBLASLt, 80 %; GPU-n1-3 has 63 % of BF16TeraFLOPS; False AsMeasured")
	s.wantMeasured("l40s", "BF16TeraFLOPS 180/180/180 of 1 by cuBLASLt, 0 %; False AsMeasured")

	s.measure("n1", time.Now(), v1alpha1.FigureBF16, "300", "310", "320", "330")
	s.settle()
	s.wantMeasured("h100", "BF16TeraFLOPS 300/320/800 of 5 by cuBLASLt, 32 %; True FarFromDatasheet "+
		"BF16TeraFLOPS is 320 measured and 989 in the datasheet: correct figures, or look for what holds the devices back")

	edit(s, h100, func(c *v1alpha1.AcceleratorClass) { c.Spec.Figures[0].Value = new(resource.MustParse("400")) })
	s.settle()
	s.wantMeasured("h100", "BF16TeraFLOPS 300/320/800 of 5 by cuBLASLt, 80 %; False AsMeasured")

	s.measure("n1", time.Now().Add(time.Hour), v1alpha1.FigureBF16, "300")
	s.measure("n2", time.Now(), v1alpha1.FigureNVMeToDevice, "6.5")
	s.settle()
	s.wantMeasured("h100", "NVMeToDeviceGBps 6500m/6500m/6500m of 1 by cuBLASLt, 0 %; False AsMeasured")
	s.measure("n2", time.Now(), v1alpha1.FigureBF16)
	s.settle()
	s.wantMeasured("h100", "False NotMeasured")
}

// A pass without news writes nothing.
func TestPassWithoutNewsIsSilent(t *testing.T) {
	s := newStage(t, byID("h100", h100ID), testkit.Node("n1").GPUs(1).Obj())
	s.reportDevices("n1", h100ID)
	s.measure("n1", time.Now(), v1alpha1.FigureBF16, "794.5")
	s.settle()
	world, err := observe.CommittedWorld(t.Context(), s.Client)
	if err != nil {
		t.Fatal(err)
	}
	next := decide(world, world.Scene(), time.Now())
	if len(next.status) > 0 || len(next.labels) > 0 {
		t.Errorf("there is something to write: %+v", next)
	}
}

// A selector that cannot be read stalls its class, which is recognised by the
// rest of match.
func TestBrokenSelector(t *testing.T) {
	class := byID("h100", h100ID)
	class.Spec.Match.DeviceSelector = "device.vendor == 'NVIDIA'"
	s := newStage(t, class, testkit.Node("n1").GPUs(1).Obj())
	s.reportDevices("n1", h100ID)
	s.settle()
	stalled := meta.FindStatusCondition(s.class("h100").Status.Conditions, v1alpha1.ConditionStalled)
	if stalled.Status != metav1.ConditionTrue || stalled.Reason != v1alpha1.ReasonInvalidSelector || !strings.Contains(stalled.Message, "undefined field 'vendor'") {
		t.Errorf("Stalled is %+v", stalled)
	}
	s.wantLabels("n1", map[string]string{"h100": "true"})

	edit(s, class, func(c *v1alpha1.AcceleratorClass) {
		c.Spec.Match.DeviceSelector = "device.driver == 'gpu.nvidia.com'"
	})
	s.settle()
	s.wantClass("h100", "1 nodes; 1/1 free; Ready Matched")
}

// Measurements make a pass, whatever else of a domain changes does not.
func TestNewMeasurements(t *testing.T) {
	before := &v1alpha1.TopologyDomain{}
	measured := before.DeepCopy()
	measured.Status.Measurements = []v1alpha1.DeviceMeasurement{{UUID: "GPU-0"}}
	other := before.DeepCopy()
	other.Status.ParentName = "leaf"
	if !newMeasurements.Update(event.UpdateEvent{ObjectOld: before, ObjectNew: measured}) {
		t.Error("a measurement is not passed")
	}
	if newMeasurements.Update(event.UpdateEvent{ObjectOld: before, ObjectNew: other}) {
		t.Error("another change is passed")
	}
}
