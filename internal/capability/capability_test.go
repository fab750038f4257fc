package capability

import (
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	product  = "nvidia.com/gpu.product"
	doksGPU  = "doks.digitalocean.com/gpu-model"
	gkeGPU   = "cloud.google.com/gke-accelerator"
	gibibyte = int64(1) << 30
)

func term(pairs ...string) Term {
	var t Term
	for i := 0; i+1 < len(pairs); i += 2 {
		t = append(t, Requirement{Key: pairs[i], Values: []string{pairs[i+1]}})
	}
	return t
}

// fleet has made-up figures; only their order matters.
func fleet() []Profile {
	return []Profile{
		{
			Name: "h100", Vendor: "NVIDIA", MemoryBytes: 80 * gibibyte, Features: []string{"FP8", "MIG"},
			TFLOPS: [5]Figure{BF16: {Datasheet: 1000, Measured: 800}}, Fallback: []string{"h200", "gone", "mi300x"},
			Match: Match{PCIIDs: []string{"10de:2330"}, NodeLabels: []Term{term(product, "NVIDIA-H100-80GB-HBM3"), term(doksGPU, "nvidia/h100")}},
		},
		{
			Name: "h200", Vendor: "NVIDIA", MemoryBytes: 141 * gibibyte, Features: []string{"FP8", "MIG"},
			TFLOPS: [5]Figure{BF16: {Datasheet: 1000}}, Fallback: []string{"h100", "b200"},
			Match: Match{PCIIDs: []string{"10de:2335"}, NodeLabels: []Term{term(doksGPU, "nvidia/h200")}},
		},
		{
			Name: "mi300x", Vendor: "AMD", MemoryBytes: 192 * gibibyte, Features: []string{"FP8"},
			TFLOPS: [5]Figure{BF16: {Datasheet: 1300, Measured: 650}},
			Match:  Match{PCIIDs: []string{"1002:74a1", "1002:74b5"}},
		},
		{
			Name: "b200", Vendor: "NVIDIA", MemoryBytes: 180 * gibibyte, Features: []string{"FP8", "FP4"},
			TFLOPS: [5]Figure{BF16: {Datasheet: 2250}, FP4: {Datasheet: 9000}},
			Match:  Match{PCIIDs: []string{"10de:2901"}},
		},
		{Name: "mystery", Vendor: "NVIDIA", MemoryBytes: 16 * gibibyte},
	}
}

func TestClassify(t *testing.T) {
	twins := []Profile{
		{Name: "b", Match: Match{PCIIDs: []string{"10de:20b0"}}},
		{Name: "a", Match: Match{PCIIDs: []string{"10de:20b0"}}},
		{Name: "big", Match: Match{PCIIDs: []string{"10de:20b0"}, MinMemoryBytes: 60 * gibibyte}},
	}
	cases := map[string]struct {
		profiles []Profile
		facts    Facts
		want     []DeviceClass
	}{
		"a PCI id is enough, however it is written": {
			profiles: fleet(),
			facts:    Facts{Devices: []Device{{ID: "g0", PCIID: "0x10DE:0x2330"}}},
			want:     []DeviceClass{{Device: "g0", Class: "h100", Evidence: DeviceFacts, Conditions: 1}},
		},
		"device facts win over labels": {
			profiles: fleet(),
			facts:    Facts{Devices: []Device{{ID: "g0", PCIID: "10de:2335"}}, Labels: map[string]string{product: "NVIDIA-H100-80GB-HBM3"}},
			want:     []DeviceClass{{Device: "g0", Class: "h200", Evidence: DeviceFacts, Conditions: 1}},
		},
		"feature labels win over provider labels": {
			profiles: fleet(),
			facts:    Facts{Labels: map[string]string{product: "NVIDIA-H100-80GB-HBM3", doksGPU: "nvidia/h200"}},
			want:     []DeviceClass{{Class: "h100", Evidence: FeatureLabels, Conditions: 1}},
		},
		"a provider label is enough where nothing else is known": {
			profiles: fleet(),
			facts:    Facts{Labels: map[string]string{doksGPU: "nvidia/h200"}},
			want:     []DeviceClass{{Class: "h200", Evidence: ProviderLabels, Conditions: 1}},
		},
		"devices that no profile knows take the label of the node": {
			profiles: fleet(),
			facts:    Facts{Devices: []Device{{ID: "g0", PCIID: "10de:ffff"}, {ID: "g1", PCIID: "10de:ffff"}}, Labels: map[string]string{doksGPU: "nvidia/h100"}},
			want: []DeviceClass{
				{Device: "g0", Class: "h100", Evidence: ProviderLabels, Conditions: 1},
				{Device: "g1", Class: "h100", Evidence: ProviderLabels, Conditions: 1},
			},
		},
		"on a node with different devices a label classifies none": {
			profiles: fleet(),
			facts:    Facts{Devices: []Device{{ID: "g0", PCIID: "10de:2330"}, {ID: "g1", PCIID: "10de:ffff"}}, Labels: map[string]string{doksGPU: "nvidia/h100"}},
			want:     []DeviceClass{{Device: "g0", Class: "h100", Evidence: DeviceFacts, Conditions: 1}, {Device: "g1"}},
		},
		"of two equal matches neither is chosen": {
			profiles: twins,
			facts:    Facts{Devices: []Device{{ID: "g0", PCIID: "10de:20b0", MemoryBytes: 40 * gibibyte}}},
			want:     []DeviceClass{{Device: "g0", Evidence: DeviceFacts, Conditions: 1, Ambiguous: []string{"a", "b"}}},
		},
		"the profile with more conditions is the more specific one": {
			profiles: twins,
			facts:    Facts{Devices: []Device{{ID: "g0", PCIID: "10de:20b0", MemoryBytes: 80 * gibibyte}}},
			want:     []DeviceClass{{Device: "g0", Class: "big", Evidence: DeviceFacts, Conditions: 2}},
		},
		"an ambiguous rung is not settled by a weaker one": {
			profiles: append(slices.Clone(twins), Profile{Name: "c", Match: Match{NodeLabels: []Term{term(gkeGPU, "x")}}}),
			facts:    Facts{Devices: []Device{{ID: "g0", PCIID: "10de:20b0"}}, Labels: map[string]string{gkeGPU: "x"}},
			want:     []DeviceClass{{Device: "g0", Evidence: DeviceFacts, Conditions: 1, Ambiguous: []string{"a", "b"}}},
		},
		"feature labels of AMD win over provider labels": {
			profiles: []Profile{{Name: "a", Match: Match{NodeLabels: []Term{term("amd.com/gpu.device-id", "74a1")}}}, {Name: "b", Match: Match{NodeLabels: []Term{term(gkeGPU, "x")}}}},
			facts:    Facts{Labels: map[string]string{"amd.com/gpu.device-id": "74a1", gkeGPU: "x"}},
			want:     []DeviceClass{{Class: "a", Evidence: FeatureLabels, Conditions: 1}},
		},
		"a product name and a PCI id have both to hold": {
			profiles: []Profile{{Name: "l40s", Match: Match{PCIIDs: []string{"10de:26b5"}, Products: []string{"NVIDIA L40S"}}}},
			facts:    Facts{Devices: []Device{{ID: "g0", PCIID: "10de:26b5", Product: "NVIDIA L40S"}, {ID: "g1", PCIID: "10de:26b5", Product: "NVIDIA L40"}}},
			want:     []DeviceClass{{Device: "g0", Class: "l40s", Evidence: DeviceFacts, Conditions: 2}, {Device: "g1"}},
		},
		"a selector wins over labels and loses to device facts": {
			profiles: fleet(),
			facts: Facts{
				Devices: []Device{{ID: "g0", PCIID: "10de:2330"}, {ID: "g1", PCIID: "10de:ffff"}},
				DRA:     []DRADevice{{ID: "d0", Device: "g0", Classes: []string{"h200"}}, {ID: "d1", Device: "g1", Classes: []string{"h200"}}},
				Labels:  map[string]string{doksGPU: "nvidia/h100"},
			},
			want: []DeviceClass{
				{Device: "g0", Class: "h100", Evidence: DeviceFacts, Conditions: 1},
				{Device: "g1", Class: "h200", Evidence: DRAAttributes, Conditions: 1},
			},
		},
		"devices that DRA alone knows count, and end the word of labels": {
			profiles: fleet(),
			facts: Facts{
				Devices: []Device{{ID: "g0", PCIID: "10de:ffff"}},
				DRA:     []DRADevice{{ID: "d0", Classes: []string{"mi300x"}}, {ID: "d1", Classes: []string{"mi300x"}}},
				Labels:  map[string]string{doksGPU: "nvidia/h100"},
			},
			want: []DeviceClass{
				{Device: "g0"},
				{Device: "d0", Class: "mi300x", Evidence: DRAAttributes, Conditions: 1},
				{Device: "d1", Class: "mi300x", Evidence: DRAAttributes, Conditions: 1},
			},
		},
		"two selectors that hold are ambiguous": {
			profiles: fleet(),
			facts:    Facts{DRA: []DRADevice{{ID: "d0", Classes: []string{"h200", "h100"}}}, Labels: map[string]string{doksGPU: "nvidia/h100"}},
			want:     []DeviceClass{{Device: "d0", Evidence: DRAAttributes, Conditions: 1, Ambiguous: []string{"h100", "h200"}}},
		},
		"two words of DRA on one device are taken together": {
			profiles: fleet(),
			facts: Facts{
				Devices: []Device{{ID: "g0"}},
				DRA:     []DRADevice{{ID: "d0", Device: "g0", Classes: []string{"h100"}}, {ID: "d1", Device: "g0", Classes: []string{"h200"}}},
			},
			want: []DeviceClass{{Device: "g0", Evidence: DRAAttributes, Conditions: 1, Ambiguous: []string{"h100", "h200"}}},
		},
		"a selected class that does not exist is none": {
			profiles: fleet(),
			facts:    Facts{DRA: []DRADevice{{ID: "d0", Classes: []string{"gone"}}}},
			want:     []DeviceClass{{Device: "d0"}},
		},
		"every label of a term has to hold": {
			profiles: []Profile{
				{Name: "one", Match: Match{NodeLabels: []Term{term(gkeGPU, "x")}}},
				{Name: "two", Match: Match{NodeLabels: []Term{term(gkeGPU, "x", "pool", "p")}}},
			},
			facts: Facts{Labels: map[string]string{gkeGPU: "x"}},
			want:  []DeviceClass{{Class: "one", Evidence: ProviderLabels, Conditions: 1}},
		},
		"an empty match and an empty term recognise nothing": {
			profiles: []Profile{{Name: "any"}, {Name: "blank", Match: Match{NodeLabels: []Term{{}}, MaxMemoryBytes: 1}}},
			facts:    Facts{Devices: []Device{{ID: "g0"}}},
			want:     []DeviceClass{{Device: "g0"}},
		},
		"a condition on an unknown fact does not hold": {
			profiles: []Profile{{Name: "p", Match: Match{Products: []string{""}, PCIIDs: []string{""}}}},
			facts:    Facts{Devices: []Device{{ID: "g0"}}},
			want:     []DeviceClass{{Device: "g0"}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, Classify(tc.profiles, tc.facts)); diff != "" {
				t.Errorf("Classify() (-want +got):\n%s", diff)
			}
			slices.Reverse(tc.profiles)
			if diff := cmp.Diff(tc.want, Classify(tc.profiles, tc.facts)); diff != "" {
				t.Errorf("Classify() of the reversed profiles (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSelect(t *testing.T) {
	cases := map[string]struct {
		demand Demand
		want   []string
		why    Refusal
	}{
		"a class comes with its fallbacks, its own before theirs, each once": {
			demand: Demand{Class: "h100"},
			want:   []string{"h100", "h200", "mi300x", "b200"},
			why:    Refusal{Considered: 4, NoSuchClass: []string{"gone"}},
		},
		"a class that does not exist is named": {
			demand: Demand{Class: "h900"},
			why:    Refusal{NoSuchClass: []string{"h900"}},
		},
		"without a demand every class is acceptable, best fit first": {
			want: []string{"mi300x", "h100", "h200", "b200", "mystery"},
			why:  Refusal{Considered: 5},
		},
		"the measured rate decides where there is one": {
			demand: Demand{Needs: Needs{MinTFLOPS: [5]float64{BF16: 700}, Vendor: "AMD"}},
			why: Refusal{Considered: 5, Nearest: []Shortfall{
				{"mi300x", []Lack{{Need: "BF16 TFLOPS", Wants: 700, Has: 650}}},
				{"b200", []Lack{{Need: "vendor AMD"}}},
				{"h100", []Lack{{Need: "vendor AMD"}}},
				{"h200", []Lack{{Need: "vendor AMD"}}},
				{"mystery", []Lack{{Need: "vendor AMD"}, {Need: "BF16 TFLOPS", Wants: 700, Unknown: true}}},
			}},
		},
		"the measured rate orders against the datasheet": {
			demand: Demand{Needs: Needs{Features: []string{"FP8"}}},
			want:   []string{"mi300x", "h100", "h200", "b200"},
			why:    Refusal{Considered: 5, Nearest: []Shortfall{{"mystery", []Lack{{Need: "feature FP8"}}}}},
		},
		"the least that suffices comes first and the others say what they lack": {
			demand: Demand{Needs: Needs{MinMemoryBytes: 100 * gibibyte, Features: []string{"MIG"}}},
			want:   []string{"h200"},
			why: Refusal{Considered: 5, Nearest: []Shortfall{
				{"h100", []Lack{{Need: "memoryBytes", Wants: float64(100 * gibibyte), Has: float64(80 * gibibyte)}}},
				{"b200", []Lack{{Need: "feature MIG"}}},
				{"mi300x", []Lack{{Need: "feature MIG"}}},
				{"mystery", []Lack{{Need: "memoryBytes", Wants: float64(100 * gibibyte), Has: float64(16 * gibibyte)}, {Need: "feature MIG"}}},
			}},
		},
		"a missing figure satisfies no minimum and is called unknown": {
			demand: Demand{Class: "mystery", Needs: Needs{MinTFLOPS: [5]float64{FP4: 1}, MinMemoryGBps: 1, MinInterconnectGBps: 1}},
			why: Refusal{Considered: 1, Nearest: []Shortfall{{"mystery", []Lack{
				{Need: "memory GB/s", Wants: 1, Unknown: true},
				{Need: "FP4 TFLOPS", Wants: 1, Unknown: true},
				{Need: "interconnect GB/s", Wants: 1, Unknown: true},
			}}}},
		},
		"a fallback has to satisfy the needs too": {
			demand: Demand{Class: "h200", Needs: Needs{Features: []string{"FP4"}}},
			want:   []string{"b200"},
			why: Refusal{Considered: 4, NoSuchClass: []string{"gone"}, Nearest: []Shortfall{
				{"h100", []Lack{{Need: "feature FP4"}}},
				{"h200", []Lack{{Need: "feature FP4"}}},
				{"mi300x", []Lack{{Need: "feature FP4"}}},
			}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			profiles := fleet()
			got, why := Select(tc.demand, profiles)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("classes (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.why, why); diff != "" {
				t.Errorf("refusal (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(fleet(), profiles); diff != "" {
				t.Errorf("profiles after Select (-want +got):\n%s", diff)
			}
		})
	}
}

// By the datasheet an MI300X has 1307 TeraFLOPS of BF16 and an H100 989; what was
// measured is 668 and 794.
func TestSelectPrefersMeasured(t *testing.T) {
	profiles := func(mi300x, h100 float64) []Profile {
		return []Profile{
			{Name: "mi300x", TFLOPS: [5]Figure{BF16: {Datasheet: 1307, Measured: mi300x}}},
			{Name: "h100", TFLOPS: [5]Figure{BF16: {Datasheet: 989, Measured: h100}}},
		}
	}
	cases := map[string]struct {
		profiles []Profile
		least    float64
		want     []string
	}{
		"by the datasheet":                      {profiles(0, 0), 600, []string{"h100", "mi300x"}},
		"by measurement":                        {profiles(668, 794), 600, []string{"mi300x", "h100"}},
		"by measurement one does not suffice":   {profiles(668, 794), 700, []string{"h100"}},
		"by the datasheet the other one has to": {profiles(0, 0), 1000, []string{"mi300x"}},
		"one measured, one not":                 {profiles(668, 0), 600, []string{"mi300x", "h100"}},
		"by measurement none suffices":          {profiles(668, 794), 1000, nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, _ := Select(Demand{Needs: Needs{MinTFLOPS: [5]float64{BF16: tc.least}}}, tc.profiles)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("classes (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRefusalIsBounded(t *testing.T) {
	var profiles []Profile
	for i := range 50 {
		profiles = append(profiles, Profile{Name: string(rune('A' + i))})
	}
	_, why := Select(Demand{Needs: Needs{MinMemoryBytes: 1}}, profiles)
	if why.Considered != 50 || len(why.Nearest) != MaxNearest {
		t.Errorf("considered %d, nearest %d", why.Considered, len(why.Nearest))
	}
}

func TestEfficiency(t *testing.T) {
	cases := map[string]struct {
		measured, datasheet float64
		want                float64
		ok                  bool
	}{
		"measured against datasheet":       {800, 1000, 0.8, true},
		"above the datasheet is passed on": {1100, 1000, 1.1, true},
		"nothing measured":                 {0, 1000, 0, false},
		"no datasheet":                     {800, 0, 0, false},
		"negative":                         {-1, 1000, 0, false},
		"not a number":                     {math.NaN(), 1000, 0, false},
		"infinite":                         {math.Inf(1), 1000, 0, false},
		"a ratio that overflows":           {math.MaxFloat64, math.SmallestNonzeroFloat64, 0, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, ok := Efficiency(tc.measured, tc.datasheet)
			if got != tc.want || ok != tc.ok {
				t.Errorf("Efficiency(%v, %v) = %v, %v, want %v, %v", tc.measured, tc.datasheet, got, ok, tc.want, tc.ok)
			}
		})
	}
}

// Whatever a demand and the profiles, a chosen class meets every need by a
// known figure, no class is chosen twice, and the refusal is bounded.
func FuzzSelect(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4}, int64(80), 700.0)
	f.Add([]byte{0}, int64(-1), math.NaN())
	f.Fuzz(func(t *testing.T, data []byte, memory int64, rate float64) {
		names := []string{"a", "b", "c", "d", ""}
		var profiles []Profile
		for i := 0; i+3 < len(data); i += 4 {
			profiles = append(profiles, Profile{
				Name: names[data[i]%5], MemoryBytes: int64(data[i+1]), Fallback: []string{names[data[i+2]%5], names[data[i+3]%5]},
				TFLOPS: [5]Figure{BF16: {Datasheet: float64(data[i+2]), Measured: float64(data[i+3])}},
			})
		}
		needs := Needs{MinMemoryBytes: memory, MinTFLOPS: [5]float64{BF16: rate}}
		for _, class := range names {
			got, why := Select(Demand{Class: class, Needs: needs}, profiles)
			if sorted := slices.Sorted(slices.Values(got)); len(slices.Compact(sorted)) != len(got) {
				t.Errorf("a class is chosen twice: %q", got)
			}
			if len(why.Nearest) > MaxNearest {
				t.Errorf("%d nearest", len(why.Nearest))
			}
			for _, name := range got {
				p := profiles[slices.IndexFunc(profiles, func(p Profile) bool { return p.Name == name })]
				best, ok := p.TFLOPS[BF16].Best()
				if memory > 0 && p.MemoryBytes < memory || math.IsNaN(rate) || rate > 0 && (!ok || best < rate) {
					t.Errorf("%q does not meet %+v", name, needs)
				}
			}
		}
	})
}
