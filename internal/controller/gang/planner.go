package gang

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/capability"
	"github.com/k8s4ai/k8s4ai/internal/convert"
	"github.com/k8s4ai/k8s4ai/internal/metrics"
	"github.com/k8s4ai/k8s4ai/internal/observe"
	"github.com/k8s4ai/k8s4ai/internal/placement"
	"github.com/k8s4ai/k8s4ai/internal/report"
)

// Planner places waiting gangs, one pass over all of them at a time. There is
// one pass at a time in one leader, so that nobody else takes room meanwhile.
type Planner struct {
	// Client reads from the cache and writes to the API server.
	Client client.Client
	// Live reads from the API server.
	Live client.Reader
	// Events records what happened.
	Events events.EventRecorder
	// Now is the clock that backoffs are measured on.
	Now func() time.Time

	// Stores are those of the cache behind Client, nil for a Client without any.
	Stores *observe.Stores

	// ledger and cluster need no lock, because there is one pass at a time. cluster
	// is nil until a pass has looked, and stale when it is to begin anew.
	ledger  ledger
	cluster *convert.Follower
	stale   time.Time
	// unsure is set after a write of which it is not known whether it took room.
	unsure bool
}

// NewPlanner returns a Planner. It must not make two passes at a time. Live must
// not read from a cache.
func NewPlanner(c client.Client, live client.Reader, recorder events.EventRecorder) *Planner {
	return &Planner{Client: c, Live: live, Events: recorder, Now: time.Now, ledger: ledger{}}
}

// +kubebuilder:rbac:groups="",resources=nodes,verbs=get;list;watch
// +kubebuilder:rbac:groups=k8s4ai.io,resources=acceleratorclasses;topologydomains,verbs=get;list;watch

// Reconcile makes one pass: it looks at every waiting gang, in the order in
// which they are to be served, and commits each that fits what is left. Gangs
// that are stalled have their turn when the fleet changes.
func (p *Planner) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	groups, err := p.list(ctx)
	if err != nil {
		return ctrl.Result{}, err
	}
	p.ledger.observe(groups)
	queue, again := p.waiting(groups, request == fleetPass[0])
	if len(queue) == 0 {
		return ctrl.Result{RequeueAfter: again}, nil
	}
	begin := p.Now()
	defer func() { metrics.PlanDuration.Observe(p.Now().Sub(begin).Seconds()) }()
	room, err := p.look(ctx)
	if err != nil {
		return ctrl.Result{}, err
	}
	var failed []error
	for _, group := range queue {
		if err := p.serve(ctx, room, group); err != nil {
			failed = append(failed, fmt.Errorf("gang %s/%s: %w", group.Namespace, group.Name, err))
			if !isRefusedWrite(err) {
				p.unsure = true
				break // Whether room was taken is not known, so nobody else gets any from this pass.
			}
		}
	}
	return retryConflict(ctrl.Result{RequeueAfter: again}, errors.Join(failed...))
}

// isRefusedWrite says whether a write has certainly changed nothing, now or
// earlier. A conflict does not say that: what changed may be the placement.
func isRefusedWrite(err error) bool {
	return apierrors.IsInvalid(err) || apierrors.IsNotFound(err) || apierrors.IsForbidden(err) || apierrors.IsRequestEntityTooLargeError(err)
}

// list lists all gangs: from the cache, with which they are shared, or, after a write
// in doubt, as the API server has them, so that the ledger learns of it before
// anybody gets room.
func (p *Planner) list(ctx context.Context) ([]v1alpha1.GangSchedulingGroup, error) {
	reader := client.Reader(p.Client)
	if p.unsure {
		reader = p.Live
	}
	var groups v1alpha1.GangSchedulingGroupList
	if err := reader.List(ctx, &groups, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing gangs: %w", err)
	}
	p.unsure = false
	return groups.Items, nil
}

// waiting lists the gangs that want a placement now, first come first served
// within one priority, and says when a gang that backs off wants one.
func (p *Planner) waiting(groups []v1alpha1.GangSchedulingGroup, stalledToo bool) (queue []*v1alpha1.GangSchedulingGroup, again time.Duration) {
	for i := range groups {
		group := &groups[i]
		if !wantsPlacement(group) || p.ledger.holds(group.UID) || isStalled(group) && !stalledToo {
			continue
		}
		if off := group.Status.Backoff; off != nil && off.Generation == group.Generation {
			if wait := off.NotBefore.Sub(p.Now()); wait > 0 {
				if again == 0 || wait < again {
					again = wait
				}
				continue
			}
		}
		queue = append(queue, group)
	}
	slices.SortFunc(queue, func(a, b *v1alpha1.GangSchedulingGroup) int {
		return cmp.Or(
			cmp.Compare(ptr.Deref(b.Spec.Priority, 0), ptr.Deref(a.Spec.Priority, 0)),
			a.CreationTimestamp.Compare(b.CreationTimestamp.Time),
			strings.Compare(a.Namespace, b.Namespace),
			strings.Compare(a.Name, b.Name),
		)
	})
	return queue, again
}

// wantsPlacement says whether a gang waits for room. The finalizer comes first:
// a gang without it could vanish with its placement while its Pods run.
func wantsPlacement(group *v1alpha1.GangSchedulingGroup) bool {
	return group.DeletionTimestamp.IsZero() &&
		slices.Contains(group.Finalizers, v1alpha1.FinalizerGang) &&
		!ptr.Deref(group.Spec.Suspend, false) &&
		group.Status.Placement == nil && group.Status.Release == nil &&
		!isFinished(group)
}

// room is what one pass knows of the cluster. Each commit takes from it.
type room struct {
	profiles []capability.Profile
	now      *placement.Snapshot
	// empty is the fleet with nothing on it.
	empty *placement.Snapshot
}

// resync is the time after which everything is worked out again. Nothing should
// come of it: it bounds how long a mistake about what has changed can last.
const resync = 10 * time.Minute

// look reads the cluster from the cache, with the ledger's room taken.
func (p *Planner) look(ctx context.Context) (*room, error) {
	objects, err := observe.Objects(ctx, p.Client, p.Stores)
	if err != nil {
		return nil, err
	}
	if p.cluster == nil || !p.Now().Before(p.stale) {
		p.cluster, p.stale = convert.NewFollower(), p.Now().Add(resync)
	}
	if err := p.cluster.Follow(objects, p.ledger.holdings()); err != nil {
		p.cluster = nil
		return nil, err
	}
	now := p.cluster.Snapshot()
	return &room{profiles: p.cluster.Profiles(), now: now, empty: now.Emptied()}, nil
}

// serve commits a placement for one gang, or stores why there is none.
func (p *Planner) serve(ctx context.Context, room *room, group *v1alpha1.GangSchedulingGroup) error {
	changed := group.DeepCopy()
	decision := room.decide(changed)
	changed.Status.Refusal = refusal(decision, group.Generation)
	found := decision.Verdict.Placement
	if found != nil {
		changed.Status.Placement = convert.GangPlacement(found, changed, p.Now())
		convert.GangBandwidth(changed.Status.Placement, placement.Estimate(room.now, decision.Request, found))
		changed.Status.Epoch++
	}
	count(changed, observed{group: changed})
	setConditions(changed)
	if equality.Semantic.DeepEqual(group.Status, changed.Status) {
		return nil
	}
	if err := p.Client.Status().Update(ctx, changed); err != nil {
		return fmt.Errorf("storing the verdict: %w", err)
	}
	if found != nil {
		if err := p.commit(changed, room); err != nil {
			return err
		}
		log.FromContext(ctx).Info("committed a placement", "gang", client.ObjectKeyFromObject(changed), "epoch", changed.Status.Epoch, "domain", changed.Status.Placement.Domain)
	}
	report.Events(p.Events, changed, group.Status.Conditions, changed.Status.Conditions)
	return nil
}

// commit takes the room of a placement that the API server has accepted.
func (p *Planner) commit(placed *v1alpha1.GangSchedulingGroup, room *room) error {
	metrics.Commits.Inc()
	held := p.ledger.commit(placed)
	if held == nil {
		_, err := convert.PlacedRoles(placed.Status.Placement)
		return fmt.Errorf("reading back the placement: %w", err)
	}
	if err := p.cluster.Hold(placed.UID, held); err != nil {
		p.cluster = nil
		return err
	}
	room.now = p.cluster.Snapshot()
	return nil
}

// decide is the whole decision about one waiting gang, and a function of the room
// and the gang.
func (r *room) decide(group *v1alpha1.GangSchedulingGroup) convert.Decision {
	return convert.Decide(group, r.profiles, r.now, r.empty)
}

// refusal writes a decision against a placement in the form of a status, nil where
// there is one.
func refusal(d convert.Decision, generation int64) *v1alpha1.GangRefusal {
	if d.Reason == "" {
		return nil
	}
	out := &v1alpha1.GangRefusal{Reason: d.Reason, Message: d.Message}
	if d.Refusal != nil {
		out = convert.GangRefusal(d.Reason, d.Refusal)
	}
	out.Generation = generation
	return out
}
