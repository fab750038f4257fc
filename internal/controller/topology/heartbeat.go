package topology

import (
	"maps"
	"slices"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
)

const (
	// defaultPatience is that for a Lease that does not say how long it holds,
	// and mostPatience bounds what it says.
	defaultPatience = 30 * time.Second
	mostPatience    = time.Hour
)

// heartbeats knows which agents give a sign of life. An agent is alive as long as
// its Lease changes: the manager counts from when it has itself seen the change,
// and never compares its clock with that of another machine. It is filled by the
// watch and read by the only worker.
type heartbeats struct {
	now func() time.Time

	mu     sync.Mutex
	agents map[string]*agentLife
	// due is when the next agent may have been silent for too long, zero without
	// agents.
	due time.Time
}

// agentLife is what is known of one agent.
type agentLife struct {
	renewed  time.Time
	seen     time.Time
	patience time.Duration
	silent   bool
}

func newHeartbeats(now func() time.Time) *heartbeats {
	return &heartbeats{now: now, agents: map[string]*agentLife{}}
}

// hear takes note of the Lease of an agent that is known. It says whether that is
// news: the agent was silent, or has now another time to be.
func (h *heartbeats) hear(lease *coordinationv1.Lease) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	life := h.agents[lease.Name]
	if life == nil {
		return false
	}
	patience, renewed := patienceOf(lease), renewTime(lease)
	news := patience != life.patience
	life.patience = patience
	if !renewed.Equal(life.renewed) {
		news = news || life.silent
		life.renewed, life.seen, life.silent = renewed, h.now(), false
	}
	h.expect(life)
	return news
}

// meet takes note of a Lease of an agent that may be new. An agent that was
// silent by what is stored stays so until its Lease changes: a manager that
// starts has no reason to think that it is back.
func (h *heartbeats) meet(lease *coordinationv1.Lease, wasSilent bool) {
	h.mu.Lock()
	_, known := h.agents[lease.Name]
	if !known {
		life := &agentLife{renewed: renewTime(lease), seen: h.now(), patience: patienceOf(lease), silent: wasSilent}
		h.agents[lease.Name] = life
		h.expect(life)
	}
	h.mu.Unlock()
	if known {
		h.hear(lease)
	}
}

// expect brings due forward. h.mu is held.
func (h *heartbeats) expect(life *agentLife) {
	if at := life.seen.Add(life.patience); h.due.IsZero() || at.Before(h.due) {
		h.due = at
	}
}

// forget drops an agent.
func (h *heartbeats) forget(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.agents, name)
}

// keep drops the agents that are not in a set.
func (h *heartbeats) keep(names map[string]bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	maps.DeleteFunc(h.agents, func(name string, _ *agentLife) bool { return !names[name] })
}

// silent says whether an agent is known, whether it is silent, and after which
// time without a sign of life it is.
func (h *heartbeats) silent(name string) (silent bool, patience time.Duration, known bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	life := h.agents[name]
	if life == nil {
		return false, 0, false
	}
	return life.silent, life.patience, true
}

// sweep returns the agents that have fallen silent. A manager that comes late was
// itself away or busy, has missed signs of life, and begins to wait anew.
func (h *heartbeats) sweep() (fallen []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.now()
	if h.due.IsZero() || now.Before(h.due) {
		return nil
	}
	late := now.Sub(h.due) > defaultPatience/2
	h.due = time.Time{}
	for name, life := range h.agents {
		switch {
		case life.silent:
			continue
		case late:
			life.seen = now
		case now.Sub(life.seen) >= life.patience:
			life.silent = true
			fallen = append(fallen, name)
			continue
		}
		h.expect(life)
	}
	slices.Sort(fallen)
	return fallen
}

// wait is how long it takes until the next agent may have been silent for too
// long, at most the given time.
func (h *heartbeats) wait(most time.Duration) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.due.IsZero() {
		return most
	}
	return min(most, max(time.Second, h.due.Sub(h.now())))
}

func renewTime(lease *coordinationv1.Lease) time.Time {
	if lease.Spec.RenewTime == nil {
		return time.Time{}
	}
	return lease.Spec.RenewTime.Time
}

func patienceOf(lease *coordinationv1.Lease) time.Duration {
	seconds := lease.Spec.LeaseDurationSeconds
	if seconds == nil || *seconds <= 0 {
		return defaultPatience
	}
	return min(time.Duration(*seconds)*time.Second, mostPatience)
}
