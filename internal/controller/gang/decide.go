package gang

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/utils/ptr"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
)

const (
	// defaultBindTimeout is how long binding may take when the spec does not say.
	defaultBindTimeout = 30 * time.Second
	// defaultMaxRestarts is how often a gang comes back when the spec does not say.
	defaultMaxRestarts = 3
)

// decision says what should be true next for one gang. Its zero value means
// that nothing is to be done but to report.
type decision struct {
	// addFinalizer comes before everything else for a new gang.
	addFinalizer bool
	// release records the intent to remove the placement's Pods. Nothing is
	// deleted before it is stored.
	release *v1alpha1.GangRelease
	// deletePods are removed now.
	deletePods []*corev1.Pod
	// settle asks whether the API server shows no live Pod of the gang any more,
	// and then completes the release or the deletion.
	settle bool
	// createService and createPods are made now, in this order.
	createService bool
	createPods    []member
	// started is set when every Pod of this epoch runs.
	started bool
	// succeeded is set when every Pod has ended well.
	succeeded bool
	// lookAgain is when time alone may change the decision, 0 for never.
	lookAgain time.Duration
}

// decide says what should be true next. It is a function of what was observed.
func decide(seen observed) decision {
	group := seen.group
	switch {
	case !group.DeletionTimestamp.IsZero():
		return leave(seen)
	case !slices.Contains(group.Finalizers, v1alpha1.FinalizerGang):
		return decision{addFinalizer: true}
	case isFinished(group):
		return decision{deletePods: strays(seen)}
	case group.Status.Release != nil:
		return emptyOut(seen)
	case group.Status.Placement == nil:
		return decision{deletePods: strays(seen)}
	case ptr.Deref(group.Spec.Suspend, false):
		return decision{release: &v1alpha1.GangRelease{Reason: v1alpha1.ReleaseSuspended, Message: "spec.suspend is true"}}
	case seen.unreadable != "":
		return decision{release: &v1alpha1.GangRelease{Reason: v1alpha1.ReleasePlacementInvalid, Message: seen.unreadable}}
	case group.Status.Placement.Generation != group.Generation && group.Status.StartedEpoch != group.Status.Epoch:
		return decision{release: &v1alpha1.GangRelease{Reason: v1alpha1.ReleaseSpecChanged, Message: "the spec changed before the gang had started"}}
	}
	return pursue(seen)
}

// leave lets a gang go that is being deleted: first its Pods, then itself.
func leave(seen observed) decision {
	if !slices.Contains(seen.group.Finalizers, v1alpha1.FinalizerGang) {
		return decision{}
	}
	return decision{deletePods: notYetDeleted(seen.pods, func(*corev1.Pod) bool { return true }), settle: len(seen.pods) == 0}
}

// emptyOut removes the Pods of a placement that is being released. A gang that
// fails for good keeps the Pods that have ended, so that their logs can be read.
func emptyOut(seen observed) decision {
	final := isFinal(seen.group)
	remaining := 0
	for _, pod := range seen.pods {
		if !final || !isTerminal(pod) {
			remaining++
		}
	}
	return decision{
		deletePods: notYetDeleted(seen.pods, func(pod *corev1.Pod) bool { return !final || !isTerminal(pod) }),
		settle:     remaining == 0,
	}
}

// strays are Pods that no placement accounts for: of another epoch, or of a
// gang that has none.
func strays(seen observed) []*corev1.Pod {
	placed := seen.group.Status.Placement != nil
	return notYetDeleted(seen.pods, func(pod *corev1.Pod) bool {
		return !placed || epochOf(pod) != seen.group.Status.Epoch
	})
}

func notYetDeleted(pods map[string]*corev1.Pod, wanted func(*corev1.Pod) bool) []*corev1.Pod {
	var out []*corev1.Pod
	for _, pod := range pods {
		if pod.DeletionTimestamp.IsZero() && wanted(pod) {
			out = append(out, pod)
		}
	}
	slices.SortFunc(out, func(a, b *corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// pursue brings the Pods of a committed placement about, and watches over them.
func pursue(seen observed) decision {
	state := inspect(seen)
	started := seen.group.Status.StartedEpoch == seen.group.Status.Epoch
	next := decision{deletePods: state.stray, createService: !seen.hasService}
	switch {
	case state.refused != "":
		return decision{release: &v1alpha1.GangRelease{Reason: v1alpha1.ReleaseNodeRefused, Message: state.refused}}
	case state.failed != "":
		return decision{release: &v1alpha1.GangRelease{Reason: v1alpha1.ReleaseMemberFailed, Message: state.failed}}
	case started && state.lost != "":
		return decision{release: &v1alpha1.GangRelease{Reason: v1alpha1.ReleaseMemberLost, Message: state.lost}}
	case len(state.missing) > 0:
		next.createPods = state.missing
	case state.unbound != "":
		limit := bindTimeout(seen.group)
		if seen.waiting >= limit {
			return decision{release: &v1alpha1.GangRelease{Reason: v1alpha1.ReleaseBindTimeout, Message: state.unbound}}
		}
		next.lookAgain = limit - seen.waiting
	case state.succeeded == len(seen.members):
		next.succeeded, next.started = true, true
	case state.alive == len(seen.members):
		next.started = true
	}
	return next
}

// inspection is the state of the planned Pods of one epoch. The texts name the
// first Pod in rank order that is in that state.
type inspection struct {
	missing   []member
	stray     []*corev1.Pod
	refused   string
	failed    string
	lost      string
	unbound   string
	alive     int
	succeeded int
}

// inspect compares the planned Pods with those that exist. A Pod of the right
// name and another epoch, or on another node than planned, is a stray: its name
// is free for the right Pod only once it is gone.
func inspect(seen observed) inspection {
	var state inspection
	planned := make(map[string]bool, len(seen.members))
	for _, m := range seen.members {
		planned[m.name] = true
		pod := seen.pods[m.name]
		switch {
		case pod == nil:
			state.missing = append(state.missing, m)
			state.lost = first(state.lost, "pod %s is gone", m.name)
		case epochOf(pod) != seen.group.Status.Epoch, pod.Spec.NodeName != "" && pod.Spec.NodeName != m.node:
			state.stray = append(state.stray, pod)
		default:
			state.note(m, pod)
		}
	}
	for _, pod := range seen.pods {
		if !planned[pod.Name] {
			state.stray = append(state.stray, pod)
		}
	}
	state.stray = slices.DeleteFunc(state.stray, func(pod *corev1.Pod) bool { return !pod.DeletionTimestamp.IsZero() })
	slices.SortFunc(state.stray, func(a, b *corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	return state
}

func (state *inspection) note(m member, pod *corev1.Pod) {
	switch {
	case pod.Status.Phase == corev1.PodSucceeded:
		state.succeeded++
		state.alive++
	case pod.Status.Phase == corev1.PodFailed && isRefusal(pod):
		state.refused = first(state.refused, "node %s refused pod %s: %s %s", m.node, m.name, pod.Status.Reason, pod.Status.Message)
	case pod.Status.Phase == corev1.PodFailed:
		state.failed = first(state.failed, "pod %s failed%s", m.name, exitReason(pod))
	case !pod.DeletionTimestamp.IsZero():
		state.lost = first(state.lost, "pod %s is being deleted", m.name)
	case pod.Spec.NodeName == "":
		state.unbound = first(state.unbound, "pod %s is not bound to node %s%s", m.name, m.node, schedulerSays(pod))
	case pod.Status.Phase == corev1.PodRunning:
		state.alive++
	}
}

// rejection starts the message of every Pod that a kubelet turns away, whatever
// the reason: OutOf<resource>, UnexpectedAdmissionError, TopologyAffinityError
// and more.
const rejection = "Pod was rejected: "

// isRefusal says whether the kubelet turned the Pod away before any container
// ran, such as when its room was taken after kube-scheduler had looked.
func isRefusal(pod *corev1.Pod) bool {
	return len(pod.Status.ContainerStatuses) == 0 &&
		(strings.HasPrefix(pod.Status.Message, rejection) || strings.HasPrefix(pod.Status.Reason, "OutOf"))
}

func first(have, format string, args ...any) string {
	if have != "" {
		return have
	}
	return fmt.Sprintf(format, args...)
}

// exitReason tells how the Pod failed, as far as the Pod says.
func exitReason(pod *corev1.Pod) string {
	for _, status := range pod.Status.ContainerStatuses {
		if ended := status.State.Terminated; ended != nil && ended.ExitCode != 0 {
			return fmt.Sprintf(": container %s exited with %d (%s)", status.Name, ended.ExitCode, ended.Reason)
		}
	}
	if pod.Status.Reason != "" {
		return ": " + pod.Status.Reason
	}
	return ""
}

// schedulerSays quotes kube-scheduler on a Pod that is not bound.
func schedulerSays(pod *corev1.Pod) string {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodScheduled && condition.Status == corev1.ConditionFalse && condition.Message != "" {
			return ": " + condition.Message
		}
	}
	return ""
}

func bindTimeout(group *v1alpha1.GangSchedulingGroup) time.Duration {
	if group.Spec.BindTimeoutSeconds > 0 {
		return time.Duration(group.Spec.BindTimeoutSeconds) * time.Second
	}
	return defaultBindTimeout
}

// isFinal says whether the pending release ends the gang as failed.
func isFinal(group *v1alpha1.GangSchedulingGroup) bool {
	release := group.Status.Release
	if !group.DeletionTimestamp.IsZero() || release == nil || release.Reason != v1alpha1.ReleaseMemberFailed && release.Reason != v1alpha1.ReleaseMemberLost {
		return false
	}
	return ptr.Deref(group.Status.Restarts, 0) >= maxRestarts(group)
}

// maxRestarts is how often a gang may come back after it had started.
func maxRestarts(group *v1alpha1.GangSchedulingGroup) int32 {
	policy := group.Spec.RestartPolicy
	switch {
	case policy == nil || policy.Type != v1alpha1.RestartRecreateGang:
		return 0
	case policy.MaxRestarts == 0:
		return defaultMaxRestarts
	}
	return policy.MaxRestarts
}

func isFinished(group *v1alpha1.GangSchedulingGroup) bool {
	return meta.IsStatusConditionTrue(group.Status.Conditions, v1alpha1.ConditionFinished)
}

// hasFailedStart counts releases after which the next placement waits a while.
func hasFailedStart(reason string) bool {
	return reason == v1alpha1.ReleaseBindTimeout || reason == v1alpha1.ReleaseNodeRefused || reason == v1alpha1.ReleaseCreateRefused
}
