//go:build cgo

package nvml

import (
	"bytes"
	"debug/elf"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	gonvml "github.com/NVIDIA/go-nvml/pkg/nvml"
	"github.com/google/go-cmp/cmp"

	"github.com/k8s4ai/k8s4ai/internal/fleet"
)

// fake is the directory with the fake library and, under old, that of a driver of
// the R450 branch. A process is bound to the first library that it loads, so this
// one uses the former only and children use the others.
var fake string

// The environment of a child: the library that it reads, and where it counts the
// calls of the fake.
const (
	childLibrary = "NVML_TEST_LIBRARY"
	childLooks   = "NVML_TEST_LOOKS"
	childIdle    = "NVML_TEST_IDLE" // Set, the child writes what uses the first GPU.
	callsFile    = "K8S4AI_FAKENVML_CALLS"
)

func TestMain(m *testing.M) {
	if library := os.Getenv(childLibrary); library != "" {
		os.Exit(child(library))
	}
	os.Exit(withFake(m.Run))
}

func withFake(run func() int) int {
	directory, err := os.MkdirTemp("", "fakenvml")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(directory) }()
	//nolint:noctx // The build ends by itself.
	if out, err := exec.Command("../../../hack/fakenvml/build.sh", directory).CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building the fake library: %v\n%s", err, out)
		return 1
	}
	fake = directory
	return run()
}

// child looks at the GPUs a number of times and writes the last look as JSON.
func child(library string) int {
	d, err := Open(library)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	looks, _ := strconv.Atoi(os.Getenv(childLooks))
	var reading Reading
	for range max(looks, 1) {
		reading = d.Read()
	}
	d.settle = func() {}
	_, why := d.Idle(reading.GPUs[0].UUID)
	set, _ := d.library.EventSetCreate()
	d.register(set)
	if _, ret := set.Wait(0); ret != gonvml.ERROR_TIMEOUT || set.Free() != gonvml.SUCCESS {
		fmt.Fprintln(os.Stderr, "waiting for events:", ret)
		return 1
	}
	if err := d.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var out any = reading
	if os.Getenv(childIdle) != "" {
		out = why
	}
	if err := json.NewEncoder(os.Stdout).Encode(out); err != nil {
		return 1
	}
	return 0
}

// inChild reads in a process of its own.
func inChild(t *testing.T, library, description string, environment ...string) Reading {
	t.Helper()
	out := runChild(t, library, description, environment...)
	var reading Reading
	if err := json.Unmarshal(out, &reading); err != nil {
		t.Fatalf("%v in %q", err, out)
	}
	return reading
}

// runChild returns what a process of its own writes, which a call to a missing
// function ends.
func runChild(t *testing.T, library, description string, environment ...string) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "fakenvml.txt")
	if err := os.WriteFile(file, []byte(description), 0o600); err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), os.Args[0])
	command.Env = append(os.Environ(), append(environment, childLibrary+"="+library, "K8S4AI_FAKENVML="+file)...)
	var out, complaint bytes.Buffer
	command.Stdout, command.Stderr = &out, &complaint
	if err := command.Run(); err != nil {
		t.Fatalf("the process that read ended: %v\n%s", err, complaint.String())
	}
	return out.Bytes()
}

// describeMachine replaces the description that the fake library reads.
func describeMachine(t *testing.T, text string) {
	t.Helper()
	next := filepath.Join(t.TempDir(), "next.txt")
	if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, filepath.Join(fake, "fakenvml.txt")); err != nil {
		t.Fatal(err)
	}
}

// open opens a driver that tells of a described machine.
func open(t *testing.T, text string) *Driver {
	t.Helper()
	describeMachine(t, text)
	d, err := Open(filepath.Join(fake, libraryName))
	if err != nil {
		t.Fatal(err)
	}
	d.wait = 20
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// oneMachine is a fleet of one machine of a shape, or of one rack.
func oneMachine(t *testing.T, shape string, provider fleet.Provider) *fleet.Fleet {
	t.Helper()
	pool := "{name: p, shape: " + shape + ", nodes: 1, nicGbps: 400}"
	if shape == "GB200-NVL72" {
		pool = "{name: p, shape: " + shape + ", blocks: 1, racks: 1, nodes: 18, nicGbps: 400}"
	}
	if shape == "L40S" {
		pool = "{name: p, shape: " + shape + ", nodes: 1}"
	}
	f, err := fleet.Parse([]byte("name: one\nprovider: " + string(provider) + "\nfabric: {name: fabric-a, linkLayer: InfiniBand}\npools:\n- " + pool + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// machineOf is the description of the first machine of a shape.
func machineOf(t *testing.T, shape string) string {
	t.Helper()
	f := oneMachine(t, shape, fleet.ProviderNone)
	return string(f.NVML(f.Machines()[0]))
}

// exports lists the functions that a library offers.
func exports(t *testing.T, path string) []string {
	t.Helper()
	file, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	symbols, err := file.DynamicSymbols()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, symbol := range symbols {
		if symbol.Section != elf.SHN_UNDEF && elf.ST_TYPE(symbol.Info) == elf.STT_FUNC {
			names = append(names, symbol.Name)
		}
	}
	slices.Sort(names)
	return names
}

// The fake has exactly what the tables say, so that a call to a function that is
// in none of them ends the tests.
func TestFakeHasTheSymbolsOfTheTables(t *testing.T) {
	cases := map[string]struct {
		library string
		want    [][]string
	}{
		"new driver": {"", [][]string{required, added, deprecated}},
		"old driver": {"old", [][]string{required, deprecated}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			want := slices.Concat(tc.want...)
			slices.Sort(want)
			if diff := cmp.Diff(want, exports(t, filepath.Join(fake, tc.library, libraryName))); diff != "" {
				t.Errorf("(-tables +library):\n%s", diff)
			}
		})
	}
}

// calls reads what the fake has counted.
func calls(t *testing.T, path string) map[string]int {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	for line := range strings.Lines(string(content)) {
		name, count, _ := strings.Cut(strings.TrimSpace(line), " ")
		if counts[name], err = strconv.Atoi(count); err != nil {
			t.Fatal(err)
		}
	}
	return counts
}

// Each function of the tables is reached on one machine or the other, but for
// those that a new driver's other form of the same replaces.
func TestTablesHoldNothingUnused(t *testing.T) {
	partitioned := machineOf(t, "HGX-H100x8") + "gpu 0 mig 1\ngpu 0 mig-instance 1 1 9728\ngpu * fabric-api 1\n"
	used := map[string]bool{"nvmlErrorString": true} // Reached by every failure, and not counted.
	for i, run := range []struct{ library, description string }{
		{"", partitioned}, {"old", partitioned},
	} {
		file := filepath.Join(t.TempDir(), strconv.Itoa(i))
		inChild(t, filepath.Join(fake, run.library, libraryName), run.description, callsFile+"="+file)
		for name := range calls(t, file) {
			used[name] = true
		}
	}
	for _, symbol := range slices.Concat(required, added, deprecated) {
		if !used[symbol] {
			t.Errorf("%s is in a table and never called: remove it", symbol)
		}
	}
}

// A look is cheap: what does not change is asked for once.
func TestCallsPerLook(t *testing.T) {
	cases := map[string]struct {
		shape string
		most  int
	}{
		"8 GPUs with switches":    {"HGX-H100x8", 360},
		"4 GPUs without switches": {"A100-PCIe", 70},
		"1 GPU":                   {"L40S", 12},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			total := func(looks int) (sum int) {
				file := filepath.Join(t.TempDir(), "calls")
				inChild(t, filepath.Join(fake, libraryName), machineOf(t, tc.shape), callsFile+"="+file, childLooks+"="+strconv.Itoa(looks))
				for _, count := range calls(t, file) {
					sum += count
				}
				return sum
			}
			if got := total(3) - total(2); got > tc.most || got == 0 {
				t.Errorf("a look makes %d calls, at most %d", got, tc.most)
			} else {
				t.Logf("%d calls", got)
			}
		})
	}
}

func BenchmarkRead(b *testing.B) {
	f, err := fleet.Parse([]byte("name: one\nprovider: none\nfabric: {name: fabric-a, linkLayer: InfiniBand}\npools:\n- {name: p, shape: HGX-H100x8, nodes: 1, nicGbps: 400}\n"))
	if err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(fake, "fakenvml.txt"), f.NVML(f.Machines()[0]), 0o600); err != nil {
		b.Fatal(err)
	}
	d, err := Open(filepath.Join(fake, libraryName))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	b.ReportAllocs()
	for b.Loop() {
		if len(d.Read().GPUs) != 8 {
			b.Fatal("not 8 GPUs")
		}
	}
}
