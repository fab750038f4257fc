package measure

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ebitengine/purego"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/hack/fakecuda"
	"github.com/k8s4ai/k8s4ai/internal/agent/cuda"
)

const (
	first  = "GPU-00112233-4455-6677-8899-aabbccddeeff"
	second = "GPU-10112233-4455-6677-8899-aabbccddeeff"
	third  = "GPU-20112233-4455-6677-8899-aabbccddeeff"

	oneH100 = "driver 12040\ndevice 00112233-4455-6677-8899-aabbccddeeff 90 81559 Fake H100\n"
	twoH100 = oneH100 + "device 10112233-4455-6677-8899-aabbccddeeff 90 81559 Fake H100\n"
	three   = twoH100 + "device 20112233-4455-6677-8899-aabbccddeeff 90 81559 Fake H100\n"
)

// stepClock is a clock on which each look costs time, and sleep passes at once.
type stepClock struct {
	lock sync.Mutex
	now  time.Time
	step time.Duration
}

func (c *stepClock) Now() time.Time {
	c.lock.Lock()
	defer c.lock.Unlock()
	c.now = c.now.Add(c.step)
	return c.now
}

func (c *stepClock) Sleep(d time.Duration) {
	c.lock.Lock()
	defer c.lock.Unlock()
	c.now = c.now.Add(d)
}

func clock(step time.Duration) Clock {
	c := &stepClock{now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC), step: step}
	return Clock{Now: c.Now, Sleep: c.Sleep}
}

// machine builds the FAKE libraries of a machine.
func machine(t *testing.T, o fakecuda.Options) cuda.Search {
	t.Helper()
	if _, err := exec.LookPath("gcc"); err != nil && os.Getenv("CI") == "" {
		t.Skip("the fake libraries need gcc")
	}
	folder := t.TempDir()
	if err := fakecuda.Build(t.Context(), folder, o); err != nil {
		t.Fatal(err)
	}
	return cuda.Search{Driver: folder, BLASLt: folder, CUFile: folder}
}

// onNVMe is a folder for the scratch file and a sysfs in which it lies on NVMe.
func onNVMe(t *testing.T) (folder, sysRoot string) {
	t.Helper()
	folder, sysRoot = t.TempDir(), t.TempDir()
	if file, err := os.OpenFile(filepath.Join(folder, "probe"), os.O_CREATE|os.O_RDWR|unix.O_DIRECT, 0o600); err != nil {
		t.Skipf("the file system of the tests has no direct reads: %v", err)
	} else if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	linkDisk(t, sysRoot, folder, "devices/pci0000:00/0000:01:00.0/nvme/nvme0/nvme0n1/nvme0n1p2")
	return folder, sysRoot
}

// linkDisk makes a sysfs in which the file system of the folder is on a device.
func linkDisk(t *testing.T, sysRoot, folder, device string) {
	t.Helper()
	var stat unix.Stat_t
	if err := unix.Stat(folder, &stat); err != nil {
		t.Fatal(err)
	}
	blocks := filepath.Join(sysRoot, "dev", "block")
	for _, dir := range []string{blocks, filepath.Join(sysRoot, device)} {
		if err := os.MkdirAll(dir, 0o750); err != nil {
			t.Fatal(err)
		}
	}
	number := fmt.Sprintf("%d:%d", unix.Major(stat.Dev), unix.Minor(stat.Dev))
	if err := os.Symlink(filepath.Join(sysRoot, device), filepath.Join(blocks, number)); err != nil {
		t.Fatal(err)
	}
}

func options(search cuda.Search) Options {
	return Options{Search: search, TimeLimit: time.Hour, StallLimit: time.Minute, SysRoot: "/nowhere", ScratchBytes: leastScratch, Clock: clock(time.Millisecond)}
}

// live asks the FAKE driver for one of its counters.
func live(t *testing.T, search cuda.Search, kind string) int64 {
	t.Helper()
	handle, err := purego.Dlopen(filepath.Join(search.Driver, "libcuda.so.1"), purego.RTLD_NOW)
	if err != nil {
		t.Fatal(err)
	}
	var count func(name string) int64
	purego.RegisterLibFunc(&count, handle, "fakecuda_count")
	return count(kind)
}

func expectNothingLeft(t *testing.T, search cuda.Search) {
	t.Helper()
	for _, kind := range []string{"memory", "host memory", "streams", "events", "contexts"} {
		if n := live(t, search, kind); n != 0 {
			t.Errorf("%d %s left", n, kind)
		}
	}
	if made, dropped := live(t, search, "blas made"), live(t, search, "blas dropped"); made != dropped {
		t.Errorf("%d objects of cuBLASLt made, %d given back", made, dropped)
	}
}

func values(d DeviceReport) map[v1alpha1.FigureName]float64 {
	out := map[v1alpha1.FigureName]float64{}
	for _, f := range d.Figures {
		out[f.Name] = f.Value
	}
	return out
}

func reasons(d DeviceReport) map[v1alpha1.FigureName]Reason {
	out := map[v1alpha1.FigureName]Reason{}
	for _, g := range d.Omitted {
		out[g.Name] = g.Reason
	}
	return out
}

// What the FAKE machine is told to deliver comes out of the measuring, through the
// calls with which a real one is measured.
func TestRun(t *testing.T) {
	t.Parallel()
	search := machine(t, fakecuda.Options{Machine: three + `
rate 0 bf16 794.5
rate 0 fp8 1402.6
rate 0 memory 3100
rate 0 host 55.2
rate 0 peer 390
rate 1 bf16 120
rate 2 peer 200
pair 0 2 371
pair 1 2 0
`})
	o := options(search)
	o.NVMePath, o.SysRoot = onNVMe(t)
	var lines []string
	o.Progress = func(line string) { lines = append(lines, line) }
	report, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Devices) != 3 {
		t.Fatalf("%d devices", len(report.Devices))
	}
	want := map[v1alpha1.FigureName]float64{
		v1alpha1.FigureBF16: 794.5, v1alpha1.FigureFP8: 1402.6, v1alpha1.FigureMemoryBandwidth: 3100,
		v1alpha1.FigureHostToDevice: 55.2, v1alpha1.FigurePeerToPeer: 371,
	}
	got := values(report.Devices[0])
	if nvme := got[v1alpha1.FigureNVMeToDevice]; nvme <= 0 {
		t.Errorf("NVMe to device is %g", nvme)
	}
	delete(got, v1alpha1.FigureNVMeToDevice)
	// What the fake adds to start each piece of work costs up to 1 %.
	if diff := cmp.Diff(want, got, cmpopts.EquateApprox(0.01, 0)); diff != "" {
		t.Error(diff)
	}
	for i, device := range report.Devices {
		if len(device.Omitted) > 0 || device.Skipped != nil || len(device.Figures) != len(Figures) {
			t.Errorf("device %d: %+v", i, device)
		}
	}
	peer := report.Devices[1].Figures[slices.IndexFunc(report.Devices[1].Figures, func(f Figure) bool { return f.Name == v1alpha1.FigurePeerToPeer })]
	if len(peer.Peers) != 1 || peer.Peers[0].UUID != first {
		t.Errorf("the second device has peers %+v, want the first device alone", peer.Peers)
	}
	if zeros, staged := live(t, search, "products of zeros"), live(t, search, "staged peer copies"); zeros > 0 || staged > 0 {
		t.Errorf("%d products of zeros, %d copies between devices through the host", zeros, staged)
	}
	if len(lines) < 2*len(Figures) {
		t.Errorf("only these lines of progress: %q", lines)
	}
	expectNothingLeft(t, search)
	expectReads(t, report)
}

// expectReads checks that the report is the same when it is read again, and that
// it becomes what the API holds.
func expectReads(t *testing.T, report Report) {
	t.Helper()
	var text, table bytes.Buffer
	if err := report.WriteJSON(&text); err != nil {
		t.Fatal(err)
	}
	var again Report
	decoder := json.NewDecoder(&text)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&again); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(report, again); diff != "" {
		t.Error(diff)
	}
	if err := report.WriteTable(&table); err != nil || !strings.Contains(table.String(), "BF16TeraFLOPS") {
		t.Errorf("the table is %q, %v", table.String(), err)
	}
	if stored := report.Measurements(); len(stored) != len(report.Devices) {
		t.Errorf("%d of %d devices are stored", len(stored), len(report.Devices))
	}
}

// busyDevice is a FAKE of NVML's word.
type busyDevice string

func (b busyDevice) Idle(uuid string) (bool, string) { return uuid != string(b), "2 processes" }

// unsure is a FAKE that cannot tell.
type unsure string

func (u unsure) Idle(string) (bool, string) { return true, string(u) }

// What is not known about a device's use is told, and does not leave it out.
func TestUnknownUseIsTold(t *testing.T) {
	t.Parallel()
	for name, force := range map[string]bool{"asked": false, "forced": true} {
		t.Run(name, func(t *testing.T) {
			o := options(machine(t, fakecuda.Options{Machine: twoH100}))
			o.Figures, o.Devices = []v1alpha1.FigureName{v1alpha1.FigureMemoryBandwidth}, []string{first}
			o.Idle, o.Force = unsure("utilisation: not supported"), force
			var told string
			o.Progress = func(line string) { told += line + "\n" }
			report, err := Run(t.Context(), o)
			if err != nil || !report.Measured() {
				t.Fatalf("%+v, %v", report, err)
			}
			if strings.Contains(told, first+": taken for idle, though not all can be told: utilisation: not supported") == force {
				t.Errorf("told %q", told)
			}
		})
	}
}

func TestDevicesAreLeftOut(t *testing.T) {
	t.Parallel()
	const slice = "slice 1 f0f0f0f0-4455-6677-8899-aabbccddeeff\n"
	cases := map[string]struct {
		machine string
		change  func(*Options)
		want    map[string]Reason
	}{
		"all idle":           {machine: twoH100, want: map[string]Reason{first: "", second: ""}},
		"one asked for":      {machine: twoH100, change: func(o *Options) { o.Devices = []string{second} }, want: map[string]Reason{second: ""}},
		"memory in use":      {machine: twoH100 + "used 1 9000\n", want: map[string]Reason{first: "", second: ReasonBusy}},
		"a little in use":    {machine: twoH100 + "used 1 900\n", want: map[string]Reason{first: "", second: ""}},
		"in use, forced":     {machine: twoH100 + "used 1 9000\n", change: func(o *Options) { o.Force = true }, want: map[string]Reason{first: "", second: ""}},
		"processes":          {machine: twoH100, change: func(o *Options) { o.Idle = busyDevice(first) }, want: map[string]Reason{first: ReasonBusy, second: ""}},
		"processes, forced":  {machine: twoH100, change: func(o *Options) { o.Idle, o.Force = busyDevice(first), true }, want: map[string]Reason{first: "", second: ""}},
		"MIG slice":          {machine: twoH100 + slice, want: map[string]Reason{first: "", "MIG-f0f0f0f0-4455-6677-8899-aabbccddeeff": ReasonSlice}},
		"context is refused": {machine: twoH100 + "fail cuDevicePrimaryCtxRetain 101\n", want: map[string]Reason{first: ReasonDeviceError, second: ReasonDeviceError}},
		"no room for a context": {
			machine: twoH100 + "fail cuDevicePrimaryCtxRetain 2\n", want: map[string]Reason{first: ReasonOutOfMemory, second: ReasonOutOfMemory},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			search := machine(t, fakecuda.Options{Machine: c.machine})
			o := options(search)
			o.Figures = []v1alpha1.FigureName{v1alpha1.FigureMemoryBandwidth}
			if c.change != nil {
				c.change(&o)
			}
			report, err := Run(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]Reason{}
			for _, d := range report.Devices {
				got[d.UUID] = ""
				if d.Skipped != nil {
					got[d.UUID] = d.Skipped.Reason
				}
				if (d.Skipped == nil) != (len(d.Figures) == 1) {
					t.Errorf("%s has figures %v, and skipped is %v", d.UUID, d.Figures, d.Skipped)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
			expectNothingLeft(t, search)
		})
	}
}

func TestFiguresAreLeftOut(t *testing.T) {
	t.Parallel()
	all := func(reason Reason) map[v1alpha1.FigureName]Reason {
		out := map[v1alpha1.FigureName]Reason{}
		for _, name := range Figures {
			out[name] = reason
		}
		return out
	}
	usual := map[v1alpha1.FigureName]Reason{v1alpha1.FigurePeerToPeer: ReasonNoPeer, v1alpha1.FigureNVMeToDevice: ReasonNoPath}
	with := func(base, more map[v1alpha1.FigureName]Reason) map[v1alpha1.FigureName]Reason {
		out := map[v1alpha1.FigureName]Reason{}
		for _, from := range []map[v1alpha1.FigureName]Reason{base, more} {
			maps.Copy(out, from)
		}
		return out
	}
	noProducts := func(reason Reason) map[v1alpha1.FigureName]Reason {
		return with(usual, map[v1alpha1.FigureName]Reason{v1alpha1.FigureBF16: reason, v1alpha1.FigureFP8: reason})
	}
	lost := with(all(ReasonDeviceError), nil)
	delete(lost, v1alpha1.FigureMemoryBandwidth)
	cases := map[string]struct {
		fake fakecuda.Options
		want map[v1alpha1.FigureName]Reason
		// lost is a device to which nothing can be given back.
		lost bool
	}{
		"one device":       {fake: fakecuda.Options{Machine: oneH100}, want: usual},
		"Ampere":           {fake: fakecuda.Options{Machine: strings.ReplaceAll(oneH100, " 90 ", " 80 ")}, want: with(usual, map[v1alpha1.FigureName]Reason{v1alpha1.FigureFP8: ReasonUnsupported})},
		"Turing":           {fake: fakecuda.Options{Machine: strings.ReplaceAll(oneH100, " 90 ", " 75 ")}, want: noProducts(ReasonUnsupported)},
		"no cuBLASLt":      {fake: fakecuda.Options{Machine: oneH100, WithoutBLAS: true}, want: noProducts(ReasonNoLibrary)},
		"old cuBLASLt":     {fake: fakecuda.Options{Machine: oneH100, Missing: []string{"cublasLtMatmul"}}, want: noProducts(ReasonNoLibrary)},
		"no kernel":        {fake: fakecuda.Options{Machine: oneH100 + "fail cublasLtMatmulAlgoGetHeuristic 15\n"}, want: noProducts(ReasonUnsupported)},
		"a product fails":  {fake: fakecuda.Options{Machine: oneH100 + "fail cublasLtMatmul 13 3\n"}, want: noProducts(ReasonDeviceError)},
		"out of memory":    {fake: fakecuda.Options{Machine: oneH100 + "fail cuMemAlloc_v2 2 1\n"}, want: with(noProducts(ReasonOutOfMemory), map[v1alpha1.FigureName]Reason{v1alpha1.FigureMemoryBandwidth: ReasonOutOfMemory, v1alpha1.FigureHostToDevice: ReasonOutOfMemory})},
		"no pinned memory": {fake: fakecuda.Options{Machine: oneH100 + "fail cuMemAllocHost_v2 2\n"}, want: with(noProducts(ReasonOutOfMemory), map[v1alpha1.FigureName]Reason{v1alpha1.FigureHostToDevice: ReasonOutOfMemory})},
		"tiny device":      {fake: fakecuda.Options{Machine: "device 00112233-4455-6677-8899-aabbccddeeff 90 32 Tiny\n"}, want: with(noProducts(ReasonOutOfMemory), map[v1alpha1.FigureName]Reason{v1alpha1.FigureMemoryBandwidth: ReasonOutOfMemory, v1alpha1.FigureHostToDevice: ReasonOutOfMemory})},
		"ECC error":        {fake: fakecuda.Options{Machine: oneH100 + "fail cuEventQuery 214\n"}, want: all(ReasonDeviceError), lost: true},
		"later ECC error":  {fake: fakecuda.Options{Machine: oneH100 + "fail cuMemcpyHtoDAsync_v2 214\n"}, want: lost, lost: true},
		"never ready":      {fake: fakecuda.Options{Machine: oneH100 + "notready -1\n"}, want: all(ReasonHung), lost: true},
		"slowly ready":     {fake: fakecuda.Options{Machine: oneH100 + "notready 3\n"}, want: usual},
		"no peer access":   {fake: fakecuda.Options{Machine: twoH100 + "rate 0 peer 0\nrate 1 peer 0\n"}, want: usual},
		"busy peer":        {fake: fakecuda.Options{Machine: twoH100 + "used 1 40000\n"}, want: usual},
		"access fails": {
			fake: fakecuda.Options{Machine: twoH100 + "fail cuCtxEnablePeerAccess 217\n"},
			want: with(usual, map[v1alpha1.FigureName]Reason{v1alpha1.FigurePeerToPeer: ReasonDeviceError}),
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			search := machine(t, c.fake)
			report, err := Run(t.Context(), options(search))
			if err != nil {
				t.Fatal(err)
			}
			d := report.Devices[0]
			if diff := cmp.Diff(c.want, reasons(d)); diff != "" || len(d.Figures)+len(d.Omitted) != len(Figures) {
				t.Errorf("%d figures, %+v: %s", len(d.Figures), d.Omitted, diff)
			}
			if !c.lost {
				expectNothingLeft(t, search)
			}
		})
	}
}

// What a broken clock shows never gets into a report.
func TestImplausibleTimes(t *testing.T) {
	t.Parallel()
	for _, shown := range []string{"0", "-0", "-3", "nan", "-nan", "inf", "-inf", "1e-38", "1e-12"} {
		t.Run(shown, func(t *testing.T) {
			search := machine(t, fakecuda.Options{Machine: twoH100 + "elapsed " + shown + "\n"})
			report, err := Run(t.Context(), options(search))
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range report.Devices {
				want := map[v1alpha1.FigureName]Reason{}
				for _, name := range Figures {
					want[name] = ReasonImplausible
				}
				want[v1alpha1.FigureNVMeToDevice] = ReasonNoPath
				if diff := cmp.Diff(want, reasons(d)); diff != "" || len(d.Figures) > 0 {
					t.Errorf("figures %+v, %s", d.Figures, diff)
				}
			}
			if report.Measured() || len(report.Measurements()) > 0 {
				t.Error("there is something to store")
			}
			expectNothingLeft(t, search)
		})
	}
}

func TestTimeLimit(t *testing.T) {
	t.Parallel()
	search := machine(t, fakecuda.Options{Machine: oneH100})
	o := options(search)
	// The limit allows about three figures of about ten looks each.
	o.Clock, o.TimeLimit = clock(time.Second), 25*time.Second
	report, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	d := report.Devices[0]
	if len(d.Figures) == 0 {
		t.Error("nothing was measured before the limit")
	}
	last := d.Omitted[len(d.Omitted)-1]
	if last.Reason != ReasonTimeLimit || last.Name != v1alpha1.FigureNVMeToDevice || len(d.Figures)+len(d.Omitted) != len(Figures) {
		t.Errorf("left out: %+v", d.Omitted)
	}
	expectNothingLeft(t, search)
}

func TestCancel(t *testing.T) {
	t.Parallel()
	search := machine(t, fakecuda.Options{Machine: twoH100})
	o := options(search)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o.Progress = func(line string) {
		if strings.Contains(line, string(v1alpha1.FigureHostToDevice)) {
			cancel()
		}
	}
	report, err := Run(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	if got := report.Devices[1].Skipped; got == nil || got.Reason != ReasonNotTried {
		t.Errorf("the second device is %+v", got)
	}
	// The measuring runs beside the progress, so that more than one figure may be
	// through when it is stopped.
	d := report.Devices[0]
	if len(d.Figures) == 0 || len(d.Omitted) == 0 || d.Omitted[len(d.Omitted)-1].Reason != ReasonCancelled {
		t.Errorf("the first device has %+v without %+v", d.Figures, d.Omitted)
	}
	expectNothingLeft(t, search)
}

// A call that does not return is given up, with what was measured before it.
func TestBlockedCall(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		fault   string
		cancel  bool
		figures int
	}{
		"at the start":    {fault: "block cuDevicePrimaryCtxRetain"},
		"in the middle":   {fault: "block cuMemcpyHtoDAsync_v2", figures: 1},
		"while cancelled": {fault: "block cuMemcpyHtoDAsync_v2", cancel: true, figures: 1},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := options(machine(t, fakecuda.Options{Machine: twoH100 + c.fault + "\n"}))
			o.TimeLimit, o.StallLimit = 2*time.Second, 100*time.Millisecond
			o.Clock = Clock{Now: time.Now, Sleep: time.Sleep}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if c.cancel {
				o.Progress = func(line string) {
					if strings.Contains(line, string(v1alpha1.FigureHostToDevice)) {
						cancel()
					}
				}
			}
			report, err := Run(ctx, o)
			if err != nil {
				t.Fatal(err)
			}
			d := report.Devices[0]
			if len(d.Figures) != c.figures || len(d.Omitted) != len(Figures)-c.figures || d.Omitted[len(d.Omitted)-1].Reason != ReasonHung {
				t.Errorf("figures %+v without %+v", d.Figures, d.Omitted)
			}
			if got := report.Devices[1].Skipped; got == nil || got.Reason != ReasonNotTried {
				t.Errorf("the second device is %+v", got)
			}
		})
	}
}

func TestBlockedDriver(t *testing.T) {
	t.Parallel()
	o := options(machine(t, fakecuda.Options{Machine: oneH100 + "block cuInit\n"}))
	o.TimeLimit, o.StallLimit = 10*time.Millisecond, 10*time.Millisecond
	if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "does not come back") {
		t.Errorf("got %v", err)
	}
}

func TestRunFails(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		fake    fakecuda.Options
		devices []string
		want    string
	}{
		"no such device": {fakecuda.Options{Machine: twoH100}, []string{"GPU-0"}, `no device "GPU-0": this machine has ` + first + ", " + second},
		"twins":          {fakecuda.Options{Machine: oneH100 + strings.SplitAfter(oneH100, "\n")[1]}, nil, "two devices have the UUID " + first},
		"no device":      {fakecuda.Options{}, nil, cuda.ErrNoDevice.Error()},
		"old driver":     {fakecuda.Options{Machine: oneH100, Missing: []string{"cuStreamCreate"}}, nil, "has no function cuStreamCreate"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			o := options(machine(t, c.fake))
			o.Devices = c.devices
			if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestNVMeMethods(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		fake   fakecuda.Options
		method string
	}{
		"direct":              {fakecuda.Options{Machine: oneH100}, "GPUDirectStorage"},
		"no direct way":       {fakecuda.Options{Machine: oneH100, NoDirectStorage: true}, "ThroughHost"},
		"no cuFile":           {fakecuda.Options{Machine: oneH100, WithoutFiles: true}, "ThroughHost"},
		"cuFile cannot tell":  {fakecuda.Options{Machine: oneH100, Missing: []string{"cuFileSetParameterBool"}}, "ThroughHost"},
		"copies fail halfway": {fakecuda.Options{Machine: oneH100 + "fail cuMemcpyHtoDAsync_v2 1 20\n", WithoutFiles: true}, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			search := machine(t, c.fake)
			o := options(search)
			o.NVMePath, o.SysRoot = onNVMe(t)
			o.Figures = []v1alpha1.FigureName{v1alpha1.FigureNVMeToDevice}
			report, err := Run(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			d := report.Devices[0]
			if c.method == "" {
				if len(d.Omitted) != 1 || d.Omitted[0].Reason != ReasonDeviceError {
					t.Errorf("got %+v", d)
				}
			} else if len(d.Figures) != 1 || d.Figures[0].Method != c.method {
				t.Errorf("got %+v, want method %s", d, c.method)
			}
			if left, err := os.ReadDir(o.NVMePath); err != nil || len(left) != 1 {
				t.Errorf("left in the folder: %v, %v; want only the test's own file", left, err)
			}
			expectNothingLeft(t, search)
		})
	}
}
