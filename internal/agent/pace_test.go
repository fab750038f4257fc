package agent

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestBudgetFor(t *testing.T) {
	cases := map[string]struct {
		agents int
		want   Budget
	}{
		"unknown":    {-1, Budget{10 * time.Second, 30 * time.Second, 5 * time.Millisecond, 30 * time.Millisecond}},
		"one":        {1, Budget{10 * time.Second, 30 * time.Second, 5 * time.Millisecond, 30 * time.Millisecond}},
		"a thousand": {1000, Budget{30 * time.Second, 125 * time.Second, 5 * time.Second, 30 * time.Second}},
		"10,000":     {10_000, Budget{300 * time.Second, 1250 * time.Second, 50 * time.Second, 300 * time.Second}},
		"nonsense":   {1 << 60, BudgetFor(100_000)},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := BudgetFor(tc.agents); got != tc.want {
				t.Errorf("BudgetFor(%d) = %+v, want %+v", tc.agents, got, tc.want)
			}
		})
	}
	if got := BudgetFor(10_000).LeaseDuration(); got != 900*time.Second {
		t.Errorf("10,000 agents have Leases of %v", got)
	}
}

// simulation is a fleet of agents in virtual time.
type simulation struct {
	agents int
	lasts  time.Duration
	// writes is what the first report of an agent costs: 0 when what is stored is
	// right, 1 for a status, 2 for an object that must be made first.
	writes int
	// flaps is from when on every look at every machine finds a change; 0 is never.
	flaps time.Duration
	// down is when the API server goes away, up is when it is back; 0 is never.
	down, up time.Duration
}

const (
	lookEvery = 5 * time.Second
	window    = 10 * time.Second
)

// run returns the number of writes in each window. Agents start at once; each
// looks at its machine at its own times.
func (s simulation) run() []int {
	random := rand.New(rand.NewPCG(1, 2))
	epoch := time.Unix(0, 0)
	windows := make([]int, s.lasts/window+1)
	for range s.agents {
		p := &pace{random: random.Float64, budget: BudgetFor(s.agents)}
		p.start(epoch)
		isFirst := true
		look := epoch.Add(p.fraction(lookEvery))
		for now := look; now.Before(epoch.Add(s.lasts)); {
			at := now.Sub(epoch)
			isUp := s.down == 0 || at < s.down || at >= s.up
			write := func(n int) { windows[at/window] += n }
			if p.renewDue(now) {
				if write(1); isUp {
					p.renewed(now)
				} else {
					p.renewFailed(now)
				}
			}
			hasChange := isFirst || s.flaps > 0 && at >= s.flaps
			if p.reportDue(now, hasChange) {
				switch {
				case !isUp:
					write(1)
					p.reportFailed(now)
				case isFirst:
					write(s.writes)
					p.reported()
					isFirst = false
				default:
					write(1)
					p.reported()
				}
			}
			if !now.Before(look) {
				look = look.Add(lookEvery)
			}
			now = look
			if next := p.next(); next.After(epoch.Add(at)) && next.Before(look) {
				now = next
			}
		}
	}
	return windows[:s.lasts/window]
}

// most is the highest rate in writes per second from one time to another.
func most(windows []int, from, to time.Duration) float64 {
	out := 0
	for _, n := range windows[from/window : to/window] {
		out = max(out, n)
	}
	return float64(out) / window.Seconds()
}

// 10,000 agents write less than 50 times a second in any 10 s, with a device that
// flaps on every machine as well, once the first moments are over. What those cost
// is bounded too.
func TestFleetRate(t *testing.T) {
	const hour = time.Hour
	cases := map[string]struct {
		simulation
		// settled is from when on the rate is below steady; before that it is below
		// start, in writes per second.
		settled       time.Duration
		start, steady float64
	}{
		"restart, nothing has changed": {simulation{lasts: hour}, 0, 50, 50},
		"restart, and a device flaps on every node": {
			simulation{lasts: hour, writes: 1, flaps: 1}, 2100 * time.Second, 170, 50,
		},
		"restart with a new boot or a new agent": {simulation{lasts: hour, writes: 1}, 310 * time.Second, 85, 50},
		"first installation":                     {simulation{lasts: hour, writes: 2}, 310 * time.Second, 120, 50},
		"a change on every node at once, and then flapping": {
			simulation{lasts: 2 * hour, flaps: 1800 * time.Second}, time.Hour, 330, 50,
		},
		"a change on every node, and no API server for ten minutes": {
			simulation{lasts: 2 * hour, flaps: 900 * time.Second, down: 900 * time.Second, up: 1500 * time.Second}, time.Hour, 600, 50,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			tc.agents = 10_000
			windows := tc.run()
			start, steady := most(windows, 0, max(tc.settled, window)), most(windows, tc.settled, tc.lasts)
			t.Logf("at most %.1f writes/s at first, %.1f/s after %v", start, steady, tc.settled)
			if start >= tc.start {
				t.Errorf("%.1f writes/s at first, want less than %.0f", start, tc.start)
			}
			if steady >= tc.steady || steady == 0 {
				t.Errorf("%.1f writes/s after %v, want less than %.0f and some", steady, tc.settled, tc.steady)
			}
		})
	}
}
