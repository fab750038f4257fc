package gang

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// patience measures how long this process has waited for one epoch of a gang,
// and when it last wrote a gang's status. It is memory that may be lost: a new
// process starts to wait anew.
type patience struct {
	now     func() time.Time
	mu      sync.Mutex
	waiting map[types.UID]wait
	written map[types.UID]time.Time
}

type wait struct {
	epoch int64
	since time.Time
}

func newPatience(now func() time.Time) *patience {
	return &patience{now: now, waiting: map[types.UID]wait{}, written: map[types.UID]time.Time{}}
}

// waited is how long the epoch has been seen complete, that is with all its Pods
// created. The clock of an epoch starts when that is first seen.
func (p *patience) waited(uid types.UID, epoch int64, complete bool) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	known, exists := p.waiting[uid]
	if !complete || exists && known.epoch != epoch {
		delete(p.waiting, uid)
		exists = false
	}
	if !complete {
		return 0
	}
	if !exists {
		known = wait{epoch: epoch, since: p.now()}
		p.waiting[uid] = known
	}
	return p.now().Sub(known.since)
}

// mayWriteCounts says how long to hold back a status write that changes nothing
// but counts: such writes come at most once a second for one gang.
func (p *patience) mayWriteCounts(uid types.UID) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(0, time.Second-p.now().Sub(p.written[uid]))
}

func (p *patience) wrote(uid types.UID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.written[uid] = p.now()
}

func (p *patience) forget(uid types.UID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.waiting, uid)
	delete(p.written, uid)
}
