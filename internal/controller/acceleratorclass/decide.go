package acceleratorclass

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/capability"
	"github.com/k8s4ai/k8s4ai/internal/convert"
	"github.com/k8s4ai/k8s4ai/internal/report"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// decision is what a pass changes. Everything in it differs from what is stored.
type decision struct {
	status []*v1alpha1.AcceleratorClass
	// labels are label changes by node; nil removes a label.
	labels map[string]map[string]*string
}

// tally is what was found of one class.
type tally struct {
	nodes   int32
	devices topology.Accelerators
	// rivals are the other classes that match some device equally well.
	rivals map[string]bool
	// measured is what the devices deliver.
	measured capability.Summary
}

// decide compares what the scene says with what is stored.
func decide(world convert.World, scene convert.Scene, now time.Time) decision {
	out := decision{labels: map[string]map[string]*string{}}
	tallies := map[string]*tally{}
	measured := capability.Summarize(convert.Readings(world.Domains, scene, now))
	for i := range world.Classes {
		name := world.Classes[i].Name
		tallies[name] = &tally{rivals: map[string]bool{}, measured: measured[name]}
	}
	for i := range scene.Nodes {
		countNode(&scene.Nodes[i], tallies)
		if change := labelChange(scene.Nodes[i].Labels, scene.Nodes[i].Classes); change != nil {
			out.labels[scene.Nodes[i].Name] = change
		}
	}
	for i := range world.Classes {
		stored := &world.Classes[i]
		class := withStatus(stored, tallies)
		if !equality.Semantic.DeepEqual(&stored.Status, &class.Status) {
			out.status = append(out.status, class)
		}
	}
	return out
}

// countNode adds a node to the classes of its devices. Where a node has several
// classes, Kubernetes does not tell which of them a Pod got; each class then
// counts as free what is free on the node, at most what it has there itself.
func countNode(node *convert.SceneNode, tallies map[string]*tally) {
	own, broken := map[string]int64{}, map[string]int64{}
	for _, device := range node.Devices {
		for _, name := range device.Ambiguous {
			if t := tallies[name]; t != nil {
				for _, rival := range device.Ambiguous {
					t.rivals[rival] = true
				}
			}
		}
		switch {
		case device.Class == "":
		case device.Device == "":
			own[device.Class] += node.Accelerators.Total
		default:
			own[device.Class]++
			if slices.Contains(node.Broken, device.Device) {
				broken[device.Class]++
			}
		}
	}
	for name, devices := range own {
		t := tallies[name]
		if t == nil {
			continue
		}
		t.nodes++
		t.devices.Total = convert.Sum(t.devices.Total, devices)
		t.devices.Unhealthy += broken[name]
		t.devices.Free = convert.Sum(t.devices.Free, min(node.Accelerators.Free, devices-broken[name]))
	}
}

func withStatus(stored *v1alpha1.AcceleratorClass, tallies map[string]*tally) *v1alpha1.AcceleratorClass {
	t := tallies[stored.Name]
	out := &v1alpha1.AcceleratorClass{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "AcceleratorClass"},
		ObjectMeta: metav1.ObjectMeta{Name: stored.Name, UID: stored.UID},
		Status: v1alpha1.AcceleratorClassStatus{
			Conditions: slices.Clone(stored.Status.Conditions),
			Nodes:      new(t.nodes), Devices: convert.DeviceCounts(t.devices),
		},
	}
	out.Status.Measured, out.Status.Outliers = convert.Measured(stored, t.measured)
	report.Set(&out.Status.Conditions, stored.Generation, conditions(stored, t, tallies)...)
	return out
}

// conditions says how a class does.
func conditions(class *v1alpha1.AcceleratorClass, t *tally, known map[string]*tally) []metav1.Condition {
	ready := report.Condition(v1alpha1.ConditionReady, true, v1alpha1.ReasonMatched, "")
	if t.nodes == 0 {
		ready = report.Condition(v1alpha1.ConditionReady, false, v1alpha1.ReasonNoNodes, "no node has a device that match recognises")
	}
	stalled := report.Condition(v1alpha1.ConditionStalled, false, v1alpha1.ReasonAsExpected, "")
	if missing := slices.DeleteFunc(slices.Clone(class.Spec.Fallback), func(name string) bool { return known[name] != nil }); len(missing) > 0 {
		stalled = report.Condition(v1alpha1.ConditionStalled, true, v1alpha1.ReasonFallbackNotFound,
			fmt.Sprintf("fallback names classes that do not exist: create %s, or remove it", strings.Join(missing, ", ")))
	}
	if len(t.rivals) > 0 {
		stalled = report.Condition(v1alpha1.ConditionStalled, true, v1alpha1.ReasonAmbiguous,
			fmt.Sprintf("devices match %s equally well and belong to none of them: add pciIDs or minMemory to one", strings.Join(slices.Sorted(maps.Keys(t.rivals)), ", ")))
	}
	if err := convert.CheckSelector(class.Spec.Match.DeviceSelector); err != nil {
		stalled = report.Condition(v1alpha1.ConditionStalled, true, v1alpha1.ReasonInvalidSelector,
			convert.Message(fmt.Sprintf("match.deviceSelector recognises nothing until it is corrected: %v", err)))
	}
	reconciling := report.Condition(v1alpha1.ConditionReconciling, false, v1alpha1.ReasonAsExpected, "")
	return []metav1.Condition{ready, reconciling, stalled, drift(class, t)}
}

// drift says whether datasheet and measurement can both be true.
func drift(class *v1alpha1.AcceleratorClass, t *tally) metav1.Condition {
	far := convert.Drift(class, t.measured)
	switch {
	case len(t.measured.Spreads) == 0:
		return report.Condition(v1alpha1.ConditionFigureDrift, false, v1alpha1.ReasonNotMeasured, "")
	case far != "":
		return report.Condition(v1alpha1.ConditionFigureDrift, true, v1alpha1.ReasonFarFromDatasheet, convert.Message(far))
	}
	return report.Condition(v1alpha1.ConditionFigureDrift, false, v1alpha1.ReasonAsMeasured, "")
}

// labelChange is how the class labels of a node have to change, nil for not at
// all.
func labelChange(has map[string]string, classes []string) map[string]*string {
	out := map[string]*string{}
	for key := range has {
		if name, found := strings.CutPrefix(key, v1alpha1.LabelClassPrefix); found && !slices.Contains(classes, name) {
			out[key] = nil
		}
	}
	for _, name := range classes {
		if key := v1alpha1.LabelClassPrefix + name; has[key] != "true" {
			out[key] = new("true")
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}
