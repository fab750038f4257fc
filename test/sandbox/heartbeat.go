package sandbox

import (
	"time"

	"github.com/k8s4ai/k8s4ai/internal/fleet"
)

// heartbeat says how long a node's lease lasts and how long the controller
// manager tolerates its silence. kwok renews a lease at a quarter of its life.
type heartbeat struct{ lease, grace time.Duration }

// manyNodes is where renewals at the kubelet's pace (one per node every 10 s)
// begin to take the machine's time from what is being tested.
const manyNodes = 1500

// heartbeatFor returns the kubelet's own pace, or a slower one for large fleets.
func heartbeatFor(f *fleet.Fleet) heartbeat {
	if f != nil && f.NodeCount() > manyNodes {
		return heartbeat{lease: 600 * time.Second, grace: 900 * time.Second}
	}
	return heartbeat{lease: 40 * time.Second, grace: 50 * time.Second}
}
