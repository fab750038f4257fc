package measure

import (
	"encoding/binary"

	"github.com/k8s4ai/k8s4ai/internal/agent/cuda"
)

// random is a generator of bits that costs next to nothing. Power, and with it the
// clock of a device, depends on the data: zeros would measure too much.
type random uint64

func (r *random) next() uint64 {
	x := uint64(*r)
	x ^= x << 13
	x ^= x >> 7
	x ^= x << 17
	*r = random(x)
	return x
}

// fill writes numbers of the precision between -2 and 2 with random signs,
// magnitudes and mantissas, none of them NaN or infinite. The length is a multiple
// of 8.
func fill(to []byte, precision cuda.Precision) {
	// BF16: the upper bits of the exponent are those of numbers below 2.
	keep, set := uint64(0x83ff83ff83ff83ff), uint64(0x3c003c003c003c00)
	if precision == cuda.FP8 {
		// E4M3: without the top bit of the exponent a number is below 2.
		keep, set = 0xbfbfbfbfbfbfbfbf, 0
	}
	r := random(0x9e3779b97f4a7c15)
	for i := 0; i+8 <= len(to); i += 8 {
		binary.LittleEndian.PutUint64(to[i:], r.next()&keep|set)
	}
}
