package sandbox

import "time"

// heartbeat says how long a node's lease lasts and how long the controller
// manager tolerates its silence. kwok renews a lease at a quarter of its life.
type heartbeat struct{ lease, grace time.Duration }

// manyNodes is where renewals at the kubelet's pace (one per node every 10 s)
// begin to take the machine's time from what is being tested.
const manyNodes = 1500

// heartbeat returns the kubelet's own pace, a slower one for large fleets, or a
// quicker one for real nodes, which tests take away and wait for.
func (o Options) heartbeat() heartbeat {
	switch {
	case o.Fleet != nil && o.Fleet.NodeCount() > manyNodes:
		return heartbeat{lease: 600 * time.Second, grace: 900 * time.Second}
	case len(o.RealNodes) > 0:
		return heartbeat{lease: 16 * time.Second, grace: 20 * time.Second}
	default:
		return heartbeat{lease: 40 * time.Second, grace: 50 * time.Second}
	}
}
