package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/k8s4ai/k8s4ai/internal/agent/machine"
)

// fakeDriver is a driver that a test describes.
type fakeDriver struct {
	told   reading
	xid    uint64
	closed chan struct{}
}

func (d *fakeDriver) read() reading { return d.told }

func (d *fakeDriver) events(ctx context.Context, found func(string, uint64)) {
	found("GPU-0", d.xid)
	select {
	case <-ctx.Done():
	case <-d.closed:
	}
}

func (d *fakeDriver) close() error { close(d.closed); return nil }

// fakeHost is a machine without anything, whose driver's library is a file that the
// test makes and removes.
type fakeHost struct {
	*Host
	library string
	// next is what the next opening gives.
	next  driver
	fails error
	opens int
}

func newFakeHost(t *testing.T) *fakeHost {
	t.Helper()
	root := t.TempDir()
	f := &fakeHost{Host: NewHost(root), library: filepath.Join(root, "libnvidia-ml.so.1")}
	f.find = func(string) string {
		if _, err := os.Stat(f.library); err != nil {
			return ""
		}
		return f.library
	}
	f.open = func(string) (driver, error) {
		f.opens++
		return f.next, f.fails
	}
	return f
}

func (f *fakeHost) install(t *testing.T, d driver) {
	t.Helper()
	f.next, f.fails = d, nil
	if err := os.Remove(f.library); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	if err := os.WriteFile(f.library, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// look tells the driver's version, the number of GPUs, and what is said of the
// driver.
func (f *fakeHost) look(t *testing.T) string {
	t.Helper()
	facts, err := f.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out := fmt.Sprintf("%q %d", facts.Driver, len(facts.GPUs))
	for _, p := range facts.Problems {
		if p.Device == "NVIDIA driver" || p.Device == "driver" {
			out += " " + p.What
		}
	}
	return out
}

func working(version string, uuids ...string) *fakeDriver {
	d := &fakeDriver{told: reading{version: version}, closed: make(chan struct{})}
	for i, uuid := range uuids {
		d.told.gpus = append(d.told.gpus, machine.GPU{UUID: uuid, Index: i, NUMANode: machine.Unknown})
	}
	return d
}

// A driver may come, go, come back broken and be mended while the agent runs.
func TestDriverComesAndGoes(t *testing.T) {
	f := newFakeHost(t)
	expect := func(when, want string) {
		t.Helper()
		if got := f.look(t); got != want {
			t.Errorf("%s the look tells %s, want %s", when, got, want)
		}
	}
	expect("without a driver", `"" 0`)
	first := working("580", "GPU-0")
	f.install(t, first)
	expect("after the installation", `"580" 1`)
	expect("again", `"580" 1`)
	if f.opens != 1 {
		t.Errorf("the driver was opened %d times", f.opens)
	}
	if err := os.Remove(f.library); err != nil {
		t.Fatal(err)
	}
	expect("after the removal", `"" 0`)
	select {
	case <-first.closed:
	default:
		t.Error("the driver that is gone is still open")
	}
	f.install(t, nil)
	f.fails = errors.New("the library is for another processor")
	for range reopenEvery {
		expect("with a broken library", `"" 0 the library is for another processor`)
	}
	if f.opens != 2 {
		t.Errorf("a broken library was opened %d times", f.opens-1)
	}
	f.next, f.fails = working("590", "GPU-0", "GPU-1"), nil
	expect("before the next try", `"" 0 the library is for another processor`)
	expect("with a mended library", `"590" 2`)

	hung := working("590")
	hung.told.problems = []machine.Problem{{Device: "driver", What: "Unknown Error"}}
	f.driver = hung
	expect("when the driver answers nothing", `"590" 0 Unknown Error the driver answers no call`)
	f.fails = errNoDriver
	for range reopenEvery {
		expect("while it waits", `"" 0 the driver answers no call`)
	}
	expect("when there is none any more", `"" 0`)
	f.waits, f.fails = 0, fmt.Errorf("%w: other file", ErrReplaced)
	if _, err := f.Read(t.Context()); !errors.Is(err, ErrReplaced) {
		t.Errorf("a replaced driver: %v", err)
	}
}

// Errors are heard of the driver that is open, and of the one after it.
func TestEventsOfDrivers(t *testing.T) {
	f := newFakeHost(t)
	ctx, cancel := context.WithCancel(t.Context())
	heard := make(chan uint64)
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.Events(ctx, func(_ string, xid uint64) { heard <- xid })
	}()
	for xid := uint64(1); xid <= 3; xid++ {
		d := working("580", "GPU-0")
		d.xid = xid
		f.install(t, d)
		f.look(t)
		if got := <-heard; got != xid {
			t.Errorf("Xid %d was heard, want %d", got, xid)
		}
	}
	cancel()
	<-done
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

// A machine is read from its files, without a driver as well.
func TestReadFiles(t *testing.T) {
	f := newFakeHost(t)
	for name, text := range map[string]string{
		"proc/sys/kernel/random/boot_id": "0b9a3d8e-5f0e-4a40-9f0e-0d4a4a4b4c4d\n", "proc/cpuinfo": "flags\t\t: fpu vme\n",
		"sys/devices/system/node/node0/cpulist": "0-3\n", "sys/devices/system/node/node0/meminfo": "Node 0 MemTotal: 1024 kB\n",
	} {
		path := filepath.Join(f.root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	facts, err := f.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := machine.Facts{
		BootID: "0b9a3d8e-5f0e-4a40-9f0e-0d4a4a4b4c4d", NUMANodes: []machine.NUMANode{{ID: 0, CPUs: "0-3", MemoryBytes: 1 << 20}},
	}
	if diff := cmp.Diff(want, facts); diff != "" {
		t.Errorf("facts (-want +got):\n%s", diff)
	}
}

// A missing root is a machine of which nothing is known.
func TestReadNothing(t *testing.T) {
	facts, err := NewHost(filepath.Join(t.TempDir(), "missing")).Read(t.Context())
	if err != nil || len(facts.Problems) == 0 || !strings.Contains(facts.Problems[0].Device, "machine") {
		t.Errorf("Read() = %+v, %v", facts, err)
	}
}
