package convert

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/capability"
	"github.com/k8s4ai/k8s4ai/internal/placement"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// measuredDomain is the domain of a node with one measurement.
func measuredDomain(node, uuid string, at time.Time, figures ...v1alpha1.DeviceFigure) v1alpha1.TopologyDomain {
	return v1alpha1.TopologyDomain{
		ObjectMeta: metav1.ObjectMeta{Name: node}, Spec: v1alpha1.TopologyDomainSpec{Level: v1alpha1.LevelNode, NodeName: node},
		Status: v1alpha1.TopologyDomainStatus{Measurements: []v1alpha1.DeviceMeasurement{{UUID: uuid, Time: new(metav1.NewTime(at)), Figures: figures}}},
	}
}

func bf16(value string) v1alpha1.DeviceFigure {
	return v1alpha1.DeviceFigure{Name: v1alpha1.FigureBF16, Value: quantity(value), Method: "cuBLASLt"}
}

// measuredScene has nodes n1 and n2 with one reported device each, and a device
// of n1 that DRA alone knows.
func measuredScene() Scene {
	scene := Scene{Fabric: Fabric{Reports: map[string]*v1alpha1.NodeReport{}}}
	for i, node := range []string{"n1", "n2"} {
		uuid := fmt.Sprint("GPU-", i+1)
		scene.Fabric.Reports[node] = &v1alpha1.NodeReport{Accelerators: []v1alpha1.Accelerator{{UUID: uuid}, {UUID: uuid + "-unknown"}}}
		scene.Nodes = append(scene.Nodes, SceneNode{
			Node:    placement.Node{Name: node},
			Devices: []capability.DeviceClass{{Device: uuid, Class: "h100"}, {Device: uuid + "-unknown"}, {Device: "dra", Class: "h100"}},
		})
	}
	return scene
}

func TestReadings(t *testing.T) {
	reading := capability.Reading{Class: "h100", Node: "n1", Device: "GPU-1", Figure: "BF16TeraFLOPS", Method: "cuBLASLt", Value: 790.5, Second: noon.Unix()}
	leaf := measuredDomain("n1", "GPU-1", noon, bf16("790.5"))
	leaf.Spec.Level = v1alpha1.LevelLeaf
	later := reading
	later.Second += 60
	cases := map[string]struct {
		domain v1alpha1.TopologyDomain
		// distrusted is true when the node's report holds what cannot be.
		distrusted bool
		want       []capability.Reading
	}{
		"of a reported device":         {domain: measuredDomain("n1", "GPU-1", noon, bf16("790.5")), want: []capability.Reading{reading}},
		"by a clock that is ahead":     {domain: measuredDomain("n1", "GPU-1", noon.Add(time.Minute), bf16("790.5")), want: []capability.Reading{later}},
		"in the future":                {domain: measuredDomain("n1", "GPU-1", noon.Add(time.Hour), bf16("790.5"))},
		"at no time":                   {domain: measuredDomain("n1", "GPU-1", time.Time{}, bf16("790.5"))},
		"of a device of another node":  {domain: measuredDomain("n1", "GPU-2", noon, bf16("790.5"))},
		"of a device of nobody":        {domain: measuredDomain("n1", "GPU-9", noon, bf16("790.5"))},
		"of a device of no class":      {domain: measuredDomain("n1", "GPU-1-unknown", noon, bf16("790.5"))},
		"of a device that DRA tells":   {domain: measuredDomain("n1", "dra", noon, bf16("790.5"))},
		"of a node that is not there":  {domain: measuredDomain("n3", "GPU-1", noon, bf16("790.5"))},
		"of a domain above the nodes":  {domain: leaf},
		"from a report not to trust":   {domain: measuredDomain("n1", "GPU-1", noon, bf16("790.5")), distrusted: true},
		"of a figure that is not ours": {domain: measuredDomain("n1", "GPU-1", noon, v1alpha1.DeviceFigure{Name: "TF32TeraFLOPS", Value: quantity("1")})},
		"without a value":              {domain: measuredDomain("n1", "GPU-1", noon, v1alpha1.DeviceFigure{Name: v1alpha1.FigureBF16})},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			scene := measuredScene()
			if tc.distrusted {
				delete(scene.Fabric.Reports, "n1")
			}
			if diff := cmp.Diff(tc.want, Readings([]v1alpha1.TopologyDomain{tc.domain}, scene, noon)); diff != "" {
				t.Errorf("Readings() (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMeasured(t *testing.T) {
	class := v1alpha1.AcceleratorClass{Spec: v1alpha1.AcceleratorClassSpec{Figures: []v1alpha1.AcceleratorFigure{
		{Name: v1alpha1.FigureBF16, Value: quantity("989")}, {Name: v1alpha1.FigureFP8, Value: quantity("0.001")}, {Name: v1alpha1.FigureFP64, Value: quantity("1G")},
	}}}
	spread := func(name v1alpha1.FigureName, p50 float64) capability.Spread {
		return capability.Spread{Figure: string(name), Method: "m", P10: 1, P50: p50, P90: 2000.1234, Samples: 3, Newest: noon.Unix()}
	}
	want := func(name v1alpha1.FigureName, p50 string, efficiency int32) v1alpha1.MeasuredFigure {
		return v1alpha1.MeasuredFigure{
			Name: name, Method: "m", P10: quantity("1"), P50: quantity(p50), P90: quantity("2000.123"), EfficiencyPercent: efficiency,
			Samples: 3, Time: new(metav1.NewTime(noon)),
		}
	}
	figures, outliers := Measured(&class, capability.Summary{
		Spreads: []capability.Spread{
			spread(v1alpha1.FigureBF16, 790.5), spread(v1alpha1.FigureFP8, 900), spread(v1alpha1.FigureFP64, 30), spread(v1alpha1.FigureNVMeToDevice, 6.5),
		},
		Outliers: []capability.Outlier{{Node: "n1", Device: "GPU-1", Figure: "BF16TeraFLOPS", PercentOfMedian: 0}},
	})
	wantFigures := []v1alpha1.MeasuredFigure{
		want(v1alpha1.FigureBF16, "790.5", 80), want(v1alpha1.FigureFP8, "900", 1000), want(v1alpha1.FigureFP64, "30", 1), want(v1alpha1.FigureNVMeToDevice, "6.5", 0),
	}
	same := cmp.Comparer(func(a, b resource.Quantity) bool { return a.Cmp(b) == 0 })
	if diff := cmp.Diff(wantFigures, figures, same); diff != "" {
		t.Errorf("figures (-want +got):\n%s", diff)
	}
	wantOutliers := []v1alpha1.OutlierDevice{{NodeName: "n1", UUID: "GPU-1", Figure: v1alpha1.FigureBF16, PercentOfMedian: new(int32(0))}}
	if diff := cmp.Diff(wantOutliers, outliers); diff != "" {
		t.Errorf("outliers (-want +got):\n%s", diff)
	}
	if got := figures[0].P50.String(); got != "790500m" {
		t.Errorf("p50 is written as %s", got)
	}
}

func TestDrift(t *testing.T) {
	class := v1alpha1.AcceleratorClass{Spec: v1alpha1.AcceleratorClassSpec{Figures: []v1alpha1.AcceleratorFigure{
		{Name: v1alpha1.FigureBF16, Value: quantity("989")}, {Name: v1alpha1.FigureMemoryBandwidth, Value: quantity("3350")},
	}}}
	cases := map[string]struct {
		bf16, memory float64
		want         string
	}{
		"both are plausible": {790, 3000, ""},
		"one is too low":     {300, 3000, "BF16TeraFLOPS is 300 measured and 989 in the datasheet: correct figures, or look for what holds the devices back"},
		"both are off": {300, 4000.5, "BF16TeraFLOPS is 300 measured and 989 in the datasheet, MemoryGBps is 4000.5 measured and 3350 in the datasheet: " +
			"correct figures, or look for what holds the devices back"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := Drift(&class, capability.Summary{Spreads: []capability.Spread{
				{Figure: "BF16TeraFLOPS", P50: tc.bf16}, {Figure: "MemoryGBps", P50: tc.memory}, {Figure: "NVMeToDeviceGBps", P50: 1},
			}})
			if got != tc.want {
				t.Errorf("Drift() = %q, want %q", got, tc.want)
			}
		})
	}
}
