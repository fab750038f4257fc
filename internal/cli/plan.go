package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/convert"
	"github.com/k8s4ai/k8s4ai/internal/fleet"
	"github.com/k8s4ai/k8s4ai/internal/planfile"
)

// Plan is the answer about the gangs of a file, as `plan -o json` prints it.
type Plan struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	// Nodes is the size of the fleet.
	Nodes int `json:"nodes"`
	// Fit counts the gangs that fit, one after another.
	Fit   int           `json:"fit"`
	Gangs []GangVerdict `json:"gangs"`
}

// noFitError is returned when everything was printed and some gang does not fit.
type noFitError struct{ gangs, of int }

// Error counts them.
func (e noFitError) Error() string {
	return fmt.Sprintf("%d of %s not fit", e.gangs, count(e.of, "gang does", "gangs do"))
}

// planOptions are the flags of the command.
type planOptions struct {
	fleet, gangs string
	classes      []string
	empty        bool
	output       string
	width        int
	namespace    func() string
	trace        traceOptions
}

func newPlanCommand(streams Streams, c *cluster) *cobra.Command {
	o := planOptions{namespace: func() string { return cmp.Or(c.overrides.Context.Namespace, "default") }}
	cmd := &cobra.Command{
		Use:   "plan --fleet FLEET [--gangs FILE | --trace CSV]",
		Short: "Say where gangs would go, without a cluster",
		Long: `Say where gangs would go, without a cluster.

--fleet is a description of machines (docs/fleet.md), the name of a ready-made one, or
a snapshot that "kubectl k8s4ai snapshot" wrote. --gangs are GangSchedulingGroups as
they would be applied. Each gang takes room from those that come after it in the file.
Without --gangs, the gangs that wait in a snapshot are planned, in the order in which
they would be served.

With --trace, arrivals are replayed under several policies, by the code that serves
the queue of a cluster: waits by size, utilisation, spread, fragmentation, victims.

For a gang that does not fit: the best domain of each level, what is short, which nodes
are left out, and what would make it fit. The formats are in docs/plan.md.

Exit codes: 0 every gang fits, 3 some gang does not, 1 an error, 2 a command line that
cannot be understood.`,
		Example: `  # Would these gangs fit on 64 machines of 8 H100?
  kubectl k8s4ai plan --fleet hgx-64 --gangs gangs.yaml

  # With AcceleratorClasses, which a description of machines does not have
  kubectl k8s4ai plan --fleet fleet.yaml --classes config/catalog --gangs gangs.yaml

  # In the cluster as it is now, without creating anything
  kubectl k8s4ai snapshot > now.yaml
  kubectl k8s4ai plan --fleet now.yaml --gangs gangs.yaml

  # What a queue with reservations would do for these arrivals
  kubectl k8s4ai plan --fleet fleet.yaml --trace arrivals.csv --policy fifo,easy

  # If nothing ran there
  kubectl k8s4ai plan --fleet now.yaml --gangs gangs.yaml --empty`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := o.complete(); err != nil {
				return err
			}
			return o.run(streams)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.fleet, "fleet", "", "file of machines or snapshot, - for standard input, or the name of a ready-made fleet")
	flags.StringVar(&o.gangs, "gangs", "", "file of GangSchedulingGroups, - for standard input")
	flags.StringSliceVar(&o.classes, "classes", nil, "files or folders of AcceleratorClasses, for a fleet that is no snapshot")
	flags.BoolVar(&o.empty, "empty", false, "plan as if nothing ran on the fleet")
	flags.StringVarP(&o.output, "output", "o", "table", "table, json or yaml")
	flags.IntVar(&o.width, "width", streams.Width, "columns to print in")
	o.trace.addFlags(cmd)
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(outputs, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("fleet", fleetNames)
	return cmd
}

// outputs are the forms in which an answer is printed.
var outputs = []string{"table", "json", "yaml"}

func noArgs(cmd *cobra.Command, args []string) error {
	if err := cobra.NoArgs(cmd, args); err != nil {
		return usageError{err}
	}
	return nil
}

// complete checks the flags before anything is read.
func (o *planOptions) complete() error {
	switch stdin := append([]string{o.fleet, o.gangs, o.trace.trace}, o.classes...); {
	case !slices.Contains(outputs, o.output):
		return usageError{fmt.Errorf("-o %s: write %s", o.output, "table, json or yaml")}
	case o.fleet == "":
		return usageError{errors.New("--fleet: give a file, or the name of a ready-made fleet")}
	case len(stdin)-len(slices.DeleteFunc(slices.Clone(stdin), func(s string) bool { return s == "-" })) > 1:
		return usageError{errors.New("standard input can be read once: give - to one file")}
	case o.gangs != "" && o.trace.isAsked():
		return usageError{errors.New("--gangs: gangs are placed or arrivals replayed: leave out --gangs, or --trace and --draw")}
	}
	return nil
}

func (o *planOptions) run(streams Streams) error {
	classes, err := readClasses(streams.In, o.classes)
	if err != nil {
		return err
	}
	machines, err := readFleet(streams.In, o.fleet, classes)
	if err != nil {
		return err
	}
	if o.trace.isAsked() {
		return o.replay(streams, machines)
	}
	gangs := waitingIn(machines)
	switch {
	case o.gangs != "":
		if gangs, err = readGangs(streams.In, o.gangs, o.namespace()); err != nil {
			return err
		}
	case machines.Taken == nil:
		return usageError{errors.New("--gangs: give a file, this fleet holds no gangs")}
	}
	if len(machines.Classes) == 0 && slices.ContainsFunc(gangs, asksForClass) {
		_, _ = fmt.Fprintln(streams.Err, "warning: the fleet has no AcceleratorClasses: give them with --classes")
	}
	plan, room, err := makePlan(machines, gangs, o.empty)
	if err != nil {
		return err
	}
	if err := o.print(streams, plan, room, machines, gangs); err != nil {
		return err
	}
	if plan.Fit < len(plan.Gangs) {
		return noFitError{gangs: len(plan.Gangs) - plan.Fit, of: len(plan.Gangs)}
	}
	return nil
}

// replay replays arrivals instead of placing gangs.
func (o *planOptions) replay(streams Streams, machines *planfile.Snapshot) error {
	simulation, err := o.trace.run(streams, machines, o.empty)
	if err != nil {
		return err
	}
	if o.output != "table" {
		return encode(streams.Out, o.output, simulation)
	}
	s := &sheet{width: o.width, colour: streams.Colour}
	if err := s.simulation(simulation); err != nil {
		return err
	}
	_, err = io.WriteString(streams.Out, s.String())
	return err
}

func asksForClass(g v1alpha1.GangSchedulingGroup) bool {
	return slices.ContainsFunc(g.Spec.Roles, func(r v1alpha1.GangRole) bool { return r.Accelerator != nil })
}

// makePlan places gangs one after another.
func makePlan(machines *planfile.Snapshot, gangs []v1alpha1.GangSchedulingGroup, empty bool) (*Plan, *room, error) {
	snapshot, err := machines.Placement()
	if err != nil {
		return nil, nil, err
	}
	if empty {
		snapshot = snapshot.Emptied()
	}
	room := newRoom(machines, snapshot)
	if !empty {
		room.holders = holdersIn(machines.Gangs, room.profiles)
	}
	out := &Plan{APIVersion: planfile.APIVersion, Kind: "Plan", Nodes: len(machines.Nodes), Gangs: []GangVerdict{}}
	for i := range gangs {
		verdict := room.judge(&gangs[i])
		if err := room.take(&gangs[i], verdict); err != nil {
			return nil, nil, err
		}
		if verdict.Fits {
			out.Fit++
		}
		out.Gangs = append(out.Gangs, verdict)
	}
	return out, room, nil
}

func (o *planOptions) print(streams Streams, plan *Plan, room *room, machines *planfile.Snapshot, gangs []v1alpha1.GangSchedulingGroup) error {
	if o.output != "table" {
		return encode(streams.Out, o.output, plan)
	}
	s := &sheet{width: o.width, colour: streams.Colour}
	for i := range plan.Gangs {
		s.verdict(&plan.Gangs[i])
		s.WriteString("\n")
	}
	s.text(0, fmt.Sprintf("%d of %s on %s%s", plan.Fit, count(len(plan.Gangs), "gang fits", "gangs fit"), count(plan.Nodes, "node", "nodes"), leftIn(room, machines, gangs)))
	_, err := io.WriteString(streams.Out, s.String())
	return err
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// fleetNames completes --fleet: ready-made names, and files.
func fleetNames(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return fleet.Names(), cobra.ShellCompDirectiveDefault
}

// leftIn says how much is left of the devices that the gangs ask for.
func leftIn(r *room, machines *planfile.Snapshot, gangs []v1alpha1.GangSchedulingGroup) string {
	asked := map[string]bool{}
	for i := range gangs {
		for j := range gangs[i].Spec.Roles {
			for name := range convert.TemplateRequests(&gangs[i].Spec.Roles[j].Template) {
				if strings.ContainsRune(string(name), '/') {
					asked[string(name)] = true
				}
			}
		}
	}
	var out strings.Builder
	for _, name := range slices.Sorted(maps.Keys(asked)) {
		var free, all int64
		for i := range machines.Nodes {
			node, _ := r.now.Node(machines.Nodes[i].Name)
			all = convert.Sum(all, node.Capacity[name])
			if node.Unavailable == "" {
				free = convert.Sum(free, max(0, node.Capacity[name]-node.Used[name]))
			}
		}
		fmt.Fprintf(&out, "; %d of %d %s left", free, all, name)
	}
	return out.String()
}
