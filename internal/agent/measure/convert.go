package measure

import (
	"cmp"
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
)

const (
	// Bounds of the API.
	mostMeasurements = 64
	mostUUIDBytes    = 128
)

// Measurements are the devices of the report that have a figure, as they are
// stored in a TopologyDomain.
func (r Report) Measurements() []v1alpha1.DeviceMeasurement {
	var out []v1alpha1.DeviceMeasurement
	for _, d := range r.Devices {
		m := v1alpha1.DeviceMeasurement{UUID: d.UUID, Time: new(metav1.NewTime(d.Time))}
		for _, f := range d.Figures {
			if value, ok := quantity(f.Value); ok {
				m.Figures = append(m.Figures, v1alpha1.DeviceFigure{Name: f.Name, Value: value, Method: f.Method})
			}
		}
		if len(m.Figures) > 0 && d.UUID != "" && len(d.UUID) <= mostUUIDBytes && len(out) < mostMeasurements {
			out = append(out, m)
		}
	}
	return out
}

// quantity is false for what the API refuses: values that are not above 0.
func quantity(value float64) (*resource.Quantity, bool) {
	q, err := resource.ParseQuantity(strconv.FormatFloat(value, 'f', 3, 64))
	if err != nil || q.Sign() <= 0 {
		return nil, false
	}
	return &q, true
}

// Merge is what the node's object holds after a run: fresh measurements replace
// those of their devices as a whole, since a measurement has one time. Those of
// other devices stay, unless the node report, when there is one, no longer has the
// device. The result is in the order of UUIDs.
func Merge(stored v1alpha1.TopologyDomainStatus, fresh []v1alpha1.DeviceMeasurement) []v1alpha1.DeviceMeasurement {
	out := slices.Clone(fresh)
	for _, m := range stored.Measurements {
		same := func(other v1alpha1.DeviceMeasurement) bool { return other.UUID == m.UUID }
		if len(out) < mostMeasurements && !slices.ContainsFunc(fresh, same) && present(stored.Node, m.UUID) {
			out = append(out, m)
		}
	}
	slices.SortFunc(out, func(a, b v1alpha1.DeviceMeasurement) int { return cmp.Compare(a.UUID, b.UUID) })
	return out
}

func present(node *v1alpha1.NodeReport, uuid string) bool {
	if node == nil || len(node.Accelerators) == 0 {
		return true
	}
	return slices.ContainsFunc(node.Accelerators, func(a v1alpha1.Accelerator) bool { return a.UUID == uuid })
}
