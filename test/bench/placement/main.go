// Command placement measures the placement engine beside the code of two peers on
// the same fabrics and the same gangs: the topology-aware scheduling of Kueue in
// this process, and KAI-Scheduler in one of its own.
//
// Kueue takes either a required or a preferred level. A gang that needs a block and
// prefers a rack has the required level there; gangs of kind any have the
// preferred one. What either calls a snapshot is no part of its decisions, and
// stands beside them: Kueue's is made of all objects, ours of what has changed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/k8s4ai/k8s4ai/test/bench"
	"k8s.io/klog/v2"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
)

// options are the flags.
type options struct {
	root        string
	quick       bool
	only        *regexp.Regexp
	seeds, fuzz int
	kai         bool
	kaiLimit    time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.root, "root", "../../..", "root of the repository; the figures go to out/bench below it")
	flag.BoolVar(&o.quick, "quick", false, "measure each thing a few times only; the figures are worth little")
	only := flag.String("only", "", "regular expression of the cases to run")
	flag.IntVar(&o.seeds, "seeds", 30, "seeds of the simulations; at least 2")
	flag.IntVar(&o.fuzz, "fuzz", 1_000_000, "cases that are compared with brute force")
	flag.BoolVar(&o.kai, "kai", true, "ask KAI as well, on the fabrics of 640 and 2560 nodes")
	flag.DurationVar(&o.kaiLimit, "kai-limit", 30*time.Second, "the longest that KAI may take for one gang")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	klog.SetLogger(logr.Discard())
	ctrllog.SetLogger(logr.Discard())
	var err error
	if o.only, err = regexp.Compile(*only); err == nil {
		err = run(ctx, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-placement:", err)
		os.Exit(1)
	}
}

// run measures all that the flags ask for, and keeps the figures that there are
// also when it fails.
func run(ctx context.Context, o options) error {
	start := time.Now()
	log := func(format string, args ...any) {
		fmt.Fprintf(os.Stderr, "%6.1fs %s\n", time.Since(start).Seconds(), fmt.Sprintf(format, args...))
	}
	rows, results, err := sideBySide(ctx, o, log)
	if err == nil {
		var more []bench.Row
		more, err = alone(o, log)
		rows = append(rows, more...)
	}
	err = errors.Join(err, bench.Write(os.Stdout, o.root, "placement", rows), writeTable(os.Stderr, results))
	for _, row := range rows {
		if !strings.HasPrefix(row.Case, "n") {
			fmt.Fprintf(os.Stderr, "%s %s %.6g %s%s\n", row.Case, row.Metric, row.Value, row.Unit, peerText(row))
		}
	}
	log("done")
	return err
}

// alone measures what has no peer in code: growth, brute force, the simulator.
func alone(o options, log func(string, ...any)) ([]bench.Row, error) {
	var rows []bench.Row
	if o.only.MatchString("growth") {
		more, err := growthRows(log)
		if err != nil {
			return rows, err
		}
		rows = append(rows, more...)
	}
	if o.only.MatchString("fuzz") {
		rows = append(rows, fuzzRows(o.fuzz, log)...)
	}
	more, err := easyRows(o, log)
	return append(rows, more...), err
}

// peerText is what a row says of its peer.
func peerText(row bench.Row) string {
	if row.PeerValue == nil {
		return ""
	}
	text := fmt.Sprintf(", %s %.6g", row.Peer, *row.PeerValue)
	if row.Ratio != nil {
		text += fmt.Sprintf(", ratio %.3g", *row.Ratio)
	}
	return text
}
