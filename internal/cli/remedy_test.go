package cli

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/planfile"
	"github.com/k8s4ai/k8s4ai/internal/testkit"
)

// twoLeaves is a block of two leaves with two nodes of 8 GPUs each.
func twoLeaves(t *testing.T) *planfile.Snapshot {
	t.Helper()
	const text = `apiVersion: plan.k8s4ai.io/v1
kind: Snapshot
taken: 2026-01-01T00:00:00Z
domains: [{name: b, level: Block}, {name: l1, level: Leaf, parent: b}, {name: l2, level: Leaf, parent: b}]
nodes:
- {name: n1, domain: l1, capacity: {nvidia.com/gpu: 8}}
- {name: n2, domain: l1, capacity: {nvidia.com/gpu: 8}}
- {name: n3, domain: l2, capacity: {nvidia.com/gpu: 8}}
- {name: n4, domain: l2, capacity: {nvidia.com/gpu: 8}}
`
	out, err := planfile.ParseFleet("f", []byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// What is said to help does: the gang fits after the change.
func TestRemedies(t *testing.T) {
	sliced := testkit.Gang("g").Namespace("x").Role("w", 4, 8).Group("tp", "", v1alpha1.LevelNode, "w").Obj()
	sliced.Spec.Groups[0].SliceSize = 2
	widened := sliced.DeepCopy()
	widened.Spec.Groups[0].Required = v1alpha1.LevelLeaf
	low := testkit.Gang("low").Namespace("x").Role("w", 3, 8).Priority(-1).Obj()
	cases := map[string]struct {
		before, gang *v1alpha1.GangSchedulingGroup
		want         []Remedy
		// after are the gang and those before it as the remedies in their order
		// change them, nil for one that is gone.
		after [][2]*v1alpha1.GangSchedulingGroup
	}{
		"a wider domain, or fewer pods": {
			gang: testkit.Gang("g").Namespace("x").Role("w", 3, 8).Required(v1alpha1.LevelLeaf).Obj(),
			want: []Remedy{{Kind: RemedyWiden, Text: "topology.required: Block instead of Leaf"}, {Kind: RemedyShrink, Text: "roles[w].minReplicas: 2 of 3"}},
			after: [][2]*v1alpha1.GangSchedulingGroup{
				{nil, testkit.Gang("g").Namespace("x").Role("w", 3, 8).Required(v1alpha1.LevelBlock).Obj()},
				{nil, testkit.Gang("g").Namespace("x").Role("w", 3, 8).MinReplicas(2).Required(v1alpha1.LevelLeaf).Obj()},
			},
		},
		"a wider domain for a slice": {
			gang:  sliced,
			want:  []Remedy{{Kind: RemedyWiden, Text: "groups[tp].required: Leaf instead of Node"}},
			after: [][2]*v1alpha1.GangSchedulingGroup{{nil, widened}},
		},
		"the room of others": {
			before: low,
			gang:   testkit.Gang("g").Namespace("x").Role("w", 2, 8).Obj(),
			want: []Remedy{
				{Kind: RemedyEnd, Text: "the end of x/low", Gangs: []string{"x/low"}},
				{Kind: RemedyEvict, Text: "stopping x/low, of lower priority", Gangs: []string{"x/low"}},
				{Kind: RemedyShrink, Text: "roles[w].minReplicas: 1 of 2"},
			},
			after: [][2]*v1alpha1.GangSchedulingGroup{
				{nil, testkit.Gang("g").Namespace("x").Role("w", 2, 8).Obj()},
				{nil, testkit.Gang("g").Namespace("x").Role("w", 2, 8).Obj()},
				{low, testkit.Gang("g").Namespace("x").Role("w", 2, 8).MinReplicas(1).Obj()},
			},
		},
		"nothing": {gang: testkit.Gang("g").Namespace("x").Role("w", 1, 9).Obj()},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			verdict := lastOf(t, tc.before, tc.gang)
			if verdict.Fits {
				t.Fatal("the gang fits")
			}
			if diff := cmp.Diff(tc.want, verdict.Refusal.Remedies); diff != "" {
				t.Errorf("remedies (-want +got):\n%s", diff)
			}
			for i, after := range tc.after {
				if !lastOf(t, after[0], after[1]).Fits {
					t.Errorf("remedy %d was followed, and the gang does not fit", i)
				}
			}
		})
	}
}

// lastOf plans one gang, after another where there is one.
func lastOf(t *testing.T, before, gang *v1alpha1.GangSchedulingGroup) GangVerdict {
	t.Helper()
	var gangs []v1alpha1.GangSchedulingGroup
	if before != nil {
		gangs = append(gangs, *before)
	}
	plan, _, err := makePlan(twoLeaves(t), append(gangs, *gang), false)
	if err != nil {
		t.Fatal(err)
	}
	if before != nil && !plan.Gangs[0].Fits {
		t.Fatal("the gang before does not fit")
	}
	return plan.Gangs[len(plan.Gangs)-1]
}

// A file is read up to its bound, so that an endless one ends.
func TestReadFile(t *testing.T) {
	name, data, err := readFile(strings.NewReader("0123456789"), "-", 4)
	if err != nil || name != "standard input" || len(data) != 5 {
		t.Errorf("standard input: %s, %d bytes, %v; want one byte more than the bound, so that the reader of it sees", name, len(data), err)
	}
	name, data, err = readFile(nil, "/dev/zero", 7)
	if err != nil || name != "/dev/zero" || len(data) != 8 {
		t.Errorf("an endless file: %s, %d bytes, %v", name, len(data), err)
	}
}
