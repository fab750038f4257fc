package gang

import (
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/testkit"
)

// A new gang gets its finalizer, then a stored placement, then its Pods.
func TestNewGang(t *testing.T) {
	s := newStage(t, append(twoNodes(), pair("train").Obj())...)

	s.plan()
	if got := s.gang("train"); got.Status.Placement != nil {
		t.Fatal("a gang without finalizer was placed")
	}
	s.reconcile("train")
	if got := s.gang("train"); len(got.Finalizers) != 1 || got.Status.Conditions != nil {
		t.Fatalf("after the first pass: finalizers %v, conditions %v; want the finalizer alone", got.Finalizers, got.Status.Conditions)
	}
	s.settle("train")
	s.wantReady("train", "False", v1alpha1.ReasonWaitingForRoom)
	s.wantPods("train")

	s.plan()
	placed := s.gang("train")
	if placed.Status.Epoch != 1 || placed.Status.Placement == nil {
		t.Fatalf("after planning: %+v; want epoch 1 with a placement", placed.Status)
	}
	s.wantPods("train")
	s.wantCondition("train", v1alpha1.ConditionPlaced, "True", v1alpha1.ReasonPlanned)
	s.wantReady("train", "False", v1alpha1.ReasonStarting)

	s.settle("train")
	s.wantPods("train", "train-worker-0@n1 1", "train-worker-1@n2 1")
	s.bind("train")
	s.set("train", corev1.PodRunning)
	s.settle("train")
	s.wantReady("train", "True", v1alpha1.ReasonRunning)
	if got := *s.gang("train").Status.Pods.Running; got != 2 {
		t.Errorf("status.pods.running is %d, want 2", got)
	}
}

// What the Pods and the Service look like once the API server has them.
func TestPodsAndService(t *testing.T) {
	s := newStage(t, append(twoNodes(), pair("train").Obj())...)
	s.place("train")

	group, pod := s.gang("train"), s.pods("train")[1]
	wantLabels := map[string]string{
		v1alpha1.LabelGang: "train", v1alpha1.LabelRole: "worker", v1alpha1.LabelRoleIndex: "1",
		v1alpha1.LabelRank: "1", v1alpha1.LabelEpoch: "1",
	}
	if diff := gocmp.Diff(wantLabels, pod.Labels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	if !metav1.IsControlledBy(&pod, group) || pod.Spec.Hostname != "train-worker-1" || pod.Spec.Subdomain != "train" || pod.Spec.RestartPolicy != corev1.RestartPolicyNever {
		t.Errorf("got owners %v, host name %s.%s, restart policy %s", pod.OwnerReferences, pod.Spec.Hostname, pod.Spec.Subdomain, pod.Spec.RestartPolicy)
	}
	wantTerms := []corev1.NodeSelectorTerm{{MatchFields: []corev1.NodeSelectorRequirement{{Key: "metadata.name", Operator: "In", Values: []string{"n2"}}}}}
	if diff := gocmp.Diff(wantTerms, pod.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms); diff != "" {
		t.Errorf("pinning (-want +got):\n%s", diff)
	}
	env := map[string]string{}
	for _, e := range pod.Spec.Containers[0].Env {
		env[e.Name] = e.Value
	}
	wantEnv := map[string]string{
		"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "K8S4AI_EPOCH": "1", "K8S4AI_ROLE": "worker", "K8S4AI_ROLE_INDEX": "1",
		"MASTER_ADDR": "train-worker-0.train." + s.Namespace + ".svc", "MASTER_PORT": "29500",
	}
	if diff := gocmp.Diff(wantEnv, env); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
	var service corev1.Service
	if err := s.Client.Get(t.Context(), s.key("train"), &service); err != nil {
		t.Fatal(err)
	}
	if service.Spec.ClusterIP != "None" || !service.Spec.PublishNotReadyAddresses || !metav1.IsControlledBy(&service, group) ||
		service.Spec.Selector[v1alpha1.LabelGang] != "train" {
		t.Errorf("service: %+v of %v", service.Spec, service.OwnerReferences)
	}
}

// All or nothing: a gang that does not fit has no Pods, and a refusal that says
// what is missing.
func TestRefusedGangHasNoPods(t *testing.T) {
	gang := testkit.Gang("wide").Role("worker", 3, 8).Required(v1alpha1.LevelLeaf).Obj()
	s := newStage(t, append(twoNodes(), gang)...)
	s.place("wide")

	s.wantPods("wide")
	got := s.gang("wide").Status.Refusal
	if got == nil || got.Reason != v1alpha1.ReasonUnsatisfiable || got.Level != v1alpha1.LevelLeaf || got.Domain != "leaf-a" ||
		*got.Needed != 3 || *got.Found != 2 || got.Limiting != string(testkit.GPU) {
		t.Fatalf("refusal: %+v; want 3 needed, 2 found in Leaf leaf-a for want of GPUs", got)
	}
	s.wantCondition("wide", v1alpha1.ConditionStalled, "True", v1alpha1.ReasonUnsatisfiable)

	s.Create(t, testkit.Node("n3").GPUs(8).Obj())
	leaf := testkit.Domain("leaf-a", v1alpha1.LevelLeaf).Nodes("n1", "n2", "n3").Obj()
	leaf.ResourceVersion = s.domain("leaf-a").ResourceVersion
	if err := s.Client.Update(t.Context(), leaf); err != nil {
		t.Fatal(err)
	}
	s.place("wide")
	s.wantPods("wide", "wide-worker-0@n1 1", "wide-worker-1@n2 1", "wide-worker-2@n3 1")
	if s.gang("wide").Status.Refusal != nil {
		t.Error("the refusal stays after the gang was placed")
	}
}

func (s *stage) domain(name string) *v1alpha1.TopologyDomain {
	s.t.Helper()
	domain := &v1alpha1.TopologyDomain{}
	if err := s.Client.Get(s.t.Context(), client.ObjectKey{Name: name}, domain); err != nil {
		s.t.Fatal(err)
	}
	return domain
}

// Foreign Pods take room as well, and nodes that take no Pods give none.
func TestRoomThatIsNotThere(t *testing.T) {
	s := newStage(t, append(twoNodes(),
		testkit.Pod("other").GPUs(1).On("n2").Obj(),
		testkit.Node("n3").GPUs(8).Cordoned().Obj(), testkit.Node("n4").GPUs(8).NotReady().Obj(),
		pair("train").Obj())...)
	s.place("train")
	s.wantReady("train", "False", v1alpha1.ReasonWaitingForRoom)
	wantText(t, s.gang("train").Status.Refusal.Message, "needs 2 slots in one Leaf", "best is leaf-a with 1", "short of nvidia.com/gpu")
}

// A waiting gang is placed as soon as another one has ended or is gone.
func TestRoomIsGivenOn(t *testing.T) {
	s := newStage(t, append(twoNodes(), pair("a").Obj())...)
	s.run("a")
	s.Create(t, pair("b").Obj())
	s.place("b")
	s.wantReady("b", "False", v1alpha1.ReasonWaitingForRoom)

	s.set("a", corev1.PodSucceeded)
	s.settle("a")
	s.wantCondition("a", v1alpha1.ConditionFinished, "True", v1alpha1.ReasonSucceeded)
	s.run("b")

	s.Create(t, pair("c").Obj())
	s.place("c")
	s.wantReady("c", "False", v1alpha1.ReasonWaitingForRoom)
	s.delete(s.gang("b"))
	s.settle("b")
	s.place("c")
	s.wantPods("c")
	s.Reap(t)
	s.settle("b")
	s.place("c")
	s.wantPods("c", "c-worker-0@n1 1", "c-worker-1@n2 1")
}

// The larger priority goes first, and within one priority the older gang, the
// name deciding within one second.
func TestOrderOfTheQueue(t *testing.T) {
	s := newStage(t, append(twoNodes(), pair("low").Obj(), pair("a").Priority(5).Obj(), pair("b").Priority(5).Obj(), pair("top").Priority(9).Obj())...)
	for _, name := range []string{"low", "a", "b", "top"} {
		s.settle(name)
	}
	for _, next := range []string{"top", "a", "b", "low"} {
		s.plan()
		for _, name := range []string{"low", "a", "b", "top"} {
			if placed := s.gang(name).Status.Placement != nil; placed != (name == next) && !isFinished(s.gang(name)) {
				t.Fatalf("gang %s: placed is %v while it is the turn of %s", name, placed, next)
			}
		}
		s.place(next)
		s.bind(next)
		s.set(next, corev1.PodSucceeded)
		s.settle(next)
	}
}

// Creation decides before names do.
func TestFirstComeFirstServed(t *testing.T) {
	at := func(name string, second int) v1alpha1.GangSchedulingGroup {
		group := pair(name).Stored("uid-" + "x").Obj()
		group.UID, group.CreationTimestamp = group.UID+"-"+group.UID, metav1.Unix(int64(second), 0)
		return *group
	}
	p := NewPlanner(nil, nil, nil)
	queue, _ := p.waiting([]v1alpha1.GangSchedulingGroup{at("a", 3), at("b", 1), at("c", 2), at("d", 1)}, true)
	var got []string
	for _, group := range queue {
		got = append(got, group.Name)
	}
	if diff := gocmp.Diff([]string{"b", "d", "c", "a"}, got); diff != "" {
		t.Errorf("queue (-want +got):\n%s", diff)
	}
}

// Fewer Pods than wanted start when minReplicas allows it, and know how many
// they are. Spares hold room that nobody else gets.
func TestElasticAndSpares(t *testing.T) {
	elastic := testkit.Gang("elastic").Role("worker", 4, 4).MinReplicas(2).Obj()
	spare := testkit.Gang("spare").Role("worker", 1, 4).Spares(1).Priority(1).Obj()
	s := newStage(t, append(twoNodes(), elastic, spare)...)
	s.settle("elastic")
	s.settle("spare")
	s.plan()
	s.settle("elastic")
	s.settle("spare")

	role := s.gang("spare").Status.Placement.Roles[0]
	if role.Replicas != 1 || role.SpareHosts == "" {
		t.Fatalf("placement of the spare gang: %+v; want one pod and one spare", role)
	}
	if got := len(s.pods("spare")); got != 1 {
		t.Errorf("the spare gang has %d pods, want 1", got)
	}
	pods := s.pods("elastic")
	if len(pods) != 2 || s.gang("elastic").Status.Placement.Roles[0].Replicas != 2 {
		t.Fatalf("the elastic gang has %d pods, want the 2 that fit next to pod and spare", len(pods))
	}
	for _, e := range pods[0].Spec.Containers[0].Env {
		if e.Name == v1alpha1.EnvWorldSize && e.Value != "2" {
			t.Errorf("WORLD_SIZE is %s, want 2", e.Value)
		}
	}
	if got := *s.gang("elastic").Status.Pods.Desired; got != 2 {
		t.Errorf("status.pods.desired is %d, want 2", got)
	}
	s.Create(t, testkit.Gang("late").Role("worker", 1, 1).Obj())
	s.place("late")
	s.wantReady("late", "False", v1alpha1.ReasonWaitingForRoom)
}

// What no waiting will mend is Stalled, with the reason and the way out.
func TestStalled(t *testing.T) {
	cases := map[string]struct {
		gang   *testkit.GangBuilder
		reason string
		says   []string
	}{
		"an unknown class": {
			testkit.Gang("g").Role("worker", 1, 1).Class("h900"), v1alpha1.ReasonUnknownClass, []string{`roles[worker].accelerator: there is no AcceleratorClass "h900"`}},
		"a pod that is larger than every node": {
			testkit.Gang("g").Role("worker", 1, 9), v1alpha1.ReasonUnsatisfiable, []string{"needs 1 slot", "nothing else on it"}},
		"a level that the fabric does not have": {
			testkit.Gang("g").Role("worker", 2, 8).Required(v1alpha1.LevelNVLinkDomain), v1alpha1.ReasonUnsatisfiable, []string{"one NVLinkDomain"}},
		"a queue without a quota integration": {
			testkit.Gang("g").Role("worker", 1, 1).Queue("team"), v1alpha1.ReasonQueueUnsupported, []string{"queueName"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, append(twoNodes(), testkit.Class("h100").OnLabel("gpu", "h100").Obj(), tc.gang.Obj())...)
			s.place("g")
			s.wantCondition("g", v1alpha1.ConditionStalled, "True", tc.reason)
			s.wantReady("g", "False", tc.reason)
			s.wantPods("g")
			wantText(t, s.gang("g").Status.Refusal.Message, tc.says...)
		})
	}
}

// A class narrows the nodes of a role.
func TestClass(t *testing.T) {
	s := newStage(t,
		testkit.Class("h100").OnLabel("gpu", "h100").Obj(),
		testkit.Node("n1").GPUs(8).Obj(), testkit.Node("n2").GPUs(8).Label("gpu", "h100").Obj(),
		testkit.Gang("train").Role("worker", 1, 8).Class("h100").Obj())
	s.place("train")
	s.wantPods("train", "train-worker-0@n2 1")
	if got := s.gang("train").Status.Placement.Roles[0].ClassName; got != "h100" {
		t.Errorf("className is %q, want h100", got)
	}
}

// The API server refuses a circle of groups; a planner that meets one all the
// same, because the CRD is older, refuses it as well.
func TestGroupsInACircle(t *testing.T) {
	circle := testkit.Gang("g").Namespace("default").Role("worker", 1, 1).Role("server", 1, 1).Group("a", "b", "", "worker").Group("b", "a", "", "server").Obj()
	s := newStage(t)
	if err := s.Client.Create(t.Context(), circle.DeepCopy()); err == nil {
		t.Error("the API server took a circle of groups")
	}
	decided := (&room{}).decide(circle)
	if decided.Verdict.Placement != nil || decided.Reason != v1alpha1.ReasonInvalidSpec {
		t.Fatalf("decide() = %+v; want InvalidSpec", decided)
	}
	wantText(t, refusal(decided, 1).Message, "parentName leads in a circle")
}

// A stalled gang costs nothing while only the free room changes, and is looked
// at when the fleet does, or when it changes itself.
func TestStalledGangWaitsForTheFleet(t *testing.T) {
	s := newStage(t, append(twoNodes()[:2], pair("train").Obj())...)
	s.settle("train")
	s.plan()
	s.wantReady("train", "False", v1alpha1.ReasonUnsatisfiable)
	s.Create(t, testkit.Node("n2").GPUs(8).Obj())
	if _, err := s.planner.Reconcile(t.Context(), roomPass[0]); err != nil {
		t.Fatal(err)
	}
	s.wantReady("train", "False", v1alpha1.ReasonUnsatisfiable)

	group := s.gang("train")
	group.Spec.Priority = new(int32(1))
	if err := s.Client.Update(t.Context(), group); err != nil {
		t.Fatal(err)
	}
	s.reconcile("train")
	if _, err := s.planner.Reconcile(t.Context(), roomPass[0]); err != nil {
		t.Fatal(err)
	}
	if s.gang("train").Status.Placement == nil {
		t.Error("the changed gang was not looked at")
	}
}

func TestFleetChangeWakesAStalledGang(t *testing.T) {
	s := newStage(t, append(twoNodes()[:2], pair("train").Obj())...)
	s.settle("train")
	s.plan()
	s.wantReady("train", "False", v1alpha1.ReasonUnsatisfiable)
	s.Create(t, testkit.Node("n2").GPUs(8).Obj())
	s.plan()
	if s.gang("train").Status.Placement == nil {
		t.Error("the gang was not placed")
	}
}
