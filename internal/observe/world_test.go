package observe

import (
	"context"
	"os"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/convert"
	"github.com/k8s4ai/k8s4ai/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Run(m)) }

// A world holds all of each kind, and the room of gangs that hold some.
func TestCommittedWorld(t *testing.T) {
	s := testkit.APIServer(t)
	placed, waiting := testkit.Gang("placed").Role("w", 2, 4).Obj(), testkit.Gang("waiting").Role("w", 2, 4).Obj()
	s.Create(t, testkit.Node("n1").GPUs(8).Obj(), testkit.Domain("d", v1alpha1.LevelBlock).Obj(),
		testkit.Class("c").OnLabel("a", "b").Obj(), placed, waiting)
	placed.Status = testkit.Gang("placed").Role("w", 2, 4).Placed(3, "n1", "n1").Obj().Status
	placed.Status.Placement.CommittedTime = &metav1.Time{Time: time.Unix(1000, 0)}
	if err := s.Client.Status().Update(t.Context(), placed); err != nil {
		t.Fatal(err)
	}
	member, stale := testkit.Pod("member").Of(placed, 3).On("n1").Obj(), testkit.Pod("stale").Of(placed, 2).On("n1").Obj()
	s.Create(t, member, stale)

	world, err := CommittedWorld(t.Context(), s.Client)
	if err != nil {
		t.Fatal(err)
	}
	if len(world.Nodes) != 1 || len(world.Domains) != 1 || len(world.Classes) != 1 || len(world.Pods) != 2 {
		t.Errorf("the world has %d nodes, %d domains, %d classes, %d pods", len(world.Nodes), len(world.Domains), len(world.Classes), len(world.Pods))
	}
	want, _ := convert.Commitment(placed)
	if diff := cmp.Diff(want, world.Committed); diff != "" || len(want) != 2 {
		t.Errorf("committed room (-want +got):\n%s", diff)
	}
	if !world.IsCommitted(member) || world.IsCommitted(stale) {
		t.Error("a Pod of this epoch is in the placement, one of another is not")
	}
}

// A list that fails is an error, never an empty world.
func TestWorldFails(t *testing.T) {
	s := testkit.APIServer(t)
	for name, kind := range map[string]client.ObjectList{
		"nodes": &corev1.NodeList{}, "domains": &v1alpha1.TopologyDomainList{}, "classes": &v1alpha1.AcceleratorClassList{},
		"pods": &corev1.PodList{}, "gangs": &v1alpha1.GangSchedulingGroupList{}, "scans": &corev1.ConfigMapList{},
	} {
		t.Run(name, func(t *testing.T) {
			broken := interceptor.NewClient(s.Client, interceptor.Funcs{
				List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
					if typeName(list) == typeName(kind) {
						return testkit.ErrInjected
					}
					return c.List(ctx, list, opts...)
				},
			})
			if _, err := CommittedWorld(t.Context(), broken); err == nil {
				t.Error("no error")
			}
		})
	}
}

func typeName(list client.ObjectList) string { return reflect.TypeOf(list).String() }
