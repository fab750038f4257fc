package acceleratorclass

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/observe"
	"github.com/k8s4ai/k8s4ai/internal/report"
	"github.com/k8s4ai/k8s4ai/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Run(m)) }

// stage is one test's cluster with a Reconciler that makes a pass whenever it is
// asked to.
type stage struct {
	*testkit.Server
	t          *testing.T
	reconciler *Reconciler
}

func newStage(t *testing.T, objects ...client.Object) *stage {
	t.Helper()
	s := &stage{Server: testkit.APIServer(t), t: t}
	s.reconciler = &Reconciler{Client: s.Client, Pace: observe.Pace{Now: time.Now}}
	s.Create(t, objects...)
	return s
}

// settle makes a pass, and a second one that must change nothing.
func (s *stage) settle() {
	s.t.Helper()
	for range 2 {
		before := s.versions()
		if result, err := s.reconciler.Reconcile(s.t.Context(), ctrl.Request{}); err != nil || result.RequeueAfter != 0 {
			s.t.Fatalf("the pass ended with %v, %v", result, err)
		}
		if s.versions() == before {
			return
		}
	}
	s.t.Fatal("the second pass still changes something")
}

func (s *stage) versions() string {
	s.t.Helper()
	return s.Versions(s.t, &corev1.NodeList{}, &v1alpha1.AcceleratorClassList{})
}

// wantClass compares a class as
// "nodes; free/total devices; Ready; Stalled".
func (s *stage) wantClass(name, want string) {
	s.t.Helper()
	class := &v1alpha1.AcceleratorClass{}
	if err := s.Client.Get(s.t.Context(), client.ObjectKey{Name: name}, class); err != nil {
		s.t.Fatal(err)
	}
	if class.Status.Nodes == nil || class.Status.Devices == nil {
		s.t.Errorf("class %s has no counts", name)
		return
	}
	d := class.Status.Devices
	got := fmt.Sprintf("%d nodes; %d/%d free", *class.Status.Nodes, *d.Free, *d.Total)
	if *d.Unhealthy > 0 {
		got += fmt.Sprintf(", %d broken", *d.Unhealthy)
	}
	for _, kind := range []string{v1alpha1.ConditionReady, v1alpha1.ConditionStalled} {
		c := meta.FindStatusCondition(class.Status.Conditions, kind)
		if c == nil || c.ObservedGeneration != class.Generation {
			s.t.Errorf("condition %s of class %s is %v", kind, name, c)
			return
		}
		if c.Reason != v1alpha1.ReasonAsExpected {
			got += fmt.Sprintf("; %s %s", kind, c.Reason)
		}
		if kind == v1alpha1.ConditionStalled && c.Message != "" {
			got += ": " + c.Message
		}
	}
	if got != want {
		s.t.Errorf("class %s is\n%s\nwant\n%s", name, got, want)
	}
}

// class reads a class.
func (s *stage) class(name string) *v1alpha1.AcceleratorClass {
	s.t.Helper()
	out := &v1alpha1.AcceleratorClass{}
	if err := s.Client.Get(s.t.Context(), client.ObjectKey{Name: name}, out); err != nil {
		s.t.Fatal(err)
	}
	return out
}

// measure plays the benchmark of a node's agent: it stores one figure of each of
// the devices that reportDevices made.
func (s *stage) measure(node string, at time.Time, figure v1alpha1.FigureName, values ...string) {
	s.t.Helper()
	domain := &v1alpha1.TopologyDomain{}
	if err := s.Client.Get(s.t.Context(), client.ObjectKey{Name: node}, domain); err != nil {
		s.t.Fatal(err)
	}
	domain.Status.Measurements = nil
	for i, value := range values {
		domain.Status.Measurements = append(domain.Status.Measurements, v1alpha1.DeviceMeasurement{
			UUID: fmt.Sprintf("GPU-%s-%d", node, i), Time: new(metav1.NewTime(at)),
			Figures: []v1alpha1.DeviceFigure{{Name: figure, Value: new(resource.MustParse(value)), Method: "cuBLASLt"}},
		})
	}
	if err := s.Client.Status().Update(s.t.Context(), domain, client.FieldOwner("k8s4ai-agent")); err != nil {
		s.t.Fatal(err)
	}
}

// wantMeasured compares what a class delivers as
// "figure p10/p50/p90 of samples, efficiency; worst outliers; FigureDrift".
func (s *stage) wantMeasured(name, want string) {
	s.t.Helper()
	class := s.class(name)
	var parts []string
	for _, m := range class.Status.Measured {
		parts = append(parts, fmt.Sprintf("%s %s/%s/%s of %d by %s, %d %%", m.Name, m.P10, m.P50, m.P90, m.Samples, m.Method, m.EfficiencyPercent))
	}
	for _, o := range class.Status.Outliers {
		parts = append(parts, fmt.Sprintf("%s has %d %% of %s", o.UUID, *o.PercentOfMedian, o.Figure))
	}
	if c := meta.FindStatusCondition(class.Status.Conditions, v1alpha1.ConditionFigureDrift); c != nil {
		parts = append(parts, fmt.Sprintf("%s %s %s", c.Status, c.Reason, c.Message))
	}
	if got := strings.TrimSpace(strings.Join(parts, "; ")); got != want {
		s.t.Errorf("class %s is\n%s\nwant\n%s", name, got, want)
	}
}

// classLabels are the classes that a node is labelled with.
func (s *stage) classLabels(name string) map[string]string {
	s.t.Helper()
	var node corev1.Node
	if err := s.Client.Get(s.t.Context(), client.ObjectKey{Name: name}, &node); err != nil {
		s.t.Fatal(err)
	}
	out := map[string]string{}
	for key, value := range node.Labels {
		if class, found := strings.CutPrefix(key, v1alpha1.LabelClassPrefix); found {
			out[class] = value
		}
	}
	return out
}

// reportDevices plays the agent of a node: devices are PCI ids, those with a "!"
// behind them broken.
func (s *stage) reportDevices(node string, devices ...string) {
	s.t.Helper()
	domain := &v1alpha1.TopologyDomain{
		ObjectMeta: metav1.ObjectMeta{Name: node}, Spec: v1alpha1.TopologyDomainSpec{Level: v1alpha1.LevelNode, NodeName: node},
	}
	if err := client.IgnoreAlreadyExists(s.Client.Create(s.t.Context(), domain)); err != nil {
		s.t.Fatal(err)
	}
	out := &v1alpha1.TopologyDomain{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "TopologyDomain"},
		ObjectMeta: metav1.ObjectMeta{Name: node},
		Status:     v1alpha1.TopologyDomainStatus{Node: &v1alpha1.NodeReport{}},
	}
	for i, device := range devices {
		id, isBroken := strings.CutSuffix(device, "!")
		health := v1alpha1.DeviceHealthy
		if isBroken {
			health = v1alpha1.DeviceUnhealthy
		}
		out.Status.Node.Accelerators = append(out.Status.Node.Accelerators, v1alpha1.Accelerator{
			UUID: fmt.Sprintf("GPU-%s-%d", node, i), Index: new(int32(i)), PCIID: id, Health: health,
		})
	}
	if err := report.ApplyStatus(s.t.Context(), s.Client, out, "k8s4ai-agent"); err != nil {
		s.t.Fatal(err)
	}
}

// edit changes an object as a person with kubectl does.
func edit[T client.Object](s *stage, object T, change func(T)) {
	s.t.Helper()
	if err := s.Client.Get(s.t.Context(), client.ObjectKeyFromObject(object), object); err != nil {
		s.t.Fatal(err)
	}
	change(object)
	if err := s.Client.Update(s.t.Context(), object, client.FieldOwner("kubectl-edit")); err != nil {
		s.t.Fatal(err)
	}
}
