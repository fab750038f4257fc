package controller

import (
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/fabricscan"
	"github.com/k8s4ai/k8s4ai/internal/testkit"
	"github.com/k8s4ai/k8s4ai/internal/topology"
	"github.com/k8s4ai/k8s4ai/test/sandbox"
)

const (
	leafLabel = "cloud.google.com/gce-topology-subblock"
	product   = "nvidia.com/gpu.product"
	namespace = "train"
	// patience is how long a watch may take to show its effect on a busy machine.
	patience = time.Minute
)

// wiring is a cluster with a running manager.
type wiring struct {
	client client.Client
	t      *testing.T
}

// startManager starts a manager with every controller, until the test ends.
func startManager(t *testing.T) *wiring {
	t.Helper()
	cluster := sandbox.StartForTest(t, sandbox.Options{CRDs: []string{sandbox.RepositoryCRDs()}})
	mgr, err := ctrl.NewManager(cluster.RESTConfig, ctrl.Options{
		Scheme: cluster.Client.Scheme(), Metrics: metricsserver.Options{BindAddress: "0"}, Logger: zap.New(zap.WriteTo(io.Discard)),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := Setup(ctx, mgr, namespace); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the manager ended with %v", err)
		}
	})
	w := &wiring{client: cluster.Client, t: t}
	w.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})
	return w
}

func (w *wiring) create(objects ...client.Object) {
	w.t.Helper()
	for _, object := range objects {
		if err := w.client.Create(w.t.Context(), object); err != nil {
			w.t.Fatal(err)
		}
	}
}

// node creates a node that takes Pods: the API server gives each new node a
// taint that a controller manager would take away.
func (w *wiring) node(node *corev1.Node) *corev1.Node {
	w.t.Helper()
	w.create(node)
	w.edit(node, func() { node.Spec.Taints = nil })
	return node
}

// edit changes an object, again if somebody else was faster.
func (w *wiring) edit(object client.Object, change func()) {
	w.t.Helper()
	w.eventually("the edit is stored", func() error {
		if err := w.get(object); err != nil {
			return err
		}
		change()
		return w.client.Update(w.t.Context(), object)
	})
}

func (w *wiring) get(object client.Object) error {
	return w.client.Get(w.t.Context(), client.ObjectKeyFromObject(object), object)
}

func (w *wiring) remove(object client.Object) {
	w.t.Helper()
	if err := w.client.Delete(w.t.Context(), object, client.GracePeriodSeconds(0)); err != nil {
		w.t.Fatal(err)
	}
}

// eventually waits until a check has no error.
func (w *wiring) eventually(what string, check func() error) {
	w.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("%s: after %s still: %v", what, patience, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func domainNamed(name string) *v1alpha1.TopologyDomain {
	return &v1alpha1.TopologyDomain{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

// wantDomain waits for a domain with that room.
func (w *wiring) wantDomain(name string, free, total int32) {
	w.t.Helper()
	w.eventually(fmt.Sprintf("domain %s has %d of %d accelerators free", name, free, total), func() error {
		domain := domainNamed(name)
		if err := w.get(domain); err != nil {
			return err
		}
		if d := domain.Status.Accelerators; d == nil || *d.Free != free || *d.Total != total {
			return fmt.Errorf("its status is %+v", domain.Status)
		}
		return nil
	})
}

// wantClass waits for a class with that room.
func (w *wiring) wantClass(class *v1alpha1.AcceleratorClass, free, total int32) {
	w.t.Helper()
	w.eventually(fmt.Sprintf("class %s has %d of %d accelerators free", class.Name, free, total), func() error {
		if err := w.get(class); err != nil {
			return err
		}
		if d := class.Status.Devices; d == nil || *d.Free != free || *d.Total != total {
			return fmt.Errorf("its status is %+v", class.Status)
		}
		return nil
	})
}

func (w *wiring) wantLabel(node *corev1.Node, key, want string) {
	w.t.Helper()
	w.eventually(fmt.Sprintf("node %s has %s=%q", node.Name, key, want), func() error {
		if err := w.get(node); err != nil {
			return err
		}
		if got := node.Labels[key]; got != want {
			return fmt.Errorf("it has %q", got)
		}
		return nil
	})
}

// wantPods waits until the gang has that many Pods, and returns them.
func (w *wiring) wantPods(gang *v1alpha1.GangSchedulingGroup, want int) []corev1.Pod {
	w.t.Helper()
	var pods corev1.PodList
	w.eventually(fmt.Sprintf("gang %s has %d Pods", gang.Name, want), func() error {
		if err := w.client.List(w.t.Context(), &pods, client.InNamespace(namespace), client.MatchingLabels{v1alpha1.LabelGang: gang.Name}); err != nil {
			return err
		}
		if len(pods.Items) != want {
			return fmt.Errorf("it has %d", len(pods.Items))
		}
		return nil
	})
	return pods.Items
}

// Each change of the world wakes the controller that has to do something about
// it. What it does is tested next to it. A process holds one manager.
func TestWatchesWakeControllers(t *testing.T) {
	w := startManager(t)
	t.Run("gangs, nodes, classes and Pods", w.testWorld)
	t.Run("domains and reports", w.testDomains)
}

func (w *wiring) testWorld(t *testing.T) {
	w.t = t
	n1 := w.node(testkit.Node("n1").GPUs(8).Label(leafLabel, "leaf-a").Label(product, "H100").Obj())
	w.wantDomain("leaf-a", 8, 8)
	w.wantLabel(n1, v1alpha1.LabelLeaf, "leaf-a")

	class := testkit.Class("h100").OnLabel(product, "H100").Obj()
	w.create(class)
	w.wantLabel(n1, v1alpha1.LabelClassPrefix+"h100", "true")
	w.wantClass(class, 8, 8)

	gang := testkit.Gang("train").Namespace(namespace).Role("worker", 2, 4).Class("h100").Obj()
	w.create(gang)
	pods := w.wantPods(gang, 2)
	for i := range pods {
		if at := testkit.PinnedTo(&pods[i]); at != "n1" {
			t.Errorf("pod %s is pinned to %q", pods[i].Name, at)
		}
	}
	w.wantClass(class, 0, 8)
	w.wantDomain("leaf-a", 0, 8)

	second := testkit.Gang("second").Namespace(namespace).Role("worker", 1, 8).Obj()
	w.create(second)
	w.eventually("the second gang is told to wait", func() error {
		if err := w.get(second); err != nil {
			return err
		}
		if second.Status.Refusal == nil {
			return fmt.Errorf("its status is %+v", second.Status)
		}
		return nil
	})
	n2 := w.node(testkit.Node("n2").GPUs(8).Label(leafLabel, "leaf-a").Label(product, "H100").Obj())
	w.wantPods(second, 1)
	w.wantClass(class, 0, 16)
	w.wantDomain("leaf-a", 0, 16)

	w.remove(second)
	w.wantPods(second, 0)
	w.wantClass(class, 8, 16)
	w.wantDomain("leaf-a", 8, 16)

	pod := testkit.Pod("foreign").Namespace(namespace).On("n2").GPUs(3).Obj()
	w.create(pod)
	w.wantClass(class, 5, 16)
	w.wantDomain("leaf-a", 5, 16)
	w.remove(pod)
	w.wantClass(class, 8, 16)

	w.edit(n2, func() { n2.Labels[leafLabel], n2.Labels[product] = "leaf-b", "L40S" })
	w.wantDomain("leaf-b", 8, 8)
	w.wantLabel(n2, v1alpha1.LabelClassPrefix+"h100", "")
}

// The manager's own objects and labels come back when somebody takes them away,
// and evidence of every kind is looked at when it comes.
func (w *wiring) testDomains(t *testing.T) {
	w.t = t
	m1 := w.node(testkit.Node("m1").GPUs(2).Label(leafLabel, "leaf-m").Obj())
	w.wantDomain("leaf-m", 2, 2)

	w.remove(domainNamed("leaf-m"))
	w.wantDomain("leaf-m", 2, 2)
	edited := domainNamed("leaf-m")
	w.edit(edited, func() { edited.Spec.UplinkGbps = 400 })
	w.eventually("the edited domain is put right", func() error {
		if err := w.get(edited); err != nil {
			return err
		}
		if edited.Spec.UplinkGbps != 0 {
			return fmt.Errorf("its uplink is %d", edited.Spec.UplinkGbps)
		}
		return nil
	})
	w.edit(m1, func() { delete(m1.Labels, v1alpha1.LabelLeaf) })
	w.wantLabel(m1, v1alpha1.LabelLeaf, "leaf-m")

	declared := testkit.Domain("rack-m", v1alpha1.LevelLeaf).Nodes("m1").Obj()
	w.create(declared)
	w.wantDomain("rack-m", 2, 2)
	w.wantLabel(m1, v1alpha1.LabelLeaf, "rack-m")
	w.eventually("the derived leaf goes", func() error {
		if err := w.get(domainNamed("leaf-m")); !apierrors.IsNotFound(err) {
			return fmt.Errorf("it is still there: %v", err)
		}
		return nil
	})

	class := testkit.Class("by-id").Obj()
	class.Spec.Match.PCIIDs = []string{"10de:2330"}
	w.create(class)
	w.wantClass(class, 0, 0)
	vertex := testkit.Domain("m1", v1alpha1.LevelNode).Obj()
	vertex.Spec.NodeName = "m1"
	w.create(vertex)
	w.eventually("the agent's report is stored", func() error {
		if err := w.get(vertex); err != nil {
			return err
		}
		vertex.Status.Node = &v1alpha1.NodeReport{Accelerators: []v1alpha1.Accelerator{
			{UUID: "GPU-1", Index: new(int32(0)), PCIID: "10de:2330", Health: v1alpha1.DeviceHealthy},
			{UUID: "GPU-2", Index: new(int32(1)), PCIID: "10de:2330", Health: v1alpha1.DeviceUnhealthy},
		}}
		return w.client.Status().Update(t.Context(), vertex)
	})
	w.wantClass(class, 1, 2)
	w.wantDomain("rack-m", 1, 2)
	w.remove(class)
	w.wantLabel(m1, v1alpha1.LabelClassPrefix+"by-id", "")

	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "m1", Namespace: namespace}}
	lease.Spec = coordinationv1.LeaseSpec{LeaseDurationSeconds: new(int32(1)), RenewTime: &metav1.MicroTime{Time: time.Unix(1000, 0)}}
	w.create(lease)
	w.wantStale(vertex, v1alpha1.ReasonHeartbeatLost)
	w.edit(lease, func() {
		lease.Spec.RenewTime.Time, lease.Spec.LeaseDurationSeconds = time.Unix(1001, 0), new(int32(3600))
	})
	w.wantStale(vertex, v1alpha1.ReasonHeartbeatSeen)
	w.remove(lease)
	w.wantStale(vertex, "")
	w.testScan(vertex)
}

// wantStale waits for the reason of the condition Stale, "" for no condition.
func (w *wiring) wantStale(vertex *v1alpha1.TopologyDomain, want string) {
	w.t.Helper()
	w.eventually(fmt.Sprintf("Stale of %s is %q", vertex.Name, want), func() error {
		if err := w.get(vertex); err != nil {
			return err
		}
		got := ""
		if c := meta.FindStatusCondition(vertex.Status.Conditions, v1alpha1.ConditionStale); c != nil {
			got = c.Reason
		}
		if got != want {
			return fmt.Errorf("it is %q", got)
		}
		return nil
	})
}

// testScan stores a scan that knows the node of vertex.
func (w *wiring) testScan(vertex *v1alpha1.TopologyDomain) {
	w.t.Helper()
	w.remove(domainNamed("rack-m"))
	w.edit(vertex, func() {})
	vertex.Status.Node.NICs = []v1alpha1.NIC{{Name: "mlx5_0", GUID: "0000:0000:0000:0001", LinkLayer: v1alpha1.LinkLayerInfiniBand, State: v1alpha1.NICActive}}
	if err := w.client.Status().Update(w.t.Context(), vertex); err != nil {
		w.t.Fatal(err)
	}
	scan := topology.Scan{Leaves: []topology.LeafSwitch{{GUID: "000000000000000a", Fabric: "00000000000000f0", Adapters: []uint64{1}}}}
	parts, err := fabricscan.Parts(scan, fabricscan.Sets[0], fabricscan.Info{Generation: 1})
	if err != nil {
		w.t.Fatal(err)
	}
	parts[0].Namespace = namespace
	w.create(&parts[0])
	w.wantDomain("leaf-000000000000000a", 1, 2)
	w.remove(&parts[0])
	w.wantDomain("leaf-m", 1, 2)
}
