package main

import (
	"fmt"
	"runtime"
	"time"

	"github.com/k8s4ai/k8s4ai/internal/placement"
	"github.com/k8s4ai/k8s4ai/test/bench"
)

const (
	growthSmall = 1024
	growthLarge = 102_400
	// growthTurns is how often each gang of the mix is placed at each size, in
	// growthRounds that take turns.
	growthTurns, growthRounds = 8, 5
)

// growthMix are gangs that have an answer at both sizes.
func growthMix() []Gang {
	return []Gang{{8, single}, {64, single}, {512, single}, {8, anywhere}, {64, anywhere}, {8, sliced}, {64, sliced}}
}

// growthRows measures the same mix, with the same churn in between, on a small and
// on a hundred times larger fabric that are filled the same way.
func growthRows(log func(string, ...any)) ([]bench.Row, error) {
	sizes := [...]int{growthSmall, growthLarge}
	var planners [2]*planner
	var decisions, cycles, changes, firsts, news, unchanged [2][]float64
	for i, nodes := range sizes {
		log("growth: a fabric of %d nodes", nodes)
		var err error
		if planners[i], err = newPlanner(newFabric(nodes, scatter)); err != nil {
			return nil, err
		}
		for _, g := range growthMix() {
			snapshot := planners[i].state.Snapshot()
			start := time.Now()
			if _, err := answerOf(placement.Place(snapshot, planners[i].fabric.ask(g, 0))); err != nil {
				return nil, fmt.Errorf("growth: %d nodes, %s: %w", nodes, g, err)
			}
			firsts[i] = append(firsts[i], micros(start))
		}
	}
	seed := int64(0)
	for range growthRounds {
		for i, p := range planners {
			runtime.GC()
			var r result
			for _, g := range growthMix() {
				p.measure(&r, p.fabric.ask(g, 0), growthTurns)
				p.measureNew(&r, g, &seed, 1)
				unchanged[i] = append(unchanged[i], p.measureUnchanged(p.fabric.ask(g, 0), growthTurns)...)
			}
			decisions[i], changes[i] = append(decisions[i], r.decision...), append(changes[i], r.churn...)
			cycles[i] = append(cycles[i], r.cycle...)
			news[i] = append(news[i], r.newShape...)
		}
	}
	var rows []bench.Row
	for _, one := range []struct {
		metric, ratio string
		values        [2][]float64
	}{
		{"decision_p50", "cost_ratio_100k_over_1k", decisions},
		{"cycle_p50", "cost_ratio_with_snapshot_100k_over_1k", cycles},
		{"decision_unchanged", "cost_ratio_unchanged_100k_over_1k", unchanged},
		// The first gang of the mix is the first that the State ever sees.
		{"decision_first", "cost_ratio_first_100k_over_1k", [2][]float64{firsts[0][:1], firsts[1][:1]}},
		{"decision_new_shape", "cost_ratio_new_shape_100k_over_1k", news},
		{"churn_us_per_change", "cost_ratio_change_100k_over_1k", changes},
	} {
		small, large := bench.Median(one.values[0]), bench.Median(one.values[1])
		rows = append(rows,
			bench.Row{Case: "growth", Metric: one.metric + "_at_1k_nodes", Value: small, Unit: "us"},
			bench.Row{Case: "growth", Metric: one.metric + "_at_100k_nodes", Value: large, Unit: "us"},
			bench.Row{Case: "growth", Metric: one.ratio, Value: large / small, Unit: "ratio"})
	}
	return rows, nil
}
