package agent

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
)

// Metrics count what an agent does. They may be read while it works.
type Metrics struct {
	// Looks, Heartbeats and Reports count what was done; Refused what the API
	// server did not allow, and Failures what did not reach it.
	Looks, Heartbeats, Reports, Refused, Failures atomic.Int64

	mu           sync.Mutex
	lastLook     time.Time
	accelerators map[v1alpha1.DeviceHealth]int
	lookSeconds  float64
	agents       int
	heartbeat    time.Duration
}

// looked notes a look.
func (m *Metrics) looked(now time.Time, took time.Duration, report *v1alpha1.NodeReport) {
	m.Looks.Add(1)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lastLook = now
	m.lookSeconds += took.Seconds()
	m.accelerators = map[v1alpha1.DeviceHealth]int{}
	for i := range report.Accelerators {
		m.accelerators[report.Accelerators[i].Health]++
	}
}

func (m *Metrics) set(agents int, heartbeat time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.agents, m.heartbeat = agents, heartbeat
}

func (m *Metrics) fail(err error) {
	if apierrors.IsForbidden(err) || apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) || apierrors.IsUnauthorized(err) {
		m.Refused.Add(1)
		return
	}
	m.Failures.Add(1)
}

// Handler serves /metrics in the text form of Prometheus, and /healthz, which fails
// when the agent has not looked at the machine for a minute or four intervals: a
// call to the driver hangs.
func (m *Metrics) Handler(interval time.Duration, now func() time.Time) http.Handler {
	mux := http.NewServeMux()
	begin := now()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		m.mu.Lock()
		last := m.lastLook
		m.mu.Unlock()
		if last.IsZero() {
			last = begin
		}
		if age := now().Sub(last); age > max(time.Minute, 4*interval) {
			http.Error(w, fmt.Sprintf("the last look at the machine was %s ago", age.Round(time.Second)), http.StatusServiceUnavailable)
			return
		}
		_, _ = fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		_, _ = fmt.Fprint(w, m.text(now()))
	})
	return mux
}

func (m *Metrics) text(now time.Time) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out strings.Builder
	add := func(name, kind, help string, value any) {
		fmt.Fprintf(&out, "# HELP k8s4ai_agent_%s %s\n# TYPE k8s4ai_agent_%s %s\nk8s4ai_agent_%s %v\n", name, help, name, kind, name, value)
	}
	add("looks_total", "counter", "Looks at the machine.", m.Looks.Load())
	add("look_seconds_total", "counter", "Time spent on looks.", m.lookSeconds)
	add("heartbeats_total", "counter", "Renewals of the Lease.", m.Heartbeats.Load())
	add("reports_total", "counter", "Reports that were stored.", m.Reports.Load())
	add("writes_refused_total", "counter", "Calls that the API server did not allow.", m.Refused.Load())
	add("calls_failed_total", "counter", "Calls to the API server that failed otherwise.", m.Failures.Load())
	add("agents", "gauge", "Agents of the fleet, as counted last.", m.agents)
	add("heartbeat_interval_seconds", "gauge", "Time between two renewals of the Lease.", m.heartbeat.Seconds())
	if !m.lastLook.IsZero() {
		add("last_look_age_seconds", "gauge", "Time since the last look at the machine.", now.Sub(m.lastLook).Seconds())
	}
	out.WriteString("# HELP k8s4ai_agent_accelerators Accelerators of the machine by health.\n# TYPE k8s4ai_agent_accelerators gauge\n")
	for _, health := range []v1alpha1.DeviceHealth{v1alpha1.DeviceHealthy, v1alpha1.DeviceUnhealthy, v1alpha1.DeviceUnknown} {
		fmt.Fprintf(&out, "k8s4ai_agent_accelerators{health=%q} %d\n", string(health), m.accelerators[health])
	}
	return out.String()
}
