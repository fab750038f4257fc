package agent

import "time"

// What an agent may cost the API server. The fleet's writes per second are the sum
// over all agents, so each agent's share shrinks with their number N:
//
//	heartbeats: one per max(10 s, N x 30 ms)    10,000 agents: one per 300 s  = 33/s
//	reports:    one per max(30 s, N x 125 ms)   10,000 agents: one per 1250 s =  8/s
//	                                                                     together 41/s
//
// Reports are the worst case, a device that flaps on every node; a fleet in which
// nothing changes writes none. The rest up to 50/s is room for chance: writes of
// agents that know nothing of each other come in clusters.
const (
	minHeartbeat   = 10 * time.Second
	heartbeatShare = 30 * time.Millisecond
	minRefill      = 30 * time.Second
	refillShare    = 125 * time.Millisecond
	// spreadShare spreads the first report of a change that many machines see at
	// once, such as a switch that fails: over 50 s for 10,000 agents.
	spreadShare = 5 * time.Millisecond
	// burst is how many reports an agent may write before it waits for a refill.
	burst = 5
	// maxAgents bounds what a wrong count can do: at most 50 minutes between two
	// heartbeats.
	maxAgents = 100_000
)

// Budget is one agent's share of the API server.
type Budget struct {
	// Heartbeat is the time between two renewals of the agent's Lease.
	Heartbeat time.Duration
	// Refill is the time in which an agent earns the right to one more report.
	Refill time.Duration
	// Spread bounds the random delay of a report. It doubles with each report that
	// the agent has not earned back.
	Spread time.Duration
	// Start bounds the random delay of the first write of an agent that starts.
	Start time.Duration
}

// BudgetFor returns the share of one agent of a fleet. A number below 1 counts as 1.
func BudgetFor(agents int) Budget {
	n := min(max(agents, 1), maxAgents)
	each := func(share time.Duration) time.Duration { return share * time.Duration(n) }
	return Budget{
		Heartbeat: max(minHeartbeat, each(heartbeatShare)),
		Refill:    max(minRefill, each(refillShare)),
		Spread:    each(spreadShare),
		Start:     each(heartbeatShare),
	}
}

// LeaseDuration is how long after a renewal an agent counts as alive: it may miss
// two heartbeats.
func (b Budget) LeaseDuration() time.Duration { return 3 * b.Heartbeat }
