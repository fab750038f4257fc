package cli

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/convert"
	"github.com/k8s4ai/k8s4ai/internal/observe"
	"github.com/k8s4ai/k8s4ai/internal/placement"
	"github.com/k8s4ai/k8s4ai/internal/planfile"
	"github.com/k8s4ai/k8s4ai/internal/testkit"
)

const secret = "hunter2"

// liveCluster is an API server with four nodes, a gang that runs, one that waits,
// and a Pod of nobody.
func liveCluster(t *testing.T) *testkit.Server {
	t.Helper()
	s := testkit.APIServer(t)
	s.Create(t,
		testkit.Node("n1").GPUs(8).Label("product", "h100").Obj(), testkit.Node("n2").GPUs(8).Label("product", "h100").Obj(),
		testkit.Node("n3").GPUs(8).Label("product", "h100").Obj(), testkit.Node("n4").GPUs(8).Label("product", "h100").Cordoned().Obj(),
		testkit.Domain("leaf-a", v1alpha1.LevelLeaf).Nodes("n1", "n2", "n3", "n4").Obj(),
		testkit.Class("h100").OnLabel("product", "h100").Obj(),
		testkit.Pod("other").GPUs(1).On("n3").Obj(),
	)
	hide := func(template *corev1.PodTemplateSpec) {
		template.Annotations = map[string]string{"note": secret}
		template.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "TOKEN", Value: secret}}
		template.Spec.Containers[0].Args = []string{"--token=" + secret}
	}
	running := testkit.Gang("running").Role("w", 2, 8).Class("h100").Template(hide).Obj()
	s.Create(t, running, testkit.Gang("waiting").Role("w", 2, 8).Class("h100").Required(v1alpha1.LevelLeaf).Template(hide).Obj())
	running.Status = testkit.Gang("running").Role("w", 2, 8).Class("h100").Placed(1, "n1", "n2").Started().Obj().Status
	running.Status.Placement.CommittedTime = &metav1.Time{Time: time.Unix(99_000, 0)}
	running.Status.Conditions = []metav1.Condition{{
		Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonRunning, Message: "every pod runs", LastTransitionTime: metav1.Unix(99_000, 0),
	}}
	if err := s.Client.Status().Update(t.Context(), running); err != nil {
		t.Fatal(err)
	}
	return s
}

// A plan on the snapshot of a cluster gives the verdict that the manager would
// give there, which is worked out here from the live objects.
func TestSnapshotAndPlanGiveTheClustersVerdict(t *testing.T) {
	s := liveCluster(t)
	world, err := observe.CommittedWorld(t.Context(), s.Client)
	if err != nil {
		t.Fatal(err)
	}
	scene := world.Scene()
	live, err := scene.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	for _, form := range []string{"json", "yaml"} {
		out, warnings, err := execute(t, "snapshot", "-o", form, "--kubeconfig", s.Kubeconfig)
		if err != nil || warnings != "" {
			t.Fatalf("snapshot: %v %s", err, warnings)
		}
		if strings.Contains(out, secret) {
			t.Errorf("the snapshot holds what is in a template:\n%s", out)
		}
		now := file(t, "now."+form, out)
		for _, group := range []*v1alpha1.GangSchedulingGroup{
			testkit.Gang("small").Namespace("x").Role("w", 1, 7).Class("h100").Obj(),
			testkit.Gang("large").Namespace("x").Role("w", 2, 8).Class("h100").Obj(),
			testkit.Gang("never").Namespace("x").Role("w", 4, 8).Required(v1alpha1.LevelLeaf).Obj(),
			testkit.Gang("unknown").Namespace("x").Role("w", 1, 8).Class("b200").Obj(),
		} {
			got, want := planned(t, now, group), convert.Decide(group, scene.Profiles, live, live.Emptied())
			if diff := cmp.Diff(verdictOf(t, group, want), got); diff != "" {
				t.Errorf("%s: the verdict about %s (-cluster +file):\n%s", form, group.Name, diff)
			}
		}
	}
}

// answer is the part of a verdict that is compared.
type answer struct {
	Reason, Message string
	Placement       []placement.Use
}

func verdictOf(t *testing.T, group *v1alpha1.GangSchedulingGroup, d convert.Decision) answer {
	t.Helper()
	out := answer{Reason: d.Reason, Message: d.Message}
	if d.Verdict.Placement != nil {
		out.Placement = usesOf(t, convert.GangPlacement(d.Verdict.Placement, group, time.Time{}))
	}
	return out
}

func usesOf(t *testing.T, p *v1alpha1.GangPlacement) []placement.Use {
	t.Helper()
	roles, err := convert.PlacedRoles(p)
	if err != nil {
		t.Fatal(err)
	}
	return convert.Uses(roles)
}

// planned is what plan prints about one gang on a fleet.
func planned(t *testing.T, fleet string, group *v1alpha1.GangSchedulingGroup) answer {
	t.Helper()
	group = group.DeepCopy()
	group.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("GangSchedulingGroup"))
	manifest, err := json.Marshal(group)
	if err != nil {
		t.Fatal(err)
	}
	out, _, err := execute(t, "plan", "--fleet", fleet, "--gangs", file(t, "gang.json", string(manifest)), "-o", "json")
	if code := ExitCode(err); code != ExitOK && code != ExitNoFit {
		t.Fatal(err)
	}
	var plan Plan
	if err := json.Unmarshal([]byte(out), &plan); err != nil {
		t.Fatal(err)
	}
	v := plan.Gangs[0]
	if v.Fits {
		return answer{Placement: usesOf(t, v.Placement)}
	}
	return answer{Reason: v.Refusal.Reason, Message: v.Refusal.Message}
}

// The gangs that wait in a snapshot are planned without a file of gangs.
func TestPlanOfWhatWaits(t *testing.T) {
	s := liveCluster(t)
	out, _, err := execute(t, "snapshot", "--kubeconfig", s.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	now := file(t, "now.yaml", out)
	out, _, err = execute(t, "plan", "--fleet", now)
	if ExitCode(err) != ExitNoFit || !strings.Contains(out, "/waiting does not fit: WaitingForRoom") || !strings.Contains(out, "the end of "+s.Namespace+"/running") {
		t.Errorf("plan of what waits: %v\n%s", err, out)
	}
	out, _, err = execute(t, "plan", "--fleet", now, "--empty")
	if err != nil || !strings.Contains(out, "/waiting fits in Leaf leaf-a") {
		t.Errorf("plan of what waits on the empty fleet: %v\n%s", err, out)
	}
	if _, _, err := execute(t, "plan", "--fleet", now, "--classes", "../../config/catalog"); err == nil || !strings.Contains(err.Error(), "holds the classes of its cluster") {
		t.Errorf("classes beside a snapshot: %v", err)
	}
}

func TestExplainGangCommand(t *testing.T) {
	s := liveCluster(t)
	flags := []string{"--kubeconfig", s.Kubeconfig, "-n", s.Namespace}
	explain := func(args ...string) (string, error) {
		out, _, err := execute(t, append(append([]string{"explain", "gang"}, args...), flags...)...)
		return out, err
	}
	out, err := explain("running")
	for _, want := range []string{
		"Gang     " + s.Namespace + "/running\n", "Phase    Running: every pod runs\n", "Placed   16m ago, placement 1 of this gang\n",
		"Next     It runs until its Pods end. A Pod that fails ends the gang.\n", "PLACED in Leaf leaf-a\n", "  w        2  -      n[1-2]\n", "No tighter place is free.\n",
	} {
		if err != nil || !strings.Contains(out, want) {
			t.Errorf("explain of a gang that runs lacks %q: %v\n%s", want, err, out)
		}
	}
	out, err = explain("waiting")
	for _, want := range []string{
		"Phase    Unknown: not looked at by the manager yet\n", "does not fit: WaitingForRoom\n", "needs 2 slots in one Leaf, no Leaf has any; short of nvidia.com/gpu\n", "Created  0s ago\n",
		"  LEVEL  BEST DOMAIN  FOUND  NEEDED\n", "      1  cordoned\n", "  - the end of " + s.Namespace + "/running\n", "Next     It is looked at again whenever room becomes free.\n",
	} {
		if err != nil || !strings.Contains(out, want) {
			t.Errorf("explain of a gang that waits lacks %q: %v\n%s", want, err, out)
		}
	}
	out, err = explain("waiting", "-o", "json")
	var e Explanation
	if err != nil || json.Unmarshal([]byte(out), &e) != nil || e.Now.Fits || e.Placement != nil || e.Name != "waiting" {
		t.Errorf("explain -o json: %v\n%s", err, out)
	}
	if _, err = explain("nobody"); err == nil || ExitCode(err) != ExitFailed || !strings.Contains(err.Error(), "there is no such gang") {
		t.Errorf("explain of a gang that does not exist: %v", err)
	}
	out, _, err = execute(t, append(append([]string{"__complete", "explain", "gang"}, flags...), "")...)
	if err != nil || !strings.Contains(out, "running\tRunning") {
		t.Errorf("completion: %v\n%s", err, out)
	}
}

// What happens next follows from the gang alone, and from what it would get.
func TestNextOf(t *testing.T) {
	fits, full := GangVerdict{Fits: true}, GangVerdict{Refusal: &Refusal{Reason: v1alpha1.ReasonWaitingForRoom}}
	stalled := GangVerdict{Refusal: &Refusal{Reason: v1alpha1.ReasonUnsatisfiable}}
	base := func() *testkit.GangBuilder { return testkit.Gang("g").Role("w", 1, 1) }
	cases := map[string]struct {
		gang *testkit.GangBuilder
		e    Explanation
		want string
	}{
		"ended":       {base().Finished("Succeeded"), Explanation{Now: fits}, "Nothing: the gang has ended for good."},
		"releasing":   {base().Placed(1, "n").Releasing("PodFailed"), Explanation{Now: fits}, "Its Pods are removed. When none is left, its room is free."},
		"starting":    {base().Placed(1, "n").BindTimeout(60), Explanation{Now: fits}, "All Pods have to be bound within 60 s of their creation; otherwise the gang is released and placed anew."},
		"runs, again": {base().Placed(1, "n").Started().Recreate(0).Restarts(2), Explanation{Now: fits}, "It runs until its Pods end. A Pod that fails restarts the gang: 2 of 3 restarts are used."},
		"suspended":   {base().Suspended(), Explanation{Now: fits}, "Nothing before spec.suspend is set to false."},
		"waits":       {base(), Explanation{Now: full}, "It is looked at again whenever room becomes free."},
		"stalled":     {base(), Explanation{Now: stalled}, "Nothing before the gang is changed, or the fleet."},
		"backs off":   {base().BackingOff(1, time.Unix(0, 0)), Explanation{Now: fits}, "It fits, and is placed after 1970-01-01T00:00:00Z: the placement before could not be realised."},
		"behind one":  {base(), Explanation{Now: fits, Ahead: []string{"a/b"}}, "It fits as long as the 1 gang ahead of it leaves it the room, and is placed in the manager's next pass."},
		"fits":        {base(), Explanation{Now: fits}, "It fits, and is placed in the manager's next pass."},
	}
	for name, tc := range cases {
		if got := nextOf(tc.gang.Obj(), &tc.e); got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}

// Gangs are ahead by priority, then by age.
func TestAheadOf(t *testing.T) {
	group := func(name string, priority int32, age int64) v1alpha1.GangSchedulingGroup {
		out := testkit.Gang(name).Namespace("x").Role("w", 1, 1).Priority(priority).Obj()
		out.CreationTimestamp = metav1.Unix(1000-age, 0)
		return *out
	}
	suspended := testkit.Gang("suspended").Namespace("x").Role("w", 1, 1).Priority(9).Suspended().Obj()
	world := &planfile.Snapshot{Gangs: []v1alpha1.GangSchedulingGroup{group("young", 0, 1), group("old", 0, 9), group("me", 0, 5), group("urgent", 7, 0), *suspended}}
	me := group("me", 0, 5)
	if diff := cmp.Diff([]string{"x/urgent", "x/old"}, aheadOf(&me, world)); diff != "" {
		t.Errorf("ahead (-want +got):\n%s", diff)
	}
}

// What only refines the picture is left out with a warning where a person may not
// list it, and without one where the cluster does not have it.
func TestOptional(t *testing.T) {
	slices := schema.GroupResource{Group: "resource.k8s.io", Resource: "resourceslices"}
	cases := map[string]struct {
		err           error
		fails, warned bool
	}{
		"listed":      {err: nil},
		"not there":   {err: apierrors.NewNotFound(slices, "")},
		"no kind":     {err: &meta.NoKindMatchError{}},
		"not allowed": {err: apierrors.NewForbidden(slices, "", errors.New("no")), warned: true},
		"broken":      {err: errors.New("broken"), fails: true},
	}
	for name, tc := range cases {
		var warnings strings.Builder
		if err := optional(tc.err, &warnings, "ResourceSlices"); (err != nil) != tc.fails || (warnings.Len() > 0) != tc.warned {
			t.Errorf("%s: error %v, warning %q", name, err, warnings.String())
		}
	}
}
