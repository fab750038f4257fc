package agent

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
)

func fetch(t *testing.T, handler http.Handler, path string) (code int, body string) {
	t.Helper()
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.Code, string(text)
}

// The agent is healthy as long as it looks, whatever it sees.
func TestHealthz(t *testing.T) {
	now := time.Unix(1000, 0)
	m := &Metrics{}
	handler := m.Handler(5*time.Second, func() time.Time { return now })
	expect := func(when string, want int) {
		t.Helper()
		if code, body := fetch(t, handler, "/healthz"); code != want {
			t.Errorf("%s: %d %s", when, code, body)
		}
	}
	expect("at the start", http.StatusOK)
	now = now.Add(time.Minute + time.Second)
	expect("without a first look", http.StatusServiceUnavailable)
	m.looked(now, time.Second, &v1alpha1.NodeReport{})
	expect("after a look", http.StatusOK)
	now = now.Add(time.Minute)
	expect("a minute later", http.StatusOK)
	now = now.Add(time.Second)
	expect("when a look hangs", http.StatusServiceUnavailable)
}

func TestMetrics(t *testing.T) {
	now := time.Unix(1000, 0)
	m := &Metrics{}
	handler := m.Handler(5*time.Second, func() time.Time { return now })
	m.looked(now.Add(-3*time.Second), 250*time.Millisecond, &v1alpha1.NodeReport{Accelerators: []v1alpha1.Accelerator{
		{Health: v1alpha1.DeviceHealthy}, {Health: v1alpha1.DeviceUnhealthy}, {Health: v1alpha1.DeviceHealthy},
	}})
	m.set(64, 10*time.Second)
	m.Reports.Add(2)
	m.Heartbeats.Add(7)
	m.fail(errors.New("no connection"))
	m.fail(apierrors.NewForbidden(schema.GroupResource{Resource: "leases"}, "n", errors.New("policy")))
	_, body := fetch(t, handler, "/metrics")
	for _, line := range []string{
		"k8s4ai_agent_looks_total 1", "k8s4ai_agent_look_seconds_total 0.25", "k8s4ai_agent_heartbeats_total 7", "k8s4ai_agent_reports_total 2",
		"k8s4ai_agent_writes_refused_total 1", "k8s4ai_agent_calls_failed_total 1", "k8s4ai_agent_agents 64",
		"k8s4ai_agent_heartbeat_interval_seconds 10", "k8s4ai_agent_last_look_age_seconds 3",
		`k8s4ai_agent_accelerators{health="Healthy"} 2`, `k8s4ai_agent_accelerators{health="Unhealthy"} 1`, `k8s4ai_agent_accelerators{health="Unknown"} 0`,
	} {
		if !strings.Contains(body, "\n"+line+"\n") {
			t.Errorf("there is no line %s in\n%s", line, body)
		}
	}
	if strings.Count(body, "# TYPE ") != 10 {
		t.Errorf("not every metric has a type:\n%s", body)
	}
}
