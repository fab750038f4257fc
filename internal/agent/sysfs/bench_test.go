package sysfs

import (
	"os"
	"testing"

	"github.com/k8s4ai/k8s4ai/internal/fleet"
)

// BenchmarkRead is one look of the agent at a machine with eight GPUs and eight
// RDMA ports, relations included.
func BenchmarkRead(b *testing.B) {
	for _, shape := range []string{"HGX-H100x8", "MI300Xx8"} {
		b.Run(shape, func(b *testing.B) {
			f := oneOf(b, shape, fleet.ProviderNone, "Ethernet")
			dir := b.TempDir()
			if err := f.Sysfs(f.Machines()[0], dir); err != nil {
				b.Fatal(err)
			}
			report := f.Reports()[0].Status.Node
			gpus := driverOf(report)
			root := os.DirFS(dir)
			b.ReportAllocs()
			for b.Loop() {
				host := Read(root)
				if len(host.NICs) != 8 || len(host.Relate(gpus)) != 80 {
					b.Fatalf("%d NICs, problems %v", len(host.NICs), host.Problems)
				}
			}
		})
	}
}
