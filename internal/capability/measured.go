package capability

import (
	"cmp"
	"maps"
	"math"
	"slices"
)

// Readings outside of these bounds are no measurements: no device delivers
// nothing, or a thousand million of any unit that figures have.
const maxReading = 1e9

// When a measured figure contradicts the datasheet. One number stands on each
// side, so that a false alarm is as unlikely as a missed one:
//
//   - Nothing runs faster than its maker says. Five percent are left for clocks
//     above the nominal one and for rounding on either side.
//   - Of what is published of matrix arithmetic, the lowest attainable share is
//     51 percent (MI300X, BF16). Below 40 percent the software did not use the
//     device, the device is another one, or the datasheet's figure counts
//     sparsity and something else besides.
const (
	driftAbove = 1.05
	driftBelow = 0.40
)

// When a device falls short of its class. Healthy devices of a product differ by
// a few percent. One that delivers less than 85 percent of the median slows a
// synchronous job by as much. With fewer than four devices the median is as
// likely the odd one out as the device.
const (
	outlierBelow   = 0.85
	outlierSamples = 4
)

// MaxOutliers bounds the devices that a Summary names.
const MaxOutliers = 64

// Reading is one figure of one device.
type Reading struct {
	// Class, Node and Device say whose figure it is. A reading of no class counts
	// nowhere.
	Class, Node, Device string
	// Figure is its name. Readings are compared by name and by nothing else.
	Figure string
	// Method says how it was measured. It may be empty.
	Method string
	// Value is in the unit of the figure. What is not above 0 and at most 10^9 is
	// left out.
	Value float64
	// Second is when, in seconds of any one clock.
	Second int64
}

// Summary is what the devices of one class deliver.
type Summary struct {
	// Spreads are by name of the figure.
	Spreads []Spread
	// Outliers are devices far below their class, the worst first, at most
	// MaxOutliers.
	Outliers []Outlier
}

// Spread is one figure over the devices of a class. The percentiles are by
// nearest rank: each is a value that a device has delivered.
type Spread struct {
	Figure string
	// Method is how most of the devices were measured. Those that were measured
	// otherwise are not in the spread: a copy through the host's memory says
	// nothing about one past it.
	Method string
	// P10 is reached by nine devices in ten, P50 by half, P90 by one in ten.
	P10, P50, P90 float64
	// Samples is the number of devices.
	Samples int
	// Newest is the second of the newest reading.
	Newest int64
}

// Outlier is a device whose figure is far below the median of its class.
type Outlier struct {
	Node, Device, Figure string
	// PercentOfMedian is rounded down.
	PercentOfMedian int
}

// Summarize works out what each class delivers, by name of the class. Of several
// readings of one figure of one device the newest counts, of equally new ones the
// lowest.
func Summarize(readings []Reading) map[string]Summary {
	type key struct{ class, figure string }
	groups := map[key][]Reading{}
	for _, r := range readings {
		if r.Class != "" && r.Value > 0 && r.Value <= maxReading {
			k := key{r.Class, r.Figure}
			groups[k] = append(groups[k], r)
		}
	}
	out := map[string]Summary{}
	for _, k := range slices.SortedFunc(maps.Keys(groups), func(a, b key) int {
		return cmp.Or(cmp.Compare(a.class, b.class), cmp.Compare(a.figure, b.figure))
	}) {
		same := sameMethod(newest(groups[k]))
		summary := out[k.class]
		spread := spreadOf(same)
		summary.Spreads = append(summary.Spreads, spread)
		summary.Outliers = append(summary.Outliers, outliers(spread, same)...)
		out[k.class] = summary
	}
	for class, summary := range out {
		slices.SortFunc(summary.Outliers, func(a, b Outlier) int {
			return cmp.Or(cmp.Compare(a.PercentOfMedian, b.PercentOfMedian),
				cmp.Compare(a.Node, b.Node), cmp.Compare(a.Device, b.Device), cmp.Compare(a.Figure, b.Figure))
		})
		summary.Outliers = summary.Outliers[:min(len(summary.Outliers), MaxOutliers)]
		out[class] = summary
	}
	return out
}

// newest keeps one reading of each device, in order of node and device.
func newest(readings []Reading) []Reading {
	slices.SortFunc(readings, func(a, b Reading) int {
		return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Device, b.Device),
			cmp.Compare(b.Second, a.Second), cmp.Compare(a.Value, b.Value), cmp.Compare(a.Method, b.Method))
	})
	return slices.CompactFunc(readings, func(a, b Reading) bool { return a.Node == b.Node && a.Device == b.Device })
}

// sameMethod keeps the readings by the method that most of them have, of equally
// many by the first in the alphabet.
func sameMethod(readings []Reading) []Reading {
	count := map[string]int{}
	for _, r := range readings {
		count[r.Method]++
	}
	methods := slices.Sorted(maps.Keys(count))
	most := slices.MaxFunc(methods, func(a, b string) int { return cmp.Compare(count[a], count[b]) })
	return slices.DeleteFunc(readings, func(r Reading) bool { return r.Method != most })
}

// spreadOf describes at least one reading of one figure by one method.
func spreadOf(readings []Reading) Spread {
	values := make([]float64, len(readings))
	out := Spread{Figure: readings[0].Figure, Method: readings[0].Method, Samples: len(readings), Newest: readings[0].Second}
	for i, r := range readings {
		values[i] = r.Value
		out.Newest = max(out.Newest, r.Second)
	}
	slices.Sort(values)
	out.P10, out.P50, out.P90 = percentile(values, 10), percentile(values, 50), percentile(values, 90)
	return out
}

// percentile is the nearest rank: the least of the sorted values that at least
// that many percent of them do not exceed.
func percentile(sorted []float64, percent int) float64 {
	rank := (percent*len(sorted) + 99) / 100
	return sorted[max(rank, 1)-1]
}

func outliers(s Spread, readings []Reading) []Outlier {
	if s.Samples < outlierSamples {
		return nil
	}
	var out []Outlier
	for _, r := range readings {
		if r.Value < outlierBelow*s.P50 {
			out = append(out, Outlier{Node: r.Node, Device: r.Device, Figure: r.Figure, PercentOfMedian: int(math.Floor(100 * r.Value / s.P50))})
		}
	}
	return out
}

// Drifts is true when a measured figure and the datasheet's are so far apart that
// one of them must be wrong. Where either is unknown they are not.
func (f Figure) Drifts() bool {
	ratio, ok := f.Efficiency()
	return ok && (ratio > driftAbove || ratio < driftBelow)
}
