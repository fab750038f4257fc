// Package discovery tells the stories of the node agent on tier 3: real kubelets
// and containerd, manager and agents as Pods from their images, config/default.
// The hardware is fake: a driver library and a sysfs tree of three machines of
// different shapes, made from fleet-3.yaml.
package discovery

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/fleet"
	"github.com/k8s4ai/k8s4ai/test/harness"
	"github.com/k8s4ai/k8s4ai/test/sandbox"
)

const fleetFile = "fleet-3.yaml"

// The nodes of the fleet file.
const (
	h100 = "h100-00"
	h200 = "h200-00"
	l40s = "l40s-00"
)

// soon is what the product promises: a fault is told within 10 seconds.
const soon = 10 * time.Second

// env is the shared cluster.
var env *harness.Env

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	logf := func(format string, args ...any) { fmt.Printf("discovery: "+format+"\n", args...) }
	var err error
	env, err = harness.StartReal(context.Background(), fleetFile, logf)
	if sandbox.MaySkip(err) {
		fmt.Println("discovery: skipped:", err)
		return 0
	}
	if err == nil {
		out, applyErr := env.Kubectl(context.Background(), "apply", "-k", filepath.Join(env.Root, "config", "catalog"))
		if err = applyErr; err != nil {
			fmt.Println("discovery: the catalogue:", out)
		}
	}
	if err != nil {
		fmt.Println("discovery:", err)
		return 1
	}
	defer func() {
		if err := env.Stop(); err != nil {
			fmt.Println("discovery: stopping:", err)
		}
	}()
	return m.Run()
}

// wait fails the test when something does not hold within a limit.
func wait(t *testing.T, limit time.Duration, what string, holds func(context.Context) error) {
	t.Helper()
	if err := harness.Wait(t.Context(), limit, holds); err != nil {
		out, _ := env.Kubectl(t.Context(), "get", "td,pods", "-A", "-o", "wide")
		logs, _ := env.Kubectl(t.Context(), "logs", "-n=k8s4ai-system", "-l=app.kubernetes.io/component=manager", "--tail=40")
		t.Fatalf("%s: %v\n%s\n%s", what, err, out, logs)
	}
}

func domainOf(ctx context.Context, node string) (*v1alpha1.TopologyDomain, error) {
	var domain v1alpha1.TopologyDomain
	return &domain, env.Client.Get(ctx, client.ObjectKey{Name: node}, &domain)
}

// condition is nil when a condition of a node's domain is as wanted.
func condition(node, kind string, status metav1.ConditionStatus, reason string) func(context.Context) error {
	return func(ctx context.Context) error {
		domain, err := domainOf(ctx, node)
		if err != nil {
			return err
		}
		c := meta.FindStatusCondition(domain.Status.Conditions, kind)
		if c == nil || c.Status != status || c.Reason != reason {
			return fmt.Errorf("%s of %s is %+v, want %s %s", kind, node, c, status, reason)
		}
		return nil
	}
}

// Three machines of different shapes are found as the fleet file describes them,
// and their devices belong to classes of the catalogue.
func TestMachinesAreDiscovered(t *testing.T) {
	f, err := fleet.Load(fleetFile)
	if err != nil {
		t.Fatal(err)
	}
	volatile := cmpopts.IgnoreFields(v1alpha1.NodeReport{}, "ObservedTime", "AgentVersion", "BootID")
	for _, want := range f.Reports() {
		wait(t, time.Minute, "a report of "+want.Name, func(ctx context.Context) error {
			domain, err := domainOf(ctx, want.Name)
			if err != nil {
				return err
			}
			if domain.Status.Node == nil {
				return errors.New("there is no report")
			}
			if diff := cmp.Diff(want.Status.Node, domain.Status.Node, volatile, cmpopts.EquateEmpty()); diff != "" {
				return fmt.Errorf("the report (-want +got):\n%s", diff)
			}
			return nil
		})
		wait(t, soon, want.Name+" is healthy", condition(want.Name, v1alpha1.ConditionHealthy, metav1.ConditionTrue, v1alpha1.ReasonHealthy))
		wait(t, soon, want.Name+" is whole", condition(want.Name, v1alpha1.ConditionDiscovered, metav1.ConditionTrue, v1alpha1.ReasonComplete))
		wait(t, time.Minute, want.Name+" is alive", condition(want.Name, v1alpha1.ConditionStale, metav1.ConditionFalse, v1alpha1.ReasonHeartbeatSeen))
	}
	for class, devices := range map[string]int32{"nvidia-h100-sxm-80gb": 8, "nvidia-h200-sxm-141gb": 8, "nvidia-l40s-48gb": 1} {
		wait(t, time.Minute, "devices of "+class, func(ctx context.Context) error {
			var got v1alpha1.AcceleratorClass
			if err := env.Client.Get(ctx, client.ObjectKey{Name: class}, &got); err != nil {
				return err
			}
			if got.Status.Devices == nil || got.Status.Devices.Total == nil || *got.Status.Devices.Total != devices {
				return fmt.Errorf("devices are %+v, want %d", got.Status.Devices, devices)
			}
			return nil
		})
	}
	draw(t)
}

// draw shows what a person sees, wide and narrow.
func draw(t *testing.T) {
	t.Helper()
	for _, width := range []string{"120", "60"} {
		out, err := env.Plugin(t.Context(), "topology", "--width", width)
		if err != nil {
			t.Fatalf("kubectl k8s4ai topology: %v\n%s", err, out)
		}
		t.Logf("kubectl k8s4ai topology, %s columns:\n%s", width, out)
		for _, node := range []string{h100, h200, l40s} {
			if !strings.Contains(out, node) {
				t.Errorf("%s is not in the tree:\n%s", node, out)
			}
		}
	}
}

// breakDriver adds lines to the description that the fake driver of a node reads,
// until the test ends.
func breakDriver(t *testing.T, node, lines string) {
	t.Helper()
	path := env.FakeDriver(node)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	replace(t, path, string(before)+lines+"\n")
	t.Cleanup(func() { replace(t, path, string(before)) })
}

// replace gives a file new content in one step.
func replace(t *testing.T, path, content string) {
	t.Helper()
	if err := errors.Join(os.WriteFile(path+".new", []byte(content), 0o644), os.Rename(path+".new", path)); err != nil {
		t.Error(err)
	}
}

// An NVLink that goes down turns the node's condition within 10 seconds, a gang
// that needs all devices goes to the other machine, and the node comes back with
// the link.
func TestNVLinkDown(t *testing.T) {
	breakDriver(t, h100, "link 3 5 down")
	wait(t, soon, "the condition", condition(h100, v1alpha1.ConditionHealthy, metav1.ConditionFalse, v1alpha1.ReasonNVLinkDown))
	wait(t, soon, "the counts", func(ctx context.Context) error {
		domain, err := domainOf(ctx, h100)
		if err != nil {
			return err
		}
		if n := domain.Status.Accelerators; n == nil || n.Unhealthy == nil || *n.Unhealthy == 0 {
			return fmt.Errorf("accelerators are %+v", domain.Status.Accelerators)
		}
		return nil
	})
	placedOn(t, "avoids-nvlink", h200)
}

// The same for a network port.
func TestNICDown(t *testing.T) {
	state := filepath.Join(env.MachineRoot(h200), "sys", "class", "infiniband", "mlx5_2", "ports", "1", "state")
	before, err := os.ReadFile(state)
	if err != nil {
		t.Fatal(err)
	}
	replace(t, state, "1: DOWN\n")
	t.Cleanup(func() { replace(t, state, string(before)) })
	wait(t, soon, "the condition", condition(h200, v1alpha1.ConditionHealthy, metav1.ConditionFalse, v1alpha1.ReasonNICDown))
	placedOn(t, "avoids-nic", h100)
	replace(t, state, string(before))
	wait(t, soon, "the node is well again", condition(h200, v1alpha1.ConditionHealthy, metav1.ConditionTrue, v1alpha1.ReasonHealthy))
}

// placedOn runs a gang of one Pod that needs eight devices, and checks where.
func placedOn(t *testing.T, name, node string) {
	t.Helper()
	gang := &v1alpha1.GangSchedulingGroup{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
		Spec: v1alpha1.GangSchedulingGroupSpec{Roles: []v1alpha1.GangRole{{
			Name: "w", Replicas: 1,
			Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{
				Name: "main", Image: sandbox.PauseImage,
				Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{"nvidia.com/gpu": resource.MustParse("8")}},
			}}}},
		}}},
	}
	if err := env.Client.Create(t.Context(), gang); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := env.Client.Delete(ctx, gang, client.PropagationPolicy(metav1.DeletePropagationForeground)); err != nil {
			t.Error(err)
		}
		if err := harness.Wait(ctx, time.Minute, func(ctx context.Context) error {
			if err := env.Client.Get(ctx, client.ObjectKeyFromObject(gang), gang); err == nil {
				return errors.New("the gang is still there")
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	})
	wait(t, time.Minute, "the gang runs", func(ctx context.Context) error {
		if err := env.Client.Get(ctx, client.ObjectKeyFromObject(gang), gang); err != nil {
			return err
		}
		if !meta.IsStatusConditionTrue(gang.Status.Conditions, v1alpha1.ConditionReady) {
			return fmt.Errorf("conditions are %+v", gang.Status.Conditions)
		}
		return nil
	})
	var pods corev1.PodList
	if err := env.Client.List(t.Context(), &pods, client.InNamespace("default"), client.MatchingLabels{v1alpha1.LabelGang: name}); err != nil {
		t.Fatal(err)
	}
	for i := range pods.Items {
		if got := pods.Items[i].Spec.NodeName; got != node {
			t.Errorf("%s runs on %s, want %s", pods.Items[i].Name, got, node)
		}
	}
}

// An agent that is gone leaves its last facts, with their age.
func TestStale(t *testing.T) {
	before, err := domainOf(t.Context(), l40s)
	if err != nil {
		t.Fatal(err)
	}
	// The DaemonSet leaves the node, which itself stays as it is.
	keepOff := fmt.Sprintf(`{"spec":{"template":{"spec":{"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[
		{"matchFields":[{"key":"metadata.name","operator":"NotIn","values":[%q]}]}]}}}}}}}`, l40s)
	patchAgents(t, keepOff)
	wait(t, 2*time.Minute, "the condition", condition(l40s, v1alpha1.ConditionStale, metav1.ConditionTrue, v1alpha1.ReasonHeartbeatLost))
	after, err := domainOf(t.Context(), l40s)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before.Status.Node, after.Status.Node); diff != "" {
		t.Errorf("the last facts changed (-before +after):\n%s", diff)
	}
	t.Logf("Stale: %s", meta.FindStatusCondition(after.Status.Conditions, v1alpha1.ConditionStale).Message)
	patchAgents(t, `{"spec":{"template":{"spec":{"affinity":null}}}}`)
	wait(t, 2*time.Minute, "a new sign of life", condition(l40s, v1alpha1.ConditionStale, metav1.ConditionFalse, v1alpha1.ReasonHeartbeatSeen))
}

func patchAgents(t *testing.T, patch string) {
	t.Helper()
	agents := &metav1.PartialObjectMetadata{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "DaemonSet"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "k8s4ai-agent", Name: "k8s4ai-node-agent"},
	}
	if err := env.Client.Patch(t.Context(), agents, client.RawPatch(types.StrategicMergePatchType, []byte(patch))); err != nil {
		t.Fatal(err)
	}
}
