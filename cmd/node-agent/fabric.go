package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/gentype"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/k8s4ai/k8s4ai/internal/agent/ibfabric"
	"github.com/k8s4ai/k8s4ai/internal/agent/ibfabric/store"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

const (
	fabricLong = `fabric finds the switches of the InfiniBand fabric with ibnetdiscover and stores
which adapter is on which leaf switch, for the managers to join with the GUIDs
that node agents report.

It runs on one machine with an InfiniBand port, sees the whole fabric from
there, and needs /dev/infiniband. Arguments after -- go to ibnetdiscover.`

	fabricExample = `  # Look now, and print what would be stored
  node-agent fabric --dry-run

  # Read a saved output
  ibnetdiscover > fabric.txt
  node-agent fabric --file fabric.txt --dry-run -o json

  # Keep the stored scan current, through the second adapter
  node-agent fabric --device mlx5_1

  # A machine in two fabrics, with a longer timeout for each packet
  node-agent fabric --device mlx5_0,mlx5_4 -- --timeout 500`
)

// fabricOptions are the flags of fabric.
type fabricOptions struct {
	interval  time.Duration
	timeout   time.Duration
	program   string
	devices   []string
	file      string
	dryRun    bool
	output    string
	namespace string
	config    string
	node      string
	// passed are the arguments for ibnetdiscover.
	passed []string
}

// newFabricCommand returns the command that scans the InfiniBand fabric.
func newFabricCommand() *cobra.Command {
	var o fabricOptions
	command := &cobra.Command{
		Use:     "fabric [flags] [-- ibnetdiscover arguments]",
		Short:   "Find the switches of the InfiniBand fabric and store them for the managers",
		Long:    fabricLong,
		Example: fabricExample,
		Args: func(command *cobra.Command, args []string) error {
			if command.ArgsLenAtDash() != 0 && len(args) > 0 {
				return fmt.Errorf("unexpected argument %q: arguments for ibnetdiscover follow after --", args[0])
			}
			return nil
		},
		SilenceUsage: true,
		RunE: func(command *cobra.Command, args []string) error {
			o.passed = args
			return o.run(command.Context(), command.OutOrStdout(), command.ErrOrStderr())
		},
	}
	flags := command.Flags()
	flags.DurationVar(&o.interval, "interval", 10*time.Minute, "time between two scans; 0 scans once")
	flags.DurationVar(&o.timeout, "timeout", 2*time.Minute, "how long one scan may take")
	flags.StringVar(&o.program, "ibnetdiscover", ibfabric.DefaultPath, "the program, a name or a path")
	flags.StringSliceVar(&o.devices, "device", nil, "adapters to scan from, such as mlx5_0; several where the machine is in several fabrics; by default the first one that is up")
	flags.StringVar(&o.file, "file", "", "read a saved output of ibnetdiscover, - for standard input, instead of running it; scans once")
	flags.BoolVar(&o.dryRun, "dry-run", false, "print the scan and store nothing; scans once")
	flags.StringVarP(&o.output, "output", "o", "table", "form in which --dry-run prints: table or json")
	flags.StringVar(&o.namespace, "namespace", "k8s4ai-system", "namespace of the managers, where the scan is stored")
	flags.StringVar(&o.config, "kubeconfig", "", "path of a kubeconfig; by default $KUBECONFIG, or the Pod's own access")
	flags.StringVar(&o.node, "node-name", os.Getenv("NODE_NAME"), "name of this machine in the stored scan; by default $NODE_NAME, or the host name")
	return command
}

func (o *fabricOptions) validate() error {
	switch {
	case o.interval < 0 || o.timeout <= 0:
		return errors.New("--interval must not be negative and --timeout must be positive")
	case o.output != "table" && o.output != "json":
		return fmt.Errorf("--output is %q: choose table or json", o.output)
	case o.file != "" && (len(o.devices) > 0 || len(o.passed) > 0):
		return errors.New("--file reads a saved output: --device and arguments for ibnetdiscover have no meaning with it")
	}
	return nil
}

func (o *fabricOptions) run(ctx context.Context, out, progress io.Writer) error {
	if err := o.validate(); err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(progress, nil))
	look := func(ctx context.Context) (topology.Scan, error) { return o.look(ctx, log) }
	if o.dryRun {
		scan, err := look(ctx)
		if err != nil {
			return err
		}
		return printScan(out, scan, o.output)
	}
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = o.config
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if err != nil {
		return fmt.Errorf("finding the cluster (set --kubeconfig outside of one, or print with --dry-run): %w", err)
	}
	maps, err := configMaps(config, o.namespace)
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	host := o.node
	if host == "" {
		if host, err = os.Hostname(); err != nil {
			return fmt.Errorf("finding the name of this machine (set --node-name): %w", err)
		}
	}
	interval := o.interval
	if o.file != "" {
		interval = 0
	}
	keeper := &store.Keeper{
		Look: look, Interval: interval, Log: log,
		Store: &store.Store{ConfigMaps: maps, Host: host, Now: time.Now},
	}
	return keeper.Run(ctx)
}

// look scans every fabric that was asked for. One that is incomplete is an
// error: half a fabric must not count as the whole.
func (o *fabricOptions) look(ctx context.Context, log *slog.Logger) (topology.Scan, error) {
	if o.file != "" {
		result, err := o.read()
		if err != nil {
			return topology.Scan{}, err
		}
		return checked(result, log)
	}
	starts := [][]string{nil}
	if len(o.devices) > 0 {
		starts = nil
	}
	for _, device := range o.devices {
		starts = append(starts, []string{"-C", device})
	}
	var scans []topology.Scan
	for _, start := range starts {
		discover := ibfabric.Discover{Path: o.program, Args: slices.Concat(start, o.passed), Timeout: o.timeout}
		result, err := discover.Run(ctx)
		if err != nil {
			return topology.Scan{}, err
		}
		scan, err := checked(result, log)
		if err != nil {
			return topology.Scan{}, err
		}
		scans = append(scans, scan)
	}
	return ibfabric.Merge(scans...), nil
}

func (o *fabricOptions) read() (ibfabric.Result, error) {
	if o.file == "-" {
		return ibfabric.Read(os.Stdin)
	}
	file, err := os.Open(o.file)
	if err != nil {
		return ibfabric.Result{}, fmt.Errorf("reading --file: %w", err)
	}
	result, err := ibfabric.Read(file)
	return result, cmp.Or(err, file.Close())
}

func checked(result ibfabric.Result, log *slog.Logger) (topology.Scan, error) {
	for _, problem := range result.Problems {
		log.Warn("the fabric has a problem", "problem", problem)
	}
	if result.Incomplete != "" {
		return topology.Scan{}, fmt.Errorf("the output of ibnetdiscover is incomplete and does not count: %s", result.Incomplete)
	}
	return result.Scan, nil
}

// printedLeaf is one leaf switch in the output of --dry-run.
type printedLeaf struct {
	GUID     string   `json:"guid"`
	Name     string   `json:"name,omitempty"`
	Block    string   `json:"block,omitempty"`
	Fabric   string   `json:"fabric"`
	Adapters []string `json:"adapters"`
}

func printScan(out io.Writer, scan topology.Scan, form string) error {
	if form == "json" {
		leaves := make([]printedLeaf, len(scan.Leaves))
		for i, leaf := range scan.Leaves {
			leaves[i] = printedLeaf{GUID: leaf.GUID, Name: leaf.Name, Block: leaf.Block, Fabric: leaf.Fabric, Adapters: make([]string, len(leaf.Adapters))}
			for j, guid := range leaf.Adapters {
				leaves[i].Adapters[j] = fmt.Sprintf("%016x", guid)
			}
		}
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(map[string]any{"leaves": leaves})
	}
	leaves := slices.SortedFunc(slices.Values(scan.Leaves), func(a, b topology.LeafSwitch) int {
		return cmp.Or(cmp.Compare(a.Fabric, b.Fabric), cmp.Compare(a.Block, b.Block), cmp.Compare(a.Name, b.Name), cmp.Compare(a.GUID, b.GUID))
	})
	table := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	_, _ = fmt.Fprintln(table, "FABRIC\tBLOCK\tLEAF SWITCH\tNAME\tADAPTERS") // Flush tells.
	for _, leaf := range leaves {
		_, _ = fmt.Fprintln(table, leaf.Fabric+"\t"+cmp.Or(leaf.Block, "-")+"\t"+leaf.GUID+"\t"+cmp.Or(leaf.Name, "-")+"\t"+strconv.Itoa(len(leaf.Adapters)))
	}
	return table.Flush()
}

// configMaps is a client of one kind: those of client-go hold every kind of
// Kubernetes in memory, as much as the whole agent needs.
func configMaps(config *rest.Config, namespace string) (store.ConfigMaps, error) {
	scheme := runtime.NewScheme()
	scheme.AddKnownTypes(corev1.SchemeGroupVersion, &corev1.ConfigMap{})
	metav1.AddToGroupVersion(scheme, corev1.SchemeGroupVersion)
	config = rest.CopyConfig(config)
	config.GroupVersion, config.APIPath = &corev1.SchemeGroupVersion, "/api"
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	client, err := rest.RESTClientFor(config)
	if err != nil {
		return nil, err
	}
	made := func() *corev1.ConfigMap { return &corev1.ConfigMap{} }
	return gentype.NewClient("configmaps", client, runtime.NewParameterCodec(scheme), namespace, made), nil
}
