package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/test/sandbox"
)

const (
	killedGangs = 30
	kills       = 20
)

// The manager is killed with SIGKILL at random moments while gangs come, start,
// fail, pause and go. Afterwards no Pod is missing, doubled, or on a node that its
// gang's status does not name. K8S4AI_SEED repeats a run's choices.
func TestManagerKilledAtRandomMoments(t *testing.T) {
	namespace := story(t)
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("K8S4AI_SEED"); text != "" {
		parsed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seed = parsed
	}
	t.Logf("K8S4AI_SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, seed))

	gangs := make([]*v1alpha1.GangSchedulingGroup, killedGangs)
	for i := range gangs {
		gangs[i] = randomGang(random, namespace, fmt.Sprintf("g%d", i))
	}
	next, midway := 0, 0
	for range kills {
		// One to three gangs come, so that there is work at every kill.
		for range 1 + random.IntN(3) {
			if next < len(gangs) {
				create(t, gangs[next])
				next++
			}
		}
		disturb(t, random, gangs[:next])
		// A new process waits up to three seconds for the old one's lease, and needs
		// some more to read the cluster.
		time.Sleep(time.Duration(3000+random.IntN(1500)) * time.Millisecond)
		midway += inMotion(t, namespace)
		env.KillManager()
		if err := env.StartManager(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d kills met %d gangs between commit and running, or being released", kills, midway)
	for ; next < len(gangs); next++ {
		create(t, gangs[next])
	}
	settled(t, gangs)
	nothingBroken(t)
}

// inMotion counts the gangs whose Pods are being created or removed.
func inMotion(t *testing.T, namespace string) int {
	t.Helper()
	var groups v1alpha1.GangSchedulingGroupList
	if err := env.Client.List(t.Context(), &groups, client.InNamespace(namespace)); err != nil {
		t.Fatal(err)
	}
	moving := 0
	for i := range groups.Items {
		status := &groups.Items[i].Status
		if status.Placement != nil && status.StartedEpoch != status.Epoch || status.Release != nil {
			moving++
		}
	}
	return moving
}

// randomGang makes a gang of one of several kinds.
func randomGang(random *rand.Rand, namespace, name string) *v1alpha1.GangSchedulingGroup {
	group := gang(namespace, name, 1+random.IntN(48), []int{1, 2, 4, 8}[random.IntN(4)])
	switch random.IntN(5) {
	case 0:
		// A leaf has 32 machines; a larger gang would never come to rest in it.
		group.Spec.Roles[0].Replicas = min(group.Spec.Roles[0].Replicas, 32)
		group.Spec.Topology = &v1alpha1.GangTopology{Required: v1alpha1.LevelLeaf}
	case 1:
		annotate(group, sandbox.AnnotationRunFor, fmt.Sprintf("%ds", 1+random.IntN(8)))
	case 2:
		annotate(group, sandbox.AnnotationFailAfter, fmt.Sprintf("%ds", 1+random.IntN(8)))
		group.Spec.RestartPolicy = &v1alpha1.GangRestartPolicy{Type: v1alpha1.RestartRecreateGang, MaxRestarts: 2}
	case 3:
		second := *group.Spec.Roles[0].DeepCopy()
		second.Name, second.Replicas = "x", 1+random.Int32N(8)
		group.Spec.Roles = append(group.Spec.Roles, second)
	}
	return group
}

// disturb pauses, resumes or deletes a gang now and then.
func disturb(t *testing.T, random *rand.Rand, gangs []*v1alpha1.GangSchedulingGroup) {
	t.Helper()
	if len(gangs) == 0 || random.IntN(2) == 0 {
		return
	}
	victim := gangs[random.IntN(len(gangs))]
	var err error
	switch random.IntN(4) {
	case 0:
		err = env.Client.Delete(t.Context(), victim.DeepCopy())
	case 1, 2:
		err = suspend(t.Context(), victim, true)
	default:
		err = suspend(t.Context(), victim, false)
	}
	if client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
}

func suspend(ctx context.Context, group *v1alpha1.GangSchedulingGroup, on bool) error {
	patch := client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"spec":{"suspend":%t}}`, on))
	return env.Client.Patch(ctx, group.DeepCopy(), patch)
}

// settled waits until every gang runs, has finished, is suspended, or is gone.
func settled(t *testing.T, gangs []*v1alpha1.GangSchedulingGroup) {
	t.Helper()
	for _, group := range gangs {
		eventually(t.Context(), t, "gang "+group.Name+" comes to rest", func(ctx context.Context) error {
			found, err := get(ctx, client.ObjectKeyFromObject(group))
			if err != nil {
				return client.IgnoreNotFound(err)
			}
			ready := meta.FindStatusCondition(found.Status.Conditions, v1alpha1.ConditionReady)
			if ready == nil {
				return fmt.Errorf("nobody has looked at it")
			}
			switch ready.Reason {
			case v1alpha1.ReasonRunning, v1alpha1.ReasonSucceeded, v1alpha1.ReasonFailed, v1alpha1.ReasonSuspended:
				return nil
			}
			return fmt.Errorf("%s", conditions(found))
		})
	}
}
