package cuda

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/ebitengine/purego"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/k8s4ai/k8s4ai/hack/fakecuda"
)

const twoH100 = `driver 12040
device 00112233-4455-6677-8899-aabbccddeeff 90 81559 Fake H100
device 10112233-4455-6677-8899-aabbccddeeff 90 81559 Fake H100
`

const oneSlice = "device 00112233-4455-6677-8899-aabbccddeeff 80 4864 %\n"

// fake builds the FAKE libraries in a folder of the test and returns where to
// search for them.
func fake(t *testing.T, o fakecuda.Options) Search {
	t.Helper()
	if _, err := exec.LookPath("gcc"); err != nil && os.Getenv("CI") == "" {
		t.Skip("the fake libraries need gcc")
	}
	folder := t.TempDir()
	if err := fakecuda.Build(t.Context(), folder, o); err != nil {
		t.Fatal(err)
	}
	return Search{Driver: folder, BLASLt: folder, CUFile: folder}
}

// attach opens the first device on a thread of its own.
func attach(t *testing.T, search Search) (*Driver, *Context) {
	t.Helper()
	runtime.LockOSThread()
	d, err := OpenDriver(search)
	if err != nil {
		t.Fatal(err)
	}
	devices, err := d.Devices()
	if err != nil {
		t.Fatal(err)
	}
	c, err := d.Attach(devices[0])
	if err != nil {
		t.Fatal(err)
	}
	return d, c
}

func TestOpenDriverFails(t *testing.T) {
	t.Parallel()
	text := filepath.Join(t.TempDir(), "libcuda.so.1")
	if err := os.WriteFile(text, []byte("not a library"), 0o600); err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		fake   fakecuda.Options
		search func(Search) Search
		is     error
		want   string
	}{
		"no library":       {search: func(Search) Search { return Search{Driver: t.TempDir()} }, is: ErrNoLibrary, want: "libcuda.so.1: library not found"},
		"not a library":    {search: func(Search) Search { return Search{Driver: text} }, is: ErrNoLibrary, want: text},
		"no device":        {fake: fakecuda.Options{Machine: "driver 12040\n"}, is: ErrNoDevice, want: "CUDA_ERROR_NO_DEVICE (100)"},
		"driver broken":    {fake: fakecuda.Options{Machine: twoH100 + "fail cuInit 803\n"}, want: "cuInit: CUDA_ERROR_SYSTEM_DRIVER_MISMATCH (803)"},
		"symbol missing":   {fake: fakecuda.Options{Machine: twoH100, Missing: []string{"cuMemcpyPeerAsync", "cuEventQuery"}}, want: "has no function cuMemcpyPeerAsync"},
		"unknown code":     {fake: fakecuda.Options{Machine: twoH100 + "fail cuInit 4711\n"}, want: "cuInit: unknown error (4711)"},
		"version unknown":  {fake: fakecuda.Options{Machine: twoH100 + "fail cuDriverGetVersion 999\n"}, want: "CUDA_ERROR_UNKNOWN"},
		"below the host":   {search: func(Search) Search { return Search{Driver: filepath.Join(t.TempDir(), "gone", "libcuda.so.1")} }, is: ErrNoLibrary, want: "not found"},
		"host root broken": {search: func(Search) Search { return Search{HostRoot: hostRoot(t, text)} }, is: ErrNoLibrary, want: "usr/lib64/libcuda.so.1"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			search := fake(t, c.fake)
			if c.search != nil {
				search = c.search(search)
			}
			if name == "host root broken" && hasRealDriver() {
				t.Skip("this machine has a driver of its own")
			}
			_, err := OpenDriver(search)
			if err == nil || c.is != nil && !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %v with %q", err, c.is, c.want)
			}
		})
	}
}

func hasRealDriver() bool {
	_, err := purego.Dlopen("libcuda.so.1", purego.RTLD_LAZY)
	return err == nil
}

// hostRoot is a host's file system with one library in it.
func hostRoot(t *testing.T, library string) string {
	t.Helper()
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "usr", "lib64"), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(library, filepath.Join(root, "usr", "lib64", "libcuda.so.1")); err != nil {
		t.Fatal(err)
	}
	return root
}

func TestHostRootComesFirst(t *testing.T) {
	t.Parallel()
	search := fake(t, fakecuda.Options{Machine: twoH100})
	root := hostRoot(t, filepath.Join(search.Driver, "libcuda.so.1"))
	d, err := OpenDriver(Search{HostRoot: root})
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(root, "usr", "lib64", "libcuda.so.1"); d.Path() != want {
		t.Errorf("got %s, want %s", d.Path(), want)
	}
}

func TestDevices(t *testing.T) {
	t.Parallel()
	const slice = twoH100 + "slice 1 f0f0f0f0-4455-6677-8899-aabbccddeeff\n"
	first := Device{
		UUID: "GPU-00112233-4455-6677-8899-aabbccddeeff", Name: "Fake H100", PCIAddress: "0000:1a:00.0",
		Major: 9, MemoryBytes: 81559 << 20, L2Bytes: 50 << 20,
	}
	whole, mig := first, first
	whole.UUID, whole.PCIAddress = "GPU-10112233-4455-6677-8899-aabbccddeeff", "0000:1b:00.0"
	mig.UUID, mig.PCIAddress, mig.Slice = "MIG-f0f0f0f0-4455-6677-8899-aabbccddeeff", "0000:1b:00.0", true
	cases := map[string]struct {
		fake fakecuda.Options
		want []Device
		fail string
	}{
		"two devices": {fake: fakecuda.Options{Machine: twoH100}, want: []Device{first, whole}},
		"a MIG slice": {fake: fakecuda.Options{Machine: slice}, want: []Device{first, mig}},
		"named as a slice": {
			fake: fakecuda.Options{Machine: strings.ReplaceAll(oneSlice, "%", "Fake A100 MIG 1g.5gb")},
			want: []Device{{UUID: "MIG-00112233-4455-6677-8899-aabbccddeeff", Name: "Fake A100 MIG 1g.5gb", PCIAddress: "0000:1a:00.0", Major: 8, MemoryBytes: 4864 << 20, L2Bytes: 50 << 20, Slice: true}},
		},
		// A driver before CUDA 11.4 cannot tell.
		"old driver":      {fake: fakecuda.Options{Machine: slice, Missing: []string{"cuDeviceGetUuid_v2"}}, want: []Device{first, whole}},
		"device is lost":  {fake: fakecuda.Options{Machine: twoH100 + "fail cuDeviceTotalMem_v2 999 1\n"}, fail: "reading device 1: cuDeviceTotalMem_v2: CUDA_ERROR_UNKNOWN (999)"},
		"no PCI address":  {fake: fakecuda.Options{Machine: twoH100 + "fail cuDeviceGetPCIBusId 999 1\n"}, want: []Device{first, withoutAddress(whole)}},
		"count is denied": {fake: fakecuda.Options{Machine: twoH100 + "fail cuDeviceGetCount 3\n"}, fail: "CUDA_ERROR_NOT_INITIALIZED"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			d, err := OpenDriver(fake(t, c.fake))
			if err != nil {
				t.Fatal(err)
			}
			got, err := d.Devices()
			if c.fail != "" {
				if err == nil || !strings.Contains(err.Error(), c.fail) {
					t.Errorf("got %v, want %q", err, c.fail)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got, cmpopts.IgnoreUnexported(Device{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func withoutAddress(d Device) Device {
	d.PCIAddress = ""
	return d
}

// A copy at a known rate shows that arguments, streams, events and the stopwatch
// meet the C side as they should.
func TestCopies(t *testing.T) {
	t.Parallel()
	const bytes = 1 << 30
	_, c := attach(t, fake(t, fakecuda.Options{Machine: twoH100 + "rate 0 memory 4000\nrate 0 host 50\nrate 0 peer 300\n"}))
	devices, err := c.driver.Devices()
	if err != nil {
		t.Fatal(err)
	}
	peer, err := c.driver.Attach(devices[1])
	if err != nil {
		t.Fatal(err)
	}
	there, errThere := peer.Alloc(bytes)
	errUse := c.Use()
	from, errFrom := c.Alloc(bytes)
	to, errTo := c.Alloc(bytes)
	host, errHost := c.AllocHost(bytes)
	q, errQueue := c.NewQueue()
	if err := errors.Join(errThere, errUse, errFrom, errTo, errHost, errQueue, c.EnablePeer(peer), c.EnablePeer(peer)); err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		copy func() error
		want float64
	}{
		"from the host": {func() error { return q.CopyToDevice(to, 0, host, bytes) }, bytes / 50e9},
		"on the device": {func() error { return q.Copy(to, from) }, 2 * bytes / 4000e9},
		"to the peer":   {func() error { return q.CopyToPeer(peer, there, from) }, bytes / 300e9},
	}
	for name, tc := range cases {
		if err := errors.Join(q.Start(), tc.copy(), q.Stop()); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if stopped, err := q.Stopped(); err != nil || !stopped {
			t.Fatalf("%s: stopped is %t, %v", name, stopped, err)
		}
		got, err := q.Seconds()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tc.want+5e-6, got, cmpopts.EquateApprox(0.001, 0)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	for name, err := range map[string]error{
		"past the end of the device": q.CopyToDevice(to, 1, host, bytes),
		"past the end of the host":   q.CopyToDevice(to, 0, HostMemory{start: host.start, bytes: 1}, 2),
		"to a smaller one":           q.Copy(Memory{address: to.address, Bytes: 1}, from),
		"to a smaller one of a peer": q.CopyToPeer(peer, Memory{address: there.address, Bytes: 1}, from),
		"to nowhere":                 q.Copy(Memory{address: 1, Bytes: bytes}, from),
	} {
		if err == nil {
			t.Errorf("a copy %s is not refused", name)
		}
	}
	if err := errors.Join(q.Close(), c.Free(from), c.Free(to), c.FreeHost(host), peer.Free(there), peer.Close(), c.Use(), c.Close()); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"memory", "host memory", "streams", "events", "contexts"} {
		if n := live(t, c.driver, kind); n != 0 {
			t.Errorf("%d %s left", n, kind)
		}
	}
}

// live asks the FAKE driver for one of its counters.
func live(t *testing.T, d *Driver, kind string) int64 {
	t.Helper()
	handle, err := purego.Dlopen(d.Path(), purego.RTLD_NOW)
	if err != nil {
		t.Fatal(err)
	}
	var count func(name string) int64
	purego.RegisterLibFunc(&count, handle, "fakecuda_count")
	return count(kind)
}

// matmulMemory takes what a product of n x n matrices needs and fills it.
func matmulMemory(t *testing.T, c *Context, n int64) MatmulMemory {
	t.Helper()
	var m MatmulMemory
	for _, part := range []struct {
		memory *Memory
		bytes  int64
	}{{&m.A, 2 * n * n}, {&m.B, 2 * n * n}, {&m.D, 2 * n * n}, {&m.Scale, 4}, {&m.Workspace, 32 << 20}} {
		var err error
		if *part.memory, err = c.Alloc(part.bytes); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func TestMatmul(t *testing.T) {
	t.Parallel()
	const n = 4096
	const machine = "device 00112233-4455-6677-8899-aabbccddeeff %C 81559 Fake\nrate 0 bf16 800\nrate 0 fp8 1400\n"
	cases := map[string]struct {
		driver, capability string
		precision          Precision
		seconds            float64
		library            string
		notSupported       bool
	}{
		"BF16":               {driver: "12040", capability: "90", precision: BF16, seconds: 2 * n * n * n / 800e12 / 0.95, library: "libcublasLt.so.12"},
		"FP8":                {driver: "12040", capability: "90", precision: FP8, seconds: 2 * n * n * n / 1400e12 / 0.95, library: "libcublasLt.so.12"},
		"FP8 on CUDA 13":     {driver: "13000", capability: "100", precision: FP8, seconds: 2 * n * n * n / 1400e12 / 0.95, library: "libcublasLt.so.13"},
		"no FP8 on Ampere":   {driver: "12040", capability: "80", precision: FP8, notSupported: true},
		"no BF16 on Turing":  {driver: "12040", capability: "75", precision: BF16, notSupported: true},
		"BF16 on an old GPU": {driver: "12040", capability: "80", precision: BF16, seconds: 2 * n * n * n / 800e12 / 0.95, library: "libcublasLt.so.12"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			search := fake(t, fakecuda.Options{Machine: "driver " + tc.driver + "\n" + strings.ReplaceAll(machine, "%C", tc.capability)})
			_, c := attach(t, search)
			b, err := c.OpenBLAS(search)
			if err != nil {
				t.Fatal(err)
			}
			if tc.library != "" && filepath.Base(b.Path()) != tc.library {
				t.Errorf("got %s, want %s", b.Path(), tc.library)
			}
			m, err := b.NewMatmul(tc.precision, n, matmulMemory(t, c, n))
			if tc.notSupported {
				if !NotSupported(err) {
					t.Errorf("got %v, want not supported", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			q, err := c.NewQueue()
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(q.Start(), m.Queue(q, m.Algorithms()-1), q.Stop()); err != nil {
				t.Fatal(err)
			}
			got, err := q.Seconds()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.seconds+5e-6, got, cmpopts.EquateApprox(0.001, 0)); diff != "" {
				t.Error(diff)
			}
			if err := errors.Join(m.Close(), b.Close()); err != nil {
				t.Fatal(err)
			}
			if made, dropped := live(t, c.driver, "blas made"), live(t, c.driver, "blas dropped"); made != dropped {
				t.Errorf("%d objects made, %d given back", made, dropped)
			}
		})
	}
}

func TestOpenBLASFails(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		fake fakecuda.Options
		want string
	}{
		"no library":     {fakecuda.Options{Machine: twoH100, WithoutBLAS: true}, "libcublasLt.so.12: library not found"},
		"symbol missing": {fakecuda.Options{Machine: twoH100, Missing: []string{"cublasLtMatmul"}}, "has no function cublasLtMatmul:"},
		"refused":        {fakecuda.Options{Machine: twoH100 + "fail cublasLtCreate 1\n"}, "cublasLtCreate: CUBLAS_STATUS_NOT_INITIALIZED (1)"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			search := fake(t, tc.fake)
			_, c := attach(t, search)
			if _, err := c.OpenBLAS(search); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestMatmulMemoryTooSmall(t *testing.T) {
	t.Parallel()
	search := fake(t, fakecuda.Options{Machine: twoH100})
	_, c := attach(t, search)
	b, err := c.OpenBLAS(search)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.NewMatmul(BF16, 4096, matmulMemory(t, c, 2048)); err == nil {
		t.Error("memory that is too small is not refused")
	}
}

func TestFiles(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		fake fakecuda.Options
		want string
	}{
		"direct":     {fake: fakecuda.Options{Machine: twoH100}},
		"no library": {fake: fakecuda.Options{Machine: twoH100, WithoutFiles: true}, want: "libcufile.so.0: library not found"},
		"through the host only": {
			fake: fakecuda.Options{Machine: twoH100, NoDirectStorage: true}, want: "cuFileDriverOpen: error (5003)",
		},
		// Before CUDA 12.9 nobody can tell whether a read was direct.
		"cannot tell": {fake: fakecuda.Options{Machine: twoH100, Missing: []string{"cuFileSetParameterBool"}}, want: "has no function cuFileSetParameterBool"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			search := fake(t, tc.fake)
			_, c := attach(t, search)
			files, err := OpenFiles(search)
			if tc.want != "" {
				if err == nil || !strings.Contains(err.Error(), tc.want) {
					t.Errorf("got %v, want %q", err, tc.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			readAll(t, c, files)
		})
	}
}

func readAll(t *testing.T, c *Context, files *Files) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "scratch")
	if err := os.WriteFile(path, make([]byte, 8192), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	memory, err := c.Alloc(4096)
	if err != nil {
		t.Fatal(err)
	}
	registered, err := files.Register(int(file.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(files.Pin(memory), registered.Read(memory, 4096, 4096), files.Unpin(memory)); err != nil {
		t.Error(err)
	}
	if err := registered.Read(memory, 6000, 4096); err == nil {
		t.Error("a read past the end is not an error")
	}
	if err := registered.Read(memory, 0, 8192); err == nil {
		t.Error("a read past the memory is not an error")
	}
	registered.Close()
	if err := files.Close(); err != nil {
		t.Error(err)
	}
}

func TestKindsOfErrors(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		err                  error
		sticky, memory, lack bool
	}{
		"nothing":           {},
		"another error":     {err: errors.New("no")},
		"out of memory":     {err: &CallError{Call: "cuMemAlloc_v2", Code: 2}, memory: true},
		"memory error":      {err: &CallError{Call: "cuEventQuery", Code: 214}, sticky: true},
		"illegal address":   {err: &CallError{Call: "cuEventQuery", Code: 700}, sticky: true},
		"launch failed":     {err: &CallError{Call: "cuEventQuery", Code: 719}, sticky: true},
		"too many peers":    {err: &CallError{Call: "cuCtxEnablePeerAccess", Code: 711}},
		"no such kernel":    {err: &CallError{Call: "cublasLtMatmul", Code: 15}, lack: true},
		"cuBLAS has no RAM": {err: &CallError{Call: "cublasLtCreate", Code: 3}, memory: true},
		"not initialised":   {err: &CallError{Call: "cuMemAlloc_v2", Code: 3}},
		"a code of cuFile":  {err: &CallError{Call: "cuFileRead", Code: 700}},
	}
	for name, tc := range cases {
		if Sticky(tc.err) != tc.sticky || OutOfMemory(tc.err) != tc.memory || NotSupported(tc.err) != tc.lack {
			t.Errorf("%s: got %t %t %t, want %t %t %t", name, Sticky(tc.err), OutOfMemory(tc.err), NotSupported(tc.err), tc.sticky, tc.memory, tc.lack)
		}
	}
}
