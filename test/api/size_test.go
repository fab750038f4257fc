package api

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/convert"
)

// The largest gang, on nodes whose names have nothing in common, is one object
// far below etcd's limit of 1.5 MiB, and reads back in the same order.
func TestLargestPlacementIsSmall(t *testing.T) {
	const pods, limit = 4096, 200 << 10
	u := object(t, gang, "spec.roles[0].replicas: 4096")
	if err := create(t, u); err != nil {
		t.Fatal(err)
	}
	c := cluster(t).Client
	stored := &v1alpha1.GangSchedulingGroup{}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(u), stored); err != nil {
		t.Fatal(err)
	}
	names := unrelatedNames(pods)
	stored.Status.Epoch = 1
	stored.Status.Placement = &v1alpha1.GangPlacement{
		Generation:    1,
		CommittedTime: &metav1.Time{Time: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)},
		Level:         v1alpha1.LevelBlock, Domain: "block-a",
		Roles: []v1alpha1.RolePlacement{{Name: "worker", Replicas: pods, Hosts: convert.EncodeHosts(names)}},
	}
	if err := c.Status().Update(t.Context(), stored); err != nil {
		t.Fatalf("storing the placement: %v", err)
	}

	read := &v1alpha1.GangSchedulingGroup{}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(u), read); err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(read)
	if err != nil {
		t.Fatal(err)
	}
	if len(data) >= limit {
		t.Errorf("the gang takes %d bytes, want fewer than %d", len(data), limit)
	}
	got, err := convert.DecodeHosts(read.Status.Placement.Roles[0].Hosts)
	if err != nil || !slices.Equal(got, names) {
		t.Errorf("the hosts do not read back: %d names, error %v", len(got), err)
	}
	t.Logf("%d pods on unrelated nodes: %d bytes", pods, len(data))
}

// unrelatedNames are n node names as EC2 gives them, in no order: no two in a row
// count up, and none ends in a digit.
func unrelatedNames(n int) []string {
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // A test wants the same names every time.
	seen := map[string]bool{}
	var names []string
	for len(names) < n {
		name := fmt.Sprintf("ip-10-%d-%d-%d.eu-west-1.compute.internal", random.IntN(256), random.IntN(256), random.IntN(256))
		if !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	return names
}
