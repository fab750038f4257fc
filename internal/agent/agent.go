package agent

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/agent/machine"
)

// Options say who the agent is.
type Options struct {
	// Node is the name of the agent's Node, Pod that of its Pod, and Namespace the
	// Pod's, in which the Lease is.
	Node, Pod, Namespace string
	// Version is told in reports.
	Version string
	// Interval is the time between two looks at the machine.
	Interval time.Duration
	// Config reaches the API server.
	Config *rest.Config
	// Log receives what goes wrong.
	Log *slog.Logger
	// Now tells the time.
	Now func() time.Time
}

// countEvery is how many heartbeats pass between two counts of the agents.
const countEvery = 4

// maxEvents bounds the errors that wait for the next look; a device that tells more
// is known to be broken.
const maxEvents = 256

// Agent looks at one machine and tells the API server.
type Agent struct {
	options Options
	source  Source
	client  *apiClient
	pace    *pace
	log     *slog.Logger
	// Metrics count what the agent does.
	Metrics *Metrics

	events chan event
	// hasStarted is true once the number of agents is known, and the pace set.
	hasStarted bool
	heartbeats int
	nextLook   time.Time

	// history, report and conditions are of the last look.
	history    machine.History
	facts      machine.Facts
	report     v1alpha1.NodeReport
	conditions []metav1.Condition
	// stored is what is known of the object in the API server.
	stored stored
}

// event is an error that the driver told.
type event struct {
	uuid string
	xid  uint64
}

// New returns an agent that has not looked at anything yet.
func New(options Options, source Source) (*Agent, error) {
	c, err := newClient(options.Config, options.Namespace, options.Node, options.Pod)
	if err != nil {
		return nil, err
	}
	return &Agent{
		options: options, source: source, client: c, log: options.Log,
		pace:    &pace{random: rand.Float64, budget: BudgetFor(1)},
		Metrics: &Metrics{}, events: make(chan event, maxEvents),
	}, nil
}

// Run looks and reports until ctx ends, or until a look needs another process.
func (a *Agent) Run(ctx context.Context) error {
	// Agents that a rollout starts together look at different times, for good.
	if !sleep(ctx, time.Duration(a.pace.random()*float64(a.options.Interval))) {
		return nil
	}
	wake := make(chan struct{}, 1)
	isListening := false
	for {
		next, err := a.step(ctx, a.options.Now())
		if err != nil {
			return err
		}
		if !isListening {
			// The first look comes before: errors belong to the boot that it sees.
			isListening = true
			go a.listen(ctx, wake)
		}
		timer := time.NewTimer(max(next.Sub(a.options.Now()), time.Millisecond))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		case <-wake:
			timer.Stop()
			a.nextLook = time.Time{}
		}
	}
}

// sleep is false when ctx ends first.
func sleep(ctx context.Context, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func (a *Agent) listen(ctx context.Context, wake chan<- struct{}) {
	a.source.Events(ctx, func(uuid string, xid uint64) {
		select {
		case a.events <- event{uuid, xid}:
		default:
		}
		select {
		case wake <- struct{}{}:
		default:
		}
	})
}

// step does what is due, and returns when to come again.
func (a *Agent) step(ctx context.Context, now time.Time) (time.Time, error) {
	if !now.Before(a.nextLook) {
		if err := a.look(ctx, now); err != nil {
			return now, err
		}
		a.nextLook = now.Add(a.options.Interval)
	}
	if !a.hasStarted {
		a.start(ctx, now)
	}
	next := a.pace.renewAt
	if a.hasStarted {
		if a.pace.renewDue(now) {
			a.beat(ctx, now)
		}
		if a.pace.reportDue(now, a.hasChange()) {
			a.write(ctx, now)
		}
		next = a.pace.next()
	}
	if a.nextLook.Before(next) {
		return a.nextLook, nil
	}
	return next, nil
}

func (a *Agent) look(ctx context.Context, now time.Time) error {
	begin := a.options.Now()
	facts, err := a.source.Read(ctx)
	if err != nil {
		return fmt.Errorf("looking at the machine: %w", err)
	}
	a.facts = facts
	a.record()
	a.judge()
	a.Metrics.looked(now, a.options.Now().Sub(begin), &a.report)
	return nil
}

// record takes over the errors that the driver has told since the last look.
func (a *Agent) record() {
	for {
		select {
		case e := <-a.events:
			a.log.Warn("the driver tells an error", "gpu", e.uuid, "xid", e.xid)
			a.history = a.history.Record(e.uuid, e.xid)
		default:
			return
		}
	}
}

// judge makes a report of the last look.
func (a *Agent) judge() {
	a.report, a.conditions, a.history = machine.Report(a.facts, a.history)
	a.report.AgentVersion = a.options.Version
}

// start counts the agents, which sets the pace. Before any of them has a Lease,
// on the day of the installation, the Leases of the kubelets count instead.
func (a *Agent) start(ctx context.Context, now time.Time) {
	if !a.pace.renewDue(now) {
		return
	}
	count, err := a.client.agents(ctx, a.options.Namespace)
	if err != nil {
		a.failed("counting agents", err)
		a.pace.renewFailed(now)
		return
	}
	if nodes, err := a.client.agents(ctx, nodeLeases); err == nil {
		count = max(count, nodes)
	}
	a.hasStarted = true
	a.setPace(count)
	a.pace.start(now)
}

func (a *Agent) setPace(agents int) {
	a.pace.budget = BudgetFor(agents)
	// A Lease must outlast looks, between which nothing is renewed.
	a.pace.budget.Heartbeat = max(a.pace.budget.Heartbeat, a.options.Interval)
	a.Metrics.set(agents, a.pace.budget.Heartbeat)
}

// beat renews the Lease. Now and then it counts the agents anew, and looks whether
// the report is still there.
func (a *Agent) beat(ctx context.Context, now time.Time) {
	if err := a.client.renew(ctx, now, a.pace.budget.LeaseDuration()); err != nil {
		a.failed("heartbeat", err)
		a.pace.renewFailed(now)
		return
	}
	a.Metrics.Heartbeats.Add(1)
	a.heartbeats++
	if a.heartbeats%countEvery == 0 {
		if count, err := a.client.agents(ctx, a.options.Namespace); err != nil {
			a.failed("counting agents", err)
		} else {
			a.setPace(count)
		}
	}
	a.pace.renewed(now)
	if a.stored.isKnown {
		a.verify(ctx)
	}
}

func (a *Agent) failed(doing string, err error) {
	a.Metrics.fail(err)
	a.log.Warn(doing+" failed", "error", err)
}
