package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/utils/ptr"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/placement"
	"github.com/k8s4ai/k8s4ai/internal/planfile"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// What the API fills in where a gang says nothing.
const (
	defaultBindTimeout = 30
	defaultMaxRestarts = 3
)

// phaseOf is what the manager says of a gang as a whole.
func phaseOf(group *v1alpha1.GangSchedulingGroup) (reason, message string) {
	ready := meta.FindStatusCondition(group.Status.Conditions, v1alpha1.ConditionReady)
	if ready == nil {
		return "Unknown", "not looked at by the manager yet"
	}
	return ready.Reason, ready.Message
}

// isWaiting says whether a gang waits for room: it is neither placed, nor ended,
// nor suspended.
func isWaiting(group *v1alpha1.GangSchedulingGroup) bool {
	return group.DeletionTimestamp.IsZero() && !ptr.Deref(group.Spec.Suspend, false) &&
		group.Status.Placement == nil && group.Status.Release == nil && !isFinished(group)
}

func isFinished(group *v1alpha1.GangSchedulingGroup) bool {
	return meta.IsStatusConditionTrue(group.Status.Conditions, v1alpha1.ConditionFinished)
}

// byService orders gangs as the manager serves them.
func byService(a, b *v1alpha1.GangSchedulingGroup) int {
	return cmp.Or(
		cmp.Compare(ptr.Deref(b.Spec.Priority, 0), ptr.Deref(a.Spec.Priority, 0)),
		a.CreationTimestamp.Compare(b.CreationTimestamp.Time),
		strings.Compare(a.Namespace, b.Namespace),
		strings.Compare(a.Name, b.Name),
	)
}

// waitingIn are the gangs of a snapshot that wait for room, in the order in which
// they would be served.
func waitingIn(fleet *planfile.Snapshot) []v1alpha1.GangSchedulingGroup {
	var out []v1alpha1.GangSchedulingGroup
	for i := range fleet.Gangs {
		if isWaiting(&fleet.Gangs[i]) {
			out = append(out, fleet.Gangs[i])
		}
	}
	slices.SortStableFunc(out, func(a, b v1alpha1.GangSchedulingGroup) int { return byService(&a, &b) })
	return out
}

// aheadOf are the gangs that are served before one that waits.
func aheadOf(group *v1alpha1.GangSchedulingGroup, world *planfile.Snapshot) []string {
	if !isWaiting(group) {
		return nil
	}
	var out []string
	for _, other := range waitingIn(world) {
		if byService(&other, group) >= 0 {
			break
		}
		out = append(out, other.Namespace+"/"+other.Name)
	}
	return out
}

// givenBack is the room of uses as it is given back.
func givenBack(uses []placement.Use) []placement.Use {
	out := make([]placement.Use, len(uses))
	for i, use := range uses {
		out[i] = placement.Use{Node: use.Node, Resources: placement.Resources{}}
		for name, amount := range use.Resources {
			out[i].Resources[name] = -amount
		}
	}
	return out
}

// nextOf says what happens next.
func nextOf(group *v1alpha1.GangSchedulingGroup, e *Explanation) string {
	status := &group.Status
	switch {
	case isFinished(group):
		return "Nothing: the gang has ended for good."
	case status.Release != nil:
		return "Its Pods are removed. When none is left, its room is free."
	case status.Placement != nil && status.StartedEpoch == status.Epoch:
		return "It runs until its Pods end. " + onFailure(group)
	case status.Placement != nil:
		return fmt.Sprintf("All Pods have to be bound within %d s of their creation; otherwise the gang is released and placed anew.",
			cmp.Or(group.Spec.BindTimeoutSeconds, defaultBindTimeout))
	case ptr.Deref(group.Spec.Suspend, false):
		return "Nothing before spec.suspend is set to false."
	case !e.Now.Fits && (e.Now.Refusal.Reason == v1alpha1.ReasonWaitingForRoom || e.Now.Refusal.Reason == v1alpha1.ReasonNoProof):
		return "It is looked at again whenever room becomes free."
	case !e.Now.Fits:
		return "Nothing before the gang is changed, or the fleet."
	case status.Backoff != nil && status.Backoff.NotBefore != nil:
		return fmt.Sprintf("It fits, and is placed after %s: the placement before could not be realised.", status.Backoff.NotBefore.UTC().Format(time.RFC3339))
	case len(e.Ahead) > 0:
		return fmt.Sprintf("It fits as long as the %s it the room, and is placed in the manager's next pass.", count(len(e.Ahead), "gang ahead of it leaves", "gangs ahead of it leave"))
	}
	return "It fits, and is placed in the manager's next pass."
}

// onFailure says what a failed Pod leads to.
func onFailure(group *v1alpha1.GangSchedulingGroup) string {
	policy := group.Spec.RestartPolicy
	if policy == nil || policy.Type != v1alpha1.RestartRecreateGang {
		return "A Pod that fails ends the gang."
	}
	return fmt.Sprintf("A Pod that fails restarts the gang: %d of %d restarts are used.",
		ptr.Deref(group.Status.Restarts, 0), cmp.Or(policy.MaxRestarts, defaultMaxRestarts))
}

// maxAhead is how many gangs are named that are served before.
const maxAhead = 5

// explanation writes what is known of a gang for a person.
func (s *sheet) explanation(e *Explanation, group *v1alpha1.GangSchedulingGroup, now time.Time) {
	s.fact("Gang", e.Namespace+"/"+e.Name)
	phase := e.Phase
	if e.Message != "" {
		phase += ": " + e.Message
	}
	s.fact("Phase", phase)
	age := duration.HumanDuration(max(0, now.Sub(e.Since.Time)))
	if e.Placement == nil {
		s.fact("Created", age+" ago")
	} else {
		s.fact("Placed", fmt.Sprintf("%s ago, placement %d of this gang", age, group.Status.Epoch))
	}
	if p := group.Status.Pods; p != nil {
		s.fact("Pods", fmt.Sprintf("%d wanted, %d bound, %d running, %d failed", ptr.Deref(p.Desired, 0), ptr.Deref(p.Bound, 0), ptr.Deref(p.Running, 0), ptr.Deref(p.Failed, 0)))
	}
	if len(e.Ahead) > 0 {
		names := strings.Join(e.Ahead[:min(len(e.Ahead), maxAhead)], ", ")
		if more := len(e.Ahead) - maxAhead; more > 0 {
			names += fmt.Sprintf(" and %d more", more)
		}
		s.fact("Ahead", names)
	}
	s.fact("Next", e.Next)
	if e.Placement != nil {
		s.WriteString("\nPLACED " + oneLine(where(e.Placement)) + "\n")
		s.placement(e.Placement)
		s.text(2, compared(e))
		return
	}
	if isFinished(group) {
		return
	}
	s.WriteString("\nASKED ANEW\n")
	s.verdict(&e.Now)
}

// compared says whether the gang would get a better place now.
func compared(e *Explanation) string {
	if !e.Now.Fits {
		return "With its own room given back it would not fit anew: " + e.Now.Refusal.Message
	}
	is, _ := topology.ParseLevel(string(e.Placement.Level))
	would, _ := topology.ParseLevel(string(e.Now.Placement.Level))
	if would > is {
		return fmt.Sprintf("A tighter place is free: %s.", where(e.Now.Placement))
	}
	return "No tighter place is free."
}

// fact writes one line of what holds for the gang.
func (s *sheet) fact(key, value string) {
	const keyWidth = 8
	lines := wrap(oneLine(value), " ", s.width-keyWidth-1)
	s.WriteString(pad(key, keyWidth, false) + " " + strings.Join(lines, "\n"+strings.Repeat(" ", keyWidth+1)) + "\n")
}
