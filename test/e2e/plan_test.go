package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
)

// A plan on a snapshot of the cluster says what the manager then does: the same
// nodes for the gang that fits, and the same refusal for the one that does not.
func TestPlanSaysWhatTheManagerDoes(t *testing.T) {
	namespace := story(t)
	running := gang(namespace, "running", 300, 8)
	create(t, running)
	has(t, running, v1alpha1.ConditionReady, v1alpha1.ReasonRunning)

	fits := gang(namespace, "fits", 40, 8)
	fits.Spec.Topology = &v1alpha1.GangTopology{Required: v1alpha1.LevelBlock}
	waits := gang(namespace, "waits", 200, 8)
	dir := t.TempDir()
	snapshot, err := env.Plugin(t.Context(), "snapshot", "-o", "json")
	if err != nil {
		t.Fatalf("snapshot: %v\n%s", err, snapshot)
	}
	fleet, gangs := filepath.Join(dir, "fleet.json"), filepath.Join(dir, "gangs.yaml")
	var documents []string
	for _, group := range []*v1alpha1.GangSchedulingGroup{fits, waits} {
		text, err := yaml.Marshal(group)
		if err != nil {
			t.Fatal(err)
		}
		documents = append(documents, string(text))
	}
	for path, text := range map[string]string{fleet: snapshot, gangs: strings.Join(documents, "---\n")} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := env.Plugin(t.Context(), "plan", "--fleet", fleet, "--gangs", gangs, "-o", "json")
	if err == nil {
		t.Error("plan ends with 0 although a gang does not fit")
	}
	var plan struct {
		Gangs []struct {
			Name    string `json:"name"`
			Fits    bool   `json:"fits"`
			Refusal struct {
				Message string `json:"message"`
			} `json:"refusal"`
			Placement struct {
				Roles []struct {
					Hosts string `json:"hosts"`
				} `json:"roles"`
			} `json:"placement"`
		} `json:"gangs"`
	}
	// What is wrong goes to standard error, behind the plan.
	if err := json.NewDecoder(strings.NewReader(out)).Decode(&plan); err != nil || len(plan.Gangs) != 2 {
		t.Fatalf("plan printed no plan of two gangs (%v):\n%s", err, out)
	}

	create(t, fits)
	placed := has(t, fits, v1alpha1.ConditionReady, v1alpha1.ReasonRunning)
	if got, want := placed.Status.Placement.Roles[0].Hosts, plan.Gangs[0].Placement.Roles[0].Hosts; got != want {
		t.Errorf("the gang is on %s, planned was %s", got, want)
	}
	if placed.Status.Placement.Bandwidth == nil {
		t.Error("the placement tells no estimate of its bandwidth")
	}
	create(t, waits)
	waiting := has(t, waits, v1alpha1.ConditionReconciling, v1alpha1.ReasonWaitingForRoom)
	for waiting.Status.Refusal == nil {
		waiting = has(t, waits, v1alpha1.ConditionReconciling, v1alpha1.ReasonWaitingForRoom)
	}
	if got, want := waiting.Status.Refusal.Message, plan.Gangs[1].Refusal.Message; got != want {
		t.Errorf("the gang is refused with %q, planned was %q", got, want)
	}

	explained, err := env.Plugin(t.Context(), "explain", "gang", "waits", "-n", namespace, "--width", "100")
	if err != nil {
		t.Fatalf("explain: %v\n%s", err, explained)
	}
	for _, want := range []string{"WaitingForRoom", "nvidia.com/gpu", "full", namespace + "/running"} {
		if !strings.Contains(explained, want) {
			t.Errorf("explain does not say %q:\n%s", want, explained)
		}
	}
	t.Logf("explain gang says:\n%s", explained)
	nothingBroken(t)
}
