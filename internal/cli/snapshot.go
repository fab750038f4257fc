package cli

import (
	"fmt"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func newSnapshotCommand(streams Streams, c *cluster) *cobra.Command {
	output := ""
	cmd := &cobra.Command{
		Use:   "snapshot",
		Short: "Write the cluster as placement sees it into a file",
		Long: `Write the cluster as placement sees it into a file.

The file holds the fabric, the nodes with their labels, taints and room, the
AcceleratorClasses and the gangs: what it takes to get the same answers without the
cluster. Of the templates of gangs it holds requests, node selectors, required node
affinity and tolerations; no environment, commands, arguments, images, volumes or
annotations. Names and labels are in it. The format is in docs/plan.md.

It lists Nodes, Pods of all namespaces, TopologyDomains, AcceleratorClasses and
GangSchedulingGroups, and where there are some ResourceSlices and ConfigMaps with the
scan of the fabric. It writes nothing to the cluster.`,
		Example: `  kubectl k8s4ai snapshot > now.yaml
  kubectl k8s4ai plan --fleet now.yaml --gangs gangs.yaml

  # A large cluster: JSON is read many times faster
  kubectl k8s4ai snapshot -o json > now.json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "yaml" && output != "json" {
				return usageError{fmt.Errorf("-o %s: write yaml or json", output)}
			}
			reader, err := c.reader()
			if err != nil {
				return err
			}
			taken, err := takeSnapshot(cmd.Context(), reader, streams.Err, metav1.NewTime(streams.Now().UTC()))
			if err != nil {
				return err
			}
			return encode(streams.Out, output, taken)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "yaml", "yaml or json")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"yaml", "json"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}
