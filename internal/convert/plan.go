package convert

import (
	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/capability"
	"github.com/k8s4ai/k8s4ai/internal/placement"
)

// Decision is the whole answer about one gang that wants a placement.
type Decision struct {
	// Reason is one of the reasons of a GangRefusal, "" for a gang that fits.
	Reason string
	// Message says in one sentence why the gang does not fit.
	Message string
	// Request is what was asked. It has no roles when the gang could not be turned
	// into a request; then Verdict is empty, too.
	Request placement.Request
	// Verdict is the answer with the room that is free now.
	Verdict placement.Verdict
	// Refusal is what Message tells of: that of Verdict or, for a gang that the
	// fleet could not hold with nothing else on it, that of the empty fleet. nil
	// where slots are not what is wrong.
	Refusal *placement.Refusal
}

// Decide asks for a placement of one gang. now is the room that is free, empty
// the same fleet with nothing on it. It is a function of its arguments, so that
// a person who plans on a file gets the answer of the cluster.
func Decide(group *v1alpha1.GangSchedulingGroup, profiles []capability.Profile, now, empty *placement.Snapshot) Decision {
	if group.Spec.QueueName != "" {
		return refused(v1alpha1.ReasonQueueUnsupported, "queueName needs the Kueue integration, which this manager does not run: remove queueName to start without quota")
	}
	classes, err := RoleClasses(group, profiles)
	if err != nil {
		return refused(v1alpha1.ReasonUnknownClass, err.Error())
	}
	request, err := GangRequest(group, classes)
	if err != nil {
		return refused(v1alpha1.ReasonInvalidSpec, err.Error())
	}
	out := Decision{Request: request, Verdict: placement.Place(now, request)}
	switch {
	case out.Verdict.Invalid != "":
		out.Reason, out.Message = v1alpha1.ReasonInvalidSpec, Message(out.Verdict.Invalid)
		return out
	case out.Verdict.Placement != nil:
		return out
	case out.Verdict.Proof != placement.Exact:
		out.Reason, out.Refusal = v1alpha1.ReasonNoProof, out.Verdict.Refusal
	default:
		out.Reason, out.Refusal = v1alpha1.ReasonWaitingForRoom, out.Verdict.Refusal
		if best := placement.Place(empty, request); best.Refusal != nil && best.Proof == placement.Exact {
			out.Reason, out.Refusal = v1alpha1.ReasonUnsatisfiable, best.Refusal
		}
	}
	out.Message = GangRefusal(out.Reason, out.Refusal).Message
	return out
}

// refused is a decision that is not about slots.
func refused(reason, message string) Decision {
	return Decision{Reason: reason, Message: Message(message)}
}
