package report

import (
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/testkit"
)

// conditions makes a list from texts such as "Ready True Running".
func conditions(texts ...string) []metav1.Condition {
	var out []metav1.Condition
	for _, text := range texts {
		fields := strings.Fields(text)
		out = append(out, metav1.Condition{
			Type: fields[0], Status: metav1.ConditionStatus(fields[1]), Reason: fields[2], Message: "about " + fields[2],
		})
	}
	return out
}

func TestEvents(t *testing.T) {
	cases := map[string]struct {
		before, after []metav1.Condition
		want          []string
	}{
		"nothing changed": {conditions("Ready True Running"), conditions("Ready True Running"), nil},
		"a new object that waits is no news": {
			nil, conditions("Ready False Starting", "Stalled False AsExpected"), nil,
		},
		"a new object that is placed is": {nil, conditions("Placed True Planned"), []string{"Normal Planned: about Planned"}},
		"a status changed": {
			conditions("Ready False Starting"), conditions("Ready True Running"), []string{"Normal Running: about Running"},
		},
		"a reason changed": {
			conditions("Placed False WaitingForRoom"), conditions("Placed False Unsatisfiable"), []string{"Normal Unsatisfiable: about Unsatisfiable"},
		},
		"a message alone is no news": {
			conditions("Placed False WaitingForRoom"),
			[]metav1.Condition{{Type: "Placed", Status: metav1.ConditionFalse, Reason: "WaitingForRoom", Message: "other"}}, nil,
		},
		"what stalls is a warning, told once": {
			conditions("Ready True Accepted", "Stalled False AsExpected"), conditions("Ready False Cycle", "Stalled True Cycle"),
			[]string{"Warning Cycle: about Cycle"},
		},
		"what happens beside it is none": {
			conditions("Placed True Planned", "Stalled False AsExpected"), conditions("Placed False Releasing", "Stalled True Failed"),
			[]string{"Normal Releasing: about Releasing", "Warning Failed: about Failed"},
		},
		"back to normal is told by what is normal": {
			conditions("Ready False Cycle", "Stalled True Cycle"), conditions("Ready True Accepted", "Stalled False AsExpected"),
			[]string{"Normal Accepted: about Accepted"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			recorder := &testkit.Recorder{}
			Events(recorder, testkit.Gang("g").Obj(), tc.before, tc.after)
			if diff := cmp.Diff(tc.want, recorder.Take()); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}

// A message is text: what looks like a directive in it is not one.
func TestEventsQuoteNothing(t *testing.T) {
	recorder := &testkit.Recorder{}
	Events(recorder, testkit.Gang("g").Obj(), nil, []metav1.Condition{{Type: "Ready", Status: metav1.ConditionTrue, Reason: "R", Message: "100%d"}})
	if diff := cmp.Diff([]string{"Normal R: 100%d"}, recorder.Take()); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// The time of a transition changes with the status alone; the generation always.
func TestSet(t *testing.T) {
	then := metav1.Unix(1000, 0)
	into := []metav1.Condition{
		{Type: "Ready", Status: metav1.ConditionTrue, Reason: "A", LastTransitionTime: then, ObservedGeneration: 1},
		{Type: "Stalled", Status: metav1.ConditionFalse, Reason: "AsExpected", LastTransitionTime: then, ObservedGeneration: 1},
	}
	Set(&into, 2, Condition("Ready", true, "B", "m"), Condition("Stalled", true, "C", ""), Condition("New", false, "D", ""))
	want := []metav1.Condition{
		{Type: "Ready", Status: metav1.ConditionTrue, Reason: "B", Message: "m", ObservedGeneration: 2, LastTransitionTime: then},
		{Type: "Stalled", Status: metav1.ConditionTrue, Reason: "C", ObservedGeneration: 2},
		{Type: "New", Status: metav1.ConditionFalse, Reason: "D", ObservedGeneration: 2},
	}
	for i := range into {
		if into[i].LastTransitionTime.IsZero() {
			t.Errorf("condition %s has no time", into[i].Type)
		}
		if i > 0 {
			into[i].LastTransitionTime = metav1.Time{}
		}
	}
	if diff := cmp.Diff(want, into); diff != "" {
		t.Errorf("Set() (-want +got):\n%s", diff)
	}
}

// Each does every item, some at a time, and tells all errors in order.
func TestEach(t *testing.T) {
	items := make([]int, 200)
	for i := range items {
		items[i] = i
	}
	var running, most, done atomic.Int32
	err := Each(items, func(i int) error {
		now := running.Add(1)
		defer running.Add(-1)
		for old := most.Load(); now > old && !most.CompareAndSwap(old, now); old = most.Load() {
		}
		done.Add(1)
		if i == 7 || i == 150 {
			return errors.New("item " + string(rune('a'+i%26)))
		}
		return nil
	})
	if err == nil || err.Error() != "item h\nitem u" {
		t.Errorf("Each() = %v", err)
	}
	if done.Load() != 200 || most.Load() > writers {
		t.Errorf("%d items were done, %d at a time", done.Load(), most.Load())
	}
	if err := Each(nil, func(string) error { return errors.New("called") }); err != nil {
		t.Errorf("Each() of nothing = %v", err)
	}
}

// Every reason that warns is one that a condition Stalled can have.
func TestSeverityOfGangReasons(t *testing.T) {
	for _, reason := range []string{v1alpha1.ReasonInvalidSpec, v1alpha1.ReasonUnknownClass, v1alpha1.ReasonUnsatisfiable, v1alpha1.ReasonFailed} {
		all := conditions("Ready False "+reason, "Stalled True "+reason)
		if got := severity(all[0], all); got != "Warning" {
			t.Errorf("severity of %s is %s", reason, got)
		}
		if calm := slices.Clone(all[:1]); severity(calm[0], calm) != "Normal" {
			t.Errorf("severity of %s without Stalled is not Normal", reason)
		}
	}
}
