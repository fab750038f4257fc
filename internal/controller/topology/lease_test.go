package topology

import (
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/testkit"
)

// beat plays an agent that renews its Lease, by a clock of its own.
func (s *stage) beat(node string, renewed int64) *coordinationv1.Lease {
	s.t.Helper()
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: node, Namespace: s.Namespace}}
	found := s.Client.Get(s.t.Context(), client.ObjectKeyFromObject(lease), lease) == nil
	old := lease.DeepCopy()
	lease.Spec = coordinationv1.LeaseSpec{
		HolderIdentity: new(node), LeaseDurationSeconds: new(int32(30)), RenewTime: &metav1.MicroTime{Time: time.Unix(renewed, 0)},
	}
	if !found {
		s.Create(s.t, lease)
		return lease
	}
	if err := s.Client.Update(s.t.Context(), lease); err != nil {
		s.t.Fatal(err)
	}
	if s.reconciler.lifeChanged().Update(event.UpdateEvent{ObjectOld: old, ObjectNew: lease}) {
		s.tell(lease)
	}
	return lease
}

// after lets time pass and the Reconciler look whenever it wants to, and returns
// what it wrote.
func (s *stage) after(d time.Duration) []string {
	s.t.Helper()
	s.journal.take()
	for until := s.clock.Add(d); ; {
		if s.wanted.Before(until) {
			s.clock = s.wanted
			s.reconcile()
			continue
		}
		s.clock = until
		s.reconcile()
		return s.journal.take()
	}
}

const fresh = "False HeartbeatSeen"

// An agent that gives no sign of life is called stale, whatever the clocks say.
// Its node keeps its facts and stays usable, and renewals write nothing.
func TestStale(t *testing.T) {
	s := newStage(t, leafNode("n1", "b", "x"), leafNode("n2", "b", "x"))
	first := nodeDomain("n1", "n1", "", "GPU-1", "GPU-2")
	first.Status.Node.ObservedTime = &metav1.Time{Time: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	s.agentReports(first, nodeDomain("n2", "n2", "", "GPU-3"))
	s.beat("n1", 5) // The clock of n1 is decades behind.
	s.pass()
	if wait := s.wanted.Sub(s.clock); wait != 30*time.Second {
		t.Errorf("the first look at an agent asks for another one in %v", wait)
	}
	s.settle()
	s.wantCondition("n1", v1alpha1.ConditionStale, fresh)
	s.wantCondition("n2", v1alpha1.ConditionStale, "none")

	for i := range 6 {
		s.wantWrites("a renewal", s.after(10*time.Second))
		s.beat("n1", int64(15+10*i))
	}
	s.wantWrites("silence that is no longer than it may be", s.after(29*time.Second))
	s.wantWrites("silence", s.after(time.Second), "status n1")
	s.wantCondition("n1", v1alpha1.ConditionStale, "True HeartbeatLost: no heartbeat of the agent within 30s; the last facts are of 2026-03-01T12:00:00Z")
	s.wantCondition("n1", v1alpha1.ConditionReady, "True Accepted")
	s.wantTree(`b Block < "" labels; nodes 2/2 gpus 3/3`, `x Leaf < "b" labels; nodes 2/2 gpus 3/3`)
	s.wantWrites("more silence", s.after(time.Minute))
	if s.domain("n1").Status.Node == nil {
		t.Error("the last facts are gone")
	}

	s.restart()
	s.settle()
	s.wantCondition("n1", v1alpha1.ConditionStale, "True HeartbeatLost: no heartbeat of the agent within 30s; the last facts are of 2026-03-01T12:00:00Z")
	s.beat("n1", 4) // It is back, and its clock went backwards.
	s.wantWrites("a sign of life", s.after(0), "status n1")
	s.wantCondition("n1", v1alpha1.ConditionStale, fresh)

	gone := s.beat("n1", 6)
	s.remove(gone)
	s.wantWrites("a Lease that goes", s.events(gone), "status n1")
	s.wantCondition("n1", v1alpha1.ConditionStale, "none")
	s.wantWrites("a Lease that comes", s.events(s.beat("n1", 7)), "status n1")
	s.wantCondition("n1", v1alpha1.ConditionStale, fresh)
}

// A Lease of another namespace, or of no node, is nobody's heartbeat.
func TestLeasesOfOthers(t *testing.T) {
	s := newStage(t, testkit.Node("n1").Obj())
	s.agentReports(nodeDomain("n1", "n1", "", "GPU-1"))
	other := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "n1", Namespace: "default"}}
	s.Create(t, other)
	defer s.remove(other)
	leader := s.beat("manager.k8s4ai.io", 1)
	s.settle()
	s.wantCondition("n1", v1alpha1.ConditionStale, "none")
	s.wantWrites("the leader's Lease", s.events(leader))
	s.after(time.Hour)
	s.settle()
	s.wantCondition("n1", v1alpha1.ConditionStale, "none")
	if passes := s.reconciler.lifeChanged(); passes.Create(event.CreateEvent{Object: other}) {
		t.Error("a Lease of another namespace is an event")
	}
}

// Agents are judged by what the manager has seen. One that was away itself has
// seen nothing, and begins anew.
func TestHeartbeats(t *testing.T) {
	now := time.Unix(1000, 0)
	lease := func(name string, renewed, seconds int64) *coordinationv1.Lease {
		out := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: coordinationv1.LeaseSpec{RenewTime: &metav1.MicroTime{Time: time.Unix(renewed, 0)}}}
		if seconds != 0 {
			out.Spec.LeaseDurationSeconds = new(int32(seconds))
		}
		return out
	}
	h := newHeartbeats(func() time.Time { return now })
	if h.hear(lease("a", 1, 30)) {
		t.Error("an agent that nobody has met was silent")
	}
	if fallen, next := h.sweep(), h.wait(resync); len(fallen) > 0 || next != resync {
		t.Errorf("without agents: %v, %v", fallen, next)
	}
	h.meet(lease("a", 1, 40), false)
	h.meet(lease("b", 1, 0), false)
	h.meet(lease("c", 1, -5), true)
	steps := []struct {
		pass   time.Duration
		heard  string
		fallen int
		next   time.Duration
	}{
		{0, "", 0, 30 * time.Second},
		{29 * time.Second, "b", 0, time.Second},
		{time.Second, "", 0, 10 * time.Second},      // a is next.
		{10 * time.Second, "", 1, 19 * time.Second}, // a is silent, b is next.
		{60 * time.Second, "", 0, 30 * time.Second}, // Nobody was here to hear b.
		{30 * time.Second, "", 1, resync},           // b is silent as well.
		{time.Second, "a", 0, 40 * time.Second},     // a is back.
		{40 * time.Second, "", 1, resync},           // And gone again.
	}
	for i, step := range steps {
		now = now.Add(step.pass)
		if step.heard != "" {
			h.hear(lease(step.heard, int64(100+i), map[string]int64{"a": 40}[step.heard]))
		}
		fallen, next := h.sweep(), h.wait(resync)
		if len(fallen) != step.fallen || next != step.next {
			t.Errorf("step %d: %v have fallen silent, the next may in %v; want %d, %v", i, fallen, next, step.fallen, step.next)
		}
	}
	if silent, patience, known := h.silent("c"); !silent || !known || patience != defaultPatience {
		t.Errorf("c: silent %v after %v, known %v", silent, patience, known)
	}
	h.meet(lease("d", 1, 30), false)
	if h.hear(lease("d", 2, 30)) || !h.hear(lease("d", 2, 5)) || h.wait(resync) != 5*time.Second {
		t.Errorf("an agent that has less time is waited for %v", h.wait(resync))
	}
	h.keep(map[string]bool{"a": true})
	if _, _, known := h.silent("b"); known {
		t.Error("b is still known")
	}
}
