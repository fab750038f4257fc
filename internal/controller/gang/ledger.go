package gang

import (
	"maps"

	"k8s.io/apimachinery/pkg/types"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/convert"
)

// ledger knows which room is committed to which gang. It is ahead of the cache:
// a commit enters it in the moment in which the API server has accepted it. A
// release reaches it through the cache, later than it happens, which only keeps
// room back for a moment. After a start it is rebuilt from status by observe.
type ledger map[types.UID]entry

// entry is the newest that is known of one gang. An entry that holds nothing is a
// released placement: it keeps an older cache from bringing the room back.
type entry struct {
	epoch int64
	// held is nil where no room is held. It never changes.
	held *convert.Holding
	// version is that of the gang when it was last compared.
	version string
}

// observe takes over what a list of gangs says, where it is newer than what is
// known, and forgets gangs that are not in it. The list must be complete.
func (l ledger) observe(groups []v1alpha1.GangSchedulingGroup) {
	seen := make(map[types.UID]bool, len(groups))
	for i := range groups {
		group := &groups[i]
		seen[group.UID] = true
		known, exists := l[group.UID]
		if exists && known.version != "" && known.version == group.ResourceVersion {
			continue // The comparison would end as it did.
		}
		// Within one epoch room is only ever given back, so that a cache that shows
		// the epoch without room is not behind.
		fresh := entryOf(group)
		if exists && (known.epoch > fresh.epoch || known.epoch == fresh.epoch && fresh.held != nil) {
			fresh.epoch, fresh.held = known.epoch, known.held
		}
		l[group.UID] = fresh
	}
	maps.DeleteFunc(l, func(uid types.UID, _ entry) bool { return !seen[uid] })
}

func entryOf(group *v1alpha1.GangSchedulingGroup) entry {
	out := entry{epoch: group.Status.Epoch, version: group.ResourceVersion}
	if uses, isHeld := convert.Commitment(group); isHeld {
		out.held = &convert.Holding{Epoch: out.epoch, Uses: uses}
	}
	return out
}

// commit enters a placement that the API server has accepted, and returns what it
// holds.
func (l ledger) commit(group *v1alpha1.GangSchedulingGroup) *convert.Holding {
	l[group.UID] = entryOf(group)
	return l[group.UID].held
}

// holds says whether room is committed to the gang.
func (l ledger) holds(uid types.UID) bool { return l[uid].held != nil }

// holdings are all committed room.
func (l ledger) holdings() map[types.UID]*convert.Holding {
	out := make(map[types.UID]*convert.Holding, len(l))
	for uid, e := range l {
		if e.held != nil {
			out[uid] = e.held
		}
	}
	return out
}
