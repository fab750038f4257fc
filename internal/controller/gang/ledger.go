package gang

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/convert"
	"github.com/k8s4ai/k8s4ai/internal/placement"
)

// ledger knows which room is committed to which gang. It is ahead of the cache:
// a commit enters it in the moment in which the API server has accepted it. A
// release reaches it through the cache, later than it happens, which only keeps
// room back for a moment. After a start it is rebuilt from status by observe.
type ledger map[types.UID]entry

// entry is the newest that is known of one gang. An entry that is not occupied
// is a released placement: it keeps an older cache from bringing the room back.
type entry struct {
	epoch    int64
	uses     []placement.Use
	occupied bool
}

// observe takes over what a list of gangs says, where it is newer than what is
// known, and forgets gangs that are not in it. The list must be complete.
func (l ledger) observe(groups []v1alpha1.GangSchedulingGroup) {
	seen := make(map[types.UID]bool, len(groups))
	for i := range groups {
		group := &groups[i]
		seen[group.UID] = true
		known, exists := l[group.UID]
		// Within one epoch room is only ever given back, so that a cache that shows
		// the epoch without room is not behind.
		fresh := entryOf(group)
		if exists && (known.epoch > fresh.epoch || known.epoch == fresh.epoch && fresh.occupied) {
			continue
		}
		l[group.UID] = fresh
	}
	maps.DeleteFunc(l, func(uid types.UID, _ entry) bool { return !seen[uid] })
}

func entryOf(group *v1alpha1.GangSchedulingGroup) entry {
	uses, held := convert.Commitment(group)
	return entry{epoch: group.Status.Epoch, uses: uses, occupied: held}
}

// commit enters a placement that the API server has accepted.
func (l ledger) commit(group *v1alpha1.GangSchedulingGroup) { l[group.UID] = entryOf(group) }

// holds says whether room is committed to the gang.
func (l ledger) holds(uid types.UID) bool { return l[uid].occupied }

// holdsEpoch says whether room is committed to exactly this epoch of the gang.
func (l ledger) holdsEpoch(uid types.UID, epoch int64) bool {
	return l[uid].occupied && l[uid].epoch == epoch
}

// uses lists all committed room.
func (l ledger) uses() []placement.Use {
	var out []placement.Use
	for _, uid := range slices.Sorted(maps.Keys(l)) {
		out = append(out, l[uid].uses...)
	}
	return out
}
