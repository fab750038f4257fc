package simulate

import (
	"time"

	"github.com/k8s4ai/k8s4ai/internal/placement"
	"github.com/k8s4ai/k8s4ai/internal/queueing"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

const (
	// samples is how often fragmentation is looked at in one run: it costs all
	// nodes each time.
	samples = 256
	// fragmentSize are the devices of the gangs by which it is measured.
	fragmentSize = largeSize
)

// fragments samples the fragmentation of a fleet over a window.
type fragments struct {
	window time.Duration
	// taken counts samples.
	taken  int
	nodes  []string
	pod    placement.Resources
	levels []fragmentLevel
	// offered are the free devices before the trace.
	offered float64
}

// fragmentLevel is one level of the fleet, with gangs of so many pods.
type fragmentLevel struct {
	level topology.Level
	pods  int
	sum   float64
}

func newFragments(fleet Fleet, device string, window time.Duration) *fragments {
	f := &fragments{window: window}
	above := map[string]topology.Vertex{}
	levels := map[topology.Level]bool{topology.Node: true}
	for _, d := range fleet.Domains {
		above[d.Name] = d
		levels[d.Level] = true
	}
	counts, below := map[int64]int{}, map[string]int{}
	for i := range fleet.Nodes {
		n := &fleet.Nodes[i]
		each := n.Capacity[device]
		if n.Unavailable != "" || each == 0 {
			continue
		}
		f.nodes = append(f.nodes, n.Name)
		f.offered += max(0, float64(each)-float64(n.Used[device]))
		counts[each]++
		for d, found := above[n.Domain]; found; d, found = above[d.Parent] {
			below[d.Name]++
		}
	}
	var each int64
	for size, nodes := range counts {
		if nodes > counts[each] || (nodes == counts[each] && size > each) {
			each = size
		}
	}
	f.pod = placement.Resources{device: each}
	for _, level := range topology.Levels {
		if !levels[level] || each == 0 {
			continue
		}
		most := 1
		for name, nodes := range below {
			if above[name].Level == level {
				most = max(most, nodes)
			}
		}
		pods := min(fragmentSize/each, int64(most/2))
		f.levels = append(f.levels, fragmentLevel{level: level, pods: max(1, int(pods))})
	}
	return f
}

// hold looks at room that stays as it is until an instant, as often as samples
// are due before it.
func (f *fragments) hold(s *placement.Snapshot, until time.Duration) {
	due := 0
	for f.taken < samples && f.window/samples*time.Duration(f.taken) < min(until, f.window) {
		f.taken++
		due++
	}
	if due == 0 {
		return
	}
	for i := range f.levels {
		l := &f.levels[i]
		l.sum += float64(due) * queueing.Fragmentation(s, f.nodes, f.pod, l.pods, l.level)
	}
}

// mean is that of a level over all samples.
func (f *fragments) mean(l *fragmentLevel) float64 {
	if f.taken == 0 {
		return 0
	}
	return l.sum / float64(f.taken)
}
