// Package harness runs the real manager against a sandbox: the way in which the
// demo and the end-to-end tests see the product.
//
// The manager runs as its own process with the ServiceAccount, and so the
// permissions, of config/default.
package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/k8s4ai/k8s4ai/internal/fleet"
	"github.com/k8s4ai/k8s4ai/test/sandbox"
)

// Env is a sandbox with the product installed.
type Env struct {
	*sandbox.Cluster
	// Root is the repository.
	Root string

	bin               string
	managerKubeconfig string
	manager           manager
}

// Start starts tier 2 with a fleet, by name or file, and installs config/default.
// The manager is not started yet. The logs stay in $K8S4AI_SANDBOX_DIR/logs when
// that is set.
func Start(ctx context.Context, fleetName string, logf func(format string, args ...any)) (*Env, error) {
	bin, err := sandbox.FindBin()
	if err != nil {
		return nil, err
	}
	described, err := fleet.Load(fleetName)
	if err != nil {
		return nil, fmt.Errorf("loading the fleet: %w", err)
	}
	root := filepath.Dir(bin)
	crds := filepath.Join(root, "config", "crd", "bases")
	cluster, err := sandbox.Start(ctx, sandbox.Options{Dir: os.Getenv("K8S4AI_SANDBOX_DIR"), BinDir: bin, Fleet: described, CRDs: []string{crds}, Logf: logf})
	if err != nil {
		return nil, fmt.Errorf("starting the sandbox: %w", err)
	}
	e := &Env{Cluster: cluster, Root: root, bin: bin}
	if err := e.install(ctx); err != nil {
		return nil, errors.Join(err, cluster.Stop())
	}
	return e, nil
}

// besideCluster leaves out what simulated nodes cannot run: the manager runs beside
// the cluster, and the reports of node agents come from the fleet file.
const besideCluster = `
- target: {kind: Deployment, name: k8s4ai-manager}
  patch: |-
    - {op: replace, path: /spec/replicas, value: 0}
- target: {kind: DaemonSet, name: k8s4ai-node-agent}
  patch: |-
    $patch: delete
    apiVersion: apps/v1
    kind: DaemonSet
    metadata: {name: k8s4ai-node-agent, namespace: k8s4ai-agent}
`

// apply installs config/default, as a person would, with patches.
func (e *Env) apply(ctx context.Context, patches string) error {
	dir := filepath.Join(e.Dir, "overlay")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("writing the overlay: %w", err)
	}
	source, err := filepath.Rel(dir, filepath.Join(e.Root, "config", "default"))
	if err != nil {
		return fmt.Errorf("writing the overlay: %w", err)
	}
	overlay := "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n- " + source + "\npatches:" + patches
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(overlay), 0o600); err != nil {
		return fmt.Errorf("writing the overlay: %w", err)
	}
	if out, err := e.Kubectl(ctx, "apply", "-k", dir); err != nil {
		return fmt.Errorf("installing config/default: %w: %s", err, out)
	}
	return nil
}

// install installs the product on simulated nodes.
func (e *Env) install(ctx context.Context) error {
	if err := e.apply(ctx, besideCluster); err != nil {
		return err
	}
	clients, err := kubernetes.NewForConfig(e.RESTConfig)
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	token, err := clients.CoreV1().ServiceAccounts("k8s4ai-system").CreateToken(ctx, "k8s4ai-manager",
		&authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: ptr.To[int64](24 * 3600)}}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("asking for the manager's token: %w", err)
	}
	e.managerKubeconfig = filepath.Join(e.Dir, "manager.kubeconfig")
	config := clientcmdapi.NewConfig()
	config.Clusters["sandbox"] = &clientcmdapi.Cluster{Server: e.RESTConfig.Host, CertificateAuthorityData: e.RESTConfig.CAData}
	config.AuthInfos["manager"] = &clientcmdapi.AuthInfo{Token: token.Status.Token}
	config.Contexts["sandbox"] = &clientcmdapi.Context{Cluster: "sandbox", AuthInfo: "manager"}
	config.CurrentContext = "sandbox"
	if err := clientcmd.WriteToFile(*config, e.managerKubeconfig); err != nil {
		return fmt.Errorf("writing the manager's kubeconfig: %w", err)
	}
	return nil
}

// Kubectl runs kubectl as the cluster's administrator and returns its output.
func (e *Env) Kubectl(ctx context.Context, args ...string) (string, error) {
	command := exec.CommandContext(ctx, filepath.Join(e.bin, "kubectl"), append([]string{"--kubeconfig", e.Kubeconfig}, args...)...)
	out, err := command.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// Plugin runs the kubectl plugin as the cluster's administrator.
func (e *Env) Plugin(ctx context.Context, args ...string) (string, error) {
	command := exec.CommandContext(ctx, filepath.Join(e.bin, "kubectl-k8s4ai"), append(args, "--kubeconfig", e.Kubeconfig)...)
	out, err := command.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// Wait calls check until it returns nil, and returns its last error after limit.
func Wait(ctx context.Context, limit time.Duration, check func(context.Context) error) error {
	deadline, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var err error
	for {
		now := check(deadline)
		if now == nil {
			return nil
		}
		// The deadline ends a call in the middle, which tells nothing.
		if err == nil || deadline.Err() == nil {
			err = now
		}
		select {
		case <-deadline.Done():
			return fmt.Errorf("not within %s: %w", limit, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// NewNamespace makes a namespace.
func (e *Env) NewNamespace(ctx context.Context, name string) error {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	return client.IgnoreAlreadyExists(e.Client.Create(ctx, namespace))
}
