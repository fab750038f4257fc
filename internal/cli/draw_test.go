package cli

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/testkit"
)

// counts are ready nodes, all nodes, free, all and broken accelerators.
type counts [5]int32

// domain is a domain with a status.
func domain(name string, level v1alpha1.TopologyLevel, parent string, n counts, conditions ...metav1.Condition) v1alpha1.TopologyDomain {
	out := testkit.Domain(name, level).Obj()
	if level == v1alpha1.LevelNode {
		out.Spec.NodeName = name
	}
	out.Status = v1alpha1.TopologyDomainStatus{
		ParentName: parent,
		Nodes:      &v1alpha1.NodeCounts{Ready: &n[0], Total: &n[1]}, Accelerators: &v1alpha1.DeviceCounts{Free: &n[2], Total: &n[3], Unhealthy: &n[4]},
		Conditions: append([]metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonAccepted}}, conditions...),
	}
	return *out
}

func bad(kind string, status metav1.ConditionStatus, reason, message string) metav1.Condition {
	return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message}
}

// small is a fabric with one of everything that can be wrong.
func small() ([]v1alpha1.TopologyDomain, []corev1.Node) {
	nvlink := bad(v1alpha1.ConditionHealthy, metav1.ConditionFalse, v1alpha1.ReasonNVLinkDown, "GPU 3: 1 of 18\nNVLinks is down")
	stale := bad(v1alpha1.ConditionStale, metav1.ConditionTrue, v1alpha1.ReasonHeartbeatLost, "no sign of life for 5m")
	domains := []v1alpha1.TopologyDomain{
		domain("leaf-1", v1alpha1.LevelLeaf, "block-a", counts{3, 4, 23, 32, 1}),
		domain("block-a", v1alpha1.LevelBlock, "", counts{3, 4, 23, 32, 1}),
		domain("n2", v1alpha1.LevelNode, "leaf-1", counts{1, 1, 8, 8, 0}),
		domain("n10", v1alpha1.LevelNode, "leaf-1", counts{1, 1, 7, 8, 1}, nvlink),
		domain("n1", v1alpha1.LevelNode, "leaf-1", counts{1, 1, 8, 8, 0}),
		domain("n3", v1alpha1.LevelNode, "leaf-1", counts{1, 1, 0, 8, 0}, stale),
	}
	nodes := []corev1.Node{
		*testkit.Node("n1").GPUs(8).Obj(), *testkit.Node("n2").GPUs(8).Obj(), *testkit.Node("n10").GPUs(8).Obj(),
		*testkit.Node("n3").GPUs(8).NotReady().Obj(),
		*testkit.Node("bare").GPUs(4).Label(v1alpha1.LabelLeaf, "leaf-1").Obj(),
		*testkit.Node("cpu-1").Cordoned().Obj(),
	}
	return domains, nodes
}

func TestDraw(t *testing.T) {
	cases := map[string]struct {
		drawing drawing
		want    string
	}{
		"wide": {drawing{width: 120, depth: v1alpha1.LevelNode}, `
NAME                     LEVEL  READY   FREE  BROKEN  STATE
block-a                  Block    3/4  23/32       1  ok
└─ leaf-1                Leaf     3/4  23/32       1  ok
   ├─ bare               Node     1/1    ?/4          ok
   ├─ n[1-2]             Node     2/2  16/16          ok
   ├─ n3                 Node     1/1    0/8          HeartbeatLost: no sign of life for 5m; NotReady: unknown
   └─ n10                Node     1/1    7/8       1  NVLinkDown: GPU 3: 1 of 18 NVLinks is down
outside of every fabric           0/1                 ok
└─ cpu-1                 Node     0/1                 cordoned
`},
		"narrow, in ASCII": {drawing{width: 44, depth: v1alpha1.LevelNode, ascii: true}, `
NAME                      FREE  STATE
block-a                  23/32  ok
` + "`- leaf-1                23/32  ok" + `
   |- bare                 ?/4  ok
   |- n[1-2]             16/16  ok
   |- n3                   0/8  HeartbeatLo…
   ` + "`- n10                  7/8  NVLinkDown:…" + `
outside of every fabric         ok
` + "`- cpu-1                        cordoned" + `
`},
		"every node": {drawing{width: 120, depth: v1alpha1.LevelNode, all: true, troubled: false}, `
NAME                     LEVEL  READY   FREE  BROKEN  STATE
block-a                  Block    3/4  23/32       1  ok
└─ leaf-1                Leaf     3/4  23/32       1  ok
   ├─ bare               Node     1/1    ?/4          ok
   ├─ n1                 Node     1/1    8/8          ok
   ├─ n2                 Node     1/1    8/8          ok
   ├─ n3                 Node     1/1    0/8          HeartbeatLost: no sign of life for 5m; NotReady: unknown
   └─ n10                Node     1/1    7/8       1  NVLinkDown: GPU 3: 1 of 18 NVLinks is down
outside of every fabric           0/1                 ok
└─ cpu-1                 Node     0/1                 cordoned
`},
		"down to leaves": {drawing{width: 120, depth: v1alpha1.LevelLeaf}, `
NAME                     LEVEL  READY   FREE  BROKEN  STATE
block-a                  Block    3/4  23/32       1  ok
└─ leaf-1                Leaf     3/4  23/32       1  ok
outside of every fabric           0/1                 ok
`},
		"what is wrong, in colour": {drawing{width: 120, depth: v1alpha1.LevelNode, troubled: true, colour: true}, `
NAME                     LEVEL  READY   FREE  BROKEN  STATE
block-a                  Block    3/4  23/32       1  ok
└─ leaf-1                Leaf     3/4  23/32       1  ok
   ├─ n3                 Node     1/1    0/8          ` + "\x1b[31m" + `HeartbeatLost: no sign of life for 5m; NotReady: unknown` + "\x1b[0m" + `
   └─ n10                Node     1/1    7/8       1  ` + "\x1b[31m" + `NVLinkDown: GPU 3: 1 of 18 NVLinks is down` + "\x1b[0m" + `
outside of every fabric           0/1                 ok
└─ cpu-1                 Node     0/1                 ` + "\x1b[31mcordoned\x1b[0m" + `
`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			domains, nodes := small()
			var got strings.Builder
			if err := tc.drawing.draw(&got, buildTree(domains, nodes)); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.TrimPrefix(tc.want, "\n"), got.String()); diff != "" {
				t.Errorf("draw() (-want +got):\n%s", diff)
			}
		})
	}
}

// However narrow the terminal and however long the names, no line is wider than
// the terminal, as long as that has room for anything at all.
func TestDrawKeepsToTheWidth(t *testing.T) {
	domains, nodes := small()
	domains = append(domains, domain(strings.Repeat("long-", 40)+"x", v1alpha1.LevelLeaf, "block-a", counts{1, 1, 1, 1, 0}))
	for width := 40; width < 300; width += 7 {
		var got strings.Builder
		if err := (drawing{width: width, depth: v1alpha1.LevelNode}).draw(&got, buildTree(domains, nodes)); err != nil {
			t.Fatal(err)
		}
		for text := range strings.SplitSeq(got.String(), "\n") {
			if length(text) > width {
				t.Errorf("width %d: a line has %d columns: %q", width, length(text), text)
			}
		}
	}
}

func TestDrawNothing(t *testing.T) {
	for want, d := range map[string]drawing{
		"There are no nodes and no TopologyDomains.\n": {width: 80, depth: v1alpha1.LevelNode},
		"Nothing is wrong.\n":                          {width: 80, depth: v1alpha1.LevelNode, troubled: true},
	} {
		var got strings.Builder
		if err := d.draw(&got, nil); err != nil {
			t.Fatal(err)
		}
		if got.String() != want {
			t.Errorf("draw() of nothing = %q, want %q", got.String(), want)
		}
	}
}

// A parent that is gone, that is not wider, or that is the domain itself makes a
// root, and never a loop.
func TestBuildTreeOfWrongParents(t *testing.T) {
	domains := []v1alpha1.TopologyDomain{
		domain("a", v1alpha1.LevelLeaf, "b", counts{0, 0, 0, 0, 0}), domain("b", v1alpha1.LevelLeaf, "a", counts{0, 0, 0, 0, 0}),
		domain("self", v1alpha1.LevelBlock, "self", counts{0, 0, 0, 0, 0}), domain("orphan", v1alpha1.LevelBlock, "gone", counts{0, 0, 0, 0, 0}),
	}
	var got []string
	for _, root := range buildTree(domains, nil) {
		got = append(got, root.Name)
		if len(root.Children) > 0 {
			t.Errorf("%s has children", root.Name)
		}
	}
	if diff := cmp.Diff([]string{"orphan", "self", "a", "b"}, got); diff != "" {
		t.Errorf("roots (-want +got):\n%s", diff)
	}
}
