package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/k8s4ai/k8s4ai/internal/fabricscan"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

var (
	resource = schema.GroupResource{Resource: "configmaps"}
	errDead  = errors.New("the writer died")
)

// fakeMaps is a fake of the ConfigMaps of one namespace, with the API server's
// rules for resource versions. TestOnTheAPIServer runs the store on a real one.
type fakeMaps struct {
	maps    map[string]*corev1.ConfigMap
	version int
	writes  int
	// dieAt makes that write and all after it fail without effect, counted from 1.
	dieAt int
	// before runs ahead of each write.
	before func()
}

func newFakeMaps() *fakeMaps { return &fakeMaps{maps: map[string]*corev1.ConfigMap{}} }

func (f *fakeMaps) Get(_ context.Context, name string, _ metav1.GetOptions) (*corev1.ConfigMap, error) {
	if f.maps[name] == nil {
		return nil, apierrors.NewNotFound(resource, name)
	}
	return f.maps[name].DeepCopy(), nil
}

func (f *fakeMaps) Create(_ context.Context, m *corev1.ConfigMap, _ metav1.CreateOptions) (*corev1.ConfigMap, error) {
	if err := f.beforeWrite(); err != nil {
		return nil, err
	}
	if f.maps[m.Name] != nil {
		return nil, apierrors.NewAlreadyExists(resource, m.Name)
	}
	return f.set(m), nil
}

func (f *fakeMaps) Update(_ context.Context, m *corev1.ConfigMap, _ metav1.UpdateOptions) (*corev1.ConfigMap, error) {
	if err := f.beforeWrite(); err != nil {
		return nil, err
	}
	switch there := f.maps[m.Name]; {
	case there == nil:
		return nil, apierrors.NewNotFound(resource, m.Name)
	case there.ResourceVersion != m.ResourceVersion:
		return nil, apierrors.NewConflict(resource, m.Name, errors.New("it has changed"))
	}
	return f.set(m), nil
}

func (f *fakeMaps) beforeWrite() error {
	if before := f.before; before != nil {
		f.before = nil
		before()
	}
	if f.writes++; f.dieAt > 0 && f.writes >= f.dieAt {
		return errDead
	}
	return nil
}

func (f *fakeMaps) set(m *corev1.ConfigMap) *corev1.ConfigMap {
	f.version++
	f.maps[m.Name] = m.DeepCopy()
	f.maps[m.Name].ResourceVersion = strconv.Itoa(f.version)
	return f.maps[m.Name].DeepCopy()
}

// managerSees is what a manager makes of all ConfigMaps.
func (f *fakeMaps) managerSees(t *testing.T) (topology.Scan, fabricscan.Info) {
	t.Helper()
	var all []corev1.ConfigMap
	for _, m := range f.maps {
		all = append(all, *m)
	}
	scan, info, err := fabricscan.Read(all)
	if err != nil {
		t.Errorf("managers have no scan: %v", err)
	}
	return scan, info
}

func newStore(maps ConfigMaps) *Store {
	return &Store{ConfigMaps: maps, Host: "n1", Now: func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }}
}

// scanOf has leaf switches with so many adapters that 1,000 of them take two
// parts. The seed makes adapters different.
func scanOf(leaves int, seed uint64) topology.Scan {
	var scan topology.Scan
	next := seed
	for i := range leaves {
		guid := fmt.Sprintf("%016x", i+1)
		leaf := topology.LeafSwitch{GUID: guid, Name: "leaf-" + guid, Fabric: fmt.Sprintf("%016x", 1)}
		for range 80 {
			// Numbers of a linear congruential generator do not compress.
			next = next*6364136223846793005 + 1442695040888963407
			leaf.Adapters = append(leaf.Adapters, next)
		}
		scan.Leaves = append(scan.Leaves, leaf)
	}
	return scan
}

func mustWrite(t *testing.T, s *Store, scan topology.Scan) fabricscan.Info {
	t.Helper()
	info, isWritten, err := s.Write(t.Context(), scan)
	if err != nil {
		t.Fatal(err)
	}
	if !isWritten {
		t.Fatal("nothing was written")
	}
	return info
}

func TestWrite(t *testing.T) {
	maps := newFakeMaps()
	s := newStore(maps)
	for generation := range int64(5) {
		scan := scanOf(1000, uint64(generation))
		if got := mustWrite(t, s, scan).Generation; got != generation+1 {
			t.Errorf("generation %d was stored, want %d", got, generation+1)
		}
		seen, info := maps.managerSees(t)
		if diff := cmp.Diff(scan, seen); diff != "" {
			t.Errorf("managers see another scan (-want +got):\n%s", diff)
		}
		if info.Host != "n1" || !info.Time.Equal(s.Now()) {
			t.Errorf("info is %+v", info)
		}
		writes := maps.writes
		if _, isWritten, err := s.Write(t.Context(), scan); err != nil || isWritten || maps.writes != writes {
			t.Errorf("an equal scan was written again: %t, %v", isWritten, err)
		}
	}
	if got, want := len(maps.maps), 2*2; got != want {
		t.Errorf("there are %d ConfigMaps, want %d", got, want)
	}
}

// A writer that dies leaves the scan before, whichever write it was, and the
// next writer carries on.
func TestWriterDies(t *testing.T) {
	before, now, after := scanOf(1000, 1), scanOf(1100, 2), scanOf(300, 3)
	for dieAt := 1; ; dieAt++ {
		maps := newFakeMaps()
		s := newStore(maps)
		mustWrite(t, s, scanOf(500, 0))
		mustWrite(t, s, before)
		maps.dieAt = maps.writes + dieAt
		_, _, err := s.Write(t.Context(), now)
		if err == nil {
			if dieAt < 3 {
				t.Errorf("the scan was stored in %d writes, the test needs at least 2", dieAt-1)
			}
			return
		}
		if !errors.Is(err, errDead) {
			t.Fatal(err)
		}
		if seen, _ := maps.managerSees(t); !cmp.Equal(before, seen) {
			t.Errorf("after %d writes managers do not see the scan before", dieAt-1)
		}
		maps.dieAt = 0
		next := mustWrite(t, newStore(maps), after)
		if half := int64(min(dieAt-1, 1)); next.Generation != 3+half {
			t.Errorf("after a crash at write %d generation %d was stored, want %d", dieAt, next.Generation, 3+half)
		}
		if seen, _ := maps.managerSees(t); !cmp.Equal(after, seen) {
			t.Errorf("after a crash at write %d the next scan is not seen", dieAt)
		}
	}
}

// Two writers at once: one of them starts again, and managers see one of the two
// scans.
func TestTwoWriters(t *testing.T) {
	maps := newFakeMaps()
	mine, other := newStore(maps), newStore(maps)
	mustWrite(t, mine, scanOf(1000, 1))
	maps.before = func() { mustWrite(t, other, scanOf(1000, 2)) }
	info := mustWrite(t, mine, scanOf(1000, 3))
	seen, got := maps.managerSees(t)
	if diff := cmp.Diff(scanOf(1000, 3), seen); diff != "" || got.Generation != info.Generation {
		t.Errorf("managers see generation %d, want %d", got.Generation, info.Generation)
	}
}

func TestWriteGivesUp(t *testing.T) {
	maps := newFakeMaps()
	s := newStore(maps)
	mustWrite(t, s, scanOf(1, 1))
	var disturb func()
	count := uint64(1)
	disturb = func() {
		count++
		maps.before = nil
		mustWrite(t, newStore(maps), scanOf(1, count))
		maps.before = disturb
	}
	maps.before = disturb
	_, _, err := s.Write(t.Context(), scanOf(1, 99))
	if !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err) {
		t.Errorf("got %v, want a conflict", err)
	}
}

// What somebody wrote into the ConfigMaps is no reason to stop.
func TestWriteOverGarbage(t *testing.T) {
	maps := newFakeMaps()
	for _, name := range []string{"fabric-scan-a-0", "fabric-scan-b-0", "fabric-scan-b-5"} {
		maps.set(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{"x": "y"}})
	}
	s := newStore(maps)
	mustWrite(t, s, scanOf(2, 1))
	if seen, _ := maps.managerSees(t); !cmp.Equal(scanOf(2, 1), seen) {
		t.Error("managers do not see the scan")
	}
}

// Names survive the switch that they come from.
func TestWriteKeepsNames(t *testing.T) {
	maps := newFakeMaps()
	s := newStore(maps)
	mustWrite(t, s, scanOf(4, 1))
	now := scanOf(4, 1)
	now.Leaves = now.Leaves[1:]
	for i := range now.Leaves {
		now.Leaves[i].Fabric = now.Leaves[0].GUID
	}
	mustWrite(t, s, now)
	seen, _ := maps.managerSees(t)
	for _, leaf := range seen.Leaves {
		if want := scanOf(1, 1).Leaves[0].GUID; leaf.Fabric != want {
			t.Errorf("the fabric of %s is now called %s, was %s", leaf.Name, leaf.Fabric, want)
		}
	}
}

// run runs a Keeper on looks that are prepared, until there are none left, and
// returns how long it has waited in between.
func run(t *testing.T, maps ConfigMaps, interval time.Duration, looks ...func() (topology.Scan, error)) ([]time.Duration, error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var waits []time.Duration
	k := &Keeper{
		Store: newStore(maps), Interval: interval, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Look: func(context.Context) (topology.Scan, error) {
			look := looks[0]
			looks = looks[1:]
			return look()
		},
		Sleep: func(_ context.Context, d time.Duration) error {
			waits = append(waits, d)
			if len(looks) == 0 {
				cancel()
				return context.Canceled
			}
			return nil
		},
	}
	return waits, k.Run(ctx)
}

func sees(scan topology.Scan) func() (topology.Scan, error) {
	return func() (topology.Scan, error) { return scan, nil }
}

func fails() (topology.Scan, error) { return topology.Scan{}, errors.New("no port is up") }

func TestKeeper(t *testing.T) {
	const interval = time.Hour
	whole, half := scanOf(8, 1), scanOf(3, 1)
	cases := map[string]struct {
		interval time.Duration
		looks    []func() (topology.Scan, error)
		waits    []time.Duration
		want     topology.Scan
		err      string
	}{
		"every hour":                   {interval, []func() (topology.Scan, error){sees(half), sees(whole)}, []time.Duration{interval, interval}, whole, ""},
		"once":                         {0, []func() (topology.Scan, error){sees(whole)}, nil, whole, ""},
		"once, and it fails":           {0, []func() (topology.Scan, error){fails}, nil, topology.Scan{}, "no port is up"},
		"failures":                     {interval, []func() (topology.Scan, error){sees(whole), fails, fails, sees(whole), fails}, []time.Duration{interval, firstRetry, 2 * firstRetry, interval, firstRetry}, whole, ""},
		"long failure":                 {interval, []func() (topology.Scan, error){fails, fails, fails, fails, fails, fails, fails}, []time.Duration{10 * time.Second, 20 * time.Second, 40 * time.Second, 80 * time.Second, 160 * time.Second, lastRetry, lastRetry}, topology.Scan{}, ""},
		"half is gone for one look":    {interval, []func() (topology.Scan, error){sees(whole), sees(half), sees(whole)}, []time.Duration{interval, secondLook, interval}, whole, ""},
		"half is gone":                 {interval, []func() (topology.Scan, error){sees(whole), sees(half), sees(half)}, []time.Duration{interval, secondLook, interval}, half, ""},
		"nothing is left":              {interval, []func() (topology.Scan, error){sees(whole), sees(topology.Scan{}), sees(topology.Scan{})}, []time.Duration{interval, secondLook, firstRetry}, whole, ""},
		"half is gone, and then fails": {interval, []func() (topology.Scan, error){sees(whole), sees(half), fails}, []time.Duration{interval, secondLook, firstRetry}, whole, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			maps := newFakeMaps()
			waits, err := run(t, maps, c.interval, c.looks...)
			if diff := cmp.Diff(c.waits, waits); diff != "" {
				t.Errorf("waits (-want +got):\n%s", diff)
			}
			if (c.err == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("got error %v, want %q", err, c.err)
			}
			if seen, _ := maps.managerSees(t); !cmp.Equal(c.want, seen) {
				t.Errorf("managers see %d leaf switches, want %d", len(seen.Leaves), len(c.want.Leaves))
			}
		})
	}
}
