package gang

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/report"
)

// stallingRefusals need a person, or a change of the fleet, before the gang can
// be placed.
var stallingRefusals = []string{
	v1alpha1.ReasonUnsatisfiable, v1alpha1.ReasonInvalidSpec, v1alpha1.ReasonUnknownClass, v1alpha1.ReasonQueueUnsupported,
}

// outlook is what the conditions of a gang say.
type outlook struct {
	placed, ready, reconciling, stalled, finished bool
	reason, message                               string
}

// setConditions derives every condition of a gang from the rest of its status.
// Finished is the one that is also a source: once True it stays.
func setConditions(group *v1alpha1.GangSchedulingGroup) {
	look := lookAt(group)
	set := func(kind string, status bool, otherwise string) {
		if !status {
			report.Set(&group.Status.Conditions, group.Generation, report.Condition(kind, false, otherwise, ""))
			return
		}
		report.Set(&group.Status.Conditions, group.Generation, report.Condition(kind, true, look.reason, look.message))
	}
	report.Set(&group.Status.Conditions, group.Generation, report.Condition(v1alpha1.ConditionReady, look.ready, look.reason, look.message))
	set(v1alpha1.ConditionReconciling, look.reconciling, v1alpha1.ReasonAsExpected)
	set(v1alpha1.ConditionStalled, look.stalled, v1alpha1.ReasonAsExpected)
	report.Set(&group.Status.Conditions, group.Generation, placedCondition(group, look))
	set(v1alpha1.ConditionFinished, look.finished, v1alpha1.ReasonNotFinished)
}

func placedCondition(group *v1alpha1.GangSchedulingGroup, look outlook) metav1.Condition {
	if !look.placed {
		return report.Condition(v1alpha1.ConditionPlaced, false, look.reason, look.message)
	}
	if group.Status.Release != nil {
		return report.Condition(v1alpha1.ConditionPlaced, true, v1alpha1.ReasonReleasing, look.message)
	}
	return report.Condition(v1alpha1.ConditionPlaced, true, v1alpha1.ReasonPlanned, where(group.Status.Placement))
}

func lookAt(group *v1alpha1.GangSchedulingGroup) outlook {
	status := &group.Status
	switch {
	case isFinished(group):
		was := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionFinished)
		ok := was.Reason == v1alpha1.ReasonSucceeded
		return outlook{finished: true, ready: ok, stalled: !ok, reason: was.Reason, message: was.Message}
	case status.Release != nil:
		return outlook{placed: true, reconciling: true, reason: v1alpha1.ReasonReleasing,
			message: fmt.Sprintf("removing the pods of epoch %d (%s): %s", status.Epoch, status.Release.Reason, status.Release.Message)}
	case status.Placement != nil && status.StartedEpoch == status.Epoch:
		return outlook{placed: true, ready: true, reason: v1alpha1.ReasonRunning, message: "every pod runs, " + where(status.Placement)}
	case status.Placement != nil:
		return outlook{placed: true, reconciling: true, reason: v1alpha1.ReasonStarting, message: "starting the pods, " + where(status.Placement)}
	case ptr.Deref(group.Spec.Suspend, false):
		return outlook{reason: v1alpha1.ReasonSuspended, message: "spec.suspend is true: set it to false to start the gang"}
	case status.Backoff != nil && !isCurrent(status.Refusal, group):
		return outlook{reconciling: true, reason: v1alpha1.ReasonBackingOff,
			message: fmt.Sprintf("the last placement could not be realised, a new one is made after %s: %s", status.Backoff.NotBefore.UTC().Format("15:04:05 MST"), status.Backoff.Message)}
	case isCurrent(status.Refusal, group):
		stalled := isStalled(group)
		return outlook{stalled: stalled, reconciling: !stalled, reason: status.Refusal.Reason, message: status.Refusal.Message}
	}
	return outlook{reconciling: true, reason: v1alpha1.ReasonWaitingForRoom, message: "waiting to be placed"}
}

// isCurrent says whether a refusal is about the gang as it is now.
func isCurrent(refusal *v1alpha1.GangRefusal, group *v1alpha1.GangSchedulingGroup) bool {
	return refusal != nil && refusal.Generation == group.Generation
}

// isStalled says whether the gang as it is now needs a person, or another fleet.
func isStalled(group *v1alpha1.GangSchedulingGroup) bool {
	return isCurrent(group.Status.Refusal, group) && slices.Contains(stallingRefusals, group.Status.Refusal.Reason)
}

// where tells a person where a gang sits.
func where(p *v1alpha1.GangPlacement) string {
	if p.Domain == "" {
		return "across domains that no TopologyDomain joins"
	}
	return fmt.Sprintf("in %s %s", p.Level, p.Domain)
}

// finish marks a gang as ended for good.
func finish(group *v1alpha1.GangSchedulingGroup, reason, message string) {
	report.Set(&group.Status.Conditions, group.Generation, report.Condition(v1alpha1.ConditionFinished, true, reason, message))
}

// count fills the Pod counts of a gang's status.
func count(group *v1alpha1.GangSchedulingGroup, seen observed) {
	status := &group.Status
	previous := status.Roles
	status.Roles = nil
	for i := range group.Spec.Roles {
		status.Roles = append(status.Roles, v1alpha1.GangRoleStatus{Name: group.Spec.Roles[i].Name, Pods: noPods(desired(group, &group.Spec.Roles[i]))})
	}
	for _, pod := range seen.pods {
		for i := range status.Roles {
			if pod.Labels[v1alpha1.LabelRole] == status.Roles[i].Name && epochOf(pod) == status.Epoch {
				countPod(&status.Roles[i].Pods, pod)
			}
		}
	}
	if isFinished(seen.group) && len(previous) > 0 {
		// Pods of a finished gang get cleaned up; what they were stays told.
		status.Roles = previous
	}
	total := noPods(0)
	for i := range status.Roles {
		sum(&total, &status.Roles[i].Pods)
	}
	status.Pods = &total
}

// desired is the number of Pods of a role: what the placement holds, or, while
// there is none, what the spec asks for.
func desired(group *v1alpha1.GangSchedulingGroup, role *v1alpha1.GangRole) int32 {
	if group.Status.Placement != nil {
		for i := range group.Status.Placement.Roles {
			if placed := &group.Status.Placement.Roles[i]; placed.Name == role.Name {
				return placed.Replicas
			}
		}
	}
	return role.Replicas
}

func noPods(desired int32) v1alpha1.GangPodCounts {
	return v1alpha1.GangPodCounts{
		Desired: new(desired), Created: new(int32), Bound: new(int32),
		Running: new(int32), Succeeded: new(int32), Failed: new(int32),
	}
}

func countPod(counts *v1alpha1.GangPodCounts, pod *corev1.Pod) {
	*counts.Created++
	if pod.Spec.NodeName != "" {
		*counts.Bound++
	}
	switch pod.Status.Phase {
	case corev1.PodRunning:
		*counts.Running++
	case corev1.PodSucceeded:
		*counts.Succeeded++
	case corev1.PodFailed:
		*counts.Failed++
	case corev1.PodPending, corev1.PodUnknown:
	}
}

func sum(into, from *v1alpha1.GangPodCounts) {
	*into.Desired += *from.Desired
	*into.Created += *from.Created
	*into.Bound += *from.Bound
	*into.Running += *from.Running
	*into.Succeeded += *from.Succeeded
	*into.Failed += *from.Failed
}
