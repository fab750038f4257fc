package measure

import (
	"fmt"
	"math"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/agent/cuda"
)

const (
	mebibyte = int64(1) << 20
	gibibyte = int64(1) << 30

	// One figure takes at most a quarter of the memory that is free, so that a
	// device that another program comes to is not full.
	memoryShare = 4
	// workspaceBytes is what cuBLASLt's fastest kernels ask for at most.
	workspaceBytes = 64 * mebibyte
	// hostBytes is the pinned memory of one device: more than any cache holds.
	hostBytes = 256 * mebibyte

	// A repetition lasts this long, so that starting the work does not count and
	// clocks and power settle.
	repetitionSeconds = 0.2
	repetitions       = 7
	// A median of fewer repetitions says nothing about the spread.
	leastRepetitions = 3
	// A driver's queue holds about 1,000 pieces of work before it blocks.
	mostRuns = 1000
)

// Figures are what can be measured, in the order in which it is.
var Figures = []v1alpha1.FigureName{
	v1alpha1.FigureMemoryBandwidth, v1alpha1.FigureHostToDevice, v1alpha1.FigureBF16, v1alpha1.FigureFP8,
	v1alpha1.FigurePeerToPeer, v1alpha1.FigureNVMeToDevice,
}

// matmulSizes are the two largest products that fit. The larger one gives a fast
// device enough to do; the smaller one can be the better on a slow one.
func matmulSizes(free int64, precision cuda.Precision) []int64 {
	const most = 2
	var out []int64
	for _, n := range []int64{16384, 8192, 4096, 2048} {
		if len(out) < most && matmulBytes(n, precision) <= free/memoryShare {
			out = append(out, n)
		}
	}
	return out
}

// matmulBytes is the device memory of one product.
func matmulBytes(n int64, precision cuda.Precision) int64 {
	return 2*n*n*precision.Bytes() + 2*n*n + workspaceBytes + 4
}

// copyBytes is the size of each of the two buffers of a copy on the device: far
// more than its cache, or 0 when there is no room for that.
func copyBytes(free, l2 int64) int64 {
	const most, caches = 2 * gibibyte, 4
	size := min(most, free/memoryShare/2) / mebibyte * mebibyte
	if size < max(64*mebibyte, caches*l2) {
		return 0
	}
	return size
}

// transferBytes is the size of a copy from the host or to a peer.
func transferBytes(free int64) int64 {
	size := min(hostBytes, free/memoryShare) / mebibyte * mebibyte
	if size < 16*mebibyte {
		return 0
	}
	return size
}

// runs is how often work that takes so long is done in one repetition.
func runs(once float64) int {
	return int(max(1, min(mostRuns, math.Round(repetitionSeconds/once))))
}

// supports is nil when a device of the compute capability can do what the figure
// is about.
func supports(name v1alpha1.FigureName, major, minor int) error {
	var least [2]int
	switch name {
	case v1alpha1.FigureBF16:
		least = [2]int{8, 0}
	case v1alpha1.FigureFP8:
		least = [2]int{8, 9}
	default:
		return nil
	}
	if major > least[0] || major == least[0] && minor >= least[1] {
		return nil
	}
	return &gapError{ReasonUnsupported, fmt.Sprintf("compute capability %d.%d is below %d.%d", major, minor, least[0], least[1])}
}

// busy says why a device with so much memory in use is not idle, or "". The
// context of this process is in the figure, too, and takes about 1 %.
func busy(free, total int64) string {
	const mostPercent = 5
	if used := total - free; total > 0 && used > total/100*mostPercent {
		return fmt.Sprintf("%d MiB of %d MiB are in use, more than %d %%", used/mebibyte, total/mebibyte, mostPercent)
	}
	return ""
}

// version writes a version number that counts minors in steps of unit.
func version(number, unit int) string {
	return fmt.Sprintf("%d.%d", number/(100*unit), number/unit%100)
}
