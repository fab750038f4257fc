package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/k8s4ai/k8s4ai/internal/planfile"
	"github.com/k8s4ai/k8s4ai/internal/queueing"
	"github.com/k8s4ai/k8s4ai/internal/simulate"
)

// Simulation is what `plan --trace -o json` prints: one report for each policy.
type Simulation struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	Reports    []simulate.Report `json:"reports"`
}

// maxPolicies is how many policies are compared in one run.
const maxPolicies = 8

// traceOptions are the flags that are about a trace.
type traceOptions struct {
	trace    string
	draw     int
	seed     uint64
	load     float64
	policies []string
	preempt  bool
	defrag   bool
	device   string
}

func (o *traceOptions) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&o.trace, "trace", "", "CSV of arrivals to replay instead of --gangs, - for standard input")
	flags.IntVar(&o.draw, "draw", 0, "replay so many arrivals that are drawn at random, instead of a --trace")
	flags.Uint64Var(&o.seed, "seed", 1, "seed of --draw: the same seed draws the same arrivals")
	flags.Float64Var(&o.load, "load", 0.85, "work of --draw over what the fleet offers")
	flags.StringSliceVar(&o.policies, "policy", []string{"fifo", "easy"}, "policies of the replay, side by side: fifo, easy, each with +preempt, +defrag")
	flags.BoolVar(&o.preempt, "preempt", false, "let every policy evict gangs of lower priority")
	flags.BoolVar(&o.defrag, "defrag", false, "let every policy move gangs")
	flags.StringVar(&o.device, "device", simulate.DefaultDevice, "resource that gangs of a trace or a draw count as devices")
	_ = cmd.RegisterFlagCompletionFunc("policy", cobra.FixedCompletions([]string{"fifo", "easy"}, cobra.ShellCompDirectiveNoFileComp))
}

// isAsked says whether a replay is wanted.
func (o *traceOptions) isAsked() bool { return o.trace != "" || o.draw != 0 }

// complete reads the policies.
func (o *traceOptions) complete() ([]queueing.Policy, error) {
	switch {
	case o.trace != "" && o.draw != 0:
		return nil, usageError{errors.New("--draw: arrivals are drawn or read: leave out --draw or --trace")}
	case len(o.policies) == 0 || len(o.policies) > maxPolicies:
		return nil, usageError{fmt.Errorf("--policy: give 1 to %d policies", maxPolicies)}
	}
	var out []queueing.Policy
	var names []string
	for _, text := range o.policies {
		p, err := simulate.ParsePolicy(text)
		if err != nil {
			return nil, usageError{fmt.Errorf("--policy: %w", err)}
		}
		p.Preempt, p.Defragment = p.Preempt || o.preempt, p.Defragment || o.defrag
		name := simulate.PolicyName(p)
		if slices.Contains(names, name) {
			return nil, usageError{fmt.Errorf("--policy: %s is given twice", name)}
		}
		out, names = append(out, p), append(names, name)
	}
	return out, nil
}

// arrivals reads or draws them.
func (o *traceOptions) arrivals(in io.Reader, world simulate.Fleet) ([]simulate.Arrival, error) {
	if o.trace == "" {
		mix := simulate.Mix{Seed: o.seed, Gangs: o.draw, Load: o.load, Device: o.device}
		for i := range world.Nodes {
			if n := &world.Nodes[i]; n.Unavailable == "" {
				devices := int(n.Capacity[o.device])
				mix.Devices += devices
				mix.PerNode = max(mix.PerNode, devices)
			}
		}
		out, err := simulate.Generate(mix)
		if err != nil {
			return nil, fmt.Errorf("--draw, --load: %w", err)
		}
		return out, nil
	}
	name, data, err := readFile(in, o.trace, simulate.MaxTraceBytes)
	if err != nil {
		return nil, fmt.Errorf("reading the trace: %w", err)
	}
	out, err := simulate.ReadTrace(bytes.NewReader(data), o.device)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return out, nil
}

// run replays the arrivals under each policy.
func (o *traceOptions) run(streams Streams, machines *planfile.Snapshot, isEmpty bool) (*Simulation, error) {
	policies, err := o.complete()
	if err != nil {
		return nil, err
	}
	world := simulate.Fleet{Domains: machines.Vertices(), Nodes: machines.PlacementNodes()}
	if isEmpty {
		for i := range world.Nodes {
			world.Nodes[i].Used = nil
		}
	}
	arrivals, err := o.arrivals(streams.In, world)
	if err != nil {
		return nil, err
	}
	out := &Simulation{APIVersion: planfile.APIVersion, Kind: "Simulation"}
	for _, policy := range policies {
		report, err := simulate.Run(world, arrivals, simulate.Options{Policy: policy, Device: o.device})
		if err != nil {
			return nil, fmt.Errorf("replaying with policy %s: %w", simulate.PolicyName(policy), err)
		}
		out.Reports = append(out.Reports, report)
	}
	return out, nil
}

// simulation writes the reports one below the other, and the figures that
// decide side by side.
func (s *sheet) simulation(v *Simulation) error {
	for i, report := range v.Reports {
		if i > 0 {
			s.WriteString("\n")
		}
		if err := report.WriteTable(s); err != nil {
			return err
		}
	}
	if len(v.Reports) < 2 {
		return nil
	}
	head, rights := []string{"SIDE BY SIDE"}, ""
	rows := [][]string{{"mean wait, s"}, {"p95 wait of 64+ devices, s"}, {"mean wait of 64+ devices, s"}, {"utilisation, %"}, {"makespan, h"}, {"evictions"}, {"moves"}}
	for i := range v.Reports {
		r := &v.Reports[i]
		head, rights = append(head, r.Policy), rights+" "+r.Policy
		for j, figure := range []float64{meanWait(r), r.Large.P95Seconds, r.Large.MeanSeconds, 100 * r.Utilisation, r.MakespanSeconds / 3600} {
			rows[j] = append(rows[j], fmt.Sprintf("%.1f", figure))
		}
		rows[5] = append(rows[5], fmt.Sprint(r.Evictions))
		rows[6] = append(rows[6], fmt.Sprint(r.Moves))
	}
	s.WriteString("\n")
	s.table(0, head, strings.TrimSpace(rights), rows)
	return nil
}

// meanWait is that of gangs of every size.
func meanWait(r *simulate.Report) float64 {
	sum, gangs := 0.0, 0
	for _, w := range r.Waits {
		sum += w.MeanSeconds * float64(w.Gangs)
		gangs += w.Gangs
	}
	return sum / float64(max(gangs, 1))
}
