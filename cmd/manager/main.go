// Command manager runs the controllers of k8s4ai.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/selection"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/controller"
)

const usage = `manager runs the controllers of k8s4ai: topology, acceleratorclass and gang.

In a cluster it needs no flags. Outside, it takes the cluster from --kubeconfig
or $KUBECONFIG:

  manager --kubeconfig ~/.kube/config --leader-elect=false --metrics-bind-address=0

Flags:
`

// options are the flags.
type options struct {
	metricsAddress string
	probeAddress   string
	agentSpace     string
	leaderElect    bool
	leaderSpace    string
	leaseDuration  time.Duration
	qps            float64
	burst          int
	log            zap.Options
}

func parse() options {
	var o options
	flag.StringVar(&o.metricsAddress, "metrics-bind-address", ":8443", "address of the metrics, served over TLS to clients that may get /metrics; 0 turns them off")
	flag.StringVar(&o.probeAddress, "health-probe-bind-address", ":8081", "address of /healthz and /readyz; 0 turns them off")
	flag.StringVar(&o.agentSpace, "agent-namespace", "k8s4ai-agent", "namespace of the node agents' Leases")
	flag.BoolVar(&o.leaderElect, "leader-elect", true, "run the controllers only while holding the leader lease")
	flag.StringVar(&o.leaderSpace, "leader-election-namespace", "", "namespace of the leader lease; by default the manager's own")
	flag.DurationVar(&o.leaseDuration, "leader-election-lease-duration", 15*time.Second, "how long a lost leader keeps others waiting")
	flag.Float64Var(&o.qps, "kube-api-qps", 500, "calls per second to the API server, on average")
	flag.IntVar(&o.burst, "kube-api-burst", 1000, "calls to the API server at once")
	o.log.BindFlags(flag.CommandLine)
	flag.Usage = func() {
		_, _ = fmt.Fprint(flag.CommandLine.Output(), usage)
		flag.PrintDefaults()
	}
	flag.Parse()
	return o
}

const (
	// namespaceFile names the namespace of the Pod that reads it.
	namespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"
	// defaultNamespace is that of config/default.
	defaultNamespace = "k8s4ai-system"
)

// ownNamespace is the namespace that the manager runs in, and outside of a
// cluster the one that it is usually installed in.
func ownNamespace(file string) string {
	content, err := os.ReadFile(file)
	if name := strings.TrimSpace(string(content)); err == nil && name != "" {
		return name
	}
	return defaultNamespace
}

// cached says what of the cluster the manager keeps in memory: of Leases and
// ConfigMaps, of which clusters have many, only those of agents, and those of
// scans, which lie in the manager's own namespace.
func cached(agentSpace, ownSpace string) (cache.Options, error) {
	isScan, err := labels.NewRequirement(v1alpha1.LabelFabricScan, selection.Exists, nil)
	if err != nil {
		return cache.Options{}, fmt.Errorf("selecting the scan of the fabric: %w", err)
	}
	return cache.Options{
		DefaultTransform: cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{
			&coordinationv1.Lease{}: {Namespaces: map[string]cache.Config{agentSpace: {}}},
			&corev1.ConfigMap{}:     {Namespaces: map[string]cache.Config{ownSpace: {}}, Label: labels.NewSelector().Add(*isScan)},
		},
	}, nil
}

func main() {
	o := parse()
	ctrl.SetLogger(zap.New(zap.UseFlagOptions(&o.log)))
	if err := run(ctrl.SetupSignalHandler(), o); err != nil {
		ctrl.Log.Error(err, "the manager stops")
		os.Exit(1)
	}
}

// +kubebuilder:rbac:groups=authentication.k8s.io,resources=tokenreviews,verbs=create
// +kubebuilder:rbac:groups=authorization.k8s.io,resources=subjectaccessreviews,verbs=create
// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=k8s4ai-system,resources=leases,verbs=create;get;update
// +kubebuilder:rbac:groups="",namespace=k8s4ai-system,resources=events,verbs=create;patch

func run(ctx context.Context, o options) error {
	scheme := runtime.NewScheme()
	utilruntime.Must(corev1.AddToScheme(scheme))
	utilruntime.Must(coordinationv1.AddToScheme(scheme))
	utilruntime.Must(resourcev1.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.AddToScheme(scheme))

	config, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("finding the cluster (set --kubeconfig outside of one): %w", err)
	}
	config.QPS, config.Burst = float32(o.qps), o.burst
	inMemory, err := cached(o.agentSpace, ownNamespace(namespaceFile))
	if err != nil {
		return err
	}
	renew := o.leaseDuration * 2 / 3
	retry := o.leaseDuration * 2 / 15
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme: scheme,
		Metrics: metricsserver.Options{
			BindAddress: o.metricsAddress, SecureServing: true,
			FilterProvider: filters.WithAuthenticationAndAuthorization,
		},
		HealthProbeBindAddress: o.probeAddress,
		LeaderElection:         o.leaderElect, LeaderElectionID: "manager.k8s4ai.io", LeaderElectionNamespace: o.leaderSpace,
		LeaderElectionReleaseOnCancel: true,
		LeaseDuration:                 &o.leaseDuration, RenewDeadline: &renew, RetryPeriod: &retry,
		Cache: inMemory,
	})
	if err != nil {
		return fmt.Errorf("making the manager: %w", err)
	}
	if err := controller.Setup(ctx, mgr, o.agentSpace); err != nil {
		return err
	}
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return fmt.Errorf("adding the health check: %w", err)
	}
	if err := mgr.AddReadyzCheck("ping", healthz.Ping); err != nil {
		return fmt.Errorf("adding the readiness check: %w", err)
	}
	return mgr.Start(ctx)
}
