package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/k8s4ai/k8s4ai/internal/topology"
)

const (
	firstRetry = 10 * time.Second
	lastRetry  = 5 * time.Minute
	// secondLook is how long after a scan that lost half of the fabric the next
	// one has to agree.
	secondLook = time.Minute
)

// Keeper looks at the fabric again and again and keeps the stored scan current.
type Keeper struct {
	// Look scans the fabric.
	Look func(ctx context.Context) (topology.Scan, error)
	// Store keeps the scan.
	Store *Store
	// Interval is the time between two looks. With 0 there is only one.
	Interval time.Duration
	// Log receives what happened.
	Log *slog.Logger
	// Sleep waits, or returns the context's error when that ends first. Unset
	// means to wait by the clock.
	Sleep func(ctx context.Context, d time.Duration) error
}

// Run looks until the context ends, and then returns nil. A look that fails is
// tried again after 10 seconds, doubling to 5 minutes; with an Interval of 0
// there is only one look, and its error is returned.
func (k *Keeper) Run(ctx context.Context) error {
	retry := firstRetry
	for ctx.Err() == nil {
		err := k.look(ctx)
		if k.Interval == 0 {
			return err
		}
		wait := k.Interval
		switch {
		case err == nil:
			retry = firstRetry
		case ctx.Err() == nil:
			wait, retry = retry, min(2*retry, lastRetry)
			k.Log.Error("the fabric scan failed", "error", err, "retryIn", wait.String())
		}
		_ = k.sleep(ctx, wait) // The loop ends with the context.
	}
	return nil
}

func (k *Keeper) look(ctx context.Context) error {
	scan, err := k.Look(ctx)
	if err != nil {
		return err
	}
	before, _, err := k.Store.Read(ctx)
	if err != nil {
		return err
	}
	// Packets that are lost under load look like switches that are gone. One such
	// look must not take the evidence of half a cluster away.
	if isHalved(before, scan) {
		k.Log.Warn("less than half of the adapters are left: looking again", "before", adapters(before), "now", adapters(scan), "in", secondLook.String())
		if err := k.sleep(ctx, secondLook); err != nil {
			return err
		}
		if scan, err = k.Look(ctx); err != nil {
			return err
		}
	}
	if len(scan.Leaves) == 0 {
		return errors.New("the fabric has no leaf switch with an adapter: the stored scan stays")
	}
	info, isWritten, err := k.Store.Write(ctx, scan)
	if err != nil {
		return err
	}
	k.Log.Info("the fabric is known", "leafSwitches", len(scan.Leaves), "adapters", adapters(scan), "generation", info.Generation, "changed", isWritten)
	return nil
}

func isHalved(before, now topology.Scan) bool { return 2*adapters(now) < adapters(before) }

func adapters(scan topology.Scan) int {
	count := 0
	for _, leaf := range scan.Leaves {
		count += len(leaf.Adapters)
	}
	return count
}

func (k *Keeper) sleep(ctx context.Context, d time.Duration) error {
	if k.Sleep != nil {
		return k.Sleep(ctx, d)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return fmt.Errorf("waiting: %w", ctx.Err())
	case <-timer.C:
		return nil
	}
}
