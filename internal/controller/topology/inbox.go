package topology

import (
	"maps"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// batch names what has to be looked at.
type batch struct {
	// all stands for everything that there is.
	all     bool
	nodes   map[string]struct{}
	domains map[string]struct{}
	gangs   map[types.NamespacedName]struct{}
}

func newBatch() batch {
	return batch{nodes: map[string]struct{}{}, domains: map[string]struct{}{}, gangs: map[types.NamespacedName]struct{}{}}
}

func (b *batch) isEmpty() bool {
	return !b.all && len(b.nodes)+len(b.domains)+len(b.gangs) == 0
}

func (b *batch) merge(other batch) {
	b.all = b.all || other.all
	maps.Copy(b.nodes, other.nodes)
	maps.Copy(b.domains, other.domains)
	maps.Copy(b.gangs, other.gangs)
}

// inbox collects what events are about until the Reconciler looks. It is filled
// by the watches and emptied by the only worker.
type inbox struct {
	// window is how long the first event waits for others.
	window time.Duration
	now    func() time.Time

	mu      sync.Mutex
	waiting batch
	since   time.Time
}

func newInbox(window time.Duration, now func() time.Time) *inbox {
	return &inbox{window: window, now: now, waiting: newBatch()}
}

// put adds what change names.
func (i *inbox) put(change func(*batch)) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.waiting.isEmpty() {
		i.since = i.now()
	}
	change(&i.waiting)
}

// hold says how long what waits has to wait for more, and 0 when it need not.
func (i *inbox) hold() time.Duration {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.waiting.isEmpty() {
		return 0
	}
	return max(0, i.window-i.now().Sub(i.since))
}

// take empties the inbox.
func (i *inbox) take() batch {
	i.mu.Lock()
	defer i.mu.Unlock()
	taken := i.waiting
	i.waiting = newBatch()
	return taken
}
