package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/k8s4ai/k8s4ai/hack/fakecuda"
	"github.com/k8s4ai/k8s4ai/internal/agent/measure"
)

const oneFakeH100 = "driver 12040\ndevice 00112233-4455-6677-8899-aabbccddeeff 90 81559 Fake H100\n"

// runMeasure runs the command and returns what it prints, with the exit code that
// the process would have.
func runMeasure(ctx context.Context, args ...string) (out, progress string, code int, err error) {
	var stdout, stderr bytes.Buffer
	command := newMeasureCommand()
	command.SetArgs(args)
	command.SetOut(&stdout)
	command.SetErr(&stderr)
	err = command.ExecuteContext(ctx)
	var coded interface{ ExitCode() int }
	switch {
	case errors.As(err, &coded):
		code = coded.ExitCode()
	case err != nil:
		code = 1
	}
	return stdout.String(), stderr.String(), code, err
}

func TestMeasure(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("gcc"); err != nil && os.Getenv("CI") == "" {
		t.Skip("the fake libraries need gcc")
	}
	cases := map[string]struct {
		fake    fakecuda.Options
		nowhere bool
		args    []string
		code    int
		// want is part of the error or, without one, of the output.
		want string
	}{
		"JSON":              {fake: fakecuda.Options{Machine: oneFakeH100}, args: []string{"--figures", "BF16TeraFLOPS,MemoryGBps"}, want: `"method": "cuBLASLt"`},
		"table":             {fake: fakecuda.Options{Machine: oneFakeH100}, args: []string{"--figures", "MemoryGBps", "-o", "table"}, want: "DeviceCopy"},
		"no driver":         {nowhere: true, code: exitNoAccelerator, want: "no accelerator: libcuda.so.1: library not found"},
		"no device":         {code: exitNoAccelerator, want: "no accelerator: the CUDA driver has no device"},
		"busy":              {fake: fakecuda.Options{Machine: oneFakeH100 + "used 0 40000\n"}, code: exitNothingMeasured, want: "nothing could be measured"},
		"no such device":    {fake: fakecuda.Options{Machine: oneFakeH100}, args: []string{"--devices", "GPU-1"}, code: 1, want: `no device "GPU-1"`},
		"no such figure":    {fake: fakecuda.Options{Machine: oneFakeH100}, args: []string{"--figures", "Gigaflops"}, code: 1, want: "choose from MemoryGBps"},
		"not measured here": {fake: fakecuda.Options{Machine: oneFakeH100}, args: []string{"--figures", "AllReduceGBps"}, code: 1, want: "choose from MemoryGBps"},
		"no such output":    {fake: fakecuda.Options{Machine: oneFakeH100}, args: []string{"-o", "yaml"}, code: 1, want: "neither json nor table"},
		"no time":           {fake: fakecuda.Options{Machine: oneFakeH100}, args: []string{"--time-limit", "0s"}, code: 1, want: "--time-limit"},
		"endless":           {fake: fakecuda.Options{Machine: oneFakeH100}, args: []string{"--time-limit", "1000h"}, code: 1, want: "--time-limit"},
		"store, no node":    {fake: fakecuda.Options{Machine: oneFakeH100}, args: []string{"--store"}, code: 1, want: "NODE_NAME is not set"},
		"argument":          {fake: fakecuda.Options{Machine: oneFakeH100}, args: []string{"now"}, code: 1, want: `unknown command "now"`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			if !c.nowhere {
				if err := fakecuda.Build(t.Context(), folder, c.fake); err != nil {
					t.Fatal(err)
				}
			}
			args := append([]string{"--libcuda", folder, "--libnvidia-ml", folder, "--cublaslt", folder, "--cufile", folder}, c.args...)
			out, progress, code, err := runMeasure(t.Context(), args...)
			if code != c.code {
				t.Errorf("code %d, want %d (%v)", code, c.code, err)
			}
			if err != nil {
				out += err.Error()
			}
			if !strings.Contains(out, c.want) {
				t.Errorf("got %q, want %q", out, c.want)
			}
			if c.code == 0 && !strings.Contains(progress, "measuring MemoryGBps") {
				t.Errorf("the progress is %q", progress)
			}
		})
	}
}

func TestMeasureIsStopped(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("gcc"); err != nil && os.Getenv("CI") == "" {
		t.Skip("the fake libraries need gcc")
	}
	folder := t.TempDir()
	if err := fakecuda.Build(t.Context(), folder, fakecuda.Options{Machine: oneFakeH100}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, code, err := runMeasure(ctx, "--libcuda", folder, "--libnvidia-ml", folder); code != 1 {
		t.Errorf("code %d, %v", code, err)
	}
}

// The JSON that is printed is the report, with nothing before or behind it.
func TestMeasurePrintsAReport(t *testing.T) {
	if _, err := exec.LookPath("gcc"); err != nil && os.Getenv("CI") == "" {
		t.Skip("the fake libraries need gcc")
	}
	t.Setenv("NODE_NAME", "gpu-node-0")
	folder := t.TempDir()
	if err := fakecuda.Build(t.Context(), folder, fakecuda.Options{Machine: oneFakeH100}); err != nil {
		t.Fatal(err)
	}
	out, _, _, err := runMeasure(t.Context(), "--libcuda", folder, "--libnvidia-ml", folder, "--cublaslt", folder)
	if err != nil {
		t.Fatal(err)
	}
	var report measure.Report
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatal(err)
	}
	if report.Schema != measure.Schema || report.NodeName != "gpu-node-0" || !report.Measured() {
		t.Errorf("got %+v", report)
	}
}
