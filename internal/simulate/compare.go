package simulate

import (
	"errors"
	"fmt"
	"math"

	"github.com/k8s4ai/k8s4ai/internal/queueing"
)

// Comparison is two policies on the same traces.
type Comparison struct {
	// First and Second are the mean waits of gangs of 64 devices and more, in
	// seconds, one per seed.
	First, Second []float64
	// Ratio is that of First over Second: below 1 the first policy is better.
	Ratio Interval
}

// Compare replays traces of the mix with seeds 0 to seeds-1 under both policies.
// progress, if not nil, is told how many seeds are done. It returns the errors of
// Generate, Run and PairedRatio.
func Compare(fleet Fleet, mix Mix, seeds int, first, second queueing.Policy, progress func(done int)) (Comparison, error) {
	var out Comparison
	for seed := range seeds {
		mix.Seed = uint64(seed)
		trace, err := Generate(mix)
		if err != nil {
			return Comparison{}, err
		}
		for _, side := range []struct {
			policy queueing.Policy
			waits  *[]float64
		}{{first, &out.First}, {second, &out.Second}} {
			report, err := Run(fleet, trace, Options{Policy: side.policy})
			if err != nil {
				return Comparison{}, fmt.Errorf("seed %d, policy %s: %w", seed, PolicyName(side.policy), err)
			}
			*side.waits = append(*side.waits, report.Large.MeanSeconds)
		}
		if progress != nil {
			progress(seed + 1)
		}
	}
	var err error
	out.Ratio, err = PairedRatio(out.First, out.Second)
	return out, err
}

// Interval is an estimate with its 95 % confidence interval.
type Interval struct {
	Mean, Low, High float64
	// Pairs is the number of observations.
	Pairs int
}

// PairedRatio estimates how many times larger first is than second, where the
// values of one index were measured under the same circumstances: the geometric
// mean of their ratios, with the interval of Student's t for the mean of the
// logarithms. Every pair has the same weight, however large its values. It
// returns an error when there are fewer than two pairs, or a value is not above 0
// and finite.
func PairedRatio(first, second []float64) (Interval, error) {
	if len(first) != len(second) || len(first) < 2 {
		return Interval{}, fmt.Errorf("comparing %d values with %d: at least two pairs are needed", len(first), len(second))
	}
	logs := make([]float64, len(first))
	mean := 0.0
	for i := range first {
		logs[i] = math.Log(first[i]) - math.Log(second[i])
		if math.IsNaN(logs[i]) || math.IsInf(logs[i], 0) {
			return Interval{}, fmt.Errorf("comparing pair %d, %g and %g: %w", i, first[i], second[i], errNoRatio)
		}
		mean += logs[i] / float64(len(first))
	}
	variance := 0.0
	for _, value := range logs {
		variance += (value - mean) * (value - mean) / float64(len(logs)-1)
	}
	half := studentT(len(logs)-1) * math.Sqrt(variance/float64(len(logs)))
	return Interval{Mean: math.Exp(mean), Low: math.Exp(mean - half), High: math.Exp(mean + half), Pairs: len(logs)}, nil
}

var errNoRatio = errors.New("values are above 0 and finite")

// smallT are the 97.5 % quantiles of Student's t for 1 to 10 degrees of freedom.
var smallT = [...]float64{12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281}

// studentT is the 97.5 % quantile of Student's t. Above the table it is the
// expansion around the normal distribution in powers of the degrees of freedom,
// which is off by at most 0.0002 there.
func studentT(degrees int) float64 {
	if degrees <= len(smallT) {
		return smallT[degrees-1]
	}
	const z = 1.959964
	n := float64(degrees)
	z2 := z * z
	return z + z*(z2+1)/(4*n) + z*((5*z2+16)*z2+3)/(96*n*n) + z*(((3*z2+19)*z2+17)*z2-15)/(384*n*n*n)
}
