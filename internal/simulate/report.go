package simulate

import "github.com/k8s4ai/k8s4ai/internal/queueing"

// Report is what became of a trace. Its JSON is stable: fields are only added.
// Times are in seconds, figures of none are 0.
type Report struct {
	// Policy is the name of the policy, as ParsePolicy reads it.
	Policy string `json:"policy"`
	// Gangs are those of the trace; Finished did their work, the rest is Refused.
	Gangs    int `json:"gangs"`
	Finished int `json:"finished"`
	// Devices are those that the fleet offers: of nodes that take pods, without
	// those in use before the trace.
	Devices float64 `json:"devices"`
	// Waits are by size: every class of SizeClasses, and Large for those of 64
	// devices and more.
	Waits []Waits `json:"waits"`
	Large Waits   `json:"large"`
	// OfferedLoad is the work of all gangs that fit, Utilisation the room held, both
	// over what the fleet offers from the first arrival to the last. OfferedLoad is
	// in device-seconds over device-seconds and may exceed 1.
	OfferedLoad float64 `json:"offeredLoad"`
	Utilisation float64 `json:"utilisation"`
	// MakespanSeconds is from the first arrival to the last end.
	MakespanSeconds float64 `json:"makespanSeconds"`
	// WorkDeviceSeconds is work that counted. LostDeviceSeconds was done in vain,
	// since the last checkpoint of victims, and RestartDeviceSeconds went by while
	// gangs were getting back to work. The three add up to the room held.
	WorkDeviceSeconds    float64 `json:"workDeviceSeconds"`
	LostDeviceSeconds    float64 `json:"lostDeviceSeconds"`
	RestartDeviceSeconds float64 `json:"restartDeviceSeconds"`
	// Levels are those that the fleet has, outer to inner.
	Levels []LevelFigures `json:"levels"`
	// Backfilled counts starts ahead of a gang with a reservation, Evictions and
	// Moves gangs, each as often as it happened to it.
	Backfilled int `json:"backfilled"`
	Evictions  int `json:"evictions"`
	Moves      int `json:"moves"`
	// Refused counts gangs that never started, because they do not fit on the fleet
	// as it is at first. Refusals tells why, of the first MaxRefusals.
	Refused  int       `json:"refused"`
	Refusals []Refusal `json:"refusals,omitempty"`
}

// MaxRefusals is the largest number of refusals that a Report lists.
const MaxRefusals = 20

// Refusal is a gang that never started.
type Refusal struct {
	Gang   string `json:"gang"`
	Reason string `json:"reason"`
}

// Waits are the times in the queue of the gangs of one size: until the first
// start, and after each eviction. P50 and P95 are of the nearest rank.
type Waits struct {
	// Size is such as "8-63" or "512+", in devices.
	Size        string  `json:"size"`
	Gangs       int     `json:"gangs"`
	MeanSeconds float64 `json:"meanSeconds"`
	P50Seconds  float64 `json:"p50Seconds"`
	P95Seconds  float64 `json:"p95Seconds"`
	MaxSeconds  float64 `json:"maxSeconds"`
}

// LevelFigures tell how gangs sit in the domains of one level.
type LevelFigures struct {
	Level string `json:"level"`
	// MeanDomains is how many domains a start of two pods or more touched, and
	// InOne the share of those starts that touched only one.
	MeanDomains float64 `json:"meanDomains"`
	InOne       float64 `json:"inOne"`
	// Fragmentation is that of queueing.Fragmentation, its mean over the time from
	// the first arrival to the last: the share of the free devices that is lost to
	// gangs of 64 devices on whole nodes in one domain of the level, of half of the
	// largest domain where that is less.
	Fragmentation float64 `json:"fragmentation"`
}

// PolicyName is the name by which ParsePolicy knows a policy. Its Expiry has no
// part in it.
func PolicyName(p queueing.Policy) string {
	name := "fifo"
	if p.Backfill {
		name = "easy"
	}
	if p.Preempt {
		name += "+preempt"
	}
	if p.Defragment {
		name += "+defrag"
	}
	return name
}
