package measure

import (
	"encoding/binary"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/agent/cuda"
)

func TestPlan(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		free, l2         int64
		bf16, fp8        []int64
		copies, transfer int64
	}{
		"H200":      {free: 139 * gibibyte, l2: 50 * mebibyte, bf16: []int64{16384, 8192}, fp8: []int64{16384, 8192}, copies: 2 * gibibyte, transfer: hostBytes},
		"16 GiB":    {free: 15 * gibibyte, l2: 4 * mebibyte, bf16: []int64{16384, 8192}, fp8: []int64{16384, 8192}, copies: 1920 * mebibyte, transfer: hostBytes},
		"6 GiB":     {free: 6 * gibibyte, bf16: []int64{8192, 4096}, fp8: []int64{16384, 8192}, copies: 768 * mebibyte, transfer: hostBytes},
		"1 GiB":     {free: gibibyte, bf16: []int64{4096, 2048}, fp8: []int64{4096, 2048}, copies: 128 * mebibyte, transfer: hostBytes},
		"all cache": {free: gibibyte, l2: 50 * mebibyte, bf16: []int64{4096, 2048}, fp8: []int64{4096, 2048}, transfer: hostBytes},
		"full":      {free: 20 * mebibyte},
		"nothing":   {},
	}
	for name, c := range cases {
		if diff := cmp.Diff(c.bf16, matmulSizes(c.free, cuda.BF16)); diff != "" {
			t.Errorf("%s: BF16: %s", name, diff)
		}
		if diff := cmp.Diff(c.fp8, matmulSizes(c.free, cuda.FP8)); diff != "" {
			t.Errorf("%s: FP8: %s", name, diff)
		}
		if got := copyBytes(c.free, c.l2); got != c.copies {
			t.Errorf("%s: copies of %d MiB, want %d", name, got/mebibyte, c.copies/mebibyte)
		}
		if got := transferBytes(c.free); got != c.transfer {
			t.Errorf("%s: transfers of %d MiB, want %d", name, got/mebibyte, c.transfer/mebibyte)
		}
	}
}

func TestRuns(t *testing.T) {
	t.Parallel()
	for once, want := range map[float64]int{1e-9: 1000, 1e-3: 200, 0.1: 2, 0.2: 1, 5: 1} {
		if got := runs(once); got != want {
			t.Errorf("work of %g s runs %d times, want %d", once, got, want)
		}
	}
}

func TestSupports(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		figure       v1alpha1.FigureName
		major, minor int
		want         bool
	}{
		"BF16 on 7.5":    {v1alpha1.FigureBF16, 7, 5, false},
		"BF16 on 8.0":    {v1alpha1.FigureBF16, 8, 0, true},
		"FP8 on 8.6":     {v1alpha1.FigureFP8, 8, 6, false},
		"FP8 on 8.9":     {v1alpha1.FigureFP8, 8, 9, true},
		"FP8 on 12.0":    {v1alpha1.FigureFP8, 12, 0, true},
		"memory on 3.5":  {v1alpha1.FigureMemoryBandwidth, 3, 5, true},
		"FP8 on nothing": {v1alpha1.FigureFP8, 0, 0, false},
	}
	for name, c := range cases {
		if err := supports(c.figure, c.major, c.minor); (err == nil) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		number, unit int
		want         string
	}{{12040, 10, "12.4"}, {13000, 10, "13.0"}, {120604, 100, "12.6"}, {131003, 100, "13.10"}} {
		if got := version(c.number, c.unit); got != c.want {
			t.Errorf("%d is %s, want %s", c.number, got, c.want)
		}
	}
}

func TestFigure(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		name    v1alpha1.FigureName
		work    float64
		seconds []float64
		want    Figure
		reason  Reason
	}{
		"odd":        {name: v1alpha1.FigureBF16, work: 8, seconds: []float64{0.01, 0.016, 0.0125}, want: Figure{Value: 640, Samples: 3, Lowest: 500, Highest: 800, SpreadPercent: 46.88}},
		"even":       {name: v1alpha1.FigureBF16, work: 8, seconds: []float64{0.01, 0.016}, want: Figure{Value: 650, Samples: 2, Lowest: 500, Highest: 800, SpreadPercent: 46.15}},
		"rounded":    {name: v1alpha1.FigureHostToDevice, work: 1, seconds: []float64{1.0 / 55.123456}, want: Figure{Value: 55.123, Samples: 1, Lowest: 55.123, Highest: 55.123}},
		"none":       {name: v1alpha1.FigureBF16, work: 8, reason: ReasonTimeLimit},
		"zero":       {name: v1alpha1.FigureBF16, work: 8, seconds: []float64{0.01, 0, 0.01}, reason: ReasonImplausible},
		"negative":   {name: v1alpha1.FigureBF16, work: 8, seconds: []float64{-1}, reason: ReasonImplausible},
		"no number":  {name: v1alpha1.FigureBF16, work: 8, seconds: []float64{math.NaN()}, reason: ReasonImplausible},
		"infinite":   {name: v1alpha1.FigureBF16, work: 8, seconds: []float64{math.Inf(1)}, reason: ReasonImplausible},
		"denormal":   {name: v1alpha1.FigureBF16, work: 8, seconds: []float64{5e-324}, reason: ReasonImplausible},
		"too fast":   {name: v1alpha1.FigureNVMeToDevice, work: 2000, seconds: []float64{1}, reason: ReasonImplausible},
		"fast peers": {name: v1alpha1.FigurePeerToPeer, work: 2000, seconds: []float64{1}, want: Figure{Value: 2000, Samples: 1, Lowest: 2000, Highest: 2000}},
	}
	for name, c := range cases {
		got, err := figure(c.name, c.work, c.seconds)
		var gap *gapError
		if errors.As(err, &gap) != (c.reason != "") || gap != nil && gap.reason != c.reason {
			t.Errorf("%s: %v, want %s", name, err, c.reason)
			continue
		}
		if c.reason == "" {
			c.want.Name = c.name
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// Whatever a device's clock shows: what comes out is finite, above 0, at most the
// ceiling, ordered, and the API takes it.
func FuzzFigure(f *testing.F) {
	f.Add(8.0, 0.01, 0.016, 0.0125)
	f.Add(8.0, 0.0, -1.0, math.Inf(1))
	f.Add(1e308, 1e-308, 5e-324, math.NaN())
	f.Fuzz(func(t *testing.T, work, a, b, c float64) {
		for _, name := range Figures {
			got, err := figure(name, work, []float64{a, b, c})
			if err != nil {
				continue
			}
			for _, value := range []float64{got.Value, got.Lowest, got.Highest} {
				if math.IsNaN(value) || math.IsInf(value, 0) || value < 0 || value > ceiling(name)+1 {
					t.Fatalf("%+v", got)
				}
			}
			if got.Lowest > got.Value || got.Value > got.Highest || math.IsNaN(got.SpreadPercent) || got.SpreadPercent < 0 {
				t.Fatalf("%+v", got)
			}
			if stored, ok := quantity(got.Value); ok && (stored.Sign() <= 0 || len(stored.String()) > 32) {
				t.Fatalf("%v is stored as %s", got.Value, stored)
			}
		}
	})
}

func TestMeasurements(t *testing.T) {
	t.Parallel()
	when := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	report := Report{Devices: []DeviceReport{
		{UUID: "GPU-a", Time: when, Figures: []Figure{
			{Name: v1alpha1.FigureBF16, Value: 794.5, Method: "cuBLASLt"}, {Name: v1alpha1.FigureHostToDevice, Value: 0.0001},
		}},
		{UUID: "GPU-b", Time: when, Skipped: &Gap{Reason: ReasonBusy}},
		{UUID: "", Time: when, Figures: []Figure{{Name: v1alpha1.FigureBF16, Value: 1}}},
	}}
	value := resource.MustParse("794.5")
	want := []v1alpha1.DeviceMeasurement{{UUID: "GPU-a", Time: new(metav1.NewTime(when)), Figures: []v1alpha1.DeviceFigure{
		{Name: v1alpha1.FigureBF16, Value: &value, Method: "cuBLASLt"},
	}}}
	equal := cmp.Comparer(func(a, b resource.Quantity) bool { return a.Cmp(b) == 0 })
	if diff := cmp.Diff(want, report.Measurements(), equal); diff != "" {
		t.Error(diff)
	}
}

func TestMerge(t *testing.T) {
	t.Parallel()
	measurement := func(uuid string, at int64) v1alpha1.DeviceMeasurement {
		return v1alpha1.DeviceMeasurement{UUID: uuid, Time: new(metav1.Unix(at, 0))}
	}
	var full []v1alpha1.DeviceMeasurement
	for i := range mostMeasurements {
		full = append(full, measurement(string(rune('0'+i)), 1))
	}
	node := &v1alpha1.NodeReport{Accelerators: []v1alpha1.Accelerator{{UUID: "a"}, {UUID: "b"}}}
	cases := map[string]struct {
		stored v1alpha1.TopologyDomainStatus
		fresh  []v1alpha1.DeviceMeasurement
		want   []v1alpha1.DeviceMeasurement
	}{
		"first":         {fresh: []v1alpha1.DeviceMeasurement{measurement("b", 2), measurement("a", 2)}, want: []v1alpha1.DeviceMeasurement{measurement("a", 2), measurement("b", 2)}},
		"another stays": {stored: v1alpha1.TopologyDomainStatus{Measurements: []v1alpha1.DeviceMeasurement{measurement("a", 1), measurement("b", 1)}}, fresh: []v1alpha1.DeviceMeasurement{measurement("b", 2)}, want: []v1alpha1.DeviceMeasurement{measurement("a", 1), measurement("b", 2)}},
		"gone":          {stored: v1alpha1.TopologyDomainStatus{Node: node, Measurements: []v1alpha1.DeviceMeasurement{measurement("a", 1), measurement("old", 1)}}, fresh: []v1alpha1.DeviceMeasurement{measurement("b", 2)}, want: []v1alpha1.DeviceMeasurement{measurement("a", 1), measurement("b", 2)}},
	}
	for name, c := range cases {
		if diff := cmp.Diff(c.want, Merge(c.stored, c.fresh), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if got := Merge(v1alpha1.TopologyDomainStatus{Measurements: full}, []v1alpha1.DeviceMeasurement{measurement("new", 2)}); len(got) != mostMeasurements {
		t.Errorf("%d measurements, more than the API takes", len(got))
	}
}

func TestFill(t *testing.T) {
	t.Parallel()
	const bytes = 1 << 16
	for precision, decode := range map[cuda.Precision]func([]byte, int) float64{
		cuda.BF16: func(data []byte, i int) float64 {
			return float64(math.Float32frombits(uint32(binary.LittleEndian.Uint16(data[2*i:])) << 16))
		},
		cuda.FP8: func(data []byte, i int) float64 { return e4m3(data[i]) },
	} {
		data := make([]byte, bytes)
		fill(data, precision)
		zeros, negative, count := 0, 0, bytes/int(precision.Bytes())
		for i := range count {
			value := decode(data, i)
			if math.IsNaN(value) || math.Abs(value) >= 2 {
				t.Fatalf("precision %d: number %d is %g", precision, i, value)
			}
			if value == 0 {
				zeros++
			}
			if math.Signbit(value) {
				negative++
			}
		}
		if zeros > count/20 || negative < count*4/10 || negative > count*6/10 {
			t.Errorf("precision %d: of %d numbers %d are 0 and %d are negative", precision, count, zeros, negative)
		}
	}
}

// e4m3 is the value of an 8-bit number: a sign, 4 bits of exponent with a bias of
// 7, and 3 bits of mantissa.
func e4m3(b byte) float64 {
	sign, exponent, mantissa := 1.0, int(b>>3&15), float64(b&7)
	if b&0x80 != 0 {
		sign = -1
	}
	switch {
	case exponent == 15 && b&7 == 7:
		return math.NaN()
	case exponent == 0:
		return sign * math.Ldexp(mantissa/8, -6)
	default:
		return sign * math.Ldexp(1+mantissa/8, exponent-7)
	}
}
