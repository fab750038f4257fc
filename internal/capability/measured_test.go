package capability

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const bf16 = "BF16"

// read makes readings of devices d00, d01, … of one class.
func read(class, figure, method string, values ...float64) []Reading {
	var out []Reading
	for i, v := range values {
		out = append(out, Reading{Class: class, Node: "n1", Device: fmt.Sprintf("d%02d", i), Figure: figure, Method: method, Value: v, Second: int64(i + 1)})
	}
	return out
}

func TestSummarize(t *testing.T) {
	cases := map[string]struct {
		readings []Reading
		want     map[string]Summary
	}{
		"nothing measured": {want: map[string]Summary{}},
		"one device is its own percentiles": {
			readings: read("h100", bf16, "", 790),
			want:     map[string]Summary{"h100": {Spreads: []Spread{{Figure: bf16, P10: 790, P50: 790, P90: 790, Samples: 1, Newest: 1}}}},
		},
		"percentiles are by nearest rank": {
			readings: read("h100", bf16, "", 100, 101, 102, 103, 104, 105, 106, 107, 108, 109, 110),
			want:     map[string]Summary{"h100": {Spreads: []Spread{{Figure: bf16, P10: 101, P50: 105, P90: 109, Samples: 11, Newest: 11}}}},
		},
		"of ten devices p10 is the lowest and p90 the ninth": {
			readings: read("h100", bf16, "", 109, 108, 107, 106, 105, 104, 103, 102, 101, 100),
			want:     map[string]Summary{"h100": {Spreads: []Spread{{Figure: bf16, P10: 100, P50: 104, P90: 108, Samples: 10, Newest: 10}}}},
		},
		"values that cannot be are left out": {
			readings: read("h100", bf16, "", 0, -1, math.NaN(), math.Inf(1), math.Inf(-1), 1.1e9, 1e9),
			want:     map[string]Summary{"h100": {Spreads: []Spread{{Figure: bf16, P10: 1e9, P50: 1e9, P90: 1e9, Samples: 1, Newest: 7}}}},
		},
		"a reading of no class counts nowhere": {readings: read("", bf16, "", 790), want: map[string]Summary{}},
		"classes and figures are apart": {
			readings: slices.Concat(read("h200", bf16, "", 2), read("h100", "copy", "", 4), read("h100", bf16, "", 3)),
			want: map[string]Summary{
				"h100": {Spreads: []Spread{{Figure: bf16, P10: 3, P50: 3, P90: 3, Samples: 1, Newest: 1}, {Figure: "copy", P10: 4, P50: 4, P90: 4, Samples: 1, Newest: 1}}},
				"h200": {Spreads: []Spread{{Figure: bf16, P10: 2, P50: 2, P90: 2, Samples: 1, Newest: 1}}},
			},
		},
		"the method of most devices counts": {
			readings: []Reading{
				{Class: "c", Device: "a", Figure: "nvme", Method: "ThroughHost", Value: 3},
				{Class: "c", Device: "b", Figure: "nvme", Method: "GPUDirectStorage", Value: 6},
				{Class: "c", Device: "d", Figure: "nvme", Method: "GPUDirectStorage", Value: 7},
			},
			want: map[string]Summary{"c": {Spreads: []Spread{{Figure: "nvme", Method: "GPUDirectStorage", P10: 6, P50: 6, P90: 7, Samples: 2}}}},
		},
		"of as many the first in the alphabet": {
			readings: []Reading{
				{Class: "c", Device: "a", Figure: "nvme", Method: "ThroughHost", Value: 3},
				{Class: "c", Device: "b", Figure: "nvme", Method: "GPUDirectStorage", Value: 6},
			},
			want: map[string]Summary{"c": {Spreads: []Spread{{Figure: "nvme", Method: "GPUDirectStorage", P10: 6, P50: 6, P90: 6, Samples: 1}}}},
		},
		"the newest reading of a device counts": {
			readings: []Reading{
				{Class: "c", Device: "a", Figure: bf16, Value: 3, Second: 5}, {Class: "c", Device: "a", Figure: bf16, Value: 9, Second: 6},
				{Class: "c", Device: "a", Figure: bf16, Value: 4, Second: 1},
			},
			want: map[string]Summary{"c": {Spreads: []Spread{{Figure: bf16, P10: 9, P50: 9, P90: 9, Samples: 1, Newest: 6}}}},
		},
		"with three devices none is an outlier": {
			readings: read("c", bf16, "", 100, 100, 10),
			want:     map[string]Summary{"c": {Spreads: []Spread{{Figure: bf16, P10: 10, P50: 100, P90: 100, Samples: 3, Newest: 3}}}},
		},
		"with four a device below 85 percent of the median is one": {
			readings: read("c", bf16, "", 100, 85, 84.99, 100, 10),
			want: map[string]Summary{"c": {
				Spreads:  []Spread{{Figure: bf16, P10: 10, P50: 85, P90: 100, Samples: 5, Newest: 5}},
				Outliers: []Outlier{{Node: "n1", Device: "d04", Figure: bf16, PercentOfMedian: 11}},
			}},
		},
		"the threshold is exact, and the worst comes first": {
			readings: read("c", bf16, "", 100, 100, 85, 84.9, 50, 100, 100),
			want: map[string]Summary{"c": {
				Spreads:  []Spread{{Figure: bf16, P10: 50, P50: 100, P90: 100, Samples: 7, Newest: 7}},
				Outliers: []Outlier{{Node: "n1", Device: "d04", Figure: bf16, PercentOfMedian: 50}, {Node: "n1", Device: "d03", Figure: bf16, PercentOfMedian: 84}},
			}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, Summarize(slices.Clone(tc.readings))); diff != "" {
				t.Errorf("Summarize() (-want +got):\n%s", diff)
			}
			reversed := slices.Clone(tc.readings)
			slices.Reverse(reversed)
			if diff := cmp.Diff(tc.want, Summarize(reversed)); diff != "" {
				t.Errorf("Summarize() of the reversed readings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOutliersAreBounded(t *testing.T) {
	values := make([]float64, 300)
	for i := range values {
		values[i] = 1000
		if i < 100 {
			values[i] = float64(i + 1)
		}
	}
	got := Summarize(read("c", bf16, "", values...))["c"].Outliers
	if len(got) != MaxOutliers || got[0].Device != "d00" || got[MaxOutliers-1].Device != fmt.Sprintf("d%02d", MaxOutliers-1) {
		t.Errorf("%d outliers, from %+v to %+v", len(got), got[0], got[len(got)-1])
	}
}

func TestDrifts(t *testing.T) {
	cases := map[string]struct {
		figure Figure
		want   bool
	}{
		"the lowest share that is published": {Figure{Datasheet: 1300, Measured: 668}, false},
		"a good share":                       {Figure{Datasheet: 989, Measured: 794.5}, false},
		"all of it and rounding":             {Figure{Datasheet: 1000, Measured: 1050}, false},
		"more than there is":                 {Figure{Datasheet: 1000, Measured: 1050.1}, true},
		"the last that is plausible":         {Figure{Datasheet: 1000, Measured: 400}, false},
		"less than anybody gets":             {Figure{Datasheet: 1000, Measured: 399.9}, true},
		"a datasheet that counts sparsity":   {Figure{Datasheet: 2614, Measured: 668}, true},
		"nothing measured":                   {Figure{Datasheet: 1000}, false},
		"no datasheet":                       {Figure{Measured: 1000}, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := tc.figure.Drifts(); got != tc.want {
				t.Errorf("Drifts() = %t, want %t", got, tc.want)
			}
		})
	}
}

// Whatever is read, percentiles are values that were read, in order, and outliers
// are few and below the median.
func FuzzSummarize(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20})
	f.Add(binary.BigEndian.AppendUint64([]byte{0, 0}, math.Float64bits(math.NaN())))
	f.Fuzz(func(t *testing.T, data []byte) {
		var readings []Reading
		given := map[float64]bool{}
		for ; len(data) >= 10; data = data[10:] {
			value := math.Float64frombits(binary.BigEndian.Uint64(data[2:]))
			given[value] = true
			readings = append(readings, Reading{
				Class: string(rune('a' + data[0]%3)), Node: string(rune('m' + data[0]/64)), Device: string(data[1:2]),
				Figure: string(rune('x' + data[1]%2)), Method: string(rune('M' + data[0]%2)), Value: value, Second: int64(data[1]) - 100,
			})
		}
		for class, summary := range Summarize(readings) {
			if len(summary.Spreads) == 0 || len(summary.Outliers) > MaxOutliers {
				t.Errorf("%s has %d spreads and %d outliers", class, len(summary.Spreads), len(summary.Outliers))
			}
			for _, s := range summary.Spreads {
				ordered := 0 < s.P10 && s.P10 <= s.P50 && s.P50 <= s.P90 && s.P90 <= 1e9
				if !ordered || !given[s.P10] || !given[s.P50] || !given[s.P90] || s.Samples < 1 {
					t.Errorf("%s: %+v", class, s)
				}
			}
			for _, o := range summary.Outliers {
				if o.PercentOfMedian < 0 || o.PercentOfMedian > 85 {
					t.Errorf("%s: %+v", class, o)
				}
			}
		}
	})
}
