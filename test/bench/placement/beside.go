package main

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/k8s4ai/k8s4ai/internal/queueing"
	"github.com/k8s4ai/k8s4ai/internal/simulate"
	"github.com/k8s4ai/k8s4ai/internal/topology"
	"github.com/k8s4ai/k8s4ai/test/bench"
	"github.com/k8s4ai/k8s4ai/test/oracle"
)

// fuzzRows compares the engine with trying everything, on so many small cases.
func fuzzRows(cases int, log func(string, ...any)) []bench.Row {
	next := 0
	c := oracle.Compare(1, cases, func(done int) {
		if done >= next {
			log("fuzz: %d of %d cases", done, cases)
			next += max(1, cases/10)
		}
	})
	for _, failure := range c.Failures {
		log("fuzz: %s", failure)
	}
	var rows []bench.Row
	for _, one := range []struct {
		metric string
		count  int
	}{
		{"cases", c.Cases}, {"feasible", c.Feasible}, {"missed", c.Missed}, {"wrong", c.Wrong}, {"worse", c.Worse},
		{"untrue", c.Untrue}, {"not_proven", c.NotProven}, {"greedy_missed", c.GreedyMissed},
	} {
		rows = append(rows, bench.Row{Case: "fuzz", Metric: one.metric, Value: float64(one.count), Unit: "cases"})
	}
	return rows
}

const (
	easyNodes = 256
	easyGangs = 2000
)

// easyRows replays the same arrivals with a reservation for the first gang that
// waits, and with a queue that stands still behind it.
func easyRows(o options, log func(string, ...any)) ([]bench.Row, error) {
	loads := [...]float64{0.85, 0.95}
	var (
		rows   [len(loads)][]bench.Row
		errs   [len(loads)]error
		groups sync.WaitGroup
	)
	for i, load := range loads {
		name := fmt.Sprintf("easy-load%.0f", load*100)
		if o.only.MatchString(name) {
			groups.Go(func() { rows[i], errs[i] = easyLoad(name, load, o.seeds, log) })
		}
	}
	groups.Wait()
	return slices.Concat(rows[:]...), errors.Join(errs[:]...)
}

// easyLoad is easyRows at one offered load.
func easyLoad(name string, load float64, seeds int, log func(string, ...any)) ([]bench.Row, error) {
	fleet := simulate.Uniform(easyNodes, nodesPerRack, racksPerBlock/4, devicesPerNode)
	mix := simulate.Mix{Gangs: easyGangs, Devices: easyNodes * devicesPerNode, PerNode: devicesPerNode, Load: load, Preferred: topology.Leaf}
	c, err := simulate.Compare(fleet, mix, seeds, queueing.Policy{Backfill: true}, queueing.Policy{}, func(done int) {
		if done%5 == 0 || done == seeds {
			log("%s: %d of %d seeds", name, done, seeds)
		}
	})
	if len(c.Second) < seeds {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	easy, fifo := mean(c.First), mean(c.Second)
	// Where no large gang waits under either policy there is nothing to compare.
	var first, second []float64
	for i := range c.First {
		if c.First[i] > 0 || c.Second[i] > 0 {
			first, second = append(first, c.First[i]), append(second, c.Second[i])
		}
	}
	if c.Ratio, err = simulate.PairedRatio(first, second); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	// The ratio is the geometric mean over the seeds of FIFO's wait over EASY's, and
	// the interval is that of the ratio.
	ratio := 1 / c.Ratio.Mean
	return []bench.Row{
		{Case: name, Metric: "mean_wait_ge64", Value: easy, Unit: "s", Peer: "fifo", PeerValue: &fifo, Ratio: &ratio},
		{Case: name, Metric: "seeds", Value: float64(len(c.First)), Unit: "seeds"},
		{Case: name, Metric: "seeds_with_waits", Value: float64(c.Ratio.Pairs), Unit: "seeds"},
		{Case: name, Metric: "ci95_low", Value: 1 / c.Ratio.High, Unit: "ratio"},
		{Case: name, Metric: "ci95_high", Value: 1 / c.Ratio.Low, Unit: "ratio"},
	}, nil
}

func mean(values []float64) float64 {
	sum := 0.0
	for _, value := range values {
		sum += value
	}
	return sum / float64(len(values))
}
