package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/fleet"
)

// What a person or a test writes on objects of tier 2 to make things happen.
const (
	// AnnotationRunFor makes a Pod succeed this long after it started, such as "20s".
	AnnotationRunFor = "sandbox.k8s4ai.io/run-for"
	// AnnotationFailAfter makes a Pod fail with exit code 1 this long after it
	// started. It wins over AnnotationRunFor.
	AnnotationFailAfter = "sandbox.k8s4ai.io/fail-after"
	// AnnotationNotReady with the value "true" makes a Node NotReady until it is removed.
	AnnotationNotReady = "sandbox.k8s4ai.io/not-ready"
)

// startTimeout bounds Start without the loading of a fleet. A healthy start takes
// a few seconds; a machine that is building something takes several times that.
const startTimeout = 90 * time.Second

// Options say what to start. The zero value is tier 1 in a temporary directory.
type Options struct {
	// Dir holds keys, data and logs. Unset means a temporary directory that Stop
	// removes whole; a given Dir must be empty or absent, and Stop leaves its
	// logs behind.
	Dir string
	// BinDir holds the binaries. Unset means FindBin.
	BinDir string
	// Nodes starts tier 2: controller manager, scheduler and simulated kubelets.
	Nodes bool
	// Fleet is loaded before Start returns, as LoadFleet does. It implies Nodes.
	Fleet *fleet.Fleet
	// RealNodes starts tier 3: machines that run Pods, which are Ready before Start
	// returns. At most 8. It implies Nodes, and needs root and what ErrNoRealNodes
	// names.
	RealNodes []RealNode
	// CRDs are files or directories of CustomResourceDefinitions, installed and
	// served before Start returns.
	CRDs []string
	// Scheme serves Cluster.Client and typed objects given to Apply. Unset means
	// the built-in kinds and v1alpha1.
	Scheme *runtime.Scheme
	// APIServerArgs, ControllerManagerArgs and SchedulerArgs are appended to the
	// command lines, so that they win over the defaults.
	APIServerArgs, ControllerManagerArgs, SchedulerArgs []string
	// CallerHandlesSignals leaves SIGINT and SIGTERM to the caller, who must call
	// Stop. Unset means that on either signal every cluster of the process is
	// stopped and the process then dies of the signal.
	CallerHandlesSignals bool
	// Logf receives progress lines; t.Logf fits. Unset means silence.
	Logf func(format string, args ...any)
}

// Cluster is a running control plane.
type Cluster struct {
	// RESTConfig is a cluster administrator without client-side rate limit.
	RESTConfig *rest.Config
	// Kubeconfig is the path of the same administrator's kubeconfig.
	Kubeconfig string
	// Dir is where the cluster lives; its components log to Dir/logs.
	Dir string
	// Client reads and writes without a cache.
	Client client.Client
	// RealNodes are the machines of Options.RealNodes, in that order.
	RealNodes []*Node

	options  Options
	owner    *owner
	procs    *processes
	identity *identity
	network  *network // nil without real nodes
	stopOnce sync.Once
	stopErr  error
}

// Start starts a cluster and returns once it can be used: the API server is
// ready, CRDs are served, and with a Fleet every node is Ready. When anything
// fails, nothing is left behind and the error quotes the failed component's log.
// ctx bounds the start only.
func Start(ctx context.Context, options Options) (*Cluster, error) {
	if options.Logf == nil {
		options.Logf = func(string, ...any) {}
	}
	if options.Fleet != nil || len(options.RealNodes) > 0 {
		options.Nodes = true
	}
	if err := checkRealNodes(options.RealNodes); err != nil {
		return nil, err
	}
	if options.Scheme == nil {
		scheme, err := defaultScheme()
		if err != nil {
			return nil, err
		}
		options.Scheme = scheme
	}
	bin, err := binaries(options.BinDir, options.wanted())
	if err != nil {
		return nil, err
	}
	options.BinDir = bin

	sweep(options.Logf)
	owner, err := claimDir(options.Dir)
	if err != nil {
		return nil, err
	}
	c := &Cluster{Dir: owner.dir, options: options, owner: owner, procs: newProcesses(filepath.Join(owner.dir, "logs"))}
	running.add(c)
	if err := c.start(ctx); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	return c, nil
}

func (c *Cluster) start(ctx context.Context) error {
	begin := time.Now()
	bounded, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := c.startNetwork(bounded); err != nil {
		return err
	}
	if err := c.startControlPlane(bounded); err != nil {
		return err
	}
	c.options.Logf("control plane ready after %s", time.Since(begin).Round(10*time.Millisecond))
	if err := c.installCRDs(bounded); err != nil {
		return err
	}
	if c.options.Nodes {
		if err := c.startNodeComponents(bounded); err != nil {
			return err
		}
		c.options.Logf("controller manager, scheduler and kwok ready after %s", time.Since(begin).Round(10*time.Millisecond))
	}
	if len(c.options.RealNodes) > 0 {
		if err := c.startRealNodes(bounded); err != nil {
			return err
		}
		c.options.Logf("%d real nodes Ready after %s", len(c.RealNodes), time.Since(begin).Round(10*time.Millisecond))
	}
	if c.options.Fleet != nil {
		return c.LoadFleet(ctx, c.options.Fleet)
	}
	return nil
}

// Stop kills every component and removes what Start created. It may be called
// more than once and from several goroutines; all callers wait for the first.
func (c *Cluster) Stop() error {
	c.stopOnce.Do(func() {
		c.procs.stop()
		if c.network != nil {
			// The caller's context may be what ended.
			c.stopErr = c.network.release(context.Background())
		}
		c.stopErr = errors.Join(c.stopErr, c.owner.release())
		running.remove(c)
	})
	return c.stopErr
}

// Failed yields one error when a component ends although Stop was not called.
func (c *Cluster) Failed() <-chan error { return c.procs.failed }

func defaultScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("registering the built-in kinds: %w", err)
	}
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("registering %s: %w", v1alpha1.GroupVersion, err)
	}
	return scheme, nil
}

// writeFile writes a file that only this user can read, for most hold keys.
func writeFile(path string, data []byte) error {
	if err := os.WriteFile(path, data, 0o600); err != nil {
		return fmt.Errorf("writing the sandbox's files: %w", err)
	}
	return nil
}
