package measure

import (
	"fmt"
	"math"
	"slices"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
)

// ceiling is far above what any device does; a value beyond it comes from a broken
// clock. TeraFLOPS or GB/s.
func ceiling(name v1alpha1.FigureName) float64 {
	switch name {
	case v1alpha1.FigureBF16, v1alpha1.FigureFP8, v1alpha1.FigureMemoryBandwidth:
		return 1e5
	case v1alpha1.FigureHostToDevice, v1alpha1.FigurePeerToPeer:
		return 1e4
	default:
		return 1e3
	}
}

// elapsed is what a stopwatch showed, when that can be.
func elapsed(seconds float64) (float64, error) {
	if math.IsNaN(seconds) || math.IsInf(seconds, 0) || seconds <= 0 {
		return 0, &gapError{ReasonImplausible, fmt.Sprintf("the device says that work took %g s", seconds)}
	}
	return seconds, nil
}

// figure makes a figure of the work of one run and of what runs took, in seconds.
// The error is a gapError.
func figure(name v1alpha1.FigureName, work float64, seconds []float64) (Figure, error) {
	if len(seconds) == 0 {
		return Figure{}, &gapError{ReasonTimeLimit, "no repetition ended in time"}
	}
	rates := make([]float64, len(seconds))
	for i, s := range seconds {
		s, err := elapsed(s)
		if err != nil {
			return Figure{}, err
		}
		rates[i] = work / s
		if math.IsInf(rates[i], 0) || rates[i] <= 0 || rates[i] > ceiling(name) {
			return Figure{}, &gapError{ReasonImplausible, fmt.Sprintf("%.4g is no %s that a device can have", rates[i], name)}
		}
	}
	slices.Sort(rates)
	out := Figure{Name: name, Value: median(rates), Samples: len(rates), Lowest: rates[0], Highest: rates[len(rates)-1]}
	out.SpreadPercent = (out.Highest - out.Lowest) / out.Value * 100
	return out.round(), nil
}

// median of sorted values, at least one.
func median(sorted []float64) float64 {
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// round cuts what is noise.
func (f Figure) round() Figure {
	f.Value, f.Lowest, f.Highest = significant(f.Value), significant(f.Lowest), significant(f.Highest)
	f.SpreadPercent = math.Round(f.SpreadPercent*100) / 100
	return f
}

// significant keeps 5 digits, and 3 behind the point.
func significant(value float64) float64 {
	const digits = 5
	if value <= 0 {
		return 0
	}
	places := min(3, digits-1-math.Floor(math.Log10(value)))
	scale := math.Pow(10, places)
	return math.Round(value*scale) / scale
}
