package agent

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/agent/machine"
)

var (
	beats  = []string{"PATCH namespaces/ns/leases/node"}
	writes = []string{"PATCH topologydomains/node/status"}
	first  = []string{"PATCH namespaces/ns/leases/node", "POST namespaces/ns/leases", "PATCH topologydomains/node", "PATCH topologydomains/node/status"}
)

// others are the writes that are no heartbeats.
func others(writes []string) []string {
	var out []string
	for _, w := range writes {
		if w != beats[0] {
			out = append(out, w)
		}
	}
	return out
}

func (r *runner) expect(t *testing.T, w *world, when string, want []string) {
	t.Helper()
	if diff := cmp.Diff(want, others(r.wire.take(w.node)), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("writes %s (-want +got):\n%s", when, diff)
	}
}

// The first report makes the Lease and the domain, which belong to the Node. After
// it, nothing is written but heartbeats, until something changes.
func TestFirstReport(t *testing.T) {
	w := newWorld(t)
	r := w.agent(t, gpus(2))
	r.pass(t, 0)
	if diff := cmp.Diff(first, r.wire.take(w.node)); diff != "" {
		t.Errorf("writes at first (-want +got):\n%s", diff)
	}
	domain, lease := w.domain(t), w.lease(t)
	if domain == nil || lease == nil {
		t.Fatalf("domain %v, lease %v", domain, lease)
	}
	owner := []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: w.node, UID: domain.OwnerReferences[0].UID}}
	if string(owner[0].UID) != w.uid {
		t.Errorf("the owner is %s, want %s", owner[0].UID, w.uid)
	}
	if diff := cmp.Diff(owner, domain.OwnerReferences) + cmp.Diff(owner, lease.OwnerReferences); diff != "" {
		t.Errorf("owners (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(v1alpha1.TopologyDomainSpec{Level: v1alpha1.LevelNode, NodeName: w.node}, domain.Spec); diff != "" {
		t.Errorf("spec (-want +got):\n%s", diff)
	}
	want, _, _ := machine.Report(gpus(2), machine.History{})
	want.AgentVersion = "v1"
	if machine.Material(want, *domain.Status.Node) || domain.Status.Node.ObservedTime == nil {
		t.Errorf("report (-want +got):\n%s", cmp.Diff(want, *domain.Status.Node))
	}
	for _, kind := range own {
		c := meta.FindStatusCondition(domain.Status.Conditions, kind)
		if c == nil || c.Status != metav1.ConditionTrue || c.ObservedGeneration != 1 || c.LastTransitionTime.IsZero() {
			t.Errorf("condition %s is %+v", kind, c)
		}
	}
	if *lease.Spec.LeaseDurationSeconds != 30 || *lease.Spec.HolderIdentity != w.pod || !lease.Spec.RenewTime.Time.Equal(r.now.Truncate(time.Microsecond)) {
		t.Errorf("the Lease is %+v", lease.Spec)
	}

	r.pass(t, 5*time.Minute)
	if diff := cmp.Diff(30, strings.Count(strings.Join(r.wire.take(w.node), "\n"), beats[0])); diff != "" {
		t.Errorf("heartbeats in five minutes (-want +got):\n%s", diff)
	}
	if renewed := w.lease(t).Spec.RenewTime; renewed.Sub(lease.Spec.RenewTime.Time) < 4*time.Minute {
		t.Errorf("the Lease was renewed at %v, made at %v", renewed, lease.Spec.RenewTime)
	}
	if after := w.domain(t); after.ResourceVersion != domain.ResourceVersion {
		t.Errorf("the domain changed without a change:\n%s", cmp.Diff(domain, after))
	}
}

// A change is written once, with the look that finds it. Times of conditions change
// with their status alone.
func TestChange(t *testing.T) {
	w := newWorld(t)
	r := w.agent(t, gpus(2))
	r.pass(t, time.Minute)
	r.expect(t, w, "at first", first[1:])
	before := w.domain(t)
	r.source.facts.NICs[1].State = "Down"
	r.pass(t, 5*time.Second)
	r.expect(t, w, "after a port went down", writes)
	after := w.domain(t)
	healthy := meta.FindStatusCondition(after.Status.Conditions, v1alpha1.ConditionHealthy)
	if healthy.Reason != v1alpha1.ReasonNICDown || after.Status.Node.Accelerators[1].HealthReason != "NICDown" {
		t.Errorf("Healthy is %+v, the accelerator %+v", healthy, after.Status.Node.Accelerators[1])
	}
	time1 := meta.FindStatusCondition(before.Status.Conditions, v1alpha1.ConditionDiscovered).LastTransitionTime
	time2 := meta.FindStatusCondition(after.Status.Conditions, v1alpha1.ConditionDiscovered).LastTransitionTime
	if !time1.Equal(&time2) {
		t.Errorf("the time of Discovered changed from %v to %v", time1, time2)
	}
	r.source.facts.GPUs[0].TemperatureC, r.source.facts.GPUs[0].MemoryUsed = 70, 1<<30
	r.pass(t, time.Minute)
	r.expect(t, w, "after what is not material", nil)
}

// A device that flaps costs no more than the budget: five reports, and one more for
// each time that earns one.
func TestFlapping(t *testing.T) {
	w := newWorld(t)
	r := w.agent(t, gpus(1))
	r.pass(t, 0)
	r.wire.take(w.node)
	for i := range 240 { // 20 minutes
		r.source.facts.GPUs[0].MemoryTotal = int64(i+1) << 30
		r.pass(t, 5*time.Second)
	}
	got := len(others(r.wire.take(w.node)))
	// The random part of an earning is 0 here: each takes half of a refill.
	if most := burst + int(20*time.Minute/(minRefill/2)); got > most || got < most-burst {
		t.Errorf("%d reports in 20 minutes, want at most %d and hardly less", got, most)
	}
	r.pass(t, time.Minute)
	if memory := w.domain(t).Status.Node.Accelerators[0].MemoryBytes; memory != 240<<30 {
		t.Errorf("the last change is not reported: %d GiB", memory>>30)
	}
}

// An agent that starts anew writes nothing when the machine is as it was, remembers
// the faults of this boot, and forgets them with the next.
func TestRestart(t *testing.T) {
	w := newWorld(t)
	r := w.agent(t, gpus(2))
	r.pass(t, 0)
	r.events <- event{"GPU-1", 79}
	r.pass(t, 5*time.Second)
	if reason := w.domain(t).Status.Node.Accelerators[1].HealthReason; reason != "Xid79" {
		t.Fatalf("the reason is %q", reason)
	}
	again := w.agent(t, gpus(2))
	again.now = r.now
	again.pass(t, time.Minute)
	again.expect(t, w, "of an agent that starts anew", nil)
	facts := gpus(2)
	facts.BootID = "boot-2"
	booted := w.agent(t, facts)
	booted.now = again.now
	booted.pass(t, 0)
	booted.expect(t, w, "after a boot", writes)
	if reason := w.domain(t).Status.Node.Accelerators[1].HealthReason; reason != "" {
		t.Errorf("after a boot the reason is %q", reason)
	}
}

// Whatever the API server does, the agent goes on, and in the end the newest facts
// are stored.
func TestBrokenServer(t *testing.T) {
	answer := func(code int, body string) func(*http.Request) (*http.Response, error) {
		return func(r *http.Request) (*http.Response, error) {
			return &http.Response{
				StatusCode: code, Request: r, Body: io.NopCloser(strings.NewReader(body)), Header: http.Header{"Content-Type": {"application/json"}},
			}, nil
		}
	}
	//nolint:bodyclose // The client that gets the answer closes it.
	cases := map[string]func(*http.Request) (*http.Response, error){
		"frozen":        func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() },
		"no connection": func(*http.Request) (*http.Response, error) { return nil, fmt.Errorf("connection refused") },
		"an error":      answer(http.StatusInternalServerError, `{"kind":"Status","apiVersion":"v1","status":"Failure","code":500}`),
		"garbage":       answer(http.StatusOK, "<html>"),
		"nothing":       answer(http.StatusOK, ""),
		"unauthorized":  answer(http.StatusUnauthorized, ""),
		"not found":     answer(http.StatusNotFound, ""),
	}
	for name, broken := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			r := w.agent(t, gpus(1))
			r.client.timeout = 20 * time.Millisecond
			r.wire.broken = broken
			r.pass(t, time.Minute)
			if n := len(r.wire.take(w.node)); n > 30 {
				t.Errorf("%d writes while nothing answers", n)
			}
			r.client.timeout = callTimeout
			r.wire.broken = nil
			r.pass(t, time.Minute)
			if domain := w.domain(t); domain == nil || domain.Status.Node == nil {
				t.Fatal("there is no report after the API server is back")
			}
			r.client.timeout = 20 * time.Millisecond
			r.wire.broken = broken
			r.source.facts.Driver = "590.1"
			r.pass(t, time.Minute)
			if r.Metrics.Looks.Load() < 35 {
				t.Errorf("%d looks in three minutes", r.Metrics.Looks.Load())
			}
			r.client.timeout = callTimeout
			r.wire.broken = nil
			r.pass(t, time.Minute)
			if got := w.domain(t).Status.Node.DriverVersion; got != "590.1" {
				t.Errorf("the driver is %q after the API server is back", got)
			}
		})
	}
}

// When the answer to a write is lost, the next attempt finds out and changes
// nothing.
func TestLostAnswer(t *testing.T) {
	w := newWorld(t)
	r := w.agent(t, gpus(1))
	r.pass(t, 0)
	r.source.facts.Driver = "590.1"
	config := w.as(t, agentAccount, w.pod)
	reach, err := newClient(config, agentNamespace, w.node, w.pod)
	if err != nil {
		t.Fatal(err)
	}
	r.wire.broken = func(request *http.Request) (*http.Response, error) {
		if request.Method == http.MethodPatch && strings.HasSuffix(request.URL.Path, "/status") {
			body, err := io.ReadAll(request.Body)
			if err != nil {
				return nil, err
			}
			if err := reach.rest.Patch("application/apply-patch+yaml").AbsPath(domainsPath, w.node, "status").
				Param("fieldManager", FieldManager).Param("force", "true").Body(body).Do(request.Context()).Error(); err != nil {
				return nil, err
			}
		}
		return nil, fmt.Errorf("connection reset by peer")
	}
	r.pass(t, 6*time.Second)
	version := w.domain(t)
	if version.Status.Node.DriverVersion != "590.1" {
		t.Fatalf("the write did not arrive: %q", version.Status.Node.DriverVersion)
	}
	r.wire.broken = nil
	r.pass(t, time.Minute)
	after := w.domain(t)
	after.Status.Node.ObservedTime, version.Status.Node.ObservedTime = nil, nil
	if diff := cmp.Diff(version.Status, after.Status); diff != "" {
		t.Errorf("the status changed (-before +after):\n%s", diff)
	}
}

// Without its Node the agent makes nothing; with another Node of the name, it does.
func TestNodeDeleted(t *testing.T) {
	w := newWorld(t)
	r := w.agent(t, gpus(1))
	r.pass(t, 0)
	// What the garbage collector does, of which there is none here.
	for _, object := range []client.Object{
		&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: w.node}}, w.domain(t), w.lease(t),
	} {
		if err := w.Client.Delete(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	// The Pod's token is bound to a Node that is gone.
	r.pass(t, 5*time.Minute)
	if domain, lease := w.domain(t), w.lease(t); domain != nil || lease != nil {
		t.Errorf("without a Node there are %v and %v", domain, lease)
	}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: w.node}}
	w.create(t, node)
	w.pod = w.addPod(t, w.node)
	back := w.agent(t, gpus(1))
	back.pass(t, 0)
	if domain := w.domain(t); domain == nil || domain.OwnerReferences[0].UID != node.UID {
		t.Errorf("with the new Node the domain is %+v", domain)
	}
}

// What somebody else does to the agent's object is put right with a heartbeat.
func TestSpoilt(t *testing.T) {
	cases := map[string]struct {
		spoil func(t *testing.T, w *world, domain *v1alpha1.TopologyDomain)
		want  []string
	}{
		"deleted": {func(t *testing.T, w *world, d *v1alpha1.TopologyDomain) {
			if err := w.Client.Delete(t.Context(), d); err != nil {
				t.Fatal(err)
			}
		}, first[2:]},
		"another report": {func(t *testing.T, w *world, d *v1alpha1.TopologyDomain) {
			d.Status.Node.Accelerators[0].Health = v1alpha1.DeviceUnhealthy
			if err := w.Client.Status().Update(t.Context(), d); err != nil {
				t.Fatal(err)
			}
		}, writes},
		"another condition": {func(t *testing.T, w *world, d *v1alpha1.TopologyDomain) {
			d.Status.Conditions[0].Message = "x"
			if err := w.Client.Status().Update(t.Context(), d); err != nil {
				t.Fatal(err)
			}
		}, writes},
		"no status": {func(t *testing.T, w *world, d *v1alpha1.TopologyDomain) {
			d.Status = v1alpha1.TopologyDomainStatus{ParentName: "leaf"}
			if err := w.Client.Status().Update(t.Context(), d); err != nil {
				t.Fatal(err)
			}
		}, writes},
		"a place, declared by a person": {func(t *testing.T, w *world, d *v1alpha1.TopologyDomain) {
			d.Spec.ParentName = "leaf"
			if err := w.Client.Update(t.Context(), d); err != nil {
				t.Fatal(err)
			}
		}, writes}, // Conditions say which spec they are about.
		"the manager's part": {func(t *testing.T, w *world, d *v1alpha1.TopologyDomain) {
			d.Status.ParentName = "leaf"
			d.Status.Conditions = append(d.Status.Conditions, metav1.Condition{Type: "Ready", Status: "True", Reason: "Accepted", LastTransitionTime: metav1.Now()})
			if err := w.Client.Status().Update(t.Context(), d); err != nil {
				t.Fatal(err)
			}
		}, nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			r := w.agent(t, gpus(1))
			r.pass(t, time.Second)
			r.wire.take(w.node)
			before := w.domain(t)
			tc.spoil(t, w, w.domain(t))
			r.pass(t, 30*time.Second)
			r.expect(t, w, "afterwards", tc.want)
			after := w.domain(t)
			if diff := cmp.Diff(before.Status.Node, after.Status.Node, cmpopts.IgnoreTypes(metav1.Time{}, &metav1.Time{})); diff != "" {
				t.Errorf("report (-before +after):\n%s", diff)
			}
			if name == "the manager's part" && (after.Status.ParentName == "" || len(after.Status.Conditions) != 3) {
				t.Errorf("the manager's part is gone: %+v", after.Status)
			}
			r.pass(t, time.Minute)
			r.expect(t, w, "a minute later", nil)
		})
	}
}

// A domain that a person has declared for the node gets the report and stays theirs.
func TestDeclared(t *testing.T) {
	w := newWorld(t)
	w.create(t, &v1alpha1.TopologyDomain{
		ObjectMeta: metav1.ObjectMeta{Name: w.node}, Spec: v1alpha1.TopologyDomainSpec{Level: v1alpha1.LevelNode, NodeName: w.node, ParentName: "leaf"},
	})
	r := w.agent(t, gpus(1))
	r.pass(t, 0)
	r.expect(t, w, "to a declared domain", append([]string{first[1]}, writes...))
	if d := w.domain(t); d.Spec.ParentName != "leaf" || d.OwnerReferences != nil || d.Status.Node == nil {
		t.Errorf("the domain is %+v", d)
	}
}

// A domain that only has the node's name is left alone. The agent goes on, and
// reports as soon as it is gone.
func TestNameTaken(t *testing.T) {
	w := newWorld(t)
	taken := &v1alpha1.TopologyDomain{ObjectMeta: metav1.ObjectMeta{Name: w.node}, Spec: v1alpha1.TopologyDomainSpec{Level: v1alpha1.LevelLeaf}}
	w.create(t, taken)
	r := w.agent(t, gpus(1))
	r.pass(t, 2*time.Minute)
	r.expect(t, w, "while the name is taken", first[1:2])
	if d := w.domain(t); d.Status.Node != nil || w.lease(t) == nil {
		t.Errorf("the domain is %+v", d)
	}
	if err := w.Client.Delete(t.Context(), taken); err != nil {
		t.Fatal(err)
	}
	r.pass(t, 2*time.Minute)
	r.expect(t, w, "when it is gone", first[2:])
}

// The API server takes the report of a machine that is full of nonsense.
func TestHostileFacts(t *testing.T) {
	long := strings.Repeat("\u202ex\xff", 1<<20)
	cases := map[string]func(*machine.Facts){
		"4,096 GPUs": func(f *machine.Facts) {
			for i := range 4096 {
				f.GPUs = append(f.GPUs, machine.GPU{UUID: fmt.Sprint("GPU-many-", i), Index: i})
				f.NICs = append(f.NICs, machine.NIC{Name: fmt.Sprint("mlx5_", i), LinkLayer: "Ethernet"})
				f.NVMes = append(f.NVMes, machine.NVMe{Name: fmt.Sprint("nvme", i)})
				f.NUMANodes = append(f.NUMANodes, machine.NUMANode{ID: i, CPUs: "0-1"})
				for j := range 64 {
					f.Links = append(f.Links, machine.Link{From: fmt.Sprint("GPU-many-", i), To: fmt.Sprint("switch-", j), Total: 1, Active: 1})
					f.Relations = append(f.Relations, machine.Relation{From: fmt.Sprint("GPU-many-", i), To: fmt.Sprint("mlx5_", j), Path: "PIX"})
				}
			}
		},
		"texts of megabytes": func(f *machine.Facts) {
			f.BootID, f.Driver = long, long
			g := &f.GPUs[0]
			g.Name, g.PCIAddress, g.PCIID, g.ComputeCapability, g.Recovery, g.MIGProfiles = long, long, long, long, long, []string{long}
			f.NICs[0].GUID, f.NICs[0].Interface, f.NICs[0].Subnet = long, long, long
			f.NVMes = []machine.NVMe{{Name: "nvme0", Model: long}}
			f.NUMANodes = []machine.NUMANode{{CPUs: long}}
			f.Problems = []machine.Problem{{Device: long, What: long}}
		},
		"two GPUs with one UUID": func(f *machine.Facts) { f.GPUs[1].UUID = f.GPUs[0].UUID },
		"figures that cannot be": func(f *machine.Facts) {
			f.GPUs[0].MemoryTotal, f.GPUs[0].MemoryReserved, f.GPUs[0].NUMANode, f.GPUs[0].C2CGBps, f.GPUs[0].Index = -5, -6, 1<<40, -7, -8
			f.NICs[0].Gbps, f.NICs[0].NUMANode, f.Links[0].Total, f.Links[0].Active = -1<<40, -9, 1<<30, -1
			f.NVMes = []machine.NVMe{{Name: "nvme0", SizeBytes: -1, NUMANode: -4}}
			f.NUMANodes = []machine.NUMANode{{ID: -1}, {ID: 1 << 40}, {ID: 3, MemoryBytes: -1}}
		},
	}
	w := newWorld(t)
	for name, spoil := range cases {
		t.Run(name, func(t *testing.T) {
			facts := gpus(2)
			spoil(&facts)
			r := w.agent(t, facts)
			r.pass(t, 0)
			d := w.domain(t)
			if r.Metrics.Refused.Load() > 0 || r.Metrics.Failures.Load() > 0 || machine.Material(*d.Status.Node, r.report) {
				t.Errorf("the report was not taken: %s", cmp.Diff(*d.Status.Node, r.report))
			}
			if c := meta.FindStatusCondition(d.Status.Conditions, v1alpha1.ConditionDiscovered); c.Reason != v1alpha1.ReasonIncomplete || len(c.Message) > 1024 {
				t.Errorf("Discovered is %+v", c)
			}
		})
	}
}

// The API server counts Leases that it does not send.
func TestCountOfAgents(t *testing.T) {
	w := newWorld(t)
	r := w.agent(t, gpus(0))
	for i := range 7 {
		w.create(t, &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: agentNamespace, Name: fmt.Sprint("other-", i)}})
		w.create(t, &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: nodeLeases, Name: fmt.Sprint("kubelet-", i)}})
	}
	for namespace, want := range map[string]int{agentNamespace: 7, nodeLeases: 7} {
		got, err := r.client.agents(t.Context(), namespace)
		if err != nil || got != want {
			t.Errorf("%s has %d Leases: %v, want %d", namespace, got, err, want)
		}
	}
	if _, err := r.client.agents(t.Context(), "default"); !apierrors.IsForbidden(err) {
		t.Errorf("counting in another namespace: %v", err)
	}
}

// A machine without a GPU is reported, and nothing is wrong with it.
func TestNoGPU(t *testing.T) {
	w := newWorld(t)
	r := w.agent(t, machine.Facts{BootID: "b", NUMANodes: []machine.NUMANode{{ID: 0, CPUs: "0-3", MemoryBytes: 1 << 30}}})
	r.pass(t, 0)
	d := w.domain(t)
	if len(d.Status.Node.NUMANodes) != 1 || meta.FindStatusCondition(d.Status.Conditions, v1alpha1.ConditionDiscovered).Reason != v1alpha1.ReasonNoAccelerator {
		t.Errorf("the status is %+v", d.Status)
	}
}

// loudSource tells an error of the driver as soon as somebody listens. It is a fake.
type loudSource struct{ fakeSource }

func (s *loudSource) Events(ctx context.Context, found func(string, uint64)) {
	found("GPU-0", 79)
	<-ctx.Done()
}

// Running for real, an error of the driver makes the agent look at once, and an end
// is an end.
func TestRun(t *testing.T) {
	w := newWorld(t)
	a, err := New(Options{
		Node: w.node, Pod: w.pod, Namespace: agentNamespace, Version: "v1", Interval: time.Hour, Config: w.as(t, agentAccount, w.pod),
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Now: time.Now,
	}, &loudSource{fakeSource{facts: gpus(1)}})
	if err != nil {
		t.Fatal(err)
	}
	a.pace.random = func() float64 { return 0 }
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- a.Run(ctx) }()
	for {
		if d := w.domain(t); d != nil && d.Status.Node != nil && d.Status.Node.Accelerators[0].HealthReason == "Xid79" {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run() = %v", err)
	}
}

// A look that needs another process ends this one.
func TestRunEndsForAnotherProcess(t *testing.T) {
	w := newWorld(t)
	r := w.agent(t, gpus(1))
	r.source.err = ErrReplaced
	if err := r.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "driver was replaced") {
		t.Errorf("Run() = %v", err)
	}
}
