//go:build cgo

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/k8s4ai/k8s4ai/hack/fakecuda"
)

// fakeNVML is the folder of the FAKE libnvidia-ml.so.1. A process is bound to the
// first one that it loads, so that all tests of it have this one.
var fakeNVML string

func TestMain(m *testing.M) { os.Exit(withFolder(m.Run)) }

func withFolder(run func() int) int {
	folder, err := os.MkdirTemp("", "fakenvml")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(folder) }()
	fakeNVML = folder
	return run()
}

// Two fakes tell of one device: that of CUDA, which measures it, and that of NVML,
// which knows who uses it.
func TestMeasureLeavesUsedDevicesAlone(t *testing.T) {
	if _, err := exec.LookPath("gcc"); err != nil && os.Getenv("CI") == "" {
		t.Skip("the fake libraries need gcc")
	}
	library := filepath.Join(fakeNVML, "libnvidia-ml.so.1")
	if _, err := os.Stat(library); err != nil {
		if out, err := exec.CommandContext(t.Context(), "../../hack/fakenvml/build.sh", fakeNVML).CombinedOutput(); err != nil {
			t.Fatalf("building the fake library: %v\n%s", err, out)
		}
	}
	folder := t.TempDir()
	if err := fakecuda.Build(t.Context(), folder, fakecuda.Options{Machine: oneFakeH100}); err != nil {
		t.Fatal(err)
	}
	const device = "driver 580.95.05\ngpu 0 uuid GPU-00112233-4455-6677-8899-aabbccddeeff\n"
	cases := map[string]struct {
		nvml string
		args []string
		code int
		// told is part of the progress, notTold is not.
		told, notTold string
	}{
		"idle":            {nvml: device + "gpu 0 utilisation 0\n", told: "measuring MemoryGBps", notTold: "taken for idle"},
		"a process":       {nvml: device + "gpu 0 process 1 512\n", code: exitNothingMeasured, told: "skipped: Busy: a process uses it: PID 1 with 512 MiB", notTold: "measuring"},
		"work":            {nvml: device + "gpu 0 utilisation 97\n", code: exitNothingMeasured, told: "skipped: Busy: its utilisation is 97 %", notTold: "measuring"},
		"used and forced": {nvml: device + "gpu 0 utilisation 97\ngpu 0 process 1 512\n", args: []string{"--force"}, told: "measuring MemoryGBps", notTold: "Busy"},
		"unknown":         {nvml: device, told: "taken for idle, though not all can be told: utilisation: Not Supported", notTold: "Busy"},
		"no driver":       {nvml: "init 9\n", told: "taken for idle, though not all can be told: no NVIDIA driver", notTold: "Busy"},
		"no library":      {args: []string{"--libnvidia-ml", folder}, told: "no library " + folder, notTold: "Busy"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(filepath.Join(fakeNVML, "fakenvml.txt"), []byte(c.nvml), 0o600); err != nil {
				t.Fatal(err)
			}
			args := append([]string{"--libcuda", folder, "--libnvidia-ml", library, "--figures", "MemoryGBps"}, c.args...)
			_, progress, code, err := runMeasure(t.Context(), args...)
			if code != c.code {
				t.Errorf("code %d, want %d (%v)", code, c.code, err)
			}
			if !strings.Contains(progress, c.told) || strings.Contains(progress, c.notTold) {
				t.Errorf("told %q; want %q and not %q", progress, c.told, c.notTold)
			}
		})
	}
}
