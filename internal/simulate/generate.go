package simulate

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/k8s4ai/k8s4ai/internal/placement"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// Mix says which arrivals Generate draws. The zero value of every field but Gangs,
// Devices and Load has a meaning.
type Mix struct {
	// Seed is that of the draw.
	Seed uint64
	// Gangs is their number, 1 to MaxArrivals.
	Gangs int
	// Devices are those of the fleet, at least 8, and PerNode those of one node, 0
	// for 8. Gangs ask for no more than a quarter of the fleet.
	Devices, PerNode int
	// Device is the resource that they ask for, "" for DefaultDevice.
	Device string
	// Load is the work of all gangs over what the fleet offers between the first
	// arrival and the last. Above 0, at most 100.
	Load float64
	// Overestimate is the largest factor by which estimates exceed durations; they
	// are spread evenly from 1 to it. 0 and 1 make estimates exact. At most 1000.
	Overestimate float64
	// Required and Preferred are the levels of gangs that need more than one node.
	Required, Preferred topology.Level
}

// sizes are how many gangs of a thousand ask for 2 to the power of the index
// devices. Most gangs are small and most of the work is in the large ones: nine of
// a hundred gangs ask for 64 and more, and they have two thirds of it.
var sizes = [...]int{300, 100, 120, 220, 100, 70, 45, 25, 12, 6, 2}

const (
	medianDuration   = 30 * time.Minute
	shortestDuration = time.Minute
	longestDuration  = 12 * time.Hour
	// durationSpread is the standard deviation of the logarithm of durations: the
	// longest tenth of the gangs has about half of the time.
	durationSpread = 1.4

	defaultPerNode  = 8
	maxOverestimate = 1000
	maxLoad         = 100
)

// Generate draws arrivals: a heavy-tailed mix of sizes, durations of a log-normal
// distribution between a minute and half a day that do not depend on the size, and a
// Poisson process of arrivals, stretched so that the offered load is exactly
// the one asked for. The same Mix always gives the same arrivals. It returns an
// error that names the field out of its bounds.
//
// The shape is that of published traces of training clusters (Philly, Helios,
// Acme): many small and short jobs, few large ones with most of the work, and
// durations from minutes to days. It is fitted to none of them.
func Generate(m Mix) ([]Arrival, error) {
	if m.PerNode == 0 {
		m.PerNode = defaultPerNode
	}
	if m.Device == "" {
		m.Device = DefaultDevice
	}
	if m.Overestimate == 0 {
		m.Overestimate = 1
	}
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("generating a trace: %w", err)
	}
	random := newRandom(m.Seed)
	out := make([]Arrival, m.Gangs)
	instants := make([]float64, m.Gangs)
	work := 0.0
	for i := range out {
		if i > 0 {
			instants[i] = instants[i-1] + random.ExpFloat64()
		}
		devices := m.size(random)
		duration := durationOf(random)
		out[i] = Arrival{
			Name:     fmt.Sprintf("gang-%0*d", nameDigits, i+1),
			Duration: duration,
			Estimate: time.Duration(float64(duration) * (1 + random.Float64()*(m.Overestimate-1))).Round(time.Second),
			Request:  m.request(devices),
		}
		work += float64(devices) * duration.Seconds()
	}
	if last := instants[m.Gangs-1]; last > 0 {
		span := work / (m.Load * float64(m.Devices))
		for i := range out {
			out[i].At = min(MaxTime, time.Duration(instants[i]/last*span*float64(time.Second)))
		}
	}
	return out, nil
}

func (m *Mix) check() error {
	switch {
	case m.Gangs < 1 || m.Gangs > MaxArrivals:
		return fmt.Errorf("%d gangs: 1 to %d can be drawn", m.Gangs, MaxArrivals)
	case m.Devices < defaultPerNode || m.Devices > math.MaxInt32:
		return fmt.Errorf("a fleet of %d devices: it has 8 to %d", m.Devices, math.MaxInt32)
	case m.PerNode < 1 || m.PerNode > maxDevicesPerPod:
		return fmt.Errorf("%d devices per node: 1 to %d", m.PerNode, maxDevicesPerPod)
	case !(m.Load >= 0.001 && m.Load <= maxLoad):
		return fmt.Errorf("a load of %g: it is 0.001 to %d", m.Load, maxLoad)
	case !(m.Overestimate >= 1 && m.Overestimate <= maxOverestimate):
		return fmt.Errorf("an overestimate of %g: it is 1 to %d", m.Overestimate, maxOverestimate)
	case m.Preferred != topology.Cluster && m.Preferred < m.Required:
		return errors.New("the preferred level is wider than the required one")
	}
	return nil
}

// size draws the devices of a gang.
func (m *Mix) size(random *rand.Rand) int {
	const largestShare = 4
	all := 0
	for power, weight := range sizes {
		if 1<<power <= m.Devices/largestShare {
			all += weight
		}
	}
	at, devices := random.IntN(all), 1
	for _, weight := range sizes {
		if at -= weight; at < 0 {
			break
		}
		devices *= 2
	}
	return devices
}

func durationOf(random *rand.Rand) time.Duration {
	drawn := medianDuration.Seconds() * math.Exp(durationSpread*random.NormFloat64())
	bounded := min(max(drawn, shortestDuration.Seconds()), longestDuration.Seconds())
	return time.Duration(math.Round(bounded)) * time.Second
}

// request asks for whole nodes where one node is not enough.
func (m *Mix) request(devices int) placement.Request {
	pods, each := 1, devices
	var root placement.Group
	if devices > m.PerNode {
		pods, each = (devices+m.PerNode-1)/m.PerNode, m.PerNode
		root.Required, root.Preferred = m.Required, m.Preferred
	}
	resources := placement.Resources{m.Device: int64(each)}
	root.Roles = []placement.Role{{Name: "worker", Count: pods, Shape: placement.Shape{
		Resources: resources, Tolerations: tolerationsOf(resources),
	}}}
	return placement.Request{Root: root}
}

func newRandom(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }
