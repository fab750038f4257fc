package sandbox

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/kubernetes"

	"github.com/k8s4ai/k8s4ai/internal/image"
)

// PauseImage is an image that every real node has. Its program waits for SIGTERM.
const PauseImage = "k8s4ai/pause:sandbox"

// pauseSource is the package of that program.
const pauseSource = "./test/sandbox/cmd/pause"

//go:embed node.sh
var nodeSetup []byte

// RealNode describes a real node.
type RealNode struct {
	// Name is the name of the Node object, a DNS label.
	Name string
	// Labels and Annotations are on the Node object from its creation.
	Labels, Annotations map[string]string
	// Taints are on the Node object from its creation.
	Taints []corev1.Taint
}

// NewRealNodes describes that many nodes, named node-0, node-1 and so on.
func NewRealNodes(count int) []RealNode {
	nodes := make([]RealNode, max(count, 0))
	for i := range nodes {
		nodes[i].Name = "node-" + strconv.Itoa(i)
	}
	return nodes
}

// Node is a real node: containerd, kubelet and kube-proxy in namespaces of their
// own. Its daemons log to Dir/logs/<name>-<daemon>.log.
type Node struct {
	// Name is the name of the Node object.
	Name string
	// Address is the node's InternalIP, which this machine reaches.
	Address string
	// Dir holds the node's files and what its Pods write.
	Dir string

	cluster *Cluster
	spec    RealNode
	index   int

	mu    sync.Mutex
	procs []*process // the first process of the node, then its daemons; none when it is down
}

// checkRealNodes says what is wrong with the description, or with this machine.
func checkRealNodes(nodes []RealNode) error {
	if len(nodes) == 0 {
		return nil
	}
	if len(nodes) > maxRealNodes {
		return fmt.Errorf("%d real nodes are wanted: at most %d fit into a sandbox", len(nodes), maxRealNodes)
	}
	names := map[string]bool{}
	for _, node := range nodes {
		if problems := validation.IsDNS1123Label(node.Name); len(problems) > 0 {
			return fmt.Errorf("the name %q of a real node: %s", node.Name, strings.Join(problems, "; "))
		}
		if names[node.Name] {
			return fmt.Errorf("two real nodes are named %s", node.Name)
		}
		names[node.Name] = true
	}
	return checkMachine()
}

// startNetwork builds the program that every node begins with, and the network
// that the API server listens on. Without real nodes there is nothing to do.
func (c *Cluster) startNetwork(ctx context.Context) error {
	if len(c.options.RealNodes) == 0 {
		return nil
	}
	if err := BuildProgram(ctx, pauseSource, c.file("pause")); err != nil {
		return err
	}
	if err := image.Write(ctx, image.Spec{Name: PauseImage, Binary: c.file("pause")}, c.file("pause.tar")); err != nil {
		return err
	}
	if err := writeFile(c.file("node.sh"), nodeSetup); err != nil {
		return err
	}
	network, err := claimNetwork(ctx)
	if err != nil {
		return err
	}
	c.network = network
	return network.startSwitch(ctx, c.procs, c.file("pause"))
}

// BuildProgram builds a package of this repository, such as
// "./test/sandbox/cmd/pause", as a static binary for an image. Go's build cache
// makes that quick after the first time.
func BuildProgram(ctx context.Context, source, to string) error {
	root, err := findRoot()
	if err != nil {
		return err
	}
	if to, err = filepath.Abs(to); err != nil {
		return fmt.Errorf("building %s: %w", source, err)
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", to, source)
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w: %s", source, err, out)
	}
	return nil
}

// startRealNodes starts all nodes at once and waits until they are Ready.
func (c *Cluster) startRealNodes(ctx context.Context) error {
	kubeconfig, err := c.componentKubeconfig("kube-proxy", "")
	if err != nil {
		return err
	}
	for i, spec := range c.options.RealNodes {
		node := &Node{
			Name: spec.Name, Address: c.network.node(i).String(), Dir: filepath.Join(c.Dir, "nodes", spec.Name),
			cluster: c, spec: spec, index: i,
		}
		if err := node.prepare(ctx, kubeconfig); err != nil {
			return err
		}
		c.RealNodes = append(c.RealNodes, node)
	}
	err = parallel(ctx, c.RealNodes, func(ctx context.Context, node **Node) error { return (*node).Start(ctx) })
	if err != nil {
		return err
	}
	clients, err := kubernetes.NewForConfig(c.RESTConfig)
	if err != nil {
		return fmt.Errorf("creating a client of the sandbox: %w", err)
	}
	nodes := make([]corev1.Node, len(c.RealNodes))
	for i, node := range c.RealNodes {
		nodes[i].Name = node.Name
	}
	return c.waitNodes(ctx, clients, nodes)
}

// prepare writes the node's files and creates its object, for labels that a kubelet
// may not give itself.
func (n *Node) prepare(ctx context.Context, proxyKubeconfig string) error {
	if err := os.MkdirAll(n.file("cni"), 0o755); err != nil {
		return fmt.Errorf("preparing node %s: %w", n.Name, err)
	}
	config, err := n.cluster.identity.client(n.cluster.RESTConfig.Host, "system:node:"+n.Name, "system:nodes")
	if err != nil {
		return err
	}
	if _, err := writeKubeconfig(n.Dir, "kubelet", config); err != nil {
		return err
	}
	if err := n.cluster.identity.writeServer(filepath.Join("nodes", n.Name, "kubelet"), n.Address); err != nil {
		return err
	}
	if err := n.writeConfigs(proxyKubeconfig); err != nil {
		return err
	}
	object := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: n.Name, Labels: n.spec.Labels, Annotations: n.spec.Annotations},
		Spec:       corev1.NodeSpec{Taints: n.spec.Taints},
	}
	if err := n.cluster.Client.Create(ctx, object); err != nil {
		return fmt.Errorf("creating node %s: %w", n.Name, err)
	}
	return nil
}

// Start boots a node that Kill took down, with the files that it had, and returns
// when its daemons run. The node is Ready some seconds later.
func (n *Node) Start(ctx context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.procs) > 0 {
		return fmt.Errorf("starting node %s: it runs", n.Name)
	}
	if err := n.start(ctx); err != nil {
		n.kill()
		return fmt.Errorf("starting node %s: %w", n.Name, err)
	}
	return nil
}

func (n *Node) start(ctx context.Context) error {
	c := n.cluster
	// A kubelet waits for the cgroups of containers that a boot has not left.
	if err := removeCgroups(ctx, n.cgroup()); err != nil {
		return err
	}
	if err := makeCgroups(n.cgroup()); err != nil {
		return err
	}
	first, err := c.procs.startWith(machineAttributes(), n.Name, c.file("pause"))
	if err != nil {
		return err
	}
	n.procs = []*process{first}
	if err := c.network.plug(ctx, n.index, first.cmd.Process.Pid); err != nil {
		return err
	}
	if out, err := n.command(ctx, n.setup()...).CombinedOutput(); err != nil {
		return fmt.Errorf("setting up its file system and network: %w: %s", err, out)
	}
	if err := n.daemon("containerd", tool("containerd"), "--config="+n.file("containerd.toml")); err != nil {
		return err
	}
	err = poll(ctx, "waiting for containerd", func(ctx context.Context) (bool, error) {
		connection, err := new(net.Dialer).DialContext(ctx, "unix", n.path("/run/containerd/containerd.sock"))
		if err == nil {
			return true, connection.Close()
		}
		return false, nil // not listening yet is what is being waited for
	}, n.procs...)
	if err != nil {
		return err
	}
	if err := n.loadImage(ctx, c.file("pause.tar")); err != nil {
		return err
	}
	return errors.Join(
		n.daemon("kubelet", c.binary("kubelet"), "--config="+n.file("kubelet.yaml"), "--kubeconfig="+n.file("kubelet.kubeconfig"),
			"--hostname-override="+n.Name, "--node-ip="+n.Address),
		n.daemon("kube-proxy", c.binary("kube-proxy"), "--config="+n.file("kube-proxy.yaml"), "--hostname-override="+n.Name),
	)
}

// setup is the command that gives the node its file system and network. Nodes
// reach each other's Pods without the help of this machine.
func (n *Node) setup() []string {
	network := n.cluster.network
	args := []string{"sh", n.cluster.file("node.sh"), n.Dir, n.Name,
		fmt.Sprintf("%s/%d", n.Address, nodeBits),
		fmt.Sprintf("%s via %s", serviceRange, network.gateway())}
	for _, other := range n.cluster.RealNodes {
		if other != n {
			args = append(args, fmt.Sprintf("%s via %s", network.pods(other.index), other.Address))
		}
	}
	return args
}

// daemon starts a program in the node, which belongs to it from then on.
func (n *Node) daemon(name, path string, args ...string) error {
	command := n.enter(append([]string{path}, args...)...)
	proc, err := n.cluster.procs.start(n.Name+"-"+name, command[0], command[1:]...)
	if err != nil {
		return err
	}
	n.procs = append(n.procs, proc)
	return nil
}

// command is a command that runs in the node and ends with it.
func (n *Node) command(ctx context.Context, args ...string) *exec.Cmd {
	args = n.enter(args...)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = componentEnv()
	return cmd
}

func (n *Node) enter(args ...string) []string {
	pid := strconv.Itoa(n.procs[0].cmd.Process.Pid)
	return append([]string{tool("nsenter"), "--target=" + pid, "--mount", "--net", "--pid", "--uts", "--ipc", "--"}, args...)
}

// Path is where this machine sees an absolute path of the node, for as long as the
// node is up; "" when it is down. Symbolic links on the way lead to files of this
// machine, so name a path without any.
func (n *Node) Path(inNode string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.checkUp() != nil {
		return ""
	}
	return n.path(inNode)
}

func (n *Node) path(inNode string) string {
	return fmt.Sprintf("/proc/%d/root%s", n.procs[0].cmd.Process.Pid, inNode)
}

func (n *Node) file(name string) string { return filepath.Join(n.Dir, name) }

// cgroup is where the kubelet has the cgroups of its Pods.
func (n *Node) cgroup() string { return n.cluster.network.cgroup() + "/" + n.Name }
