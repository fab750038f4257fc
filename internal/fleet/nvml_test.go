package fleet

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// Every shape with NVIDIA GPUs is described, always in the same words, and within
// the bounds of the fake library. That what it says is what the report says is
// tested where it is read, in internal/agent/nvml.
func TestNVML(t *testing.T) {
	for _, shape := range ShapeNames() {
		for _, provider := range []Provider{ProviderNone, ProviderDOKS} {
			t.Run(shape+" "+string(provider), func(t *testing.T) {
				f := fleetOf(t, shape, provider, "Ethernet")
				m, s := f.Machines()[0], shapes[shape]
				text := f.NVML(m)
				if hasNVIDIA := s.gpus > 0 && !s.gpu.isAMD(); hasNVIDIA != (text != nil) {
					t.Fatalf("%d GPUs, described as %q", s.gpus, text)
				}
				if text == nil {
					return
				}
				if !bytes.Equal(text, f.NVML(m)) {
					t.Error("described differently at the second time")
				}
				if !bytes.HasPrefix(text, []byte("# FAKE")) {
					t.Error("not marked as fake")
				}
				uuids := 0
				for line := range strings.Lines(string(text)) {
					if strings.Contains(line, "%!") || len(line) > 200 {
						t.Errorf("line %q", line)
					}
					var gpu int
					if _, err := fmt.Sscanf(line, "gpu %d uuid ", &gpu); err == nil && strings.HasSuffix(line, f.Reports()[0].Status.Node.Accelerators[gpu].UUID+"\n") {
						uuids++
					}
				}
				if uuids != s.gpus {
					t.Errorf("%d of %d GPUs have the UUID of the report", uuids, s.gpus)
				}
			})
		}
	}
}

// Two machines of a rack have one cluster and different GPUs.
func TestNVMLOfARack(t *testing.T) {
	f := fleetOf(t, "GB200-NVL72", ProviderNone, "InfiniBand")
	machines := f.Machines()
	fact := func(m Machine, key string) string {
		_, rest, _ := strings.Cut(string(f.NVML(m)), " "+key+" ")
		value, _, _ := strings.Cut(rest, "\n")
		return value
	}
	for key, isShared := range map[string]bool{"fabric-uuid": true, "fabric-clique": true, "rack": true, "uuid": false} {
		a, b := fact(machines[0], key), fact(machines[1], key)
		if a == "" || (a == b) != isShared {
			t.Errorf("%s: %q and %q", key, a, b)
		}
	}
}
