package gang

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/convert"
	"github.com/k8s4ai/k8s4ai/internal/observe"
	"github.com/k8s4ai/k8s4ai/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Run(m)) }

// clock is a clock that only tests move.
type clock struct{ at time.Time }

func (c *clock) now() time.Time          { return c.at }
func (c *clock) advance(d time.Duration) { c.at = c.at.Add(d) }

// stage is a cluster with one manager on it whose reconcilers the test calls.
// There is no scheduler and no kubelet: bind, set and Reap play them.
type stage struct {
	*testkit.Server
	t     *testing.T
	clock *clock
	*process
}

// process is one life of the manager: its memory ends with it.
type process struct {
	cache      *testkit.Cache
	events     *testkit.Recorder
	reconciler *Reconciler
	planner    *Planner
}

func newStage(t *testing.T, objects ...client.Object) *stage {
	t.Helper()
	s := &stage{Server: testkit.APIServer(t), t: t, clock: &clock{at: time.Now().Truncate(time.Second)}}
	s.process = s.newProcess(s.Client)
	s.Create(t, objects...)
	return s
}

// newProcess starts a manager that writes through c.
func (s *stage) newProcess(c client.WithWatch) *process {
	p := &process{
		cache:  testkit.NewCache(c, map[string]client.IndexerFunc{podOwnerIndex: IndexPodOwner}),
		events: &testkit.Recorder{},
	}
	p.reconciler = NewReconciler(p.cache.Client, c, p.events)
	p.reconciler.patience.now = s.clock.now
	p.planner = NewPlanner(p.cache.Client, c, p.events)
	p.planner.Now = s.clock.now
	return p
}

// restart replaces the manager by a new one that knows nothing.
func (s *stage) restart() { s.process = s.newProcess(s.Client) }

// plan makes one pass of the planner.
func (s *stage) plan() ctrl.Result {
	s.t.Helper()
	result, err := s.planner.Reconcile(s.t.Context(), fleetPass[0])
	if err != nil {
		s.t.Fatalf("planning: %v", err)
	}
	s.wantFollowed()
	return result
}

// wantFollowed compares what the planner knows, kept from pass to pass, with what the
// same cache and ledger give from scratch.
func (s *stage) wantFollowed() {
	s.t.Helper()
	room, err := s.planner.look(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	world, err := observe.World(s.t.Context(), s.cache.Client)
	if err != nil {
		s.t.Fatal(err)
	}
	held := s.planner.ledger.holdings()
	for _, h := range held {
		world.Committed = append(world.Committed, h.Uses...)
	}
	world.IsCommitted = func(pod *corev1.Pod) bool {
		uid, epoch := convert.GangOf(pod)
		return held[uid] != nil && held[uid].Epoch == epoch
	}
	want, err := world.Scene().Snapshot()
	if err != nil {
		s.t.Fatal(err)
	}
	for i := range world.Nodes {
		name := world.Nodes[i].Name
		wantNode, _ := want.Node(name)
		gotNode, _ := room.now.Node(name)
		if diff := gocmp.Diff(wantNode, gotNode, cmpopts.EquateEmpty()); diff != "" {
			s.t.Fatalf("node %s (-from scratch +followed):\n%s", name, diff)
		}
		if diff := gocmp.Diff(want.Above(name), room.now.Above(name)); diff != "" {
			s.t.Fatalf("domains above %s (-from scratch +followed):\n%s", name, diff)
		}
	}
}

// reconcile reconciles a gang once, as the cache has it. A gang that does not
// exist is left alone, as reconcile.AsReconciler does.
func (s *stage) reconcile(name string) ctrl.Result {
	s.t.Helper()
	var group v1alpha1.GangSchedulingGroup
	err := s.cache.Client.Get(s.t.Context(), s.key(name), &group)
	if apierrors.IsNotFound(err) {
		return ctrl.Result{}
	}
	if err != nil {
		s.t.Fatal(err)
	}
	result, err := s.reconciler.Reconcile(s.t.Context(), &group)
	if err != nil {
		s.t.Fatalf("reconciling %s: %v", name, err)
	}
	return result
}

// settle reconciles a gang until that changes neither it nor its Pods.
func (s *stage) settle(name string) {
	s.t.Helper()
	before := s.fingerprint(name)
	for range 20 {
		s.reconcile(name)
		after := s.fingerprint(name)
		if after == before {
			return
		}
		before = after
	}
	s.t.Fatalf("gang %s does not settle:\n%s", name, before)
}

// fingerprint changes with every write to a gang, its Pods and its Service.
func (s *stage) fingerprint(name string) string {
	s.t.Helper()
	var out []string
	var group v1alpha1.GangSchedulingGroup
	if err := s.Client.Get(s.t.Context(), s.key(name), &group); err == nil {
		out = append(out, "gang "+group.ResourceVersion)
	}
	var service corev1.Service
	if err := s.Client.Get(s.t.Context(), s.key(name), &service); err == nil {
		out = append(out, "service "+service.ResourceVersion)
	}
	for _, pod := range s.pods(name) {
		out = append(out, pod.Name+" "+pod.ResourceVersion)
	}
	return strings.Join(out, "\n")
}

func (s *stage) key(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: s.Namespace, Name: name}
}

// gang reads a gang from the API server.
func (s *stage) gang(name string) *v1alpha1.GangSchedulingGroup {
	s.t.Helper()
	group := &v1alpha1.GangSchedulingGroup{}
	if err := s.Client.Get(s.t.Context(), s.key(name), group); err != nil {
		s.t.Fatalf("reading gang %s: %v", name, err)
	}
	return group
}

// change edits a gang's metadata or spec as a person does.
func (s *stage) change(name string, edit func(*v1alpha1.GangSchedulingGroup)) {
	s.t.Helper()
	group := s.gang(name)
	changed := group.DeepCopy()
	edit(changed)
	if err := s.Client.Patch(s.t.Context(), changed, client.MergeFrom(group)); err != nil {
		s.t.Fatalf("changing gang %s: %v", name, err)
	}
}

// pods lists the Pods with a gang's label at the API server, by name.
func (s *stage) pods(name string) []corev1.Pod {
	s.t.Helper()
	var pods corev1.PodList
	if err := s.Client.List(s.t.Context(), &pods, client.InNamespace(s.Namespace), client.MatchingLabels{v1alpha1.LabelGang: name}); err != nil {
		s.t.Fatal(err)
	}
	slices.SortFunc(pods.Items, func(a, b corev1.Pod) int { return cmp.Compare(a.Name, b.Name) })
	return pods.Items
}

// bind plays kube-scheduler for the Pods of a gang that are not bound yet.
func (s *stage) bind(name string) {
	s.t.Helper()
	for _, pod := range s.pods(name) {
		if pod.Spec.NodeName == "" && pod.DeletionTimestamp.IsZero() {
			s.Bind(s.t, &pod, testkit.PinnedTo(&pod))
		}
	}
}

// set plays the kubelets: every bound Pod of a gang reaches a phase.
func (s *stage) set(name string, phase corev1.PodPhase) {
	s.t.Helper()
	for _, pod := range s.pods(name) {
		if pod.Spec.NodeName != "" && pod.Status.Phase != phase {
			s.SetPodStatus(s.t, &pod, corev1.PodStatus{Phase: phase})
		}
	}
}

// place brings a gang from creation, or from its queue, to created Pods.
func (s *stage) place(names ...string) {
	s.t.Helper()
	for _, name := range names {
		s.settle(name)
	}
	s.plan()
	for _, name := range names {
		s.settle(name)
	}
}

// run brings gangs to running.
func (s *stage) run(names ...string) {
	s.t.Helper()
	s.place(names...)
	for _, name := range names {
		s.bind(name)
		s.set(name, corev1.PodRunning)
		s.settle(name)
		s.wantReady(name, "True", v1alpha1.ReasonRunning)
	}
}

// clear lets deleted Pods of a gang end and reconciles until it has settled.
func (s *stage) clear(name string) {
	s.t.Helper()
	s.settle(name)
	s.Reap(s.t)
	s.settle(name)
}

// delete asks the API server to delete an object.
func (s *stage) delete(object client.Object) {
	s.t.Helper()
	if err := s.Client.Delete(s.t.Context(), object); err != nil {
		s.t.Fatalf("deleting %s: %v", object.GetName(), err)
	}
}

// where writes the Pods of a gang as "name@node epoch", with the planned node
// for a Pod that is not bound.
func (s *stage) where(name string) []string {
	s.t.Helper()
	var out []string
	for _, pod := range s.pods(name) {
		node := pod.Spec.NodeName
		if node == "" {
			node = testkit.PinnedTo(&pod)
		}
		out = append(out, fmt.Sprintf("%s@%s %s", pod.Name, node, pod.Labels[v1alpha1.LabelEpoch]))
	}
	return out
}

func (s *stage) wantPods(name string, want ...string) {
	s.t.Helper()
	if diff := gocmp.Diff(want, s.where(name)); diff != "" {
		s.t.Fatalf("pods of %s (-want +got):\n%s", name, diff)
	}
}

func (s *stage) wantReady(name, status, reason string) {
	s.t.Helper()
	wantCondition(s.t, s.gang(name), v1alpha1.ConditionReady, status, reason)
}

func (s *stage) wantCondition(name, kind, status, reason string) {
	s.t.Helper()
	wantCondition(s.t, s.gang(name), kind, status, reason)
}

func wantCondition(t *testing.T, group *v1alpha1.GangSchedulingGroup, kind, status, reason string) {
	t.Helper()
	got := conditions(group)[kind]
	if want := status + " " + reason; got != want {
		t.Fatalf("gang %s: condition %s is %q, want %q; status: %+v", group.Name, kind, got, want, group.Status)
	}
}

// conditions writes conditions as "Status Reason", by type.
func conditions(group *v1alpha1.GangSchedulingGroup) map[string]string {
	out := map[string]string{}
	for _, c := range group.Status.Conditions {
		out[c.Type] = string(c.Status) + " " + c.Reason
	}
	return out
}

// wantText fails unless text holds every part.
func wantText(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Fatalf("%q does not say %q", text, part)
		}
	}
}

// twoNodes are n1 and n2 with 8 GPUs each in one leaf.
func twoNodes() []client.Object {
	return []client.Object{
		testkit.Domain("leaf-a", v1alpha1.LevelLeaf).Nodes("n1", "n2").Obj(),
		testkit.Node("n1").GPUs(8).Obj(),
		testkit.Node("n2").GPUs(8).Obj(),
	}
}

// mayWriteAgain is how old a write of counts must be before the next one.
const mayWriteAgain = time.Second

// pair is a gang that fills twoNodes.
func pair(name string) *testkit.GangBuilder {
	return testkit.Gang(name).Role("worker", 2, 8).Required(v1alpha1.LevelLeaf)
}
