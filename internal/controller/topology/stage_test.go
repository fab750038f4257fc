package topology

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/fleet"
	"github.com/k8s4ai/k8s4ai/internal/report"
	"github.com/k8s4ai/k8s4ai/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Run(m)) }

// agentOwner is the field manager of a node agent.
const agentOwner = "k8s4ai-agent"

// stage is one test's cluster with a Reconciler that looks whenever it is asked
// to, at everything or at what it is told of. The test's namespace is that of the
// agents.
type stage struct {
	*testkit.Server
	t          *testing.T
	cache      *testkit.Cache
	journal    *journal
	reconciler *Reconciler
	clock      time.Time
	// wanted is when the Reconciler wants to look again.
	wanted time.Time
}

func newStage(t *testing.T, objects ...client.Object) *stage {
	t.Helper()
	s := &stage{Server: testkit.APIServer(t), t: t}
	s.restart()
	s.Create(t, objects...)
	return s
}

// restart replaces the Reconciler by one that knows nothing.
func (s *stage) restart() {
	s.t.Helper()
	if s.clock.IsZero() {
		s.clock = time.Unix(1_000_000, 0)
	}
	s.journal = &journal{}
	s.cache = testkit.NewCache(s.journal.client(s.Client), map[string]client.IndexerFunc{nodeIndex: indexNode})
	s.reconciler = newReconciler(s.cache.Client, s.Namespace, 0, func() time.Time { return s.clock })
}

func loadFleet(t *testing.T, name string) *fleet.Fleet {
	t.Helper()
	f, err := fleet.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func pointers[T any, P interface {
	*T
	client.Object
}](items []T) []client.Object {
	var out []client.Object
	for i := range items {
		out = append(out, P(&items[i]))
	}
	return out
}

// pass looks at everything.
func (s *stage) pass() {
	s.t.Helper()
	s.reconciler.inbox.put(func(b *batch) { b.all = true })
	s.reconcile()
}

func (s *stage) reconcile() {
	s.t.Helper()
	result, err := s.reconciler.Reconcile(s.t.Context(), ctrl.Request{})
	if err != nil || result.RequeueAfter <= 0 {
		s.t.Fatalf("Reconcile() = %v, %v", result, err)
	}
	s.wanted = s.clock.Add(result.RequeueAfter)
}

// events tells the Reconciler of objects, as watches do, and lets it look. It
// returns what that wrote.
func (s *stage) events(objects ...client.Object) []string {
	s.t.Helper()
	s.tell(objects...)
	s.journal.take()
	s.reconcile()
	return s.journal.take()
}

func (s *stage) tell(objects ...client.Object) {
	s.reconciler.inbox.put(func(b *batch) {
		for _, object := range objects {
			switch object.(type) {
			case *corev1.Node, *coordinationv1.Lease:
				nameNode(object, b)
			case *corev1.Pod:
				nameNodeOfPod(object, b)
			case *v1alpha1.GangSchedulingGroup:
				nameGang(object, b)
			case *v1alpha1.TopologyDomain:
				nameDomain(object, b)
			default:
				nameAll(object, b)
			}
		}
	})
}

// settle makes passes until one changes nothing. What a pass writes can take one
// more to be looked at; four are too many.
func (s *stage) settle() {
	s.t.Helper()
	for range 4 {
		before := s.versions()
		s.pass()
		if s.versions() == before {
			return
		}
	}
	s.t.Fatal("the passes do not come to rest")
}

// versions changes when any object does that a pass could write.
func (s *stage) versions() string {
	s.t.Helper()
	return s.Versions(s.t, &corev1.NodeList{}, &v1alpha1.TopologyDomainList{})
}

func (s *stage) domain(name string) *v1alpha1.TopologyDomain {
	s.t.Helper()
	out := &v1alpha1.TopologyDomain{}
	if err := s.Client.Get(s.t.Context(), client.ObjectKey{Name: name}, out); err != nil {
		s.t.Fatal(err)
	}
	return out
}

func (s *stage) domains() []v1alpha1.TopologyDomain {
	s.t.Helper()
	var list v1alpha1.TopologyDomainList
	if err := s.Client.List(s.t.Context(), &list); err != nil {
		s.t.Fatal(err)
	}
	return list.Items
}

// tree shows the domains above the nodes, outer ones first, a line each:
// name, level < parent, source; nodes ready/total; accelerators free/total and
// how many of them are broken.
func (s *stage) tree() []string {
	s.t.Helper()
	levels := []v1alpha1.TopologyLevel{v1alpha1.LevelFabric, v1alpha1.LevelBlock, v1alpha1.LevelLeaf, v1alpha1.LevelNVLinkDomain}
	all := slices.DeleteFunc(s.domains(), func(d v1alpha1.TopologyDomain) bool { return d.Spec.Level == v1alpha1.LevelNode })
	slices.SortStableFunc(all, func(a, b v1alpha1.TopologyDomain) int {
		return cmp.Or(cmp.Compare(slices.Index(levels, a.Spec.Level), slices.Index(levels, b.Spec.Level)), strings.Compare(a.Name, b.Name))
	})
	var out []string
	for i := range all {
		out = append(out, line(&all[i]))
	}
	return out
}

func line(d *v1alpha1.TopologyDomain) string {
	source := cmp.Or(d.Labels[v1alpha1.LabelTopologySource], "declared")
	counts := "no status"
	if n, a := d.Status.Nodes, d.Status.Accelerators; n != nil && a != nil {
		counts = fmt.Sprintf("nodes %d/%d gpus %d/%d", *n.Ready, *n.Total, *a.Free, *a.Total)
		if *a.Unhealthy > 0 {
			counts += fmt.Sprintf(" broken %d", *a.Unhealthy)
		}
	}
	return fmt.Sprintf("%s %s < %q %s; %s", d.Name, d.Spec.Level, d.Status.ParentName, source, counts)
}

// wantCondition compares a condition as "Status Reason: message".
func (s *stage) wantCondition(domain, kind, want string) {
	s.t.Helper()
	if got := conditionLine(s.domain(domain), kind); got != want {
		s.t.Errorf("%s of %s is\n%s\nwant\n%s", kind, domain, got, want)
	}
}

func conditionLine(domain *v1alpha1.TopologyDomain, kind string) string {
	c := meta.FindStatusCondition(domain.Status.Conditions, kind)
	if c == nil {
		return "none"
	}
	out := string(c.Status) + " " + c.Reason
	if c.Message != "" {
		out += ": " + c.Message
	}
	if c.ObservedGeneration != domain.Generation && c.ObservedGeneration != 0 {
		out += fmt.Sprintf(" (of generation %d, not %d)", c.ObservedGeneration, domain.Generation)
	}
	return out
}

// labels are the mirrored labels of a node.
func (s *stage) labels(name string) map[string]string {
	s.t.Helper()
	var node corev1.Node
	if err := s.Client.Get(s.t.Context(), client.ObjectKey{Name: name}, &node); err != nil {
		s.t.Fatal(err)
	}
	out := map[string]string{}
	for _, key := range mirrored {
		if value, ok := node.Labels[key]; ok {
			out[strings.TrimPrefix(key, v1alpha1.LabelTopologyPrefix)] = value
		}
	}
	return out
}

// agentReports plays node agents: each stores its part of its node's domain.
func (s *stage) agentReports(domains ...v1alpha1.TopologyDomain) {
	s.t.Helper()
	for i := range domains {
		domain := domains[i].DeepCopy()
		if err := client.IgnoreAlreadyExists(s.Client.Create(s.t.Context(), domain)); err != nil {
			s.t.Fatal(err)
		}
		part := &v1alpha1.TopologyDomain{
			TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "TopologyDomain"},
			ObjectMeta: metav1.ObjectMeta{Name: domain.Name, UID: domain.UID},
			Status:     *domains[i].Status.DeepCopy(),
		}
		part.Status.Conditions = []metav1.Condition{{
			Type: v1alpha1.ConditionHealthy, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonHealthy, Message: "the agent says so",
			LastTransitionTime: metav1.Unix(1000, 0),
		}}
		if err := report.ApplyStatus(s.t.Context(), s.Client, part, agentOwner); err != nil {
			s.t.Fatal(err)
		}
	}
}

// edit changes an object as a person with kubectl does.
func edit[T client.Object](s *stage, object T, change func(T)) {
	s.t.Helper()
	if err := s.Client.Get(s.t.Context(), client.ObjectKeyFromObject(object), object); err != nil {
		s.t.Fatal(err)
	}
	change(object)
	if err := s.Client.Update(s.t.Context(), object, client.FieldOwner("kubectl-edit")); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) remove(objects ...client.Object) {
	s.t.Helper()
	for _, object := range objects {
		if err := s.Client.Delete(s.t.Context(), object); err != nil {
			s.t.Fatal(err)
		}
	}
}
