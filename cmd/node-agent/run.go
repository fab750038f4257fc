package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/k8s4ai/k8s4ai/internal/agent"
)

const (
	runLong = `run looks at the machine every few seconds, and at once when the driver tells an
error. It writes the TopologyDomain of its node when something has changed, and
renews a Lease in its own namespace to show that it lives.

How often it writes depends on the number of agents, so that 10,000 of them
together stay below 50 writes a second: docs/node-agent.md has the arithmetic.

/healthz fails when looking at the machine hangs; /metrics is for Prometheus.`

	runExample = `  # In the DaemonSet, which sets NODE_NAME, POD_NAME and POD_NAMESPACE
  node-agent run --host-root=/host

  # Outside of a cluster, for one of its nodes
  node-agent run --kubeconfig ~/.kube/config --node-name gpu-node-0 --namespace k8s4ai-agent --host-root /`
)

const (
	// memoryLimit makes the garbage collector work harder before the process grows
	// beyond what the DaemonSet requests.
	memoryLimit = 32 << 20
	gcPercent   = 50
	// processors is how many the agent uses at once. The runtime keeps memory for
	// each of them, and GPU machines have hundreds.
	processors = 2
)

// runOptions are the flags of run.
type runOptions struct {
	node, pod, namespace string
	hostRoot             string
	kubeconfig           string
	listen               string
	interval             time.Duration
}

func newRunCommand() *cobra.Command {
	var o runOptions
	command := &cobra.Command{
		Use: "run", Short: "Keep the TopologyDomain of this node current", Long: runLong, Example: runExample, Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			return o.run(command.Context(), slog.New(slog.NewTextHandler(command.ErrOrStderr(), nil)))
		},
	}
	flags := command.Flags()
	flags.StringVar(&o.node, "node-name", os.Getenv("NODE_NAME"), "name of the Node; by default $NODE_NAME")
	flags.StringVar(&o.pod, "pod-name", os.Getenv("POD_NAME"), "who holds the Lease; by default $POD_NAME, or the host name")
	flags.StringVar(&o.namespace, "namespace", os.Getenv("POD_NAMESPACE"), "namespace of the Lease; by default $POD_NAMESPACE")
	flags.StringVar(&o.hostRoot, "host-root", "/host", "where the root directory of the machine is")
	flags.StringVar(&o.kubeconfig, "kubeconfig", "", "path of a kubeconfig; by default the Pod's own access")
	flags.StringVar(&o.listen, "listen", "127.0.0.1:8082", "address of /healthz and /metrics, with TLS unless it is a loopback address; empty turns them off")
	flags.DurationVar(&o.interval, "interval", 5*time.Second, "time between two looks at the machine")
	return command
}

func (o *runOptions) validate() error {
	switch {
	case o.node == "":
		return errors.New("the name of the Node is not known: set --node-name, or NODE_NAME from spec.nodeName of the Pod")
	case o.namespace == "":
		return errors.New("the namespace of the Lease is not known: set --namespace, or POD_NAMESPACE from metadata.namespace of the Pod")
	case o.interval < time.Second || o.interval > time.Hour:
		return fmt.Errorf("--interval is %v: choose from 1s to 1h", o.interval)
	}
	if info, err := os.Stat(o.hostRoot); err != nil || !info.IsDir() {
		return fmt.Errorf("--host-root %s is no directory: mount the machine's / there", o.hostRoot)
	}
	return nil
}

func (o *runOptions) run(ctx context.Context, log *slog.Logger) error {
	if err := o.validate(); err != nil {
		return err
	}
	limitFootprint()
	config, err := clientcmd.BuildConfigFromFlags("", o.kubeconfig)
	if err != nil {
		return fmt.Errorf("finding the cluster (set --kubeconfig outside of one): %w", err)
	}
	if o.pod == "" {
		if o.pod, err = os.Hostname(); err != nil {
			return fmt.Errorf("finding the name of this machine (set --pod-name): %w", err)
		}
	}
	host := agent.NewHost(o.hostRoot)
	a, err := agent.New(agent.Options{
		Node: o.node, Pod: o.pod, Namespace: o.namespace, Version: version, Interval: o.interval, Config: config, Log: log, Now: time.Now,
	}, host)
	if err != nil {
		return err
	}
	stop, err := o.serve(ctx, a.Metrics, log)
	if err != nil {
		return err
	}
	defer stop()
	log.Info("the agent starts", "node", o.node, "version", version, "hostRoot", o.hostRoot)
	return errors.Join(a.Run(ctx), host.Close())
}

// limitFootprint keeps the process small. What the environment sets counts more.
func limitFootprint() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(processors)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
}

// serve serves probes and metrics until stop is called.
func (o *runOptions) serve(ctx context.Context, metrics *agent.Metrics, log *slog.Logger) (stop func(), err error) {
	if o.listen == "" {
		return func() {}, nil
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.listen)
	if err != nil {
		return nil, fmt.Errorf("serving /healthz and /metrics (choose another address with --listen): %w", err)
	}
	served, err := encrypt(listener, time.Now())
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	server := &http.Server{Handler: metrics.Handler(o.interval, time.Now), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute}
	go func() {
		if err := server.Serve(served); !errors.Is(err, http.ErrServerClosed) {
			log.Error("serving /healthz and /metrics ended", "error", err)
		}
	}()
	return func() { _ = server.Close() }, nil
}
