package topology

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func soundReport() Report {
	return Report{
		Node: "n",
		GPUs: []GPU{
			{UUID: "GPU-0", PCIAddress: "0000:1b:00.0", MemoryBytes: 80 << 30, FreeBytes: 80 << 30, Healthy: true},
			{UUID: "GPU-1", PCIAddress: "0000:43:00.0", NUMANode: -1, MemoryBytes: 80 << 30},
		},
		Switches: []string{"0000:05:00.0"},
		Links:    []Link{{A: "GPU-0", B: "0000:05:00.0", Count: 18, GbpsPerLink: 200}, {A: "GPU-1", B: "0000:05:00.0", Count: 18, GbpsPerLink: 200}},
		NICs:     []NIC{{Name: "mlx5_0", GUID: "0a7f:bc12:0000:0001", LinkLayer: "InfiniBand", RateGbps: 400, Active: true}, {Name: "mlx5_1", NUMANode: 1}},
		Fabric:   &NVLinkFabric{},
	}
}

func TestValidateReport(t *testing.T) {
	cases := map[string]struct {
		change func(*Report)
		want   []string
	}{
		"a sound report has no problem": {change: func(*Report) {}},
		"one UUID on two GPUs": {
			change: func(r *Report) { r.GPUs[1].UUID = "GPU-0" },
			want:   []string{`DuplicateDevice node "n": GPU "GPU-0" is listed twice`, `UnknownDevice node "n": link "GPU-1" to "0000:05:00.0": no device "GPU-1"`},
		},
		"one PCI address on two GPUs": {
			change: func(r *Report) { r.GPUs[1].PCIAddress = "0000:1B:00.0" },
			want:   []string{`DuplicateDevice node "n": GPU "GPU-1": PCI address "0000:1b:00.0" is taken`},
		},
		"negative memory": {
			change: func(r *Report) { r.GPUs[1].MemoryBytes = -1 },
			want:   []string{`OutOfRange node "n": GPU "GPU-1": memory is -1, possible are 0 to 17592186044416`},
		},
		"more memory than any GPU has": {
			change: func(r *Report) { r.GPUs[1].MemoryBytes = 16<<40 + 1 },
			want:   []string{`OutOfRange node "n": GPU "GPU-1": memory is 17592186044417, possible are 0 to 17592186044416`},
		},
		"more free than there is": {
			change: func(r *Report) { r.GPUs[0].FreeBytes++ },
			want:   []string{`OutOfRange node "n": GPU "GPU-0": free memory is 85899345921, possible are 0 to 85899345920`},
		},
		"NUMA nodes that no kernel has": {
			change: func(r *Report) { r.GPUs[0].NUMANode = -2; r.NICs[0].NUMANode = 1024 },
			want: []string{
				`OutOfRange node "n": GPU "GPU-0": NUMA node is -2, possible are -1 to 1023`,
				`OutOfRange node "n": NIC "mlx5_0": NUMA node is 1024, possible are -1 to 1023`,
			},
		},
		"a link to a device that is not there": {
			change: func(r *Report) { r.Links[0].B = "0000:06:00.0" },
			want:   []string{`UnknownDevice node "n": link "GPU-0" to "0000:06:00.0": no device "0000:06:00.0"`},
		},
		"a link from a GPU to itself": {
			change: func(r *Report) { r.Links[0].B = "GPU-0"; r.Links[0].Count = 1 },
			want:   []string{`OutOfRange node "n": link "GPU-0" to "GPU-0": both ends are one device`},
		},
		"more NVLinks than a GPU can have": {
			change: func(r *Report) { r.Links = append(r.Links, r.Links[0], r.Links[0]) },
			want:   []string{`OutOfRange node "n": GPU "GPU-0": more than 36 NVLinks`},
		},
		"a NIC faster than any": {
			change: func(r *Report) { r.NICs[0].RateGbps = 400_000_000 },
			want:   []string{`OutOfRange node "n": NIC "mlx5_0": rate in Gb/s is 400000000, possible are 0 to 12800`},
		},
		"a link layer that is none": {
			change: func(r *Report) { r.NICs[0].LinkLayer = "Token Ring" },
			want:   []string{`InvalidValue node "n": NIC "mlx5_0": link layer "Token Ring" is neither InfiniBand nor Ethernet`},
		},
		"more NICs than a machine has": {
			change: func(r *Report) {
				for i := range 100 {
					r.NICs = append(r.NICs, NIC{Name: "nic-" + string(rune('0'+i))})
				}
			},
			want: []string{`TooMany node "n": 102 NICs, at most 64 count`},
		},
		"a device without a name": {
			change: func(r *Report) { r.NICs[1].Name = "" },
			want:   []string{`InvalidValue node "n": NIC 1 has no name`},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r := soundReport()
			tc.change(&r)
			var got []string
			for _, p := range ValidateReport(r) {
				got = append(got, p.String())
			}
			slices.Sort(got)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("ValidateReport() (-want +got):\n%s", diff)
			}
		})
	}
}
