package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/convert"
	"github.com/k8s4ai/k8s4ai/internal/planfile"
)

// Explanation is what `explain gang -o json` prints.
type Explanation struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Namespace  string `json:"namespace"`
	Name       string `json:"name"`
	// Phase and Message are the reason and the message of the gang's condition Ready.
	Phase   string `json:"phase"`
	Message string `json:"message,omitempty"`
	// Since is when the gang was placed or, while it waits, created.
	Since metav1.Time `json:"since"`
	// Ahead are the waiting gangs that are served before this one, by
	// namespace/name. Only for a gang that waits.
	Ahead []string `json:"ahead,omitempty"`
	// Placement is the committed one, unset while the gang holds no room.
	Placement *v1alpha1.GangPlacement `json:"placement,omitempty"`
	// Now is the answer that the gang would get now: with the room that is free, and
	// its own where it holds some.
	Now GangVerdict `json:"now"`
	// Next says what happens next.
	Next string `json:"next"`
}

func newExplainCommand(streams Streams, c *cluster) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "explain",
		Short: "Say why something is as it is",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newExplainGangCommand(streams, c))
	return cmd
}

func newExplainGangCommand(streams Streams, c *cluster) *cobra.Command {
	o := explainOptions{width: streams.Width}
	cmd := &cobra.Command{
		Use:     "gang NAME",
		Aliases: []string{"gsg", "gangschedulinggroup"},
		Short:   "Say where a gang is and how good that is, or why it waits",
		Long: `Say where a gang is and how good that is, or why it waits.

What the manager stored comes first. Then the question is asked anew, with the cluster
as it is at this moment: for a gang that does not fit, the best domain of each level,
what is short, which nodes are left out, and what would make it fit.`,
		Example: `  kubectl k8s4ai explain gang pretrain
  kubectl k8s4ai explain gang pretrain -n research -o json`,
		Args: exactlyOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			if !slices.Contains(outputs, o.output) {
				return usageError{fmt.Errorf("-o %s: write table, json or yaml", o.output)}
			}
			reader, err := c.reader()
			if err != nil {
				return err
			}
			namespace, err := c.namespace()
			if err != nil {
				return err
			}
			return o.run(cmd.Context(), reader, streams, client.ObjectKey{Namespace: namespace, Name: args[0]})
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return gangNames(cmd.Context(), c), cobra.ShellCompDirectiveNoFileComp
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&o.output, "output", "o", "table", "table, json or yaml")
	flags.IntVar(&o.width, "width", streams.Width, "columns to print in")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(outputs, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func exactlyOne(cmd *cobra.Command, args []string) error {
	if err := cobra.ExactArgs(1)(cmd, args); err != nil {
		return usageError{err}
	}
	return nil
}

// explainOptions are the flags of the command.
type explainOptions struct {
	output string
	width  int
}

func (o *explainOptions) run(ctx context.Context, reader client.Reader, streams Streams, key client.ObjectKey) error {
	var group v1alpha1.GangSchedulingGroup
	if err := reader.Get(ctx, key, &group); err != nil {
		if apierrors.IsNotFound(err) {
			err = errors.New("there is no such gang: `kubectl get gsg -A` lists them")
		}
		return fmt.Errorf("reading gang %s: %w", key, err)
	}
	now := metav1.NewTime(streams.Now().UTC())
	world, err := takeSnapshot(ctx, reader, streams.Err, now)
	if err != nil {
		return err
	}
	explanation, err := explain(&group, world)
	if err != nil {
		return err
	}
	if o.output != "table" {
		return encode(streams.Out, o.output, explanation)
	}
	s := &sheet{width: o.width, colour: streams.Colour}
	s.explanation(explanation, &group, now.Time)
	_, err = io.WriteString(streams.Out, s.String())
	return err
}

// explain works out everything that is told of a gang.
func explain(group *v1alpha1.GangSchedulingGroup, world *planfile.Snapshot) (*Explanation, error) {
	snapshot, err := world.Placement()
	if err != nil {
		return nil, err
	}
	room := newRoom(world, snapshot)
	others := slices.DeleteFunc(slices.Clone(world.Gangs), func(g v1alpha1.GangSchedulingGroup) bool {
		return g.Namespace == group.Namespace && g.Name == group.Name
	})
	room.holders = holdersIn(others, room.profiles)
	out := &Explanation{
		APIVersion: planfile.APIVersion, Kind: "Explanation", Namespace: group.Namespace, Name: group.Name,
		Since: group.CreationTimestamp,
	}
	out.Phase, out.Message = phaseOf(group)
	uses, held := convert.Commitment(group)
	if held {
		out.Placement = group.Status.Placement
		if at := group.Status.Placement.CommittedTime; at != nil {
			out.Since = *at
		}
		room.now = room.now.With(givenBack(uses)...)
	} else {
		out.Ahead = aheadOf(group, world)
	}
	out.Now = room.judge(group)
	out.Next = nextOf(group, out)
	return out, nil
}

// gangNames completes NAME; without a cluster there is nothing to complete.
func gangNames(ctx context.Context, c *cluster) []string {
	reader, err := c.reader()
	if err != nil {
		return nil
	}
	namespace, err := c.namespace()
	if err != nil {
		return nil
	}
	var gangs v1alpha1.GangSchedulingGroupList
	if err := reader.List(ctx, &gangs, client.InNamespace(namespace)); err != nil {
		return nil
	}
	var names []string
	for i := range gangs.Items {
		phase, _ := phaseOf(&gangs.Items[i])
		names = append(names, gangs.Items[i].Name+"\t"+phase)
	}
	return names
}
