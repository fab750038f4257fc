//go:build cgo

package nvml

import (
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	gonvml "github.com/NVIDIA/go-nvml/pkg/nvml"

	"github.com/k8s4ai/k8s4ai/internal/agent/machine"
)

func TestPCIAddress(t *testing.T) {
	cases := map[string]string{
		"00000000:1B:00.0":   "0000:1b:00.0",
		"0000:1b:00.0":       "0000:1b:00.0",
		"00000008:01:00.0":   "0008:01:00.0",
		"00010000:FF:1F.7":   "10000:ff:1f.7",
		"00000000:00:00.0":   "",
		"00000000:1B:20.0":   "",
		"00000000:100:00.0":  "",
		"00000000:1B:00.8":   "",
		"100000000:1B:00.0":  "",
		"1B:00.0":            "",
		"00000000:1B:00":     "",
		"00000000:1B:00.0.0": "",
		"-0000:1B:00.0":      "",
		"":                   "",
	}
	for in, want := range cases {
		if got := pciAddress(in); got != want {
			t.Errorf("%q gives %q, want %q", in, got, want)
		}
	}
}

func TestNumbers(t *testing.T) {
	if got := pciID(0x233010de); got != "10de:2330" {
		t.Errorf("PCI id %q", got)
	}
	for words, want := range map[[2]uint]int{{}: machine.Unknown, {1, 0}: 0, {0, 1 << 3}: 67, {3, 0}: machine.Unknown, {1, 1}: machine.Unknown} {
		if got := onlyNode(words[:]); got != want {
			t.Errorf("node of %v: %d, want %d", words, got, want)
		}
	}
	for in, want := range map[uint64]int{0: 0, 25000: 200, 26562: 212, 50000: 400, math.MaxUint64: 0} {
		if got := gbps(in); got != want {
			t.Errorf("%d MB/s are %d Gb/s, want %d", in, got, want)
		}
	}
	for in, want := range map[[16]uint8]string{{}: "", {'1', 'A', '2'}: "1A2", {1, 2}: "0102" + strings.Repeat("0", 28)} {
		if got := rackID(in); got != want {
			t.Errorf("rack %v is %q, want %q", in, got, want)
		}
	}
}

func TestFieldNumbers(t *testing.T) {
	nan := math.Float64bits(math.NaN())
	cases := map[string]struct {
		kind   gonvml.ValueType
		value  uint64
		ret    gonvml.Return
		want   uint64
		wantOK bool
	}{
		"unsigned":               {kind: gonvml.VALUE_TYPE_UNSIGNED_INT, value: 18, want: 18, wantOK: true},
		"unsigned, rest of word": {kind: gonvml.VALUE_TYPE_UNSIGNED_INT, value: 0xdead00000012, want: 18, wantOK: true},
		"long":                   {kind: gonvml.VALUE_TYPE_UNSIGNED_LONG_LONG, value: 1 << 40, want: 1 << 40, wantOK: true},
		"negative":               {kind: gonvml.VALUE_TYPE_SIGNED_INT, value: 0xffffffff},
		"negative and long":      {kind: gonvml.VALUE_TYPE_SIGNED_LONG_LONG, value: math.MaxUint64},
		"short":                  {kind: gonvml.VALUE_TYPE_UNSIGNED_SHORT, value: 0x10012, want: 18, wantOK: true},
		"fraction":               {kind: gonvml.VALUE_TYPE_DOUBLE, value: math.Float64bits(18.7), want: 18, wantOK: true},
		"not a number":           {kind: gonvml.VALUE_TYPE_DOUBLE, value: nan},
		"infinite":               {kind: gonvml.VALUE_TYPE_DOUBLE, value: math.Float64bits(math.Inf(1))},
		"below zero":             {kind: gonvml.VALUE_TYPE_DOUBLE, value: math.Float64bits(-1)},
		"unknown type":           {kind: 77, value: 18},
		"not supported":          {kind: gonvml.VALUE_TYPE_UNSIGNED_INT, value: 18, ret: gonvml.ERROR_NOT_SUPPORTED},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			field := gonvml.FieldValue{ValueType: uint32(tc.kind), NvmlReturn: uint32(tc.ret)}
			for i := range field.Value {
				field.Value[i] = byte(tc.value >> (8 * i))
			}
			got, ok := numberOf(&field)
			if ok != tc.wantOK || ok && got != tc.want {
				t.Errorf("%d, %v; want %d, %v", got, ok, tc.want, tc.wantOK)
			}
		})
	}
}

func TestFabricHealth(t *testing.T) {
	const allFalse = 0x1aa // 2 in four parts, and configuration 1
	cases := map[string]struct {
		mask    uint32
		summary uint8
		want    string
	}{
		"nothing told":                       {0, 0, ""},
		"summary healthy":                    {allFalse, 1, "Healthy"},
		"summary alone":                      {0, 1, "Healthy"},
		"summary unhealthy":                  {allFalse, 2, "Unhealthy"},
		"summary limited":                    {allFalse, 3, "Limited"},
		"mask healthy, no summary":           {allFalse, 0, "Healthy"},
		"bandwidth degraded":                 {allFalse&^3 | 1, 0, "Limited"},
		"route recovery":                     {allFalse&^(3<<2) | 1<<2, 0, "Unhealthy"},
		"route unhealthy":                    {allFalse&^(3<<4) | 1<<4, 1, "Unhealthy"},
		"access timeout":                     {allFalse&^(3<<6) | 1<<6, 0, "Unhealthy"},
		"no partition":                       {allFalse&^(15<<8) | 4<<8, 0, "Unhealthy"},
		"configuration with an even number":  {allFalse&^(15<<8) | 8<<8, 1, "Unhealthy"},
		"parts not supported, configuration": {1 << 8, 0, "Healthy"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := fabricHealth(tc.mask, tc.summary); got != tc.want {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
	if fabric := fabricOf(&gonvml.GpuFabricInfo_v3{State: gonvml.GPU_FABRIC_STATE_NOT_SUPPORTED}); fabric != nil {
		t.Errorf("a device without a fabric has %+v", fabric)
	}
}

func TestMIGNames(t *testing.T) {
	const mib = 1 << 20
	cases := map[string]struct {
		slices, compute uint32
		megabytes       uint64
		total           int64
		want            string
	}{
		"A100 80GB, 1g":     {1, 1, 9728, 81920 * mib, "1g.10gb"},
		"A100 80GB, 7g":     {7, 7, 80896, 81920 * mib, "7g.80gb"},
		"A100 40GB, 1g":     {1, 1, 4864, 40960 * mib, "1g.5gb"},
		"H200, 1g":          {1, 1, 16384, 143771 * mib, "1g.18gb"},
		"part of the slice": {3, 2, 40192, 81559 * mib, "2c.3g.40gb"},
		"no total":          {1, 1, 9728, machine.Unknown, "1g.0gb"},
		"beyond measure":    {1, 1, math.MaxUint64, 81920 * mib, "1g.0gb"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := migName(tc.slices, tc.compute, tc.megabytes, tc.total); got != tc.want {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}

// Pure functions on anything that a driver may say.
func FuzzConvert(f *testing.F) {
	f.Add("00000000:1B:00.0", uint64(0x233010de), uint32(0x1aa), uint32(1))
	f.Add("\xff\x00 \n", uint64(math.MaxUint64), uint32(math.MaxUint32), uint32(0))
	f.Fuzz(func(t *testing.T, text string, number uint64, mask, kind uint32) {
		if address := pciAddress(text); address != "" && (pciAddress(address) != address || len(address) < 12 || len(address) > 16) {
			t.Errorf("%q gives %q", text, address)
		}
		if got := printable(text, maxText); len(got) > maxText || !utf8.ValidString(got) || printable(got, maxText) != got {
			t.Errorf("%q prints as %q", text, got)
		}
		if id := pciID(uint32(number)); id != "" && len(id) != 9 {
			t.Errorf("PCI id %q", id)
		}
		if bytes := bytesOf(number); bytes < machine.Unknown || bytes > maxMemory {
			t.Errorf("%d bytes", bytes)
		}
		if rate := gbps(number); rate < 0 || rate > maxGbps {
			t.Errorf("%d Gb/s", rate)
		}
		field := gonvml.FieldValue{ValueType: kind % 9}
		copy(field.Value[:], text)
		if _, ok := numberOf(&field); ok && kind%9 > 6 {
			t.Errorf("a field of type %d has a number", kind%9)
		}
		health := fabricHealth(mask, uint8(kind))
		if health == "Healthy" && mask>>4&3 == 1 || health == "" && mask != 0 {
			t.Errorf("mask %#x gives %q", mask, health)
		}
		if degrees := degrees(int(int32(mask))); degrees < machine.Unknown || degrees > maxTemperature {
			t.Errorf("%d degrees", degrees)
		}
		if name := recoveryAction(number); len(name) > 20 {
			t.Errorf("recovery %q", name)
		}
		if name := migName(mask%100, kind%100, number, int64(number>>1)); len(name) > 64 || !isIdentifier(name) {
			t.Errorf("instance %q", name)
		}
		var rack [16]uint8
		copy(rack[:], text)
		if id := rackID(rack); id != "" && !isIdentifier(id) {
			t.Errorf("rack %q", id)
		}
		if node := onlyNode([]uint{uint(number), uint(mask)}); node < machine.Unknown || node > 127 {
			t.Errorf("node %d", node)
		}
		throttleReasons(number)
	})
}
