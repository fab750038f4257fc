package sandbox

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	serviceRange   = "10.96.0.0/16"
	firstServiceIP = "10.96.0.1"
	issuer         = "https://kubernetes.default.svc.cluster.local"
	// portAttempts bounds how often the API server is started on another port
	// because someone took the chosen one in between.
	portAttempts = 5
	pollEvery    = 50 * time.Millisecond
)

//go:embed stages.yaml
var stages []byte

// startControlPlane starts etcd and kube-apiserver and waits for /readyz.
func (c *Cluster) startControlPlane(ctx context.Context) error {
	id, err := newIdentity(c.Dir, c.serverAddress())
	if err != nil {
		return err
	}
	if err := id.writeClient("apiserver-kubelet-client", "kube-apiserver-kubelet-client", "system:masters"); err != nil {
		return err
	}
	c.identity = id
	etcd, err := c.startEtcd()
	if err != nil {
		return err
	}
	for range portAttempts {
		retry, err := c.startAPIServer(ctx, etcd)
		if err == nil || !retry {
			return err
		}
	}
	return fmt.Errorf("starting kube-apiserver: %d free ports in a row were taken by others before it listened; try again", portAttempts)
}

// startEtcd starts etcd on sockets in the cluster's directory: no port to collide
// on, and nobody else on the machine can read the store.
func (c *Cluster) startEtcd() (*process, error) {
	return c.procs.start("etcd", c.binary("etcd"),
		"--name=sandbox",
		"--data-dir="+filepath.Join(c.Dir, "etcd"),
		"--listen-client-urls="+c.etcdURL(), "--advertise-client-urls="+c.etcdURL(),
		"--listen-peer-urls=unix://peer:0", "--initial-advertise-peer-urls=unix://peer:0",
		"--initial-cluster=sandbox=unix://peer:0",
		// The data does not outlive the process, so it need not reach the disk.
		"--unsafe-no-fsync",
		"--quota-backend-bytes=4294967296",
		"--log-level=warn",
	)
}

// etcdURL names a socket in the directory that the components run in: the path of a
// socket may have only about 100 characters. etcd insists on a port in the name.
func (c *Cluster) etcdURL() string { return "unix://etcd:0" }

// startAPIServer starts kube-apiserver on a free port. retry is true when somebody
// else took the port first.
func (c *Cluster) startAPIServer(ctx context.Context, etcd *process) (retry bool, err error) {
	port, err := freePort(ctx)
	if err != nil {
		return false, err
	}
	server := "https://" + net.JoinHostPort(c.serverAddress(), strconv.Itoa(port))
	if c.RESTConfig, err = c.identity.client(server, "admin", "system:masters"); err != nil {
		return false, err
	}
	if c.Kubeconfig, err = writeKubeconfig(c.Dir, "admin", c.RESTConfig); err != nil {
		return false, err
	}
	proc, err := c.procs.start("kube-apiserver", c.binary("kube-apiserver"), c.apiServerArgs(port)...)
	if err != nil {
		return false, err
	}
	if err := c.waitReady(ctx, proc, etcd); err != nil {
		retry := strings.Contains(err.Error(), "address already in use")
		if retry {
			c.procs.forget(proc)
		}
		return retry, err
	}
	c.Client, err = client.New(c.RESTConfig, client.Options{Scheme: c.options.Scheme})
	if err != nil {
		return false, fmt.Errorf("creating a client of the sandbox: %w", err)
	}
	return false, nil
}

func (c *Cluster) apiServerArgs(port int) []string {
	args := []string{
		"--etcd-servers=" + c.etcdURL(),
		"--bind-address=" + c.serverAddress(), "--advertise-address=" + c.serverAddress(), "--secure-port=" + strconv.Itoa(port),
		"--service-cluster-ip-range=" + serviceRange,
		"--tls-cert-file=" + c.file("apiserver.crt"), "--tls-private-key-file=" + c.file("apiserver.key"),
		"--client-ca-file=" + c.file("ca.crt"),
		"--service-account-issuer=" + issuer,
		"--service-account-key-file=" + c.file("sa.pub"), "--service-account-signing-key-file=" + c.file("sa.key"),
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction",
		"--allow-privileged=true",
		// Tests create and delete faster than any person, and priority and
		// fairness would make their times depend on each other.
		"--enable-priority-and-fairness=false",
		"--max-requests-inflight=2000", "--max-mutating-requests-inflight=1000",
	}
	if c.network == nil {
		// Nothing routes to the service network, so its endpoints would be lies.
		args = append(args, "--endpoint-reconciler-type=none")
	} else {
		args = append(args, "--kubelet-preferred-address-types=InternalIP",
			"--kubelet-certificate-authority="+c.file("ca.crt"),
			"--kubelet-client-certificate="+c.file("apiserver-kubelet-client.crt"),
			"--kubelet-client-key="+c.file("apiserver-kubelet-client.key"),
			// This machine reaches Pods and not cluster addresses, so webhooks are
			// called at the addresses of their Pods.
			"--enable-aggregator-routing=true")
	}
	// This plugin taints every new node until the controller manager has looked at
	// it, for minutes when thousands come at once. Without it the controller manager
	// still taints nodes that are not Ready.
	disabled := "TaintNodesByCondition"
	if !c.options.Nodes {
		disabled += ",ServiceAccount"
	}
	args = append(args, "--disable-admission-plugins="+disabled)
	return append(args, c.options.APIServerArgs...)
}

// serverAddress is where the API server listens: loopback, or with real nodes the
// end of their network on this machine.
func (c *Cluster) serverAddress() string {
	if c.network == nil {
		return "127.0.0.1"
	}
	return c.network.gateway().String()
}

// startNodeComponents starts tier 2 and waits until pods can be created, which is
// when the controller manager has made the first ServiceAccount.
func (c *Cluster) startNodeComponents(ctx context.Context) error {
	stagesPath := c.file("stages.yaml")
	if err := writeFile(stagesPath, stages); err != nil {
		return err
	}
	kubeconfigs := map[string]string{}
	for name, group := range map[string]string{
		"kube-controller-manager": "", "kube-scheduler": "",
		// kwok stands in for every kubelet at once, which no node identity may.
		"kwok": "system:masters",
	} {
		path, err := c.componentKubeconfig(name, group)
		if err != nil {
			return err
		}
		kubeconfigs[name] = path
	}
	heartbeat := c.options.heartbeat()
	var procs []*process
	for _, component := range []struct {
		name string
		args []string
	}{
		{"kube-controller-manager", c.controllerManagerArgs(kubeconfigs["kube-controller-manager"], heartbeat)},
		{"kube-scheduler", c.schedulerArgs(kubeconfigs["kube-scheduler"])},
		{"kwok", kwokArgs(kubeconfigs["kwok"], stagesPath, heartbeat)},
	} {
		proc, err := c.procs.start(component.name, c.binary(component.name), component.args...)
		if err != nil {
			return err
		}
		procs = append(procs, proc)
	}
	return poll(ctx, "waiting for the default ServiceAccount", func(ctx context.Context) (bool, error) {
		key := types.NamespacedName{Namespace: "default", Name: "default"}
		return c.Client.Get(ctx, key, &corev1.ServiceAccount{}) == nil, nil
	}, procs...)
}

func (c *Cluster) componentKubeconfig(name, group string) (string, error) {
	user, groups := "system:"+name, []string{}
	if group != "" {
		groups = append(groups, group)
	}
	config, err := c.identity.client(c.RESTConfig.Host, user, groups...)
	if err != nil {
		return "", err
	}
	return writeKubeconfig(c.Dir, name, config)
}

func (c *Cluster) controllerManagerArgs(kubeconfig string, heartbeat heartbeat) []string {
	return append([]string{
		"--kubeconfig=" + kubeconfig,
		"--leader-elect=false", "--secure-port=0",
		"--use-service-account-credentials=true",
		"--service-account-private-key-file=" + c.file("sa.key"), "--root-ca-file=" + c.file("ca.crt"),
		"--cluster-signing-cert-file=" + c.file("ca.crt"), "--cluster-signing-key-file=" + c.file("ca.key"),
		"--node-monitor-grace-period=" + heartbeat.grace.String(),
		// The defaults (20 and 30) make a gang of a few hundred pods crawl.
		"--kube-api-qps=500", "--kube-api-burst=1000",
	}, c.options.ControllerManagerArgs...)
}

func (c *Cluster) schedulerArgs(kubeconfig string) []string {
	return append([]string{
		"--kubeconfig=" + kubeconfig,
		"--leader-elect=false", "--secure-port=0",
		"--kube-api-qps=500", "--kube-api-burst=1000",
	}, c.options.SchedulerArgs...)
}

func kwokArgs(kubeconfig, stagesPath string, heartbeat heartbeat) []string {
	return []string{
		"--kubeconfig=" + kubeconfig,
		"--config=" + stagesPath,
		"--manage-all-nodes=false", "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake",
		// Pod addresses for any fleet: the default has 254 of them.
		"--cidr=100.64.0.1/10",
		"--node-lease-duration-seconds=" + strconv.Itoa(int(heartbeat.lease.Seconds())),
	}
}

func (c *Cluster) file(name string) string { return filepath.Join(c.Dir, name) }

func (c *Cluster) binary(name string) string { return filepath.Join(c.options.BinDir, name) }

// freePort asks the kernel for a port that nobody listens on.
func freePort(ctx context.Context) (int, error) {
	listener, err := new(net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("looking for a free port: %w", err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port, nil
}

// waitReady polls /readyz. The certificate of this cluster's own authority makes
// sure that the answer is not another program's that took the port.
func (c *Cluster) waitReady(ctx context.Context, procs ...*process) error {
	httpClient, err := rest.HTTPClientFor(c.RESTConfig)
	if err != nil {
		return fmt.Errorf("creating a client of the sandbox: %w", err)
	}
	return poll(ctx, "waiting for the API server to be ready", func(ctx context.Context) (bool, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.RESTConfig.Host+"/readyz", nil)
		if err != nil {
			return false, fmt.Errorf("asking for /readyz: %w", err)
		}
		response, err := httpClient.Do(request)
		if err != nil {
			return false, nil // not listening yet is what is being waited for
		}
		defer response.Body.Close()
		return response.StatusCode == http.StatusOK, nil
	}, procs...)
}

// poll calls done until it is true, ctx ends, or one of the processes has ended.
func poll(ctx context.Context, doing string, done func(context.Context) (bool, error), procs ...*process) error {
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for {
		ok, err := done(ctx)
		if ok {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", doing, err)
		}
		for _, proc := range procs {
			select {
			case <-proc.done:
				return fmt.Errorf("%s: %s ended: %w", doing, proc.name, proc.quote(errors.New(proc.cmd.ProcessState.String())))
			default:
			}
		}
		select {
		case <-ctx.Done():
			err := fmt.Errorf("%s: %w", doing, context.Cause(ctx))
			for _, proc := range procs {
				err = fmt.Errorf("%s: %w", proc.name, proc.quote(err))
			}
			return err
		case <-ticker.C:
		}
	}
}
