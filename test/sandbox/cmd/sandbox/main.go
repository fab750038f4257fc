// Command sandbox starts a real Kubernetes control plane with a simulated fleet, or
// with real nodes, for as long as it runs.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/k8s4ai/k8s4ai/internal/fleet"
	"github.com/k8s4ai/k8s4ai/test/sandbox"
)

const usage = `Starts a real Kubernetes control plane on this machine. SIGINT (Ctrl-C) stops it
and leaves nothing behind. Only real nodes need containers and root.

Usage:
  sandbox up [flags]     start, print how to reach it, and stay until stopped
  sandbox fleets         list the ready-made fleets

Flags of up:
  --fleet NAME|FILE      load this fleet: a ready-made name, or a YAML file
  --real-nodes N         N machines that run Pods, up to 8, named node-0 and so on;
                         needs root and a container runtime, and says what is missing
  --images PATHS         image archives for the real nodes, comma-separated, such as
                         go run ./hack/image writes
  --kubeconfig PATH      also write the kubeconfig here; removed at the end
  --crds PATHS           CRD files or directories, comma-separated
                         (default: config/crd/bases of this repository, where there is one)
  --control-plane-only   no controller manager, scheduler or nodes
  --dir PATH             keep the component logs in PATH/logs

Examples:
  sandbox up --fleet hgx-64
  sandbox up --real-nodes 3
  sandbox up --fleet ./my-fleet.yaml --kubeconfig /tmp/kc &
  kubectl --kubeconfig /tmp/kc get nodes -L cloud.google.com/gce-topology-block
  kubectl annotate node hgx-a-0-00 sandbox.k8s4ai.io/not-ready=true   # the node fails
  kubectl annotate node hgx-a-0-00 sandbox.k8s4ai.io/not-ready-       # and is back

Annotations on pods: sandbox.k8s4ai.io/run-for: 20s makes a pod succeed after 20
seconds, sandbox.k8s4ai.io/fail-after: 20s makes it fail.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "sandbox:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	command := "help"
	if len(args) > 0 {
		command, args = args[0], args[1:]
	}
	switch command {
	case "up":
		options, err := parse(args)
		if errors.Is(err, flag.ErrHelp) {
			_, err = io.WriteString(out, usage)
			return err
		}
		if err != nil {
			return err
		}
		return up(ctx, options, out)
	case "fleets":
		_, err := fmt.Fprintln(out, strings.Join(fleet.Names(), "\n"))
		return err
	case "help", "-h", "-help", "--help":
		_, err := io.WriteString(out, usage)
		return err
	default:
		return fmt.Errorf("unknown command %q: see sandbox --help", command)
	}
}

type upOptions struct {
	fleet            string
	kubeconfig       string
	crds             string
	dir              string
	images           string
	realNodes        int
	controlPlaneOnly bool
}

func parse(args []string) (upOptions, error) {
	var o upOptions
	flags := flag.NewFlagSet("up", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&o.fleet, "fleet", "", "")
	flags.StringVar(&o.kubeconfig, "kubeconfig", "", "")
	flags.StringVar(&o.crds, "crds", "", "")
	flags.StringVar(&o.dir, "dir", "", "")
	flags.StringVar(&o.images, "images", "", "")
	flags.IntVar(&o.realNodes, "real-nodes", 0, "")
	flags.BoolVar(&o.controlPlaneOnly, "control-plane-only", false, "")
	if err := flags.Parse(args); err != nil {
		return o, fmt.Errorf("reading flags: %w; see sandbox --help", err)
	}
	switch {
	case flags.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q: see sandbox --help", flags.Arg(0))
	case o.controlPlaneOnly && o.fleet != "":
		return o, errors.New("--fleet needs nodes: leave out --control-plane-only")
	case o.controlPlaneOnly && o.realNodes != 0:
		return o, errors.New("--real-nodes needs the whole control plane: leave out --control-plane-only")
	case o.realNodes < 0:
		return o, fmt.Errorf("--real-nodes %d: how many are meant?", o.realNodes)
	case o.images != "" && o.realNodes == 0:
		return o, errors.New("--images needs nodes that run them: add --real-nodes 1")
	}
	return o, nil
}

// up runs one cluster until ctx ends or a component fails.
func up(ctx context.Context, o upOptions, out io.Writer) (err error) {
	logf := func(format string, args ...any) { _, _ = fmt.Fprintf(out, format+"\n", args...) }
	options := sandbox.Options{
		Dir: o.dir, Nodes: !o.controlPlaneOnly, CRDs: crds(o.crds), RealNodes: sandbox.NewRealNodes(o.realNodes),
		CallerHandlesSignals: true, Logf: logf,
	}
	var f *fleet.Fleet
	if o.fleet != "" {
		if f, err = fleet.Load(o.fleet); err != nil {
			return err
		}
	}
	if len(options.CRDs) > 0 {
		options.Fleet = f
	}
	cluster, err := sandbox.Start(ctx, options)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	defer func() { err = errors.Join(err, cluster.Stop()) }()
	if options.Fleet != nil {
		f = nil // it is loaded
	}
	if err := load(ctx, cluster, f, o.images, logf); err != nil {
		return err
	}
	kubeconfig := cluster.Kubeconfig
	if o.kubeconfig != "" {
		if kubeconfig, err = filepath.Abs(o.kubeconfig); err != nil {
			return fmt.Errorf("writing the kubeconfig: %w", err)
		}
		if err := copyKubeconfig(cluster.Kubeconfig, kubeconfig); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.Remove(kubeconfig)) }()
	}
	logf("\nthe sandbox is up; logs are in %s, Ctrl-C stops it\n\n  export KUBECONFIG=%s\n",
		filepath.Join(cluster.Dir, "logs"), kubeconfig)
	select {
	case <-ctx.Done():
		logf("stopping")
		return nil
	case err := <-cluster.Failed():
		return err
	}
}

// load loads the nodes of a fleet and images into the cluster; either may be unset.
func load(ctx context.Context, cluster *sandbox.Cluster, f *fleet.Fleet, images string, logf func(string, ...any)) error {
	if f != nil {
		logf("no CRDs given: the fleet's nodes are loaded without their TopologyDomains")
		if err := cluster.LoadNodes(ctx, f); err != nil {
			return err
		}
	}
	if images == "" {
		return nil
	}
	for archive := range strings.SplitSeq(images, ",") {
		if err := cluster.LoadImage(ctx, archive); err != nil {
			return err
		}
	}
	return nil
}

// crds returns the given paths, or the repository's own definitions.
func crds(list string) []string {
	if list != "" {
		return strings.Split(list, ",")
	}
	if path := sandbox.RepositoryCRDs(); path != "" {
		return []string{path}
	}
	return nil
}

func copyKubeconfig(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return fmt.Errorf("copying the kubeconfig: %w", err)
	}
	if err := os.WriteFile(to, data, 0o600); err != nil {
		return fmt.Errorf("writing the kubeconfig: %w", err)
	}
	return nil
}
