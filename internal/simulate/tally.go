package simulate

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/k8s4ai/k8s4ai/internal/queueing"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// sizeClasses are the smallest sizes of the classes of Report.Waits, in devices.
// Gangs without devices are in the first.
var sizeClasses = []float64{1, 8, 64, 512}

// largeSize is the smallest size of Report.Large.
const largeSize = 64

// tally adds up a run.
type tally struct {
	options Options
	window  time.Duration
	gangs   int
	// fragments also knows what the fleet offers.
	fragments *fragments

	waits              [][]time.Duration
	large              []time.Duration
	finished           int
	offered, held      float64
	work, lost, paused float64
	backfilled         int
	evictions, moves   int
	spread             [len(topology.Levels) + 1]float64
	inOne              [len(topology.Levels) + 1]int
	spreadOf           int
	refused            int
	refusals           []Refusal
}

func newTally(fleet Fleet, o Options, arrivals []Arrival) *tally {
	t := &tally{options: o, gangs: len(arrivals), waits: make([][]time.Duration, len(sizeClasses))}
	if len(arrivals) > 0 {
		t.window = arrivals[len(arrivals)-1].At
	}
	t.fragments = newFragments(fleet, o.Device, t.window)
	return t
}

func (t *tally) refuse(gang, reason string) {
	if t.refused++; len(t.refusals) < MaxRefusals {
		t.refusals = append(t.refusals, Refusal{gang, reason})
	}
}

// start counts a start.
func (t *tally) start(start queueing.Start) {
	if start.Backfilled {
		t.backfilled++
	}
	pods := 0
	for _, role := range start.Placement.Roles {
		pods += len(role.Nodes)
	}
	if pods < 2 {
		return
	}
	t.spreadOf++
	for level, domains := range start.Placement.Quality.Domains {
		t.spread[level] += float64(domains)
		if domains == 1 {
			t.inOne[level]++
		}
	}
}

// stretch counts the stretch of a job that ends now, with kept of its work.
func (t *tally) stretch(j *job, now, kept time.Duration) {
	paused := min(now-j.began, j.pause)
	t.paused += j.devices * paused.Seconds()
	t.work += j.devices * kept.Seconds()
	t.lost += j.devices * (now - j.began - paused - kept).Seconds()
	t.held += j.devices * (min(now, t.window) - min(j.began, t.window)).Seconds()
}

// finish counts a job that has done its work.
func (t *tally) finish(j *job) {
	t.finished++
	t.offered += j.asked * j.arrival.Duration.Seconds()
	class := 0
	for i, least := range sizeClasses {
		if j.asked >= least {
			class = i
		}
	}
	t.waits[class] = append(t.waits[class], j.waited)
	if j.asked >= largeSize {
		t.large = append(t.large, j.waited)
	}
}

// report works out the figures of a run that ended now.
func (t *tally) report(now time.Duration) Report {
	r := Report{
		Policy: PolicyName(t.options.Policy), Gangs: t.gangs, Finished: t.finished, Devices: t.fragments.offered,
		Large:           waitsOf(fmt.Sprintf("%d+", largeSize), t.large),
		MakespanSeconds: now.Seconds(),
		OfferedLoad:     t.perOffer(t.offered), Utilisation: t.perOffer(t.held),
		WorkDeviceSeconds: t.work, LostDeviceSeconds: t.lost, RestartDeviceSeconds: t.paused,
		Levels:     t.levels(),
		Backfilled: t.backfilled, Evictions: t.evictions, Moves: t.moves,
		Refused: t.refused, Refusals: t.refusals,
	}
	for i, least := range sizeClasses {
		size := fmt.Sprintf("%.0f+", least)
		if i+1 < len(sizeClasses) {
			size = fmt.Sprintf("%.0f-%.0f", least, sizeClasses[i+1]-1)
		}
		r.Waits = append(r.Waits, waitsOf(size, t.waits[i]))
	}
	return r
}

// perOffer is device-seconds over what the fleet offered in the window.
func (t *tally) perOffer(deviceSeconds float64) float64 {
	offer := t.fragments.offered * t.window.Seconds()
	if offer == 0 {
		return 0
	}
	return deviceSeconds / offer
}

func (t *tally) levels() []LevelFigures {
	var out []LevelFigures
	for i := range t.fragments.levels {
		l := &t.fragments.levels[i]
		figures := LevelFigures{Level: l.level.String(), Fragmentation: t.fragments.mean(l)}
		if t.spreadOf > 0 {
			figures.MeanDomains = t.spread[l.level] / float64(t.spreadOf)
			figures.InOne = float64(t.inOne[l.level]) / float64(t.spreadOf)
		}
		out = append(out, figures)
	}
	return out
}

// waitsOf sorts the waits.
func waitsOf(size string, waits []time.Duration) Waits {
	w := Waits{Size: size, Gangs: len(waits)}
	if len(waits) == 0 {
		return w
	}
	slices.Sort(waits)
	for _, wait := range waits {
		w.MeanSeconds += wait.Seconds()
	}
	w.MeanSeconds /= float64(len(waits))
	rank := func(share float64) float64 {
		return waits[int(math.Ceil(share*float64(len(waits))))-1].Seconds()
	}
	w.P50Seconds, w.P95Seconds, w.MaxSeconds = rank(0.5), rank(0.95), rank(1)
	return w
}
