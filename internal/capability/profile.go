package capability

import "math"

// Precision is a number format of matrix arithmetic.
type Precision int8

// The precisions of a profile.
const (
	BF16 Precision = iota
	FP16
	FP8
	FP4
	FP64
)

// Precisions lists them all in the order of their values.
var Precisions = [...]Precision{BF16, FP16, FP8, FP4, FP64}

var precisionNames = [...]string{"BF16", "FP16", "FP8", "FP4", "FP64"}

// String returns the name of the precision.
func (p Precision) String() string {
	if p < 0 || int(p) >= len(precisionNames) {
		return "Unknown"
	}
	return precisionNames[p]
}

// Figure is one rate of an accelerator: what its datasheet says and what was
// measured. A value that is not a positive finite number is unknown.
type Figure struct {
	Datasheet float64
	Measured  float64
}

// Best is the measured value, or the datasheet's where nothing was measured.
// ok is false when both are unknown.
func (f Figure) Best() (value float64, ok bool) {
	if known(f.Measured) {
		return f.Measured, true
	}
	return f.Datasheet, known(f.Datasheet)
}

// Efficiency is measured divided by datasheet; see the function of that name.
func (f Figure) Efficiency() (ratio float64, ok bool) { return Efficiency(f.Measured, f.Datasheet) }

// Efficiency is the part of the datasheet's figure that was measured. ok is
// false when either is unknown. A ratio above 1 is passed on: it says that one
// of the two figures is wrong.
func Efficiency(measured, datasheet float64) (ratio float64, ok bool) {
	if !known(measured) || !known(datasheet) {
		return 0, false
	}
	ratio = measured / datasheet
	if !known(ratio) {
		return 0, false
	}
	return ratio, true
}

func known(v float64) bool { return v > 0 && !math.IsInf(v, 1) }

// Profile is one accelerator with everything that a choice can depend on.
type Profile struct {
	// Name is unique among the profiles of one call.
	Name   string
	Vendor string
	Family string
	Model  string
	// MemoryBytes is 0 when it is not known.
	MemoryBytes int64
	// MemoryGBps is the bandwidth of the device's memory.
	MemoryGBps Figure
	// TFLOPS are dense rates, indexed by Precision.
	TFLOPS       [len(Precisions)]Figure
	Features     []string
	Interconnect Interconnect
	Match        Match
	// Fallback are the names of substitutes, best first.
	Fallback []string
}

// Interconnect joins the accelerators of one machine or rack.
type Interconnect struct {
	// Kind is such as NVLink or InfinityFabric, "" for PCIe alone.
	Kind string
	// Generation is 0 when it is not known.
	Generation int
	// GBps is per device, both directions together.
	GBps Figure
}

// Match recognises a device. Its device conditions are joined: each one that is
// set has to hold. They are read only when PCIIDs or Products is set. Its label
// terms are alternatives, and alternatives to the device conditions.
type Match struct {
	// PCIIDs are vendor:device in hexadecimal, such as 10de:2330; any of them.
	PCIIDs []string
	// Products are product names as the driver gives them; any of them.
	Products []string
	// MinMemoryBytes and MaxMemoryBytes bound the memory of the device, 0 for no
	// bound. They tell variants with one PCI id apart.
	MinMemoryBytes int64
	MaxMemoryBytes int64
	// ComputeCapability is such as 9.0, "" for any.
	ComputeCapability string
	// NodeLabels are alternatives.
	NodeLabels []Term
}

// Term is a set of labels that a node has to have, all of them.
type Term []Requirement

// Requirement is a label with one of the values.
type Requirement struct {
	Key    string
	Values []string
}
