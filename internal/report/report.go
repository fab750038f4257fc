// Package report writes what a controller found into conditions and events. It
// is the only place that records events, and it derives them: one event for a
// condition whose status or reason has changed in the stored object.
package report

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
)

// Condition makes a condition for Set. A boolean status is True or False.
func Condition(kind string, status bool, reason, message string) metav1.Condition {
	value := metav1.ConditionFalse
	if status {
		value = metav1.ConditionTrue
	}
	return metav1.Condition{Type: kind, Status: value, Reason: reason, Message: message}
}

// Set writes conditions that were decided for a generation of the object. Times
// of transition change only where the status does.
func Set(into *[]metav1.Condition, generation int64, conditions ...metav1.Condition) {
	for _, condition := range conditions {
		condition.ObservedGeneration = generation
		meta.SetStatusCondition(into, condition)
	}
}

// Events emits one event per condition that differs between what was stored
// before and what is stored now. Call it after the write has succeeded.
func Events(recorder events.EventRecorder, object runtime.Object, before, after []metav1.Condition) {
	var told []string
	for _, now := range after {
		was := meta.FindStatusCondition(before, now.Type)
		if was != nil && was.Status == now.Status && was.Reason == now.Reason || was == nil && now.Status != metav1.ConditionTrue {
			continue
		}
		if now.Reason == v1alpha1.ReasonAsExpected || slices.Contains(told, now.Reason) {
			continue
		}
		told = append(told, now.Reason)
		recorder.Eventf(object, nil, severity(now, after), now.Reason, "Reconcile", "%s", note(now.Message))
	}
}

// noteLimit is how many bytes the API server takes in the note of an event; it
// refuses an event with a longer one.
const noteLimit = 1024

// note cuts a message to what an event holds.
func note(message string) string {
	if len(message) <= noteLimit {
		return message
	}
	return strings.ToValidUTF8(message[:noteLimit-len("…")], "") + "…"
}

// severity is Warning when a person has to act.
func severity(now metav1.Condition, all []metav1.Condition) string {
	stalled := meta.FindStatusCondition(all, v1alpha1.ConditionStalled)
	if stalled != nil && stalled.Status == metav1.ConditionTrue && stalled.Reason == now.Reason {
		return corev1.EventTypeWarning
	}
	return corev1.EventTypeNormal
}
