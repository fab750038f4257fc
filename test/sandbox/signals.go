package sandbox

import (
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// running are the live clusters of this process that are stopped on a signal.
var running clusters

type clusters struct {
	mu      sync.Mutex
	live    map[*Cluster]bool
	signals chan os.Signal
}

func (l *clusters) add(c *Cluster) {
	if c.options.CallerHandlesSignals {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.live == nil {
		l.live = map[*Cluster]bool{}
	}
	l.live[c] = true
	if l.signals == nil {
		l.signals = make(chan os.Signal, 1)
		signal.Notify(l.signals, syscall.SIGINT, syscall.SIGTERM)
		go l.stopOnSignal(l.signals)
	}
}

func (l *clusters) remove(c *Cluster) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.live, c)
	if len(l.live) == 0 && l.signals != nil {
		signal.Stop(l.signals)
		close(l.signals)
		l.signals = nil
	}
}

// stopOnSignal stops every cluster, then lets the process die of the signal, so
// that its parent sees the same end as without a sandbox.
func (l *clusters) stopOnSignal(signals <-chan os.Signal) {
	received, ok := <-signals
	if !ok {
		return
	}
	l.mu.Lock()
	var live []*Cluster
	for c := range l.live {
		live = append(live, c)
	}
	l.mu.Unlock()
	for _, c := range live {
		_ = c.Stop()
	}
	signal.Reset(received)
	_ = syscall.Kill(os.Getpid(), received.(syscall.Signal))
}
