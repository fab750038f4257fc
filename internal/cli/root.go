package cli

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
)

// Exit codes of the plugin.
const (
	// ExitOK is success.
	ExitOK = 0
	// ExitFailed is any error that is not one of usage.
	ExitFailed = 1
	// ExitUsage is a command line that cannot be understood.
	ExitUsage = 2
	// ExitNoFit is an answer that was printed: some gang does not fit.
	ExitNoFit = 3
)

// Streams are where a command prints, and what it knows of the terminal.
type Streams struct {
	Out, Err io.Writer
	// In is standard input, nil for none.
	In io.Reader
	// Width is the number of columns of Out.
	Width int
	// Colour is whether Out understands colours.
	Colour bool
	// Now is the clock that ages are counted by.
	Now func() time.Time
}

// cluster is how a command reaches the API server.
type cluster struct {
	rules     *clientcmd.ClientConfigLoadingRules
	overrides clientcmd.ConfigOverrides
}

// reader connects.
func (c *cluster) reader() (client.Reader, error) {
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(c.rules, &c.overrides).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("finding the cluster (set --kubeconfig, --context or $KUBECONFIG): %w", err)
	}
	config.QPS = -1
	scheme := runtime.NewScheme()
	if err := errors.Join(corev1.AddToScheme(scheme), resourcev1.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, fmt.Errorf("registering kinds: %w", err)
	}
	out, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", config.Host, err)
	}
	return out, nil
}

// namespace is the one of --namespace, or of the kubeconfig's context.
func (c *cluster) namespace() (string, error) {
	name, _, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(c.rules, &c.overrides).Namespace()
	if err != nil {
		return "", fmt.Errorf("finding the namespace (set --namespace): %w", err)
	}
	return name, nil
}

// usageError is a command line that cannot be understood.
type usageError struct{ error }

// Unwrap is the error without its kind.
func (e usageError) Unwrap() error { return e.error }

// ExitCode is the exit code that goes with what a command returned.
func ExitCode(err error) int {
	var usage usageError
	var noFit noFitError
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &noFit):
		return ExitNoFit
	case errors.As(err, &usage):
		return ExitUsage
	}
	return ExitFailed
}

// NewCommand is the plugin with all its commands.
func NewCommand(streams Streams, version string) *cobra.Command {
	c := &cluster{rules: clientcmd.NewDefaultClientConfigLoadingRules()}
	root := &cobra.Command{
		Use:   "kubectl-k8s4ai",
		Short: "Look into the accelerators of a cluster: fabric, health, room, gangs",
		Long: `Look into the accelerators of a cluster: fabric, health, room, gangs.

Put kubectl-k8s4ai into a folder of $PATH, and kubectl finds it as "kubectl k8s4ai".

Exit codes: 0 success, 1 an error, 2 a command line that cannot be understood, 3 a gang
that does not fit.`,
		Example: `  kubectl k8s4ai topology
  kubectl k8s4ai explain gang my-gang
  kubectl k8s4ai plan --fleet hgx-64 --gangs gangs.yaml
  kubectl k8s4ai completion bash > /etc/bash_completion.d/kubectl-k8s4ai`,
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl k8s4ai"},
	}
	root.SetOut(streams.Out)
	root.SetErr(streams.Err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w\nSee '%s --help'", err, cmd.CommandPath())}
	})
	flags := root.PersistentFlags()
	flags.StringVar(&c.rules.ExplicitPath, "kubeconfig", "", "path of the kubeconfig file; by default $KUBECONFIG or ~/.kube/config")
	clientcmd.BindOverrideFlags(&c.overrides, flags, clientcmd.RecommendedConfigOverrideFlags(""))
	root.AddCommand(newTopologyCommand(streams, c), newPlanCommand(streams, c), newSnapshotCommand(streams, c), newExplainCommand(streams, c))
	return root
}
