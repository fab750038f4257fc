package gang

import (
	"maps"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/convert"
	"github.com/k8s4ai/k8s4ai/internal/placement"
)

// Ledger knows which room is committed to which gang. It is ahead of the cache:
// a commit and a release enter it in the moment in which the API server has
// accepted them. After a start it is rebuilt from status by Observe.
//
// It is safe for concurrent use.
type Ledger struct {
	mu      sync.Mutex
	entries map[types.UID]entry
}

// entry is the newest that is known of one gang. An entry without uses is a
// released placement: it keeps an older cache from bringing the room back.
type entry struct {
	epoch    int64
	uses     []placement.Use
	occupied bool
}

// NewLedger returns an empty ledger.
func NewLedger() *Ledger {
	return &Ledger{entries: map[types.UID]entry{}}
}

// Observe takes over what a list of gangs says, where it is newer than what is
// known, and forgets gangs that are not in it. The list must be complete.
func (l *Ledger) Observe(groups []v1alpha1.GangSchedulingGroup) {
	l.mu.Lock()
	defer l.mu.Unlock()
	seen := make(map[types.UID]bool, len(groups))
	for i := range groups {
		group := &groups[i]
		seen[group.UID] = true
		known, exists := l.entries[group.UID]
		// Within one epoch room is only ever given back, so that a cache that shows
		// the epoch without room is not behind.
		fresh := entryOf(group)
		if exists && (known.epoch > fresh.epoch || known.epoch == fresh.epoch && fresh.occupied) {
			continue
		}
		l.entries[group.UID] = fresh
	}
	maps.DeleteFunc(l.entries, func(uid types.UID, _ entry) bool { return !seen[uid] })
}

func entryOf(group *v1alpha1.GangSchedulingGroup) entry {
	uses, held := convert.Commitment(group)
	return entry{epoch: group.Status.Epoch, uses: uses, occupied: held}
}

// Commit enters a placement that the API server has accepted.
func (l *Ledger) Commit(group *v1alpha1.GangSchedulingGroup) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries[group.UID] = entryOf(group)
}

// Release gives the room of a gang back. epoch is the one that was released; a
// newer commit stays.
func (l *Ledger) Release(uid types.UID, epoch int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.entries[uid].epoch <= epoch {
		l.entries[uid] = entry{epoch: epoch}
	}
}

// Holds says whether room is committed to the gang.
func (l *Ledger) Holds(uid types.UID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.entries[uid].occupied
}

// HoldsEpoch says whether room is committed to exactly this epoch of the gang.
func (l *Ledger) HoldsEpoch(uid types.UID, epoch int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	known := l.entries[uid]
	return known.occupied && known.epoch == epoch
}

// Uses lists all committed room.
func (l *Ledger) Uses() []placement.Use {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []placement.Use
	for _, uid := range slices.Sorted(maps.Keys(l.entries)) {
		out = append(out, l.entries[uid].uses...)
	}
	return out
}
