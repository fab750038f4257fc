package e2e

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/convert"
	"github.com/k8s4ai/k8s4ai/test/sandbox"
)

// leafOf is the provider's own label, which the manager does not write.
const leafOf = "cloud.google.com/gce-topology-subblock"

// domainsOf counts the values of a node label among a gang's Pods.
func domainsOf(t *testing.T, group *v1alpha1.GangSchedulingGroup, label string) map[string]int {
	t.Helper()
	pods, err := env.PodsOf(t.Context(), client.ObjectKeyFromObject(group))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]int{}
	for i := range pods {
		var node corev1.Node
		if err := env.Client.Get(t.Context(), client.ObjectKey{Name: pods[i].Spec.NodeName}, &node); err != nil {
			t.Fatal(err)
		}
		out[node.Labels[label]]++
	}
	return out
}

func TestGangSitsInOneLeaf(t *testing.T) {
	group := gang(story(t), "train", 32, 8)
	group.Spec.Topology = &v1alpha1.GangTopology{Required: v1alpha1.LevelLeaf}
	create(t, group)
	has(t, group, v1alpha1.ConditionReady, v1alpha1.ReasonRunning)
	if domains := domainsOf(t, group, leafOf); len(domains) != 1 {
		t.Errorf("the gang is in leaves %v, want one", domains)
	}
	nothingBroken(t)
}

func TestSlicesSitInOneLeafEach(t *testing.T) {
	group := gang(story(t), "sliced", 48, 8)
	group.Spec.Groups = []v1alpha1.GangGroup{{Name: "dp", RoleNames: []string{"w"}, SliceSize: 24, Required: v1alpha1.LevelLeaf}}
	group.Spec.Topology = &v1alpha1.GangTopology{Required: v1alpha1.LevelBlock}
	create(t, group)
	has(t, group, v1alpha1.ConditionReady, v1alpha1.ReasonRunning)
	for leaf, pods := range domainsOf(t, group, leafOf) {
		if pods%24 != 0 {
			t.Errorf("leaf %s has %d pods, want whole slices of 24", leaf, pods)
		}
	}
	nothingBroken(t)
}

func TestLargeGangFillsThreeBlocks(t *testing.T) {
	group := gang(story(t), "large", 384, 8)
	begin := time.Now()
	create(t, group)
	has(t, group, v1alpha1.ConditionReady, v1alpha1.ReasonRunning)
	t.Logf("384 pods run %s after the gang was created", time.Since(begin).Round(100*time.Millisecond))
	if domains := domainsOf(t, group, "cloud.google.com/gce-topology-block"); len(domains) != 3 {
		t.Errorf("the gang is in blocks %v, want three", domains)
	}
	nothingBroken(t)
}

func TestWaitingGangIsPlacedWhenAnotherEnds(t *testing.T) {
	namespace := story(t)
	first := gang(namespace, "first", 400, 8)
	annotate(first, sandbox.AnnotationRunFor, "10s")
	create(t, first)
	has(t, first, v1alpha1.ConditionReady, v1alpha1.ReasonRunning)
	second := gang(namespace, "second", 200, 8)
	create(t, second)
	waiting := has(t, second, v1alpha1.ConditionReconciling, v1alpha1.ReasonWaitingForRoom)
	for waiting.Status.Refusal == nil {
		waiting = has(t, second, v1alpha1.ConditionReconciling, v1alpha1.ReasonWaitingForRoom)
	}
	if got := ptr.Deref(waiting.Status.Refusal.Found, 0); got != 112 {
		t.Errorf("the refusal says %q, want 112 slots", waiting.Status.Refusal.Message)
	}
	has(t, first, v1alpha1.ConditionFinished, v1alpha1.ReasonSucceeded)
	has(t, second, v1alpha1.ConditionReady, v1alpha1.ReasonRunning)
	nothingBroken(t)
}

func TestNeverFittingGangIsStalled(t *testing.T) {
	namespace := story(t)
	tooBig := gang(namespace, "too-big", 513, 8)
	unknown := gang(namespace, "unknown", 1, 8)
	unknown.Spec.Roles[0].Accelerator = &v1alpha1.AcceleratorRequest{ClassName: "no-such-class"}
	impossible := gang(namespace, "impossible", 2, 8)
	impossible.Spec.Topology = &v1alpha1.GangTopology{Required: v1alpha1.LevelNode}
	create(t, tooBig, unknown, impossible)
	has(t, tooBig, v1alpha1.ConditionStalled, v1alpha1.ReasonUnsatisfiable)
	has(t, unknown, v1alpha1.ConditionStalled, v1alpha1.ReasonUnknownClass)
	has(t, impossible, v1alpha1.ConditionStalled, v1alpha1.ReasonUnsatisfiable)
	nothingBroken(t)
}

func TestCordonedNodesTakeNoGang(t *testing.T) {
	namespace := story(t)
	var leaf corev1.NodeList
	if err := env.Client.List(t.Context(), &leaf, client.MatchingLabels{leafOf: "block-a-leaf-0"}); err != nil {
		t.Fatal(err)
	}
	cordon := func(ctx context.Context, on bool) error {
		var errs []error
		for i := range leaf.Items {
			patch := client.RawPatch("application/merge-patch+json", fmt.Appendf(nil, `{"spec":{"unschedulable":%t}}`, on))
			errs = append(errs, env.Client.Patch(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: leaf.Items[i].Name}}, patch))
		}
		return errors.Join(errs...)
	}
	if err := cordon(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := cordon(context.Background(), false); err != nil {
			t.Error(err)
		}
	}()
	group := gang(namespace, "rest", 512, 8)
	create(t, group)
	stalled := has(t, group, v1alpha1.ConditionStalled, v1alpha1.ReasonUnsatisfiable)
	if got := ptr.Deref(stalled.Status.Refusal.Found, 0); got != 480 {
		t.Errorf("the refusal says %q, want 480 slots", stalled.Status.Refusal.Message)
	}
	if err := cordon(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	has(t, group, v1alpha1.ConditionReady, v1alpha1.ReasonRunning)
	nothingBroken(t)
}

// A Pod of someone else takes the place between the plan and the binding: the
// gang gives all of it up and goes elsewhere, and the foreign Pod stays.
func TestForeignPodOnThePlannedNode(t *testing.T) {
	namespace := story(t)
	up, err := env.Down("kube-scheduler")
	if err != nil {
		t.Fatal(err)
	}
	group := gang(namespace, "raced", 4, 8)
	group.Spec.BindTimeoutSeconds = 3
	create(t, group)
	planned := has(t, group, v1alpha1.ConditionPlaced, v1alpha1.ReasonPlanned)
	roles, err := convert.PlacedRoles(planned.Status.Placement)
	if err != nil {
		t.Fatal(err)
	}
	foreign := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "foreign"},
		Spec:       gang(namespace, "x", 1, 8).Spec.Roles[0].Template.Spec,
	}
	foreign.Spec.NodeName = roles[0].Nodes[2]
	create(t, foreign)
	// A scheduler that starts knows all Pods before it binds one.
	if err := up(); err != nil {
		t.Fatal(err)
	}
	eventually(t.Context(), t, "the gang runs elsewhere", func(ctx context.Context) error {
		found, err := get(ctx, client.ObjectKeyFromObject(group))
		if err != nil {
			return err
		}
		if found.Status.Epoch < 2 || found.Status.StartedEpoch != found.Status.Epoch {
			return fmt.Errorf("epoch %d, %s", found.Status.Epoch, conditions(found))
		}
		return nil
	})
	if err := env.Client.Get(t.Context(), client.ObjectKeyFromObject(foreign), foreign); err != nil || !foreign.DeletionTimestamp.IsZero() {
		t.Errorf("the foreign pod did not stay: %v", err)
	}
	nothingBroken(t)
}

func pause(t *testing.T, group *v1alpha1.GangSchedulingGroup, on bool) {
	t.Helper()
	if err := suspend(t.Context(), group, on); err != nil {
		t.Fatal(err)
	}
}

func TestSuspendAndResume(t *testing.T) {
	group := gang(story(t), "paused", 8, 8)
	create(t, group)
	has(t, group, v1alpha1.ConditionReady, v1alpha1.ReasonRunning)
	pause(t, group, true)
	eventually(t.Context(), t, "the gang holds nothing", func(ctx context.Context) error {
		found, err := get(ctx, client.ObjectKeyFromObject(group))
		if err != nil {
			return err
		}
		pods, err := env.PodsOf(ctx, client.ObjectKeyFromObject(group))
		if err == nil && (found.Status.Placement != nil || len(pods) > 0) {
			err = fmt.Errorf("%d pods, %s", len(pods), conditions(found))
		}
		return err
	})
	pause(t, group, false)
	if again := has(t, group, v1alpha1.ConditionReady, v1alpha1.ReasonRunning); again.Status.Epoch != 2 {
		t.Errorf("the gang runs in epoch %d, want 2", again.Status.Epoch)
	}
	nothingBroken(t)
}

func TestFailingGangComesBackAndThenFails(t *testing.T) {
	group := gang(story(t), "flaky", 4, 8)
	annotate(group, sandbox.AnnotationFailAfter, "2s")
	group.Spec.RestartPolicy = &v1alpha1.GangRestartPolicy{Type: v1alpha1.RestartRecreateGang, MaxRestarts: 1}
	create(t, group)
	failed := has(t, group, v1alpha1.ConditionFinished, v1alpha1.ReasonFailed)
	if restarts := ptr.Deref(failed.Status.Restarts, 0); restarts != 1 || failed.Status.Epoch != 2 {
		t.Errorf("the gang failed after %d restarts in epoch %d, want 1 and 2", restarts, failed.Status.Epoch)
	}
	nothingBroken(t)
}

func TestDeletedGangLeavesNothing(t *testing.T) {
	group := gang(story(t), "gone", 64, 8)
	create(t, group)
	has(t, group, v1alpha1.ConditionPlaced, v1alpha1.ReasonPlanned)
	if err := env.Client.Delete(t.Context(), group); err != nil {
		t.Fatal(err)
	}
	eventually(t.Context(), t, "the gang and its pods are gone", func(ctx context.Context) error {
		_, err := get(ctx, client.ObjectKeyFromObject(group))
		if !apierrors.IsNotFound(err) {
			return fmt.Errorf("the gang is there: %w", err)
		}
		pods, err := env.PodsOf(ctx, client.ObjectKeyFromObject(group))
		if err == nil && len(pods) > 0 {
			err = fmt.Errorf("%d pods are there", len(pods))
		}
		return err
	})
	nothingBroken(t)
}
