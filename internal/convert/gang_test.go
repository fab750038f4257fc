package convert

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/placement"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

func role(name string, replicas int32) v1alpha1.GangRole {
	return v1alpha1.GangRole{Name: name, Replicas: replicas}
}

func group(name, parent string, roles ...string) v1alpha1.GangGroup {
	return v1alpha1.GangGroup{Name: name, ParentName: parent, RoleNames: roles}
}

func sliced(size int32, g v1alpha1.GangGroup) v1alpha1.GangGroup {
	g.SliceSize = size
	return g
}

func elastic(least int32, r v1alpha1.GangRole) v1alpha1.GangRole {
	r.MinReplicas = least
	return r
}

func spares(n int32, r v1alpha1.GangRole) v1alpha1.GangRole {
	r.Spares = n
	return r
}

func gang(roles []v1alpha1.GangRole, groups ...v1alpha1.GangGroup) v1alpha1.GangSchedulingGroupSpec {
	return v1alpha1.GangSchedulingGroupSpec{Roles: roles, Groups: groups}
}

func roles(all ...v1alpha1.GangRole) []v1alpha1.GangRole { return all }

// wantRole is a role with an empty template in a request.
func wantRole(name string, count, least, spares int) placement.Role {
	return placement.Role{Name: name, Count: count, MinCount: least, Spares: spares, Shape: placement.Shape{Resources: placement.Resources{}}}
}

func TestGangRequest(t *testing.T) {
	cases := map[string]struct {
		spec v1alpha1.GangSchedulingGroupSpec
		want placement.Group
	}{
		"a role in no group belongs to the gang": {
			spec: gang(roles(role("worker", 4))),
			want: placement.Group{Copies: 1, Roles: []placement.Role{wantRole("worker", 4, 4, 0)}},
		},
		"levels and pattern of the gang": {
			spec: v1alpha1.GangSchedulingGroupSpec{
				Roles:    roles(role("worker", 1)),
				Topology: &v1alpha1.GangTopology{Required: v1alpha1.LevelBlock, Preferred: v1alpha1.LevelLeaf, Pattern: v1alpha1.PatternAllToAll},
			},
			want: placement.Group{
				Copies: 1, Required: topology.Block, Preferred: topology.Leaf, Pattern: placement.AllToAll,
				Roles: []placement.Role{wantRole("worker", 1, 1, 0)},
			},
		},
		"unset minReplicas means all": {
			spec: gang(roles(elastic(2, role("a", 4)), role("b", 3))),
			want: placement.Group{Copies: 1, Roles: []placement.Role{wantRole("a", 4, 2, 0), wantRole("b", 3, 3, 0)}},
		},
		"groups nest three deep below the gang": {
			spec: gang(roles(role("w", 2)), group("one", ""), group("two", "one"), group("three", "two", "w")),
			want: placement.Group{Copies: 1, Groups: []placement.Group{{Name: "one", Copies: 1, Groups: []placement.Group{
				{Name: "two", Copies: 1, Groups: []placement.Group{{Name: "three", Copies: 1, Roles: []placement.Role{wantRole("w", 2, 2, 0)}}}},
			}}}},
		},
		"a parent may come after its child in the list": {
			spec: gang(roles(role("w", 2)), group("inner", "outer", "w"), group("outer", "")),
			want: placement.Group{Copies: 1, Groups: []placement.Group{{Name: "outer", Copies: 1, Groups: []placement.Group{
				{Name: "inner", Copies: 1, Roles: []placement.Role{wantRole("w", 2, 2, 0)}},
			}}}},
		},
		"slices divide roles and spares, and shrink by whole slices": {
			spec: gang(roles(spares(4, elastic(5, role("w", 16)))), sliced(4, group("tp", "", "w"))),
			want: placement.Group{Copies: 1, Groups: []placement.Group{{
				Name: "tp", Copies: 4, MinCopies: 2, Roles: []placement.Role{wantRole("w", 4, 0, 1)},
			}}},
		},
		"a slice counts the pods of all roles, of groups below too": {
			spec: gang(roles(role("a", 4), role("b", 8)), sliced(6, group("pair", "", "a")), group("inner", "pair", "b")),
			want: placement.Group{Copies: 1, Groups: []placement.Group{{
				Name: "pair", Copies: 2, MinCopies: 2, Roles: []placement.Role{wantRole("a", 2, 0, 0)},
				Groups: []placement.Group{{Name: "inner", Copies: 1, Roles: []placement.Role{wantRole("b", 4, 0, 0)}}},
			}}},
		},
		"slices in slices; only the outer ones may be fewer": {
			spec: gang(roles(elastic(8, role("w", 16))), sliced(8, group("pp", "")), sliced(2, group("tp", "pp", "w"))),
			want: placement.Group{Copies: 1, Groups: []placement.Group{{
				Name: "pp", Copies: 2, MinCopies: 1,
				Groups: []placement.Group{{Name: "tp", Copies: 4, Roles: []placement.Role{wantRole("w", 2, 0, 0)}}},
			}}},
		},
		"a role below that needs all its pods keeps all slices": {
			spec: gang(roles(elastic(2, role("a", 4)), role("b", 4)), sliced(2, group("pair", "", "a")), group("inner", "pair", "b")),
			want: placement.Group{Copies: 1, Groups: []placement.Group{{
				Name: "pair", Copies: 4, MinCopies: 4, Roles: []placement.Role{wantRole("a", 1, 0, 0)},
				Groups: []placement.Group{{Name: "inner", Copies: 1, Roles: []placement.Role{wantRole("b", 1, 0, 0)}}},
			}}},
		},
		"one slice is a group whose roles may shrink": {
			spec: gang(roles(elastic(2, role("w", 4))), sliced(4, group("all", "", "w"))),
			want: placement.Group{Copies: 1, Groups: []placement.Group{{Name: "all", Copies: 1, Roles: []placement.Role{wantRole("w", 4, 2, 0)}}}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := GangRequest(&v1alpha1.GangSchedulingGroup{Spec: tc.spec}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got.Root); diff != "" {
				t.Errorf("GangRequest() (-want +got):\n%s", diff)
			}
			verdict := placement.Place(emptySnapshot(t), got)
			if verdict.Invalid != "" {
				t.Errorf("placement does not accept the request: %s", verdict.Invalid)
			}
		})
	}
}

func TestGangRequestRefuses(t *testing.T) {
	cases := map[string]struct {
		spec v1alpha1.GangSchedulingGroupSpec
		want string
	}{
		"slices that do not divide the pods": {
			gang(roles(role("w", 10)), sliced(4, group("tp", "", "w"))),
			"groups[tp].sliceSize: 4 does not divide its 10 pods into equal slices: change sliceSize or replicas",
		},
		"slices that do not divide the slices around them": {
			gang(roles(role("w", 12)), sliced(6, group("pp", "")), sliced(4, group("tp", "pp", "w"))),
			"groups[tp].sliceSize: 4 does not divide its 6 pods into equal slices: change sliceSize or replicas",
		},
		"slices that one of the roles does not divide into": {
			gang(roles(role("a", 3), role("b", 5)), sliced(4, group("pair", "", "a", "b"))),
			"roles[a].replicas: 3 pods do not divide into 2 equal slices: change replicas or sliceSize",
		},
		"spares that do not divide": {
			gang(roles(spares(1, role("w", 8))), sliced(4, group("tp", "", "w"))),
			"roles[w].spares: 1 spares do not divide into 2 equal slices: change spares",
		},
		"groups deeper than three": {
			gang(roles(role("w", 2)), group("one", ""), group("two", "one"), group("three", "two"), group("four", "three", "w")),
			"groups[four]: groups nest at most 3 deep below the gang: attach it further up",
		},
		"a group that is its own parent": {
			gang(roles(role("w", 2)), group("one", "one", "w")),
			"groups: parentName leads in a circle: remove parentName from one group of the circle",
		},
		"two groups that hold each other, sliced": {
			gang(roles(role("w", 2)), sliced(1, group("one", "two", "w")), sliced(1, group("two", "one"))),
			"groups: parentName leads in a circle: remove parentName from one group of the circle",
		},
		"a parent that does not exist": {
			gang(roles(role("w", 2)), group("one", "gone", "w")),
			`groups[one].parentName: there is no group "gone": correct the name, or remove parentName`,
		},
		"a role that does not exist": {
			gang(roles(role("w", 2)), group("one", "", "gone")),
			`groups[one].roleNames: there is no role "gone": correct the name or add the role`,
		},
		"a role in two groups": {
			gang(roles(role("w", 2)), group("one", "", "w"), group("two", "", "w")),
			`groups[two].roleNames: role "w" is in another group already: remove it from one of them`,
		},
		"a group without pods": {
			gang(roles(role("w", 2)), group("one", "")),
			"groups[one]: has no pods: list its roles in roleNames, or remove it",
		},
		"a sliced group without pods": {
			gang(roles(role("w", 2)), sliced(2, group("one", ""))),
			"groups[one].sliceSize: 2 does not divide its 0 pods into equal slices: change sliceSize or replicas",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := GangRequest(&v1alpha1.GangSchedulingGroup{Spec: tc.spec}, nil)
			if err == nil || err.Error() != tc.want {
				t.Errorf("GangRequest() = %v, want %s", err, tc.want)
			}
		})
	}
}

func TestGangRequestShape(t *testing.T) {
	worker := role("w", 1)
	worker.Template.Spec = corev1.PodSpec{
		NodeSelector: map[string]string{"zone": "a", "arch": "arm64"},
		Affinity: requires(
			corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: "gen", Operator: corev1.NodeSelectorOpGt, Values: []string{"7"}}}},
			corev1.NodeSelectorTerm{},
			corev1.NodeSelectorTerm{MatchFields: []corev1.NodeSelectorRequirement{{Key: "metadata.name", Operator: corev1.NodeSelectorOpIn, Values: []string{"n1"}}}},
		),
		Tolerations: []corev1.Toleration{{Key: "gpu", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule}},
	}
	common := placement.Term{{Key: "arch", Op: "In", Values: []string{"arm64"}}, {Key: "zone", Op: "In", Values: []string{"a"}}}
	want := placement.Shape{
		Resources: placement.Resources{},
		Classes:   []string{"h200", "h100"},
		Selector: []placement.Term{
			append(common[:2:2], placement.Requirement{Key: "gen", Op: "Gt", Values: []string{"7"}}),
			append(common[:2:2], placement.Requirement{Key: "metadata.name", Op: "In", Values: []string{"n1"}, Field: true}),
		},
		Tolerations: []placement.Toleration{{Key: "gpu", Operator: "Exists", Effect: "NoSchedule"}},
	}
	group := &v1alpha1.GangSchedulingGroup{Spec: gang(roles(worker))}
	got, err := GangRequest(group, map[string][]string{"w": {"h200", "h100"}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got.Root.Roles[0].Shape); diff != "" {
		t.Errorf("shape (-want +got):\n%s", diff)
	}
}

func TestGangRequestOfIslands(t *testing.T) {
	cases := map[string]struct {
		locality v1alpha1.DeviceLocality
		limits   corev1.ResourceList
		want     bool
		err      string
	}{
		"unset takes any devices":            {"", list("nvidia.com/gpu", "2"), false, ""},
		"so does Node":                       {v1alpha1.DeviceLocalityNode, list("nvidia.com/gpu", "2"), false, ""},
		"and a value of a later version":     {"Socket", list("nvidia.com/gpu", "2"), false, ""},
		"Island takes those of one":          {v1alpha1.DeviceLocalityIsland, list("nvidia.com/gpu", "2"), true, ""},
		"Island of a Pod without devices":    {v1alpha1.DeviceLocalityIsland, list("cpu", "2"), false, islandError},
		"Island of a Pod with zero of these": {v1alpha1.DeviceLocalityIsland, list("nvidia.com/gpu", "0"), false, islandError},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			worker := role("w", 1)
			worker.DeviceLocality = tc.locality
			worker.Template.Spec.Containers = []corev1.Container{container(nil, tc.limits)}
			got, err := GangRequest(&v1alpha1.GangSchedulingGroup{Spec: gang(roles(worker))}, nil)
			if tc.err != "" {
				if err == nil || err.Error() != tc.err {
					t.Errorf("GangRequest() = %v, want %s", err, tc.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.Root.Roles[0].Shape.WithinIsland != tc.want {
				t.Errorf("WithinIsland is %v, want %v", !tc.want, tc.want)
			}
		})
	}
}

const islandError = "roles[w].deviceLocality: Island is for Pods with devices: ask for some in template.spec.containers[].resources, or remove deviceLocality"

func requires(terms ...corev1.NodeSelectorTerm) *corev1.Affinity {
	return &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
		RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: terms},
	}}
}

func emptySnapshot(t *testing.T, nodes ...placement.Node) *placement.Snapshot {
	t.Helper()
	s, err := placement.NewSnapshot(nil, nodes)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
