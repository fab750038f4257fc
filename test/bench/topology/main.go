// Command topology measures what it costs that the fabric assembles itself: one
// change of a node in the manager's State, at 1,000 and at 10,000 nodes, and the
// node agent on a machine where nothing happens.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"

	"github.com/k8s4ai/k8s4ai/test/bench"
)

func main() {
	root := flag.String("root", ".", "root of the repository; the figures go to out/bench below it")
	withAgent := flag.Bool("agent", true, "measure the node agent as well, which takes minutes")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *root, *withAgent); err != nil {
		fmt.Fprintln(os.Stderr, "bench-topology:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, root string, withAgent bool) error {
	rows := growthRows()
	if withAgent {
		more, err := agentRows(ctx, root)
		if err != nil {
			return err
		}
		rows = append(rows, more...)
	}
	return bench.Write(os.Stdout, root, "topology", rows)
}
