package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
)

// topologyOptions are the flags of the command.
type topologyOptions struct {
	output  string
	depth   string
	drawing drawing
}

func newTopologyCommand(streams Streams, c *cluster) *cobra.Command {
	o := topologyOptions{drawing: drawing{width: streams.Width, colour: streams.Colour}}
	cmd := &cobra.Command{
		Use:   "topology [NAME]",
		Short: "Draw the fabric with its health and room",
		Long: `Draw the fabric with its health and room.

Without NAME the whole fabric is drawn, with NAME what is below that domain. For a
node, its devices are listed: accelerators, links, network ports, NVMe devices.

Nodes in a row that differ in nothing but their number share a line. READY counts
nodes that take new Pods, FREE accelerators that a Pod can get now. STATE tells what
is wrong; see the conditions of the TopologyDomain for all of it.`,
		Example: `  # The whole fabric
  kubectl k8s4ai topology

  # Only what is wrong
  kubectl k8s4ai topology --troubled

  # The blocks and leaves of a large cluster
  kubectl k8s4ai topology --depth Leaf

  # The devices of one node
  kubectl k8s4ai topology gpu-node-17

  # For a program
  kubectl k8s4ai topology -o json`,
		Args: atMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.complete(); err != nil {
				return err
			}
			reader, err := c.reader()
			if err != nil {
				return err
			}
			return o.run(cmd.Context(), reader, streams, args)
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return domainNames(cmd.Context(), c), cobra.ShellCompDirectiveNoFileComp
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&o.output, "output", "o", "table", "table, json or yaml")
	flags.StringVar(&o.depth, "depth", string(v1alpha1.LevelNode), "innermost level to draw: "+strings.Join(levelNames, ", "))
	flags.BoolVar(&o.drawing.all, "all", false, "draw every node on a line of its own")
	flags.BoolVar(&o.drawing.troubled, "troubled", false, "draw only what is wrong")
	flags.BoolVar(&o.drawing.ascii, "ascii", false, "draw with characters of ASCII")
	flags.IntVar(&o.drawing.width, "width", streams.Width, "columns to draw in")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json", "yaml"}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("depth", cobra.FixedCompletions(levelNames, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func atMostOne(cmd *cobra.Command, args []string) error {
	if err := cobra.MaximumNArgs(1)(cmd, args); err != nil {
		return usageError{err}
	}
	return nil
}

var levelNames = []string{
	string(v1alpha1.LevelFabric), string(v1alpha1.LevelBlock), string(v1alpha1.LevelLeaf), string(v1alpha1.LevelNVLinkDomain), string(v1alpha1.LevelNode),
}

// complete checks the flags before anything is asked of the cluster.
func (o *topologyOptions) complete() error {
	switch o.output {
	case "table", "json", "yaml":
	default:
		return usageError{fmt.Errorf("-o %s: write table, json or yaml", o.output)}
	}
	for _, level := range levelNames {
		if strings.EqualFold(o.depth, level) {
			o.drawing.depth = v1alpha1.TopologyLevel(level)
			return nil
		}
	}
	return usageError{fmt.Errorf("--depth %s: write one of %s", o.depth, strings.Join(levelNames, ", "))}
}

func (o *topologyOptions) run(ctx context.Context, reader client.Reader, streams Streams, args []string) error {
	domains, nodes, err := listFabric(ctx, reader, streams.Err)
	if err != nil {
		return err
	}
	roots := buildTree(domains, nodes)
	if len(args) > 0 {
		found := find(roots, args[0])
		if found == nil {
			return fmt.Errorf("there is no domain and no node %q: `kubectl k8s4ai topology` lists them", args[0])
		}
		roots = []*Vertex{found}
		if found.Level == v1alpha1.LevelNode && o.output == "table" && found.domain != nil && found.domain.Status.Node != nil {
			return drawNode(streams, o.drawing, found)
		}
	}
	return o.print(streams.Out, roots)
}

func (o *topologyOptions) print(to io.Writer, roots []*Vertex) error {
	if o.output == "table" {
		return o.drawing.draw(to, roots)
	}
	return encode(to, o.output, map[string]any{"roots": roots})
}

// listFabric reads domains and nodes. A person who may not list nodes sees those
// that have a TopologyDomain.
func listFabric(ctx context.Context, reader client.Reader, warnings io.Writer) ([]v1alpha1.TopologyDomain, []corev1.Node, error) {
	var domains v1alpha1.TopologyDomainList
	if err := reader.List(ctx, &domains); err != nil {
		if meta.IsNoMatchError(err) || apierrors.IsNotFound(err) {
			err = errors.New("the cluster has no TopologyDomains: install k8s4ai first (kubectl apply -k config/default)")
		}
		return nil, nil, fmt.Errorf("listing TopologyDomains: %w", err)
	}
	var nodes corev1.NodeList
	if err := reader.List(ctx, &nodes); err != nil {
		if !apierrors.IsForbidden(err) {
			return nil, nil, fmt.Errorf("listing Nodes: %w", err)
		}
		_, _ = fmt.Fprintln(warnings, "warning: you may not list Nodes; nodes without a TopologyDomain are left out")
	}
	return domains.Items, nodes.Items, nil
}

// find looks for a vertex by name, outer levels first.
func find(roots []*Vertex, name string) *Vertex {
	for queue := roots; len(queue) > 0; queue = queue[1:] {
		if queue[0].Name == name && queue[0].Level != levelNone {
			return queue[0]
		}
		queue = append(queue, queue[0].Children...)
	}
	return nil
}

// domainNames completes NAME; without a cluster there is nothing to complete.
func domainNames(ctx context.Context, c *cluster) []string {
	reader, err := c.reader()
	if err != nil {
		return nil
	}
	var domains v1alpha1.TopologyDomainList
	if err := reader.List(ctx, &domains); err != nil {
		return nil
	}
	var names []string
	for i := range domains.Items {
		names = append(names, domains.Items[i].Name+"\t"+string(domains.Items[i].Spec.Level))
	}
	return names
}
