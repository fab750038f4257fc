package simulate

import (
	"testing"

	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// BenchmarkRun replays 10,000 arrivals on 512 nodes.
func BenchmarkRun(b *testing.B) {
	trace, err := Generate(Mix{Gangs: 10000, Devices: 4096, Load: 0.95, Preferred: topology.Leaf})
	if err != nil {
		b.Fatal(err)
	}
	for _, name := range []string{"fifo", "easy"} {
		b.Run(name, func(b *testing.B) {
			p, err := ParsePolicy(name)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if _, err := Run(Uniform(512, 32, 4, 8), trace, Options{Policy: p}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
