package agent

import "time"

const (
	// minBackoff is the least that a failure costs. It doubles with each one in a
	// row, up to the heartbeat or the refill.
	minBackoff   = time.Second
	maxDoublings = 12
)

// pace decides when the agent may write. It knows no clock: a test runs an hour of
// 10,000 agents in a second.
type pace struct {
	// random returns numbers from 0 up to 1.
	random func() float64
	budget Budget

	// renewAt is when the Lease is due, renewFailures how often in a row it failed.
	renewAt       time.Time
	renewFailures int

	// tokens are the reports that the agent may write, as of filled. One more comes
	// every earns: the refill, with a random part that is drawn anew for each report,
	// so that agents that have spent theirs together do not earn together.
	tokens float64
	filled time.Time
	earns  time.Duration
	// hasChange is true while a change waits for its report, reportAt is when that
	// may be written.
	hasChange      bool
	reportAt       time.Time
	reportFailures int
}

// start begins with a full bucket, and spreads the first writes of agents that all
// start together.
func (p *pace) start(now time.Time) {
	p.tokens, p.filled, p.earns = burst, now, p.budget.Refill
	p.renewAt = now.Add(p.fraction(p.budget.Start))
	p.reportAt, p.hasChange = p.renewAt, true
}

func (p *pace) fraction(of time.Duration) time.Duration {
	return time.Duration(p.random() * float64(of))
}

// renewDue says whether the Lease has to be renewed now.
func (p *pace) renewDue(now time.Time) bool { return !now.Before(p.renewAt) }

// renewed notes a renewal. Intervals vary by a tenth, so that agents that beat
// together drift apart; after failures, which all agents have together, by a whole
// interval.
func (p *pace) renewed(now time.Time) {
	wait := p.budget.Heartbeat + p.fraction(p.budget.Heartbeat/10)
	if p.renewFailures > 0 {
		wait = p.budget.Heartbeat/2 + p.fraction(p.budget.Heartbeat)
	}
	p.renewFailures, p.renewAt = 0, now.Add(wait)
}

// renewFailed notes a renewal that failed.
func (p *pace) renewFailed(now time.Time) {
	p.renewFailures++
	p.renewAt = now.Add(p.backoff(p.renewFailures, p.budget.Heartbeat))
}

// reportDue says whether a report may be written now. hasChange is whether there is
// something to report; what has changed back in the meantime is not written.
func (p *pace) reportDue(now time.Time, hasChange bool) bool {
	p.fill(now)
	if !hasChange {
		p.hasChange = false
		return false
	}
	if !p.hasChange {
		p.hasChange = true
		spent := burst - int(p.tokens)
		if at := now.Add(p.fraction(p.budget.Spread << spent)); at.After(p.reportAt) {
			p.reportAt = at
		}
	}
	return p.tokens >= 1 && !now.Before(p.reportAt)
}

// reported notes a report that was written.
func (p *pace) reported() {
	p.tokens--
	p.earns = p.budget.Refill/2 + p.fraction(p.budget.Refill)
	p.hasChange, p.reportFailures = false, 0
}

// reportFailed notes a report that was not written.
func (p *pace) reportFailed(now time.Time) {
	p.reportFailures++
	p.reportAt = now.Add(p.backoff(p.reportFailures, p.budget.Refill))
}

// fill adds the tokens that were earned since the last time.
func (p *pace) fill(now time.Time) {
	if passed := now.Sub(p.filled); passed > 0 {
		p.tokens = min(burst, p.tokens+float64(passed)/float64(p.earns))
		p.filled = now
	}
}

// next is when the pace has something to do, whatever the machine does.
func (p *pace) next() time.Time {
	if !p.hasChange || p.reportAt.After(p.renewAt) {
		return p.renewAt
	}
	if p.tokens >= 1 {
		return p.reportAt
	}
	if earned := p.filled.Add(time.Duration((1 - p.tokens) * float64(p.earns))); earned.Before(p.renewAt) {
		return earned
	}
	return p.renewAt
}

// backoff is a random part, at least half, of a time that doubles.
func (p *pace) backoff(failures int, most time.Duration) time.Duration {
	wait := min(max(minBackoff, p.budget.Spread/5)<<min(failures-1, maxDoublings), most)
	return wait/2 + p.fraction(wait/2)
}
