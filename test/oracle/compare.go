package oracle

import (
	"fmt"
	"runtime"
	"sync"

	"github.com/k8s4ai/k8s4ai/internal/placement"
)

// Counts sums up many findings.
type Counts struct {
	Cases, Feasible int
	// Missed are cases that fit and were refused or placed smaller, Wrong those
	// with a placement that is not sound, Worse those that have a better one, and
	// Untrue the refusals with a false figure. Deeper are those that are worse only
	// where the engine counts no more.
	Missed, Wrong, Worse, Untrue, Deeper int
	// GreedyMissed are cases that fit and that the greedy rule refuses.
	GreedyMissed int
	// NotProven are verdicts without proof.
	NotProven int
	// Failures describes up to 10 of the missed, wrong, worse and untrue ones by
	// the seed that makes the case again.
	Failures []string
}

const maxFailures = 10

// add counts one finding.
func (c *Counts) add(seed uint64, f Finding) {
	c.Cases++
	for _, one := range []struct {
		counter *int
		found   bool
	}{{&c.Feasible, f.Feasible}, {&c.GreedyMissed, f.GreedyMissed}, {&c.NotProven, f.NotProven}, {&c.Deeper, f.Deeper != ""}} {
		if one.found {
			*one.counter++
		}
	}
	for _, one := range []struct {
		counter       *int
		name, problem string
	}{{&c.Missed, "missed", f.Missed}, {&c.Wrong, "wrong", f.Wrong}, {&c.Worse, "worse", f.Worse}, {&c.Untrue, "untrue", f.Untrue}} {
		if one.problem == "" {
			continue
		}
		*one.counter++
		if len(c.Failures) < maxFailures {
			c.Failures = append(c.Failures, fmt.Sprintf("seed %d: %s: %s", seed, one.name, one.problem))
		}
	}
}

// merge adds the counts of another worker.
func (c *Counts) merge(other Counts) {
	c.Cases += other.Cases
	c.Feasible += other.Feasible
	c.Missed += other.Missed
	c.Wrong += other.Wrong
	c.Worse += other.Worse
	c.Untrue += other.Untrue
	c.Deeper += other.Deeper
	c.GreedyMissed += other.GreedyMissed
	c.NotProven += other.NotProven
	c.Failures = append(c.Failures, other.Failures...)
	c.Failures = c.Failures[:min(maxFailures, len(c.Failures))]
}

// progressEvery is the number of cases of one worker between two reports.
const progressEvery = 10000

// Compare runs the engine on the cases of the seeds from seed to seed+n-1, on all
// processors, and counts what trying everything says about its verdicts. progress
// is told, from one goroutine at a time, how many cases are done; it may be nil.
func Compare(seed uint64, n int, progress func(done int)) Counts {
	var (
		mutex   sync.Mutex
		workers sync.WaitGroup
		total   Counts
		done    int
	)
	step := max(1, runtime.GOMAXPROCS(0))
	for first := range step {
		workers.Go(func() {
			j, mine, told := &judge{solver: &solver{}}, Counts{}, 0
			tell := func() {
				mutex.Lock()
				defer mutex.Unlock()
				done += mine.Cases - told
				if told = mine.Cases; progress != nil {
					progress(done)
				}
			}
			for i := first; i < n; i += step {
				mine.add(seed+uint64(i), j.seed(seed+uint64(i)))
				if mine.Cases%progressEvery == 0 {
					tell()
				}
			}
			tell()
			mutex.Lock()
			defer mutex.Unlock()
			total.merge(mine)
		})
	}
	workers.Wait()
	return total
}

// seed judges the case of one seed.
func (j *judge) seed(seed uint64) Finding {
	c := Random(seed)
	s, err := c.Snapshot()
	if err != nil {
		return Finding{Wrong: err.Error()}
	}
	f, ok := j.judge(c, placement.Place(s, c.Request))
	if !ok {
		return Finding{Wrong: "the case is too large for the oracle"}
	}
	return f
}
