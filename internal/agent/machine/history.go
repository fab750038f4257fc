package machine

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
)

// History is what earlier looks at a machine add to the present one: faults that
// stay until the machine boots anew, and what has worked in this boot. It is a
// value: nothing changes one in place. The zero History is of a machine that
// nobody has looked at.
type History struct {
	// BootID is the boot that the rest is about.
	BootID string
	// Xids are the first fatal errors of the driver, by UUID of the GPU.
	Xids map[string]uint64
	// Up are the names of the RDMA ports that were Active.
	Up map[string]bool
	// Linked are the UUIDs of the GPUs that had an active NVLink.
	Linked map[string]bool
	// Direct is the most connections that were seen between two GPUs, by pair: a
	// reader that starts anew cannot tell a connection that is down from none.
	Direct map[Pair]int32
	// Seen are the accelerators that were there, as they were reported last.
	Seen map[string]v1alpha1.Accelerator
	// heat is by UUID.
	heat map[string]heat
}

// Pair names two GPUs by UUID.
type Pair struct{ From, To string }

// heat is how long a GPU has been hot or cool.
type heat struct {
	// hot is what the looks agree on; looks counts those in a row that do not.
	hot   bool
	looks int
}

const (
	// heatLooks is how many looks in a row it takes to call a GPU too hot, or cool
	// again: clocks drop for a moment on healthy devices.
	heatLooks = 3
	// maxRemembered bounds each part of a History: devices may come and go, and
	// names may be garbage.
	maxRemembered = 4 * maxGPUs
	// xidPrefix begins the reason of a driver's error.
	xidPrefix = "Xid"
)

// applicationXids are errors that a program makes, not a device: NVIDIA's own
// device plugin leaves them out as well.
var applicationXids = []uint64{13, 31, 43, 45, 68, 109}

// Restore takes a History from the report that an earlier run of the agent has
// stored.
func Restore(stored v1alpha1.NodeReport) History {
	h := History{BootID: stored.BootID}.clone()
	for _, a := range stored.Accelerators {
		h.Seen[a.UUID] = a
		if number, found := strings.CutPrefix(a.HealthReason, xidPrefix); found {
			if xid, err := strconv.ParseUint(number, 10, 64); err == nil {
				h.Xids[a.UUID] = xid
			}
		}
		if a.HealthReason == reasonThermal {
			h.heat[a.UUID] = heat{hot: true}
		}
		if a.HealthReason == reasonNVLink {
			h.Linked[a.UUID] = true
		}
	}
	for _, l := range stored.NVLinks {
		if l.ActiveLinks != nil && *l.ActiveLinks > 0 {
			h.Linked[l.From] = true
		}
		if _, isGPU := h.Seen[l.To]; isGPU {
			h.Direct[Pair{l.From, l.To}] = l.Links
		}
	}
	for _, n := range stored.NICs {
		if n.Health == v1alpha1.DeviceHealthy || n.Health == v1alpha1.DeviceUnhealthy {
			h.Up[n.Name] = true
		}
	}
	return h
}

// Join adds what another History of the same boot knows. What h knows wins. A boot
// that h does not know may be the same one.
func (h History) Join(other History) History {
	if h.BootID != other.BootID && h.BootID != "" {
		return h
	}
	out := other.clone()
	maps.Copy(out.Xids, h.Xids)
	maps.Copy(out.Up, h.Up)
	maps.Copy(out.Linked, h.Linked)
	maps.Copy(out.Direct, h.Direct)
	maps.Copy(out.Seen, h.Seen)
	maps.Copy(out.heat, h.heat)
	return out
}

// Record adds an error that the driver told of a GPU. Errors of applications and
// those that name no GPU change nothing.
func (h History) Record(uuid string, xid uint64) History {
	if _, known := h.Xids[uuid]; known || uuid == "" || slices.Contains(applicationXids, xid) || len(h.Xids) >= maxRemembered {
		return h
	}
	out := h.clone()
	out.Xids[uuid] = xid
	return out
}

// in is the History for a look in a boot: a new one when that is another boot.
func (h History) in(bootID string) History {
	if h.BootID != bootID {
		h = History{BootID: bootID}
	}
	return h.clone()
}

func (h History) clone() History {
	return History{
		BootID: h.BootID, Xids: cloned(h.Xids), Up: cloned(h.Up), Linked: cloned(h.Linked), Direct: cloned(h.Direct),
		Seen: cloned(h.Seen), heat: cloned(h.heat),
	}
}

func cloned[K comparable, V any](m map[K]V) map[K]V {
	if m == nil {
		return map[K]V{}
	}
	return maps.Clone(m)
}

// remember sets an entry unless the map is full.
func remember[K comparable, V any](m map[K]V, key K, value V) {
	if _, known := m[key]; known || len(m) < maxRemembered {
		m[key] = value
	}
}

// feel counts one more look at a GPU's clocks, and says whether it is too hot.
func (h History) feel(uuid string, hot bool) bool {
	now := h.heat[uuid]
	switch {
	case now.hot == hot:
		now.looks = 0
	case now.looks+1 >= heatLooks:
		now = heat{hot: hot}
	default:
		now.looks++
	}
	if now == (heat{}) {
		delete(h.heat, uuid)
		return false
	}
	remember(h.heat, uuid, now)
	return now.hot
}
