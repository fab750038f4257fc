// Command node-agent finds out what is in a machine, and tells the cluster.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// version is set when the program is linked.
var version = "v0.1.0"

const rootLong = `node-agent finds the accelerators, NVLink and RDMA ports of a machine, the NUMA and
PCI tree between them, and what of it is broken.

In a cluster it runs on every machine as a DaemonSet (run) and writes what it finds
into the TopologyDomain of its node. On a workstation, discover prints the same and
needs no cluster.`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := newRootCommand().ExecuteContext(ctx)
	stop()
	os.Exit(report(err))
}

// report prints an error and returns the exit code that it stands for.
func report(err error) int {
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, "Error:", err)
	var coded interface{ ExitCode() int }
	if errors.As(err, &coded) {
		return coded.ExitCode()
	}
	return 1
}

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use: "node-agent", Short: "Find out what is in a machine, and tell the cluster", Long: rootLong,
		SilenceUsage: true, SilenceErrors: true,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(newRunCommand(), newDiscoverCommand(), newMeasureCommand(), newFabricCommand(), newVersionCommand())
	return root
}

func newVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs, Example: "  node-agent version",
		RunE: func(command *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(command.OutOrStdout(), version)
			return err
		},
	}
}
