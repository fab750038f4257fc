package convert

import (
	"fmt"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/capability"
)

// precisions maps the figures that are rates of matrix arithmetic.
var precisions = map[v1alpha1.FigureName]capability.Precision{
	v1alpha1.FigureBF16: capability.BF16,
	v1alpha1.FigureFP16: capability.FP16,
	v1alpha1.FigureFP8:  capability.FP8,
	v1alpha1.FigureFP4:  capability.FP4,
	v1alpha1.FigureFP64: capability.FP64,
}

// Profiles turns classes into profiles.
func Profiles(classes []v1alpha1.AcceleratorClass) []capability.Profile {
	out := make([]capability.Profile, len(classes))
	for i := range classes {
		out[i] = profile(&classes[i])
	}
	return out
}

func profile(class *v1alpha1.AcceleratorClass) capability.Profile {
	spec := &class.Spec
	out := capability.Profile{
		Name: class.Name, Vendor: spec.Vendor, Family: spec.Family, Model: spec.Model,
		Features: spec.Features, Fallback: spec.Fallback,
		Match: capability.Match{
			PCIIDs: spec.Match.PCIIDs, Products: spec.Match.ProductNames, MinMemoryBytes: bytesOf(spec.Match.MinMemory),
		},
	}
	if spec.Memory != nil {
		out.MemoryBytes = bytesOf(spec.Memory.Capacity)
	}
	if link := spec.Interconnect; link != nil {
		out.Interconnect = capability.Interconnect{Kind: link.Kind, Generation: int(link.Generation)}
		out.Interconnect.GBps.Datasheet = float64(link.BandwidthGBps)
	}
	for _, label := range spec.Match.NodeLabels {
		out.Match.NodeLabels = append(out.Match.NodeLabels, capability.Term{{Key: label.Key, Values: label.Values}})
	}
	for _, f := range spec.Figures {
		if into := figure(&out, f.Name); into != nil && f.Value != nil {
			into.Datasheet = f.Value.AsApproximateFloat64()
		}
	}
	for _, m := range class.Status.Measured {
		if into := figure(&out, m.Name); into != nil && m.P50 != nil {
			into.Measured = m.P50.AsApproximateFloat64()
		}
	}
	return out
}

// figure is where a profile keeps a figure, nil for one that no demand can name.
func figure(p *capability.Profile, name v1alpha1.FigureName) *capability.Figure {
	if precision, ok := precisions[name]; ok {
		return &p.TFLOPS[precision]
	}
	if name == v1alpha1.FigureMemoryBandwidth {
		return &p.MemoryGBps
	}
	return nil
}

func bytesOf(q *resource.Quantity) int64 {
	if q == nil {
		return 0
	}
	return q.Value()
}

// ResourceName is the extended resource of a class, "" when it has none.
func ResourceName(spec *v1alpha1.AcceleratorClassSpec) string {
	switch {
	case spec.ResourceName != "":
		return spec.ResourceName
	case strings.EqualFold(spec.Vendor, "NVIDIA"):
		return "nvidia.com/gpu"
	case strings.EqualFold(spec.Vendor, "AMD"):
		return "amd.com/gpu"
	}
	return ""
}

// RoleClasses finds the accelerator classes of each role of a gang, in order of
// preference. A role that asks for none is left out. The error names the role
// and what no class offers.
func RoleClasses(group *v1alpha1.GangSchedulingGroup, profiles []capability.Profile) (map[string][]string, error) {
	out := map[string][]string{}
	for i := range group.Spec.Roles {
		role := &group.Spec.Roles[i]
		if role.Accelerator == nil {
			continue
		}
		demand, err := demandOf(role.Accelerator)
		if err != nil {
			return nil, fmt.Errorf("roles[%s].accelerator: %w", role.Name, err)
		}
		classes, why := capability.Select(demand, profiles)
		if len(classes) == 0 {
			return nil, fmt.Errorf("roles[%s].accelerator: %s", role.Name, explain(demand, why))
		}
		out[role.Name] = classes
	}
	return out, nil
}

func demandOf(request *v1alpha1.AcceleratorRequest) (capability.Demand, error) {
	demand := capability.Demand{Class: request.ClassName}
	if request.Capabilities == nil {
		return demand, nil
	}
	demand.Needs.MinMemoryBytes = bytesOf(request.Capabilities.MinMemory)
	demand.Needs.Features = request.Capabilities.Features
	for _, f := range request.Capabilities.MinFigures {
		value := 0.0
		if f.Value != nil {
			value = f.Value.AsApproximateFloat64()
		}
		precision, isRate := precisions[f.Name]
		switch {
		case isRate:
			demand.Needs.MinTFLOPS[precision] = value
		case f.Name == v1alpha1.FigureMemoryBandwidth:
			demand.Needs.MinMemoryGBps = value
		default:
			return demand, fmt.Errorf("minFigures[%s]: cannot be asked for: use a TeraFLOPS figure or %s", f.Name, v1alpha1.FigureMemoryBandwidth)
		}
	}
	return demand, nil
}

// explain tells a person why no class was found, with the nearest ones.
func explain(demand capability.Demand, why capability.Refusal) string {
	if demand.Class != "" {
		return fmt.Sprintf("there is no AcceleratorClass %q: create it, or name one of `kubectl get acceleratorclasses`", demand.Class)
	}
	if len(why.Nearest) == 0 {
		return "no AcceleratorClass exists: create one, or remove accelerator"
	}
	var parts []string
	for _, short := range why.Nearest {
		var lacks []string
		for _, lack := range short.Lacks {
			switch {
			case lack.Unknown:
				lacks = append(lacks, lack.Need+" is unknown")
			case lack.Wants > 0:
				lacks = append(lacks, fmt.Sprintf("%s is %s, wanted %s", lack.Need, number(lack.Has), number(lack.Wants)))
			default:
				lacks = append(lacks, "lacks "+lack.Need)
			}
		}
		parts = append(parts, short.Class+" ("+strings.Join(lacks, ", ")+")")
	}
	return "no AcceleratorClass offers these capabilities, ask for less or create one that does; nearest: " + strings.Join(parts, "; ")
}

// number writes a figure without an exponent.
func number(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// NodeFacts is what is known of a node's accelerators: what its agent reports,
// and its labels.
func NodeFacts(node *corev1.Node, report *v1alpha1.NodeReport) capability.Facts {
	facts := capability.Facts{Labels: node.Labels}
	if report == nil {
		return facts
	}
	for _, a := range report.Accelerators {
		facts.Devices = append(facts.Devices, capability.Device{
			ID: a.UUID, PCIID: a.PCIID, Product: a.ProductName, MemoryBytes: a.MemoryBytes, ComputeCapability: a.ComputeCapability,
		})
	}
	return facts
}
