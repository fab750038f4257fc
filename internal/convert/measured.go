package convert

import (
	"fmt"
	"math"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/capability"
)

// clockSkew is how far in the future a measurement may lie: the clock of its
// machine is not the manager's.
const clockSkew = 5 * time.Minute

// figureNames are the figures that a status can hold. An agent may know others.
var figureNames = map[v1alpha1.FigureName]bool{
	v1alpha1.FigureBF16: true, v1alpha1.FigureFP16: true, v1alpha1.FigureFP8: true, v1alpha1.FigureFP4: true,
	v1alpha1.FigureFP64: true, v1alpha1.FigureINT8: true, v1alpha1.FigureMemoryBandwidth: true,
	v1alpha1.FigureHostToDevice: true, v1alpha1.FigurePeerToPeer: true, v1alpha1.FigureNVMeToDevice: true,
	v1alpha1.FigureAllReduce: true,
}

// Readings are the measurements of a world that can be: of a device that its own
// node reports and whose class is known, at a time that has been. Those of a node
// whose report is not trusted are left out.
func Readings(domains []v1alpha1.TopologyDomain, scene Scene, now time.Time) []capability.Reading {
	classes := map[string]map[string]string{}
	for i := range scene.Nodes {
		node := &scene.Nodes[i]
		if report := scene.Fabric.Reports[node.Name]; report != nil {
			classes[node.Name] = reportedClasses(node.Devices, report)
		}
	}
	var out []capability.Reading
	for i := range domains {
		domain := &domains[i]
		if domain.Spec.Level != v1alpha1.LevelNode {
			continue
		}
		for j := range domain.Status.Measurements {
			measured := &domain.Status.Measurements[j]
			class := classes[domain.Spec.NodeName][measured.UUID]
			if class == "" || measured.Time.IsZero() || measured.Time.After(now.Add(clockSkew)) {
				continue
			}
			for _, f := range measured.Figures {
				if f.Value != nil && figureNames[f.Name] {
					out = append(out, capability.Reading{
						Class: class, Node: domain.Spec.NodeName, Device: measured.UUID, Figure: string(f.Name), Method: f.Method,
						Value: f.Value.AsApproximateFloat64(), Second: measured.Time.Unix(),
					})
				}
			}
		}
	}
	return out
}

// reportedClasses are the classes of the devices that a node's agent reports.
func reportedClasses(devices []capability.DeviceClass, report *v1alpha1.NodeReport) map[string]string {
	found := make(map[string]string, len(devices))
	for _, device := range devices {
		found[device.Device] = device.Class
	}
	out := make(map[string]string, len(report.Accelerators))
	for i := range report.Accelerators {
		out[report.Accelerators[i].UUID] = found[report.Accelerators[i].UUID]
	}
	return out
}

// Measured writes what a class delivers in the form of its status.
func Measured(class *v1alpha1.AcceleratorClass, summary capability.Summary) ([]v1alpha1.MeasuredFigure, []v1alpha1.OutlierDevice) {
	datasheet := datasheetOf(class)
	var figures []v1alpha1.MeasuredFigure
	for _, s := range summary.Spreads {
		figure := v1alpha1.MeasuredFigure{
			Name: v1alpha1.FigureName(s.Figure), Method: s.Method,
			P10: milli(s.P10), P50: milli(s.P50), P90: milli(s.P90),
			Samples: Count(int64(s.Samples)), Time: new(metav1.Unix(s.Newest, 0)),
		}
		if ratio, ok := capability.Efficiency(s.P50, datasheet[s.Figure]); ok {
			figure.EfficiencyPercent = int32(min(max(math.Round(100*ratio), 1), 1000))
		}
		figures = append(figures, figure)
	}
	var outliers []v1alpha1.OutlierDevice
	for _, o := range summary.Outliers {
		outliers = append(outliers, v1alpha1.OutlierDevice{
			NodeName: o.Node, UUID: o.Device, Figure: v1alpha1.FigureName(o.Figure), PercentOfMedian: new(int32(o.PercentOfMedian)),
		})
	}
	return figures, outliers
}

// Drift says which medians are too far from the datasheet to be true, "" for
// none.
func Drift(class *v1alpha1.AcceleratorClass, summary capability.Summary) string {
	datasheet := datasheetOf(class)
	var parts []string
	for _, s := range summary.Spreads {
		if (capability.Figure{Datasheet: datasheet[s.Figure], Measured: s.P50}).Drifts() {
			parts = append(parts, fmt.Sprintf("%s is %s measured and %s in the datasheet", s.Figure, number(s.P50), number(datasheet[s.Figure])))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return strings.Join(parts, ", ") + ": correct figures, or look for what holds the devices back"
}

// datasheetOf are the datasheet's figures by name.
func datasheetOf(class *v1alpha1.AcceleratorClass) map[string]float64 {
	out := map[string]float64{}
	for _, f := range class.Spec.Figures {
		if f.Value != nil {
			out[string(f.Name)] = f.Value.AsApproximateFloat64()
		}
	}
	return out
}

// milli is a figure of at most 10^9 to three decimals, which no measurement is
// exact to.
func milli(v float64) *resource.Quantity {
	return resource.NewMilliQuantity(int64(math.Round(v*1000)), resource.DecimalSI)
}
