package sandbox

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/k8s4ai/k8s4ai/internal/fleet"
	"github.com/k8s4ai/k8s4ai/internal/image"
)

// nodeWait bounds what takes a node: the controller manager's patience with a
// silent one, or a boot.
const nodeWait = 2 * time.Minute

const probeImage = "k8s4ai/probe:test"

// Tier 3: real nodes run Pods as any node does, fail as machines do, and leave
// nothing behind.
func TestRealNodes(t *testing.T) {
	nodes := NewRealNodes(3)
	nodes[1].Labels = map[string]string{"node-restriction.kubernetes.io/zone": "b"}
	nodes[1].Taints = []corev1.Taint{{Key: "example.com/reserved", Effect: corev1.TaintEffectPreferNoSchedule}}
	c := StartForTest(t, Options{RealNodes: nodes})
	loadProbe(t, c)

	t.Run("nodes are as described", func(t *testing.T) { nodesAsDescribed(t, c) })
	t.Run("a deployment has a Pod on each node", func(t *testing.T) { deploymentOnEach(t, c) })
	t.Run("a Pod reaches the API server", func(t *testing.T) { podReachesServer(t, c) })
	t.Run("a dynamically linked program runs", func(t *testing.T) { dynamicProgram(t, c) })
	t.Run("a Pod reaches a Pod and a Service of another node", func(t *testing.T) { podReachesPod(t, c) })
	t.Run("a privileged DaemonSet has directories of its node", func(t *testing.T) { privilegedDaemonSet(t, c) })
	t.Run("a kubelet may not touch another node", func(t *testing.T) { kubeletIsRestricted(t, c) })
	t.Run("simulated nodes stand beside real ones", func(t *testing.T) { besideSimulated(t, c) })
	t.Run("nodes fail and come back", func(t *testing.T) { drills(t, c) })

	tree, err := descendants(componentPIDs(c))
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for pid := range tree {
		pids = append(pids, pid)
	}
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	assertGone(t, c.Dir, pids)
	assertNetworkGone(t, c.network)
}

func loadProbe(t *testing.T, c *Cluster) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "probe")
	if err := BuildProgram(t.Context(), "./test/sandbox/testdata/probe", binary); err != nil {
		t.Fatal(err)
	}
	loadImage(t, c, image.Spec{Name: probeImage, Binary: binary})
}

func loadImage(t *testing.T, c *Cluster, spec image.Spec) {
	t.Helper()
	archive := filepath.Join(t.TempDir(), "image.tar")
	if err := image.Write(t.Context(), spec, archive); err != nil {
		t.Fatal(err)
	}
	if err := c.LoadImage(t.Context(), archive); err != nil {
		t.Fatal(err)
	}
}

func nodesAsDescribed(t *testing.T, c *Cluster) {
	for i, node := range c.RealNodes {
		object := getNode(t, c, node.Name)
		if want := NewRealNodes(3)[i].Name; object.Name != want || !isUsable(object) {
			t.Errorf("node %d is %s, usable: %v; want %s to be usable", i, object.Name, isUsable(object), want)
		}
		if len(object.Status.Addresses) == 0 || object.Status.Addresses[0].Address != node.Address {
			t.Errorf("%s has the addresses %v, want %s", node.Name, object.Status.Addresses, node.Address)
		}
	}
	described := getNode(t, c, "node-1")
	if described.Labels["node-restriction.kubernetes.io/zone"] != "b" || len(described.Spec.Taints) != 1 {
		t.Errorf("node-1 has the labels %v and taints %v, want those of its description", described.Labels, described.Spec.Taints)
	}
}

func deploymentOnEach(t *testing.T, c *Cluster) {
	labels := map[string]string{"app": "spread"}
	deployment := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "spread", Namespace: "default"},
		Spec: appsv1.DeploymentSpec{
			Replicas: new(int32(3)), Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{
				// What the manifests of the product ask for.
				SecurityContext: &corev1.PodSecurityContext{RunAsNonRoot: new(true), SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
				Containers: []corev1.Container{{Name: "main", Image: PauseImage, SecurityContext: &corev1.SecurityContext{
					ReadOnlyRootFilesystem: new(true), AllowPrivilegeEscalation: new(false), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
				}}},
				TopologySpreadConstraints: []corev1.TopologySpreadConstraint{{
					MaxSkew: 1, TopologyKey: corev1.LabelHostname, WhenUnsatisfiable: corev1.DoNotSchedule, LabelSelector: &metav1.LabelSelector{MatchLabels: labels},
				}},
			}},
		},
	}
	if err := c.Client.Create(t.Context(), deployment); err != nil {
		t.Fatal(err)
	}
	eventuallyIn(t, nodeWait, "deployment to run on each node", func() bool { return len(runningOn(t, c, labels)) == 3 })
}

// runningOn are the nodes with a running Pod of these labels.
func runningOn(t *testing.T, c *Cluster, labels client.MatchingLabels) map[string]corev1.Pod {
	t.Helper()
	var pods corev1.PodList
	if err := c.Client.List(t.Context(), &pods, labels); err != nil {
		t.Fatal(err)
	}
	nodes := map[string]corev1.Pod{}
	for _, pod := range pods.Items {
		if pod.Status.Phase == corev1.PodRunning && pod.DeletionTimestamp == nil && pod.Status.ContainerStatuses[0].Ready {
			nodes[pod.Spec.NodeName] = pod
		}
	}
	return nodes
}

func podReachesServer(t *testing.T, c *Cluster) {
	pod := runProbe(t, c, "api", "node-2", "api")
	waitPhase(t, c, pod, corev1.PodSucceeded)
	log, err := c.Logs(t.Context(), client.ObjectKeyFromObject(pod), "")
	if err != nil {
		t.Fatal(err)
	}
	answer, token, _ := strings.Cut(log, "\n")
	if want := firstServiceIP + ":443 200 OK ok"; answer != want {
		t.Errorf("the Pod got %q, want %q", answer, want)
	}
	var claims struct {
		Bound struct {
			Node, Pod struct{ Name string }
		} `json:"kubernetes.io"`
	}
	if err := json.Unmarshal([]byte(token), &claims); err != nil {
		t.Fatal(err)
	}
	if claims.Bound.Node.Name != "node-2" || claims.Bound.Pod.Name != "api" {
		t.Errorf("the token is bound to %+v, want this Pod and its node", claims.Bound)
	}
	out, err := exec.CommandContext(t.Context(), c.binary("kubectl"), "--kubeconfig", c.Kubeconfig, "logs", "api").CombinedOutput()
	if diff := cmp.Diff(log, string(out)); diff != "" || err != nil {
		t.Errorf("kubectl logs: %v, differs from Logs (-Logs +kubectl):\n%s", err, diff)
	}
}

// dynamicProgram runs a program of this machine that needs the C library.
func dynamicProgram(t *testing.T, c *Cluster) {
	loadImage(t, c, image.Spec{Name: "k8s4ai/echo:test", Binary: "/bin/echo"})
	pod := podOn("node-1", nil)
	pod.Name, pod.Spec.Containers[0].Image, pod.Spec.Containers[0].Args = "echo", "k8s4ai/echo:test", []string{"linked"}
	if err := c.Client.Create(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	waitPhase(t, c, pod, corev1.PodSucceeded)
	if log, err := c.Logs(t.Context(), client.ObjectKeyFromObject(pod), "main"); err != nil || log != "linked\n" {
		t.Errorf("the Pod printed %q, %v; want its argument", log, err)
	}
}

func podReachesPod(t *testing.T, c *Cluster) {
	server := runProbe(t, c, "serve", "node-0", "serve")
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "serve", Namespace: "default"},
		Spec:       corev1.ServiceSpec{Selector: server.Labels, Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(8080)}}},
	}
	if err := c.Client.Create(t.Context(), service); err != nil {
		t.Fatal(err)
	}
	server = waitPhase(t, c, server, corev1.PodRunning)
	for name, url := range map[string]string{
		"get-pod":     "http://" + server.Status.PodIP + ":8080",
		"get-service": "http://" + service.Spec.ClusterIP,
	} {
		pod := waitPhase(t, c, runProbe(t, c, name, "node-1", "get", url), corev1.PodSucceeded)
		if log, err := c.Logs(t.Context(), client.ObjectKeyFromObject(pod), ""); err != nil || log != "serve\n" {
			t.Errorf("%s printed %q, %v; want the name of the server's Pod", name, log, err)
		}
	}
	if out, err := c.RealNodes[2].Exec(t.Context(), "ip", "route", "get", server.Status.PodIP); err != nil || !strings.Contains(out, c.RealNodes[0].Address) {
		t.Errorf("node-2 reaches the Pod by %q, %v; want by node-0", out, err)
	}
}

func runProbe(t *testing.T, c *Cluster, name, node string, args ...string) *corev1.Pod {
	t.Helper()
	pod := podOn(node, nil)
	pod.Name, pod.Labels = name, map[string]string{"probe": name}
	pod.Spec.Containers[0].Image, pod.Spec.Containers[0].Args = probeImage, args
	if err := c.Client.Create(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	return pod
}

// privilegedDaemonSet is shaped like a node agent.
func privilegedDaemonSet(t *testing.T, c *Cluster) {
	labels := map[string]string{"app": "agent"}
	daemonSet := &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Name: "agent", Namespace: "default"},
		Spec: appsv1.DaemonSetSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{
				Containers: []corev1.Container{{
					Name: "main", Image: PauseImage, SecurityContext: &corev1.SecurityContext{Privileged: new(true), RunAsUser: new(int64(0))},
					Env: []corev1.EnvVar{{Name: "NODE_NAME", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "spec.nodeName"}}}},
					VolumeMounts: []corev1.VolumeMount{
						{Name: "state", MountPath: "/state", SubPathExpr: "$(NODE_NAME)"},
						{Name: "run", MountPath: "/run/agent", MountPropagation: new(corev1.MountPropagationBidirectional)},
					},
				}},
				Volumes: []corev1.Volume{hostPath("state", "/var/lib/sandbox-agent"), hostPath("run", "/run/sandbox-agent")},
			}},
		},
	}
	if err := c.Client.Create(t.Context(), daemonSet); err != nil {
		t.Fatal(err)
	}
	eventuallyIn(t, nodeWait, "DaemonSet to run on each node", func() bool { return len(runningOn(t, c, labels)) == 3 })
	for _, node := range c.RealNodes {
		if out, err := node.Exec(t.Context(), "ls", "/var/lib/sandbox-agent"); err != nil || strings.TrimSpace(out) != node.Name {
			t.Errorf("%s has %q, %v; want the directory of its own name", node.Name, out, err)
		}
		if _, err := os.Stat(node.Path("/var/lib/sandbox-agent/" + node.Name)); err != nil {
			t.Errorf("this machine does not see the directory of %s: %v", node.Name, err)
		}
	}
	for _, path := range []string{"/var/lib/sandbox-agent", "/run/sandbox-agent"} {
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("%s of this machine: %v, want it to be in the nodes only", path, err)
		}
	}
}

func hostPath(name, path string) corev1.Volume {
	return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{
		HostPath: &corev1.HostPathVolumeSource{Path: path, Type: new(corev1.HostPathDirectoryOrCreate)},
	}}
}

func kubeletIsRestricted(t *testing.T, c *Cluster) {
	config, err := c.identity.client(c.RESTConfig.Host, "system:node:node-0", "system:nodes")
	if err != nil {
		t.Fatal(err)
	}
	kubelet, err := client.New(config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for node, want := range map[string]bool{"node-0": true, "node-1": false} {
		patch := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"annotations":{"example.com/touched":"true"}}}`))
		err := kubelet.Patch(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node}}, patch)
		if want && err != nil || !want && !apierrors.IsForbidden(err) {
			t.Errorf("node-0 annotates %s: %v, want it to be allowed: %v", node, err, want)
		}
	}
}

func besideSimulated(t *testing.T, c *Cluster) {
	f, err := fleet.Parse([]byte(`{name: small, provider: none, fabric: {name: f, linkLayer: InfiniBand}, pools: [{name: cpu, shape: CPU, nodes: 1}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.LoadNodes(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	pod := podOn(f.Nodes()[0].Name, nil)
	if err := c.Client.Create(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	waitPhase(t, c, pod, corev1.PodRunning)
}

// drills take all nodes away at the same time, for each takes the controller
// manager's patience.
func drills(t *testing.T, c *Cluster) {
	partitioned, frozen, killed := c.RealNodes[0], c.RealNodes[1], c.RealNodes[2]
	if err := partitioned.Partition(); err != nil {
		t.Fatal(err)
	}
	if err := frozen.Freeze(); err != nil {
		t.Fatal(err)
	}
	killed.Kill()
	if _, err := killed.Exec(t.Context(), "true"); err == nil || !strings.Contains(err.Error(), "is down") {
		t.Errorf("Exec on a node that is down: %v", err)
	}
	if path := killed.Path("/"); path != "" {
		t.Errorf("a node that is down has its root at %s", path)
	}
	for _, node := range c.RealNodes {
		eventuallyIn(t, nodeWait, node.Name+" to be NotReady", func() bool { return !isUsable(getNode(t, c, node.Name)) })
	}
	if tree, err := descendants([]int{frozen.procs[0].cmd.Process.Pid}); err != nil || len(tree) < 3 {
		t.Errorf("the frozen node has the processes %v, %v; want all of them still there", tree, err)
	}

	if err := partitioned.Heal(); err != nil {
		t.Fatal(err)
	}
	if err := frozen.Thaw(); err != nil {
		t.Fatal(err)
	}
	if err := killed.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, node := range c.RealNodes {
		eventuallyIn(t, nodeWait, node.Name+" to be Ready again", func() bool { return isUsable(getNode(t, c, node.Name)) })
	}
	// What ran goes on, and what power took is started anew.
	for node, restarts := range map[*Node]int32{partitioned: 0, frozen: 0, killed: 1} {
		eventuallyIn(t, nodeWait, "DaemonSet to run on "+node.Name+" again", func() bool {
			pod, runs := runningOn(t, c, map[string]string{"app": "agent"})[node.Name]
			return runs && pod.Status.ContainerStatuses[0].RestartCount == restarts
		})
	}
	pod := runProbe(t, c, "after-boot", killed.Name, "api")
	waitPhase(t, c, pod, corev1.PodSucceeded)
	select {
	case err := <-c.Failed():
		t.Errorf("a drill counts as a failure of the sandbox: %v", err)
	default:
	}
}

func getNode(t *testing.T, c *Cluster, name string) *corev1.Node {
	t.Helper()
	node := &corev1.Node{}
	if err := c.Client.Get(t.Context(), types.NamespacedName{Name: name}, node); err != nil {
		t.Fatal(err)
	}
	return node
}

// Two clusters with real nodes do not meet.
func TestTwoClustersOfRealNodes(t *testing.T) {
	skipUnlessStartable(t, Options{RealNodes: NewRealNodes(1)})
	var clusters [2]*Cluster
	var failures [2]error
	var starts sync.WaitGroup
	for i := range clusters {
		starts.Go(func() {
			clusters[i], failures[i] = Start(context.Background(), Options{RealNodes: NewRealNodes(1)})
		})
	}
	starts.Wait()
	for i, c := range clusters {
		if failures[i] != nil {
			t.Fatal(failures[i])
		}
		t.Cleanup(func() { _ = c.Stop() })
	}
	if clusters[0].network.index == clusters[1].network.index {
		t.Fatal("both clusters have the same network")
	}
	if err := clusters[0].Stop(); err != nil {
		t.Fatal(err)
	}
	if err := runPause(clusters[1], "node-0"); err != nil {
		t.Errorf("after the other cluster's end: %v", err)
	}
}

// Every network has its own addresses, whatever their number.
func TestNetworksDoNotOverlap(t *testing.T) {
	var all []netip.Prefix
	for index := range maxNetworks {
		n := &network{index: index}
		parts := []netip.Prefix{netip.PrefixFrom(n.gateway(), nodeBits).Masked()}
		for node := range maxRealNodes {
			parts = append(parts, n.pods(node))
			if !parts[0].Contains(n.node(node)) || n.node(node) == n.gateway() {
				t.Errorf("network %d: node %d has %s, want one of %s", index, node, n.node(node), parts[0])
			}
		}
		for _, part := range parts {
			if !n.prefix().Overlaps(part) || n.prefix().Bits() > part.Bits() || !allNetworks.Overlaps(part) {
				t.Errorf("network %d: %s is outside of %s", index, part, n.prefix())
			}
			for _, other := range all {
				if other.Overlaps(part) {
					t.Errorf("network %d: %s overlaps %s", index, part, other)
				}
			}
		}
		all = append(all, parts...)
	}
}

// Who lacks something is told all of it at once, and how to get it.
func TestMachineError(t *testing.T) {
	cases := map[string]struct {
		system  string
		user    int
		missing []string
		want    string
	}{
		"everything is there": {system: "linux"},
		"another system":      {system: "darwin", want: "this machine cannot run real nodes: they need Linux, and this is darwin"},
		"not root":            {system: "linux", user: 1000, want: "this machine cannot run real nodes: run as root, for namespaces, mounts and cgroups"},
		"packages are missing": {
			system: "linux", missing: []string{"containerd", "ctr", "runc", "/usr/lib/cni/bridge", "ip", "nft"},
			want: "this machine cannot run real nodes: install what is missing: apt-get install -y --no-install-recommends containerd runc containernetworking-plugins iproute2 nftables",
		},
		"not root and a package is missing": {
			system: "linux", user: 1000, missing: []string{"runc"},
			want: "this machine cannot run real nodes: run as root, for namespaces, mounts and cgroups; install what is missing: apt-get install -y --no-install-recommends runc",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			err := machineError(tc.system, tc.user, func(file string) bool {
				return !slices.Contains(tc.missing, file)
			})
			got := ""
			if err != nil {
				got = err.Error()
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("machineError() differs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestBadRealNodes(t *testing.T) {
	cases := map[string]struct {
		nodes []RealNode
		want  string
	}{
		"too many":   {nodes: NewRealNodes(9), want: "at most 8"},
		"no name":    {nodes: []RealNode{{}}, want: `the name ""`},
		"a path":     {nodes: []RealNode{{Name: "../x"}}, want: `the name "../x"`},
		"same names": {nodes: []RealNode{{Name: "a"}, {Name: "a"}}, want: "two real nodes are named a"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := Start(t.Context(), Options{RealNodes: tc.nodes})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Start() = %v, want an error that says %q", err, tc.want)
			}
		})
	}
	if nodes := NewRealNodes(-1); len(nodes) != 0 {
		t.Errorf("NewRealNodes(-1) = %s", fmt.Sprint(nodes))
	}
}
