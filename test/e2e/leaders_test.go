package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
)

// The leader hangs in the middle of its work, a second manager takes over, and
// then the first goes on where it was: for a moment there are two that believe to
// lead. No Pod is doubled or left behind, and no GPU is given twice.
func TestLeaderHangsAndComesBack(t *testing.T) {
	namespace := story(t)
	// Who places a gang leads; only then does the other one come.
	leading := gang(namespace, "leading", 1, 1)
	create(t, leading)
	has(t, leading, v1alpha1.ConditionReady, v1alpha1.ReasonRunning)
	standby, err := env.StartStandby()
	if err != nil {
		t.Fatal(err)
	}
	defer standby.Kill()
	var gangs []*v1alpha1.GangSchedulingGroup
	come := func(n int) {
		for range n {
			gangs = append(gangs, gang(namespace, fmt.Sprintf("g%d", len(gangs)), 16, 8))
			create(t, gangs[len(gangs)-1])
		}
	}
	first := env.Manager()
	come(6)
	// In the middle of creating Pods, as a rule.
	time.Sleep(150 * time.Millisecond)
	if err := first.Freeze(); err != nil {
		t.Fatal(err)
	}
	come(6)
	if err := env.Client.Delete(t.Context(), gangs[0].DeepCopy()); err != nil {
		t.Fatal(err)
	}
	if err := suspend(t.Context(), gangs[1], true); err != nil {
		t.Fatal(err)
	}
	for _, group := range gangs[2:] {
		has(t, group, v1alpha1.ConditionReady, v1alpha1.ReasonRunning)
	}
	come(6)
	if err := first.Thaw(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-first.Done(): // It finds that the lease is lost.
	case <-time.After(time.Minute):
		t.Fatal("the first leader goes on although it has lost the lease")
	}
	for _, group := range gangs[2:] {
		has(t, group, v1alpha1.ConditionReady, v1alpha1.ReasonRunning)
	}
	nothingBroken(t)
}
