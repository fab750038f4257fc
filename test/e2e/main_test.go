// Package e2e tells the stories of gangs on tier 2: the real API server,
// controller manager and scheduler, 512 simulated nodes, and the real manager as
// a process of its own with the permissions of config/default.
//
// The stories share one cluster and run one after another. Each has a namespace
// of its own and leaves no Pods behind.
package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/test/harness"
	"github.com/k8s4ai/k8s4ai/test/sandbox"
)

// env is the shared cluster.
var env *harness.Env

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	logf := func(format string, args ...any) { fmt.Printf("e2e: "+format+"\n", args...) }
	var err error
	env, err = harness.Start(context.Background(), "fleet-512.yaml", logf)
	if sandbox.MaySkip(err) {
		fmt.Println("e2e: skipped:", err)
		return 0
	}
	if err == nil {
		err = env.StartManager()
	}
	if err != nil {
		fmt.Println("e2e:", err)
		return 1
	}
	defer func() {
		if err := env.Stop(); err != nil {
			fmt.Println("e2e: stopping:", err)
		}
	}()
	return m.Run()
}

// story gives a test its namespace, and checks at its end that nothing in the
// cluster is broken and that the story leaves no Pods behind.
func story(t *testing.T) string {
	t.Helper()
	name := strings.ToLower(strings.NewReplacer("_", "-", "/", "-").Replace(t.Name()))
	namespace := name[:min(len(name), 63)]
	if err := env.NewNamespace(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := env.Client.DeleteAllOf(ctx, &v1alpha1.GangSchedulingGroup{}, client.InNamespace(namespace)); err != nil {
			t.Error(err)
		}
		if err := env.Client.DeleteAllOf(ctx, &corev1.Pod{}, client.InNamespace(namespace)); err != nil {
			t.Error(err)
		}
		eventually(ctx, t, "the story's pods are gone", func(ctx context.Context) error {
			var pods corev1.PodList
			if err := env.Client.List(ctx, &pods, client.InNamespace(namespace)); err != nil {
				return err
			}
			if len(pods.Items) > 0 {
				return fmt.Errorf("%d pods are left", len(pods.Items))
			}
			return nil
		})
	})
	return namespace
}

// eventually waits up to a minute for something to hold.
func eventually(ctx context.Context, t *testing.T, what string, holds func(context.Context) error) {
	t.Helper()
	if err := harness.Wait(ctx, time.Minute, holds); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// gang makes a gang of one role "w" with pods of some GPUs each.
func gang(namespace, name string, replicas, gpus int) *v1alpha1.GangSchedulingGroup {
	amount := *resource.NewQuantity(int64(gpus), resource.DecimalSI)
	return &v1alpha1.GangSchedulingGroup{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "GangSchedulingGroup"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: v1alpha1.GangSchedulingGroupSpec{Roles: []v1alpha1.GangRole{{
			Name: "w", Replicas: int32(replicas),
			Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{
				Name: "main", Image: "example.com/train:1",
				Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{"nvidia.com/gpu": amount}},
			}}}},
		}}},
	}
}

// annotate sets an annotation on the Pods of the gang's first role.
func annotate(group *v1alpha1.GangSchedulingGroup, key, value string) {
	group.Spec.Roles[0].Template.Annotations = map[string]string{key: value}
}

func create(t *testing.T, objects ...client.Object) {
	t.Helper()
	for _, object := range objects {
		if err := env.Client.Create(t.Context(), object); err != nil {
			t.Fatalf("creating %s: %v", object.GetName(), err)
		}
	}
}

func get(ctx context.Context, key client.ObjectKey) (*v1alpha1.GangSchedulingGroup, error) {
	group := &v1alpha1.GangSchedulingGroup{}
	return group, env.Client.Get(ctx, key, group)
}

// has waits until a condition of the gang is True with a reason.
func has(t *testing.T, group *v1alpha1.GangSchedulingGroup, kind, reason string) *v1alpha1.GangSchedulingGroup {
	t.Helper()
	var found *v1alpha1.GangSchedulingGroup
	eventually(t.Context(), t, fmt.Sprintf("gang %s is %s with reason %s", group.Name, kind, reason), func(ctx context.Context) error {
		var err error
		if found, err = get(ctx, client.ObjectKeyFromObject(group)); err != nil {
			return err
		}
		condition := meta.FindStatusCondition(found.Status.Conditions, kind)
		if condition == nil || condition.Status != metav1.ConditionTrue || condition.Reason != reason {
			return fmt.Errorf("its conditions are %s", conditions(found))
		}
		return nil
	})
	return found
}

func conditions(group *v1alpha1.GangSchedulingGroup) string {
	var out []string
	for _, c := range group.Status.Conditions {
		out = append(out, fmt.Sprintf("%s=%s (%s: %s)", c.Type, c.Status, c.Reason, c.Message))
	}
	return strings.Join(out, ", ")
}

// nothingBroken waits for the cluster to be at rest with every promise kept.
func nothingBroken(t *testing.T) {
	t.Helper()
	eventually(t.Context(), t, "nothing is broken", func(ctx context.Context) error {
		violations, err := env.Violations(ctx)
		if err == nil && len(violations) > 0 {
			err = errors.New(strings.Join(violations, "; "))
		}
		return err
	})
}
