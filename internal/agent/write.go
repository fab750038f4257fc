package agent

import (
	"context"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/agent/machine"
)

// stored is the TopologyDomain in the API server as far as the agent knows it.
type stored struct {
	// isKnown is true once the object was read, or found missing.
	isKnown bool
	// exists is whether there is one, and has the form of this node's.
	exists bool
	// generation is that of its spec.
	generation int64
	// isSpoilt is true when somebody has changed what the agent has stored.
	isSpoilt bool
	// sent is the report that the agent asked to store, and kept what the API
	// server made of it: an older CRD drops fields that it does not know.
	sent, kept v1alpha1.NodeReport
	// told and conditions are the same for conditions.
	told, conditions []metav1.Condition
}

// own are the conditions that are the agent's.
var own = []string{v1alpha1.ConditionHealthy, v1alpha1.ConditionDiscovered}

// hasChange says whether the last look differs from what is stored.
func (a *Agent) hasChange() bool {
	s := &a.stored
	isLate := slices.ContainsFunc(s.told, func(c metav1.Condition) bool { return c.ObservedGeneration != s.generation })
	return !s.isKnown || !s.exists || s.isSpoilt || isLate || machine.Material(s.sent, a.report) || !sameConditions(s.told, a.conditions)
}

// sameConditions compares the agent's conditions without their times.
func sameConditions(x, y []metav1.Condition) bool {
	return !slices.ContainsFunc(own, func(kind string) bool {
		a, b := meta.FindStatusCondition(x, kind), meta.FindStatusCondition(y, kind)
		if a == nil || b == nil {
			return a != b
		}
		return a.Status != b.Status || a.Reason != b.Reason || a.Message != b.Message
	})
}

// write reports the last look, unless it turns out that the same is stored.
func (a *Agent) write(ctx context.Context, now time.Time) {
	err := a.read(ctx)
	if err == nil && a.hasChange() {
		err = a.send(ctx, now)
	}
	if err != nil {
		a.failed("report", err)
		a.pace.reportFailed(now)
		// What happened to the write is not known, nor why the object is not as it was.
		a.stored.isKnown = a.stored.isKnown && !apierrors.IsNotFound(err)
	}
}

// read reads the object before the first write, so that an agent that starts anew
// knows the faults of this boot, and writes nothing that is already there.
func (a *Agent) read(ctx context.Context) error {
	if a.stored.isKnown {
		return nil
	}
	domain, err := a.client.domain(ctx)
	if err != nil {
		return err
	}
	a.stored = stored{isKnown: true}
	if domain == nil {
		return nil
	}
	if domain.Spec.Level != v1alpha1.LevelNode || domain.Spec.NodeName != a.options.Node {
		a.stored.isKnown = false
		return fmt.Errorf("TopologyDomain %s is of level %s and not this Node's: rename it", domain.Name, domain.Spec.Level)
	}
	a.keep(domain)
	a.stored.sent, a.stored.told = a.stored.kept, a.stored.conditions
	a.history = a.history.Join(machine.Restore(a.stored.kept))
	a.judge()
	return nil
}

// keep notes the object as the API server has it.
func (a *Agent) keep(domain *v1alpha1.TopologyDomain) {
	s := &a.stored
	s.exists, s.isSpoilt, s.generation = true, false, domain.Generation
	s.kept = v1alpha1.NodeReport{}
	if domain.Status.Node != nil {
		s.kept = *domain.Status.Node
	}
	s.conditions = slices.DeleteFunc(slices.Clone(domain.Status.Conditions), func(c metav1.Condition) bool { return !slices.Contains(own, c.Type) })
}

// send stores the report, and makes the object first when there is none.
func (a *Agent) send(ctx context.Context, now time.Time) error {
	if !a.stored.exists {
		generation, err := a.client.applyDomain(ctx)
		if err != nil {
			return err
		}
		a.stored.exists, a.stored.generation = true, generation
	}
	report := a.report
	report.ObservedTime = new(metav1.NewTime(now))
	conditions := slices.Clone(a.conditions)
	for i := range conditions {
		c := &conditions[i]
		c.ObservedGeneration, c.LastTransitionTime = a.stored.generation, *report.ObservedTime
		if was := meta.FindStatusCondition(a.stored.conditions, c.Type); was != nil && was.Status == c.Status {
			c.LastTransitionTime = was.LastTransitionTime
		}
	}
	domain, err := a.client.applyStatus(ctx, &report, conditions)
	if err != nil {
		return err
	}
	a.keep(domain)
	a.stored.sent, a.stored.told = report, conditions
	a.pace.reported()
	a.Metrics.Reports.Add(1)
	return nil
}

// verify looks whether the stored report is the one that the agent has left there.
func (a *Agent) verify(ctx context.Context) {
	domain, err := a.client.domain(ctx)
	switch s := &a.stored; {
	case err != nil:
		a.failed("reading back", err)
	case domain == nil:
		s.exists, s.conditions = false, nil
	case s.exists:
		was, conditions := s.kept, s.conditions
		a.keep(domain)
		s.isSpoilt = machine.Material(was, s.kept) || !sameConditions(conditions, s.conditions)
	default:
		s.isKnown = false
	}
}
