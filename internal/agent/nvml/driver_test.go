//go:build cgo

package nvml

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/k8s4ai/k8s4ai/internal/agent/machine"
	"github.com/k8s4ai/k8s4ai/internal/fleet"
)

func TestFind(t *testing.T) {
	type layout struct {
		files []string
		links map[string]string
	}
	debian, operator := "usr/lib/x86_64-linux-gnu/", "run/nvidia/driver/usr/lib/x86_64-linux-gnu/"
	cases := map[string]struct {
		layout layout
		want   string
	}{
		"no driver":              {layout{files: []string{"usr/lib/libc.so.6"}}, ""},
		"Debian":                 {layout{files: []string{debian + libraryName}}, debian + libraryName},
		"Red Hat":                {layout{files: []string{"usr/lib64/" + libraryName}}, "usr/lib64/" + libraryName},
		"arm64":                  {layout{files: []string{"usr/lib/aarch64-linux-gnu/" + libraryName}}, "usr/lib/aarch64-linux-gnu/" + libraryName},
		"GKE":                    {layout{files: []string{"home/kubernetes/bin/nvidia/lib64/" + libraryName}}, "home/kubernetes/bin/nvidia/lib64/" + libraryName},
		"GPU Operator":           {layout{files: []string{operator + libraryName}}, operator + libraryName},
		"the host's comes first": {layout{files: []string{operator + libraryName, debian + libraryName}}, debian + libraryName},
		"a link as drivers install it": {
			layout{files: []string{debian + "libnvidia-ml.so.580"}, links: map[string]string{debian + libraryName: "libnvidia-ml.so.580"}},
			debian + "libnvidia-ml.so.580",
		},
		"absolute links stay below the root": {
			layout{
				files: []string{"opt/nvidia/libnvidia-ml.so.580"},
				links: map[string]string{debian + libraryName: "/etc/alternatives/nvml", "etc/alternatives/nvml": "/opt/nvidia/libnvidia-ml.so.580"},
			},
			"opt/nvidia/libnvidia-ml.so.580",
		},
		"a linked directory": {
			layout{files: []string{"opt/lib/" + libraryName}, links: map[string]string{"usr/lib64": "/opt/lib"}},
			"opt/lib/" + libraryName,
		},
		"a link out of the root": {
			layout{files: []string{"opt/" + libraryName}, links: map[string]string{debian + libraryName: "../../../../../../opt/" + libraryName}},
			"opt/" + libraryName,
		},
		"links in a circle": {
			layout{links: map[string]string{debian + libraryName: "/" + debian + libraryName}}, "",
		},
		"a link to nothing": {layout{links: map[string]string{debian + libraryName: "gone"}}, ""},
		"a directory":       {layout{files: []string{debian + libraryName + "/x"}}, ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			place := func(path string, write func(path string) error) {
				t.Helper()
				path = filepath.Join(root, path)
				if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), write(path)); err != nil {
					t.Fatal(err)
				}
			}
			for _, file := range tc.layout.files {
				place(file, func(path string) error { return os.WriteFile(path, nil, 0o600) })
			}
			for link, target := range tc.layout.links {
				place(link, func(path string) error { return os.Symlink(target, path) })
			}
			want := tc.want
			if want != "" {
				want = filepath.Join(root, want)
			}
			if got := Find(root); got != want {
				t.Errorf("found %q, want %q", got, want)
			}
		})
	}
}

func TestOpenErrors(t *testing.T) {
	good := filepath.Join(fake, libraryName)
	open(t, machineOf(t, "L40S")) // Binds the process to the library.
	write := func(content []byte) string {
		path := filepath.Join(t.TempDir(), libraryName)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	cases := map[string]struct {
		path, description string
		want              error
		says              string
	}{
		"no library":                  {path: "", want: ErrNoDriver},
		"a library that is gone":      {path: filepath.Join(t.TempDir(), libraryName), want: ErrNoDriver},
		"another library":             {path: write([]byte("not a library")), want: ErrReplaced},
		"no driver in the kernel":     {path: good, description: "init 9", want: ErrNoDriver},
		"no permission":               {path: good, description: "init 4", says: "/dev/nvidiactl"},
		"library and module disagree": {path: good, description: "init 18", says: "reboot"},
		"another failure":             {path: good, description: "init 999", says: "NVML error 999"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			describeMachine(t, tc.description+"\n")
			d, err := Open(tc.path)
			if err == nil {
				t.Fatalf("opened %+v", d)
			}
			if tc.want != nil && !errors.Is(err, tc.want) || tc.want == nil && errors.Is(err, ErrNoDriver) || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("error %v; want %v %q", err, tc.want, tc.says)
			}
		})
	}
}

// A file that is no library, and a library that is not the driver's, are refused
// before anything in them is called.
func TestOpenForeignFiles(t *testing.T) {
	empty := filepath.Join(t.TempDir(), libraryName)
	if err := os.WriteFile(empty, []byte("\x7fELF"), 0o600); err != nil {
		t.Fatal(err)
	}
	// Every program that runs this test has one of these.
	foreign := ""
	for _, path := range []string{"/lib/x86_64-linux-gnu/libm.so.6", "/lib/aarch64-linux-gnu/libm.so.6", "/lib64/libm.so.6"} {
		if _, err := os.Stat(path); err == nil {
			foreign = path
		}
	}
	cases := map[string]struct{ path, says string }{
		"no library":     {empty, "is it whole"},
		"not the driver": {foreign, "nvmlInit_v2"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			loaded.Lock()
			before := loaded.file
			loaded.file = nil
			loaded.Unlock()
			defer func() {
				loaded.Lock()
				defer loaded.Unlock()
				loaded.file = before
			}()
			if _, err := Open(tc.path); err == nil || errors.Is(err, ErrNoDriver) || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("error %v; want one with %q", err, tc.says)
			}
		})
	}
}

// What a driver says that cannot be is bounded, named, or unknown.
func TestGarbage(t *testing.T) {
	const double, nan = 0, "0x7ff8000000000000"
	cases := map[string]struct {
		lines string
		check func(r *Reading) bool
	}{
		"4096 GPUs": {"gpu-count 4096", func(r *Reading) bool {
			return len(r.GPUs) == 8 && len(r.Problems) == 57 && strings.Contains(r.Problems[0].What, "4096")
		}},
		"4 billion GPUs": {"gpu-count 0xffffffff", func(r *Reading) bool { return len(r.GPUs) == 8 && len(r.Problems) <= maxProblems }},
		"an empty UUID": {"gpu 1 uuid", func(r *Reading) bool {
			return len(r.GPUs) == 7 && cmp.Equal(r.Problems, []machine.Problem{{Device: "GPU 1", What: `its UUID "" is none`}})
		}},
		"a UUID that is no text": {`gpu 1 uuid GPU-\xff\xfe`, func(r *Reading) bool { return len(r.GPUs) == 7 && len(r.Problems) == 1 }},
		"a UUID of two words":    {"gpu 1 uuid GPU 1", func(r *Reading) bool { return len(r.GPUs) == 7 && len(r.Problems) == 1 }},
		"an empty name":          {"gpu 1 name", func(r *Reading) bool { return len(r.GPUs) == 8 && r.GPUs[1].Name == "" && len(r.Problems) == 0 }},
		"a name that is no text": {`gpu 1 name H\xff\x01\x0a100`, func(r *Reading) bool { return r.GPUs[1].Name == "H???100" }},
		"a PCI address that is none": {"gpu 1 pci 0000:zz:00.0", func(r *Reading) bool {
			return r.GPUs[1].PCIAddress == "" && len(r.Problems) == 1 && strings.Contains(r.Problems[0].What, "PCI address")
		}},
		"a PCI domain of 8 digits": {"gpu 1 pci 1234abcd:01:00.0", func(r *Reading) bool { return r.GPUs[1].PCIAddress == "1234abcd:01:00.0" }},
		"memory beyond measure": {"gpu 1 memory-total 0xfffffffffffffffe", func(r *Reading) bool {
			return r.GPUs[1].MemoryTotal == machine.Unknown && r.GPUs[1].MemoryUsed == machine.Unknown
		}},
		"more used than there is":  {"gpu 1 memory-used 999999999999", func(r *Reading) bool { return r.GPUs[1].MemoryUsed == machine.Unknown && r.GPUs[1].MemoryTotal > 0 }},
		"memory that is the CPU's": {"gpu 1 memory-total 0", func(r *Reading) bool { return r.GPUs[1].MemoryTotal == machine.Unknown }},
		"a temperature of the sun": {"gpu 1 temperature 5500", func(r *Reading) bool { return r.GPUs[1].TemperatureC == machine.Unknown }},
		"a negative temperature":   {"gpu 1 temperature 0xffffffff", func(r *Reading) bool { return r.GPUs[1].TemperatureC == machine.Unknown }},
		"a compute capability that is none": {"gpu 1 cc-major 99999", func(r *Reading) bool {
			return r.GPUs[1].ComputeCapability == ""
		}},
		"links without number": {fmt.Sprintf("field 1 91 0 %d %s", double, nan), func(r *Reading) bool {
			return !slices.ContainsFunc(r.Links, func(l machine.Link) bool { return l.From == r.GPUs[1].UUID })
		}},
		"4 billion links": {"field 1 91 0 1 0xffffffff", func(r *Reading) bool {
			return len(r.Problems) == 1 && strings.Contains(r.Problems[0].What, "4294967295 NVLinks")
		}},
		"a field of a type that is none": {"field 1 91 0 77 18", func(r *Reading) bool { return len(r.Links) == 28 }},
		"a field that failed":            {"field 1 91 999 1 18", func(r *Reading) bool { return len(r.Links) == 28 }},
		"links faster than light": {"gpu 1 link-mbps 0xffffffff", func(r *Reading) bool {
			return linkOf(r, 1, "switch-0000:07:00.0").Gbps == 0
		}},
		"a link version that is none":     {"link 1 * version 99", func(r *Reading) bool { return linkOf(r, 1, "switch-0000:07:00.0").Version == "" }},
		"a switch at an impossible place": {"link 1 0-4 switch ffffffff:ff:ff.7", func(r *Reading) bool { return linkOf(r, 1, "switch-unknown").Active == 5 }},
		"a switch at no place":            {"link 1 0-4 switch 0000:00:00.0", func(r *Reading) bool { return linkOf(r, 1, "switch-unknown").Active == 5 }},
		"ends that are unknown":           {"link 1 * unknown", func(r *Reading) bool { return r.GPUs[1].UUID != "" && len(r.Problems) == 0 }},
		"C2C links beyond measure": {"field 1 170 0 1 0xffffffff", func(r *Reading) bool {
			return r.GPUs[1].C2CLinks == 0 && r.GPUs[1].C2CGBps == 0
		}},
		"a recovery that is none": {"field 1 230 0 1 0xffffffff", func(r *Reading) bool { return r.GPUs[1].Recovery == "" }},
		"a fabric state that is none": {"gpu 1 fabric-state 77", func(r *Reading) bool {
			return r.GPUs[1].Fabric.State == "" && r.GPUs[1].Fabric.Health == ""
		}},
		"NUMA nodes beyond measure":     {"gpu 1 numa 511", func(r *Reading) bool { return r.GPUs[1].NUMANode == 511 }},
		"an ancestor that is none":      {"pair 1 2 ancestor 77", func(r *Reading) bool { return peerOf(r, 1, 2).Path == "" }},
		"a driver version that is none": {`driver \x01\xff`, func(r *Reading) bool { return r.Driver == "??" }},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r := open(t, machineOf(t, "HGX-H100x8")+tc.lines+"\n").Read()
			if !tc.check(&r) {
				t.Errorf("problems %v\nGPUs %+v\nlinks %+v", r.Problems, r.GPUs, r.Links)
			}
			checkBounds(t, &r)
		})
	}
}

// checkBounds fails for what no reading may hold.
func checkBounds(t *testing.T, r *Reading) {
	t.Helper()
	if len(r.GPUs) > maxGPUs || len(r.Problems) > maxProblems {
		t.Errorf("%d GPUs, %d problems", len(r.GPUs), len(r.Problems))
	}
	texts := []string{r.Driver}
	uuids := map[string]bool{}
	for _, g := range r.GPUs {
		if !isIdentifier(g.UUID) || uuids[g.UUID] {
			t.Errorf("UUID %q", g.UUID)
		}
		uuids[g.UUID] = true
		texts = append(texts, g.Name, g.PCIAddress, g.PCIID, g.Recovery)
		texts = append(texts, g.MIGProfiles...)
		texts = append(texts, g.MIGSupported...)
	}
	for _, l := range r.Links {
		if !uuids[l.From] || l.Active > l.Total || l.Active < 0 || l.Total > 36 || l.Gbps < 0 {
			t.Errorf("link %+v", l)
		}
		texts = append(texts, l.To)
	}
	for _, p := range r.Problems {
		texts = append(texts, p.Device, p.What)
	}
	for _, text := range texts {
		if len(text) > maxProblem || !utf8.ValidString(text) || text != printable(text, maxProblem) {
			t.Errorf("text %q", text)
		}
	}
}

// Whatever the description holds, a look ends with a bounded reading. The
// descriptions are real ones, cut off and with bytes changed.
func TestDamagedDescriptions(t *testing.T) {
	whole := machineOf(t, "GB200-NVL72") + "error 1 nvmlDeviceGetName 3\nxid 1 79\nfield 0 91 0 0 7\n"
	random := rand.New(rand.NewPCG(1, 2))
	d := open(t, whole)
	for i := range 300 {
		text := []byte(whole)
		if i%2 == 0 {
			text = text[:random.IntN(len(text))]
		}
		for range i % 50 {
			if len(text) > 0 {
				text[random.IntN(len(text))] = byte(random.IntN(256))
			}
		}
		describeMachine(t, string(text))
		r := d.Read()
		checkBounds(t, &r)
	}
	describeMachine(t, strings.Repeat("gpu 0 name "+strings.Repeat("x", 5000)+"\n", 500))
	r := d.Read()
	checkBounds(t, &r)
	if len(d.memory.devices) > 3*maxGPUs {
		t.Errorf("%d devices are remembered", len(d.memory.devices))
	}
}

// heard collects what Events reports.
type heard struct {
	events chan string
	done   chan struct{}
}

// listen runs Events until the test ends or stop is called.
func listen(t *testing.T, d *Driver) (h heard, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	h = heard{events: make(chan string, 64), done: make(chan struct{})}
	go func() {
		defer close(h.done)
		d.Events(ctx, func(uuid string, xid uint64) { h.events <- fmt.Sprintf("%s %d", uuid, xid) })
	}()
	return h, cancel
}

// awaitListening adds an Xid again and again until it is heard: one that comes
// before Events listens is not reported.
func awaitListening(t *testing.T, h heard, description string) string {
	t.Helper()
	for i := 0; ; i++ {
		description += fmt.Sprintf("xid 0 %d\n", 1000+i)
		describeMachine(t, description)
		if ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond); true {
			select {
			case <-h.events:
				cancel()
				return description
			case <-ctx.Done():
				cancel()
			}
		}
	}
}

func TestEvents(t *testing.T) {
	cases := map[string]struct {
		before, lines string
		want          []string // the indexes of GPUs and Xids
	}{
		"an Xid":                         {"", "xid 2 79", []string{"2 79"}},
		"several of one kind":            {"", "xid 2 79\nxid 2 79\nxid 3 13", []string{"2 79", "2 79", "3 13"}},
		"a double-bit error":             {"", "event 1 2 0", []string{"1 48"}},
		"other events are none":          {"", "event 1 1 5\nevent 1 4 5\nxid 1 48", []string{"1 48"}},
		"old ones are not repeated":      {"xid 1 79", "xid 2 79", []string{"2 79"}},
		"one GPU has no events":          {"gpu 1 events 0xffffffffffffffff", "xid 1 79\nxid 2 79", []string{"2 79"}},
		"one GPU refuses":                {"error 1 nvmlDeviceRegisterEvents 3", "xid 1 79\nxid 2 79", []string{"2 79"}},
		"one GPU is lost from the start": {"error 1 * 15", "xid 2 79", []string{"2 79"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			description := machineOf(t, "A100-PCIe") + tc.before + "\n"
			d := open(t, description)
			uuids := d.Read().GPUs
			h, stop := listen(t, d)
			defer func() { stop(); <-h.done }()
			describeMachine(t, awaitListening(t, h, description)+tc.lines+"\n")
			var got []string
			for len(got) < len(tc.want) {
				event := <-h.events
				for _, g := range uuids {
					event = strings.Replace(event, g.UUID, fmt.Sprint(g.Index), 1)
				}
				if !strings.HasPrefix(event, "0 1") { // What awaitListening added.
					got = append(got, event)
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// A GPU that is lost while others are listened to keeps none of them silent.
func TestEventsSurviveALostGPU(t *testing.T) {
	description := machineOf(t, "A100-PCIe")
	d := open(t, description)
	third := d.Read().GPUs[3].UUID
	h, stop := listen(t, d)
	defer func() { stop(); <-h.done }()
	description = awaitListening(t, h, description) + "error 1 * 15\n"
	describeMachine(t, description)
	awaitListening(t, h, description)
	describeMachine(t, description+"xid 3 79\n")
	for event := range h.events {
		if event == third+" 79" {
			return
		}
	}
}

func TestEventsEnd(t *testing.T) {
	cases := map[string]struct {
		description string
		end         func(d *Driver, stop func())
	}{
		"by the caller":               {"A100-PCIe", func(_ *Driver, stop func()) { stop() }},
		"by Close":                    {"A100-PCIe", func(d *Driver, _ func()) { _ = d.Close() }},
		"by Close, without any event": {"", func(d *Driver, _ func()) { _ = d.Close() }},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			text := "driver 1\n"
			if tc.description != "" {
				text = machineOf(t, tc.description)
			}
			d := open(t, text)
			h, stop := listen(t, d)
			defer stop()
			tc.end(d, stop)
			<-h.done
		})
	}
}

// Looks, events, changes and the end come at the same time.
func TestConcurrentUse(t *testing.T) {
	description := machineOf(t, "HGX-H100x8")
	d := open(t, description)
	want := d.Read()
	h, stop := listen(t, d)
	defer stop()
	var looks sync.WaitGroup
	for range 4 {
		looks.Go(func() {
			for range 20 {
				r := d.Read()
				if diff := cmp.Diff(want, r, cmpopts.IgnoreFields(machine.GPU{}, "TemperatureC")); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			}
		})
	}
	for i := range 20 {
		describeMachine(t, fmt.Sprintf("%sgpu * temperature %d\nxid 0 %d\n", description, 30+i, i))
	}
	looks.Wait()
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	<-h.done
}

// A machine without accelerators has no description and so no driver.
func TestMachineWithoutGPUs(t *testing.T) {
	f, err := fleet.Parse([]byte("name: one\nprovider: none\npools: [{name: p, shape: CPU, nodes: 1}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	if text := f.NVML(f.Machines()[0]); text != nil {
		t.Errorf("described as %q", text)
	}
	if _, err := Open(Find(t.TempDir())); !errors.Is(err, ErrNoDriver) {
		t.Errorf("error %v", err)
	}
}
