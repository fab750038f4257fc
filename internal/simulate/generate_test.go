package simulate

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/k8s4ai/k8s4ai/internal/topology"
)

func TestGenerateHasTheShapeItClaims(t *testing.T) {
	const fleet = 4096
	mix := Mix{Seed: 7, Gangs: 20000, Devices: fleet, Load: 0.95, Overestimate: 3, Preferred: topology.Leaf}
	trace, err := Generate(mix)
	if err != nil {
		t.Fatal(err)
	}
	var work, large, time float64
	var durations []float64
	many, wrong := 0, 0.0
	for i, a := range trace {
		devices := devicesAsked(&a.Request.Root, DefaultDevice)
		seconds := a.Duration.Seconds()
		if seconds < 60 || seconds > 12*3600 || devices < 1 || devices > fleet/4 || devices != math.Trunc(devices) {
			t.Fatalf("%+v is out of bounds", a)
		}
		if i > 0 && a.At < trace[i-1].At {
			t.Fatalf("%+v arrives before the one in front of it", a)
		}
		if (devices > 8) != (a.Request.Root.Preferred == topology.Leaf) || a.Request.Root.Required != topology.Cluster {
			t.Fatalf("%+v asks for other levels", a)
		}
		factor := a.Estimate.Seconds() / seconds
		if factor < 0.98 || factor > 3.02 {
			t.Fatalf("%+v is estimated %g times too long", a, factor)
		}
		wrong += factor / float64(len(trace))
		durations = append(durations, seconds)
		time += seconds
		work += devices * seconds
		if devices >= 64 {
			many++
			large += devices * seconds
		}
	}
	slices.Sort(durations)
	longest := 0.0
	for _, seconds := range durations[len(durations)*9/10:] {
		longest += seconds
	}
	for name, figure := range map[string][3]float64{
		"load":                             {work / (fleet * trace[len(trace)-1].At.Seconds()), 0.949999, 0.950001},
		"share of gangs of 64 and more":    {float64(many) / float64(len(trace)), 0.08, 0.10},
		"their share of the work":          {large / work, 0.62, 0.74},
		"median duration":                  {durations[len(durations)/2], 1700, 1900},
		"share of the longest tenth":       {longest / time, 0.42, 0.55},
		"mean factor of the estimates":     {wrong, 1.97, 2.03},
		"first arrival":                    {trace[0].At.Seconds(), 0, 0},
		"half of the gangs have come (at)": {trace[len(trace)/2].At.Seconds() / trace[len(trace)-1].At.Seconds(), 0.48, 0.52},
	} {
		if !(figure[0] >= figure[1] && figure[0] <= figure[2]) {
			t.Errorf("%s: %g is not %g to %g", name, figure[0], figure[1], figure[2])
		}
	}
}

func TestGenerateFollowsItsSeed(t *testing.T) {
	draw := func(seed uint64) []Arrival {
		trace, err := Generate(Mix{Seed: seed, Gangs: 50, Devices: 64, Load: 0.5})
		if err != nil {
			t.Fatal(err)
		}
		return trace
	}
	if diff := cmp.Diff(draw(1), draw(1)); diff != "" {
		t.Errorf("one seed, two traces:\n%s", diff)
	}
	other, err := Generate(Mix{Seed: 1, Gangs: 50, Devices: 64, Load: 0.5, Device: "amd.com/gpu"})
	if err != nil {
		t.Fatal(err)
	}
	for i, a := range draw(1) {
		if got, want := devicesAsked(&other[i].Request.Root, "amd.com/gpu"), devicesAsked(&a.Request.Root, DefaultDevice); got != want {
			t.Errorf("gang %d asks for %g of another device, want %g", i, got, want)
		}
	}
	if cmp.Equal(draw(1), draw(2)) {
		t.Error("two seeds, one trace")
	}
	for _, a := range draw(3) {
		if a.Estimate != a.Duration {
			t.Errorf("%+v: estimates are exact unless asked otherwise", a)
		}
		if devices := devicesAsked(&a.Request.Root, DefaultDevice); devices > 16 {
			t.Errorf("%+v asks for %g devices of 64", a, devices)
		}
	}
}

func TestGenerateNamesTheFieldOutOfBounds(t *testing.T) {
	good := Mix{Gangs: 10, Devices: 64, Load: 0.9}
	cases := map[string]struct {
		edit func(*Mix)
		want string
	}{
		"sound":               {func(*Mix) {}, ""},
		"no gangs":            {func(m *Mix) { m.Gangs = 0 }, "generating a trace: 0 gangs: 1 to 1000000 can be drawn"},
		"too many gangs":      {func(m *Mix) { m.Gangs = 1 << 31 }, "generating a trace: 2147483648 gangs: 1 to 1000000 can be drawn"},
		"a tiny fleet":        {func(m *Mix) { m.Devices = 7 }, "generating a trace: a fleet of 7 devices: it has 8 to 2147483647"},
		"negative nodes":      {func(m *Mix) { m.PerNode = -1 }, "generating a trace: -1 devices per node: 1 to 1024"},
		"no load":             {func(m *Mix) { m.Load = 0 }, "generating a trace: a load of 0: it is 0.001 to 100"},
		"a load of NaN":       {func(m *Mix) { m.Load = math.NaN() }, "generating a trace: a load of NaN: it is 0.001 to 100"},
		"an infinite factor":  {func(m *Mix) { m.Overestimate = math.Inf(1) }, "generating a trace: an overestimate of +Inf: it is 1 to 1000"},
		"an underestimate":    {func(m *Mix) { m.Overestimate = 0.5 }, "generating a trace: an overestimate of 0.5: it is 1 to 1000"},
		"contradictory level": {func(m *Mix) { m.Required, m.Preferred = topology.Leaf, topology.Block }, "generating a trace: the preferred level is wider than the required one"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			mix := good
			tc.edit(&mix)
			got := ""
			if _, err := Generate(mix); err != nil {
				got = err.Error()
			}
			if got != tc.want {
				t.Errorf("Generate() = %q, want %q", got, tc.want)
			}
		})
	}
}

func TestStudentT(t *testing.T) {
	// From tables of the distribution.
	for degrees, want := range map[int]float64{1: 12.7062, 10: 2.2281, 11: 2.2010, 15: 2.1314, 29: 2.0452, 30: 2.0423, 60: 2.0003, 120: 1.9799, 100000: 1.9600} {
		if got := studentT(degrees); math.Abs(got-want) > 2e-4 {
			t.Errorf("studentT(%d) = %g, want %g", degrees, got, want)
		}
	}
}

func TestPairedRatio(t *testing.T) {
	nan, e := math.NaN(), math.E
	cases := map[string]struct {
		first, second []float64
		want          Interval
		err           string
	}{
		"the same":          {first: []float64{1, 20, 3}, second: []float64{1, 20, 3}, want: Interval{1, 1, 1, 3}},
		"always half":       {first: []float64{1, 10, 3}, second: []float64{2, 20, 6}, want: Interval{0.5, 0.5, 0.5, 3}},
		"ratios of e and 1": {first: []float64{e, 1}, second: []float64{1, 1}, want: Interval{math.Exp(0.5), math.Exp(0.5 - 12.7062/2), math.Exp(0.5 + 12.7062/2), 2}},
		"ratios of 1/e, 1 and e": {first: []float64{1 / e, 1, e}, second: []float64{1, 1, 1},
			want: Interval{1, math.Exp(-4.3027 / math.Sqrt(3)), math.Exp(4.3027 / math.Sqrt(3)), 3}},
		"one pair":             {first: []float64{1}, second: []float64{1}, err: "comparing 1 values with 1: at least two pairs are needed"},
		"a value without pair": {first: []float64{1, 2, 3}, second: []float64{1, 2}, err: "comparing 3 values with 2: at least two pairs are needed"},
		"a wait of 0":          {first: []float64{1, 0}, second: []float64{1, 2}, err: "comparing pair 1, 0 and 2: values are above 0 and finite"},
		"NaN":                  {first: []float64{nan, 1}, second: []float64{1, 2}, err: "comparing pair 0, NaN and 1: values are above 0 and finite"},
		"a negative value":     {first: []float64{1, 1}, second: []float64{1, -2}, err: "comparing pair 1, 1 and -2: values are above 0 and finite"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := PairedRatio(tc.first, tc.second)
			if text := fmt.Sprint(err); err != nil && text != tc.err || err == nil && tc.err != "" {
				t.Fatalf("PairedRatio() = %v, want %s", err, tc.err)
			}
			for i, pair := range [][2]float64{{got.Mean, tc.want.Mean}, {got.Low, tc.want.Low}, {got.High, tc.want.High}, {float64(got.Pairs), float64(tc.want.Pairs)}} {
				if math.Abs(pair[0]-pair[1]) > 1e-9 {
					t.Errorf("figure %d: %g, want %g", i, pair[0], pair[1])
				}
			}
		})
	}
}

// Of a true ratio of 1, an interval of 95 % misses 1 in 1 of 20 draws.
func TestPairedRatioCoversTheTruth(t *testing.T) {
	missed, draws := 0, 400
	for seed := range draws {
		random := newRandom(uint64(seed))
		var first, second []float64
		for range 8 {
			both := math.Exp(3 * random.NormFloat64())
			first = append(first, both*math.Exp(random.NormFloat64()))
			second = append(second, both*math.Exp(random.NormFloat64()))
		}
		got, err := PairedRatio(first, second)
		if err != nil {
			t.Fatal(err)
		}
		if got.Low > 1 || got.High < 1 {
			missed++
		}
	}
	if share := float64(missed) / float64(draws); share < 0.02 || share > 0.09 {
		t.Errorf("%g of the intervals miss the truth, want about 0.05", share)
	}
}

func TestCompare(t *testing.T) {
	fleet := Uniform(16, 4, 2, 8)
	mix := Mix{Gangs: 300, Devices: 128, Load: 0.9}
	// No gang here has 64 devices, so no ratio exists.
	if _, err := Compare(fleet, mix, 2, policy(t, "easy"), policy(t, "fifo"), nil); err == nil {
		t.Error("Compare() of waits that are 0 gives no error")
	}
	fleet, mix.Devices = Uniform(64, 16, 2, 8), 512
	var done []int
	got, err := Compare(fleet, mix, 3, policy(t, "easy"), policy(t, "easy"), func(n int) { done = append(done, n) })
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int{1, 2, 3}, done); diff != "" {
		t.Errorf("progress (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(got.First, got.Second); diff != "" {
		t.Errorf("one policy has two results:\n%s", diff)
	}
	if want := (Interval{1, 1, 1, 3}); got.Ratio != want {
		t.Errorf("the ratio is %v, want %v", got.Ratio, want)
	}
	if got.First[0] == got.First[1] {
		t.Error("two seeds have one result")
	}
}
