//go:build cgo

package nvml

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	listing    = "nvmlDeviceGetComputeRunningProcesses_v3"
	utilising  = "nvmlDeviceGetUtilizationRates"
	notWorking = "gpu * utilisation 0\n"
)

func TestIdle(t *testing.T) {
	other := os.Getpid() + 1
	process := func(mebibytes string) string { return fmt.Sprintf("gpu 1 process %d %s\n", other, mebibytes) }
	cases := map[string]struct {
		lines string
		idle  bool
		// says are parts of the reason; none means that there is no reason.
		says []string
	}{
		"idle":                     {lines: notWorking, idle: true},
		"as much as a look takes":  {lines: "gpu 1 utilisation 5", idle: true},
		"work":                     {lines: "gpu 1 utilisation 6", says: []string{"utilisation is 6 %, above 5 %"}},
		"work of another device":   {lines: notWorking + "gpu 2 utilisation 97\ngpu 2 process 1 512", idle: true},
		"a process":                {lines: notWorking + process("512"), says: []string{fmt.Sprintf("a process uses it: PID %d with 512 MiB", other)}},
		"its memory is unknown":    {lines: notWorking + process("0xffffffffffffffff"), says: []string{fmt.Sprintf("PID %d", other)}},
		"this process":             {lines: notWorking + fmt.Sprintf("gpu 1 process %d 512", os.Getpid()), idle: true},
		"this process and another": {lines: notWorking + fmt.Sprintf("gpu 1 process %d 512\n", os.Getpid()) + process("1"), says: []string{fmt.Sprintf("a process uses it: PID %d with 1 MiB", other)}},
		"many processes":           {lines: notWorking + strings.Repeat(process("1"), 20), says: []string{"20 processes use it, one of them PID"}},
		"a process and work":       {lines: "gpu 1 utilisation 97\n" + process("1"), says: []string{"a process uses it", "; its utilisation is 97 %"}},
		"a process, utilisation is not supported": {
			lines: process("1"), says: []string{"a process uses it"},
		},
		"utilisation is not supported": {idle: true, says: []string{"utilisation: Not Supported"}},
		"utilisation beyond measure":   {lines: "gpu 1 utilisation 101", idle: true, says: []string{"101 % cannot be"}},
		"processes are refused":        {lines: notWorking + "error 1 " + listing + " 4", idle: true, says: []string{"processes: ", "NVML error 4"}},
		"processes are refused, work":  {lines: "gpu 1 utilisation 97\nerror 1 " + listing + " 4", says: []string{"utilisation is 97 %"}},
		"nothing can be asked":         {lines: "error 1 " + listing + " 3\nerror 1 " + utilising + " 3", idle: true, says: []string{"processes: ", "; utilisation: "}},
		"lost":                         {lines: "error 1 " + utilising + " 15", says: []string{"utilisation: GPU is lost"}},
		"waits for a reset":            {lines: notWorking + "error 1 " + listing + " 16", says: []string{"processes: ", "NVML error 16"}},
		"it answers no call":           {lines: "error 1 * 15", idle: true, says: []string{"does not tell of a device"}},
		"a driver with longer entries": {lines: notWorking + "driver 535.54.03\n" + process("1"), idle: true, says: []string{"driver 535.54.03 does not list them reliably"}},
		"the same, corrected":          {lines: notWorking + "driver 535.154.05\n" + process("1"), says: []string{"a process uses it"}},
		"driver 535 of no release":     {lines: notWorking + "driver 535\n" + process("1"), idle: true, says: []string{"not list them reliably"}},
		"a driver of no known branch":  {lines: notWorking + "driver new\n" + process("1"), says: []string{"a process uses it"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			d := open(t, machineOf(t, "A100-PCIe"))
			uuid := d.Read().GPUs[1].UUID
			describeMachine(t, machineOf(t, "A100-PCIe")+tc.lines+"\n")
			looks := 1
			d.settle = func() { looks++ }
			idle, why := d.Idle(uuid)
			if idle != tc.idle || (why == "") != (len(tc.says) == 0) || len(why) > maxProblem {
				t.Errorf("idle %v, %q; want %v, %q", idle, why, tc.idle, tc.says)
			}
			for _, part := range tc.says {
				if !strings.Contains(why, part) {
					t.Errorf("%q does not say %q", why, part)
				}
			}
			if want := map[bool]int{true: 1, false: 2}[tc.idle]; looks != want {
				t.Errorf("%d looks, want %d", looks, want)
			}
		})
	}
}

// What has just ended shows for a moment and does not make a device busy.
func TestIdleAfterAMoment(t *testing.T) {
	quiet := machineOf(t, "A100-PCIe") + notWorking
	d := open(t, quiet+"gpu 1 utilisation 97\ngpu 1 process 1 512\n")
	d.settle = func() { describeMachine(t, quiet) }
	if idle, why := d.Idle(d.Read().GPUs[1].UUID); !idle || why != "" {
		t.Errorf("idle %v, %q", idle, why)
	}
}

func TestIdleOfNoDevice(t *testing.T) {
	d := open(t, machineOf(t, "A100-PCIe")+"gpu * process 1 512\ngpu 0 uuid\n")
	for _, uuid := range []string{"", "GPU-1", "MIG-1", strings.Repeat("x", 1000)} {
		idle, why := d.Idle(uuid)
		if !idle || !strings.HasPrefix(why, "the driver's library does not tell of a device") || len(why) > maxProblem {
			t.Errorf("%q: idle %v, %q", uuid, idle, why)
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d.settleDown() // Does not wait for a closed driver.
	if idle, why := d.Idle("GPU-1"); !idle || why != "the driver's library is closed" {
		t.Errorf("closed: idle %v, %q", idle, why)
	}
}

// A driver without the newer forms of the list is asked in the oldest one.
func TestIdleWithAnOldDriver(t *testing.T) {
	cases := map[string]struct{ library, lines, want string }{
		"new driver, processes": {"", "gpu 0 process 1 512\ngpu 0 process 2 512\n", "2 processes use it, one of them PID 1 with 512 MiB"},
		"old driver, processes": {"old", "gpu 0 process 1 512\ngpu 0 process 2 512\n", "2 processes use it, one of them PID 1 with 512 MiB"},
		"old driver, work":      {"old", "gpu 0 utilisation 97\n", "its utilisation is 97 %, above 5 %"},
		"old driver, idle":      {"old", "", ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			description := machineOf(t, "A100-PCIe") + notWorking + tc.lines
			var why string
			if err := json.Unmarshal(runChild(t, filepath.Join(fake, tc.library, libraryName), description, childIdle+"=1"), &why); err != nil {
				t.Fatal(err)
			}
			if why != tc.want {
				t.Errorf("%q, want %q", why, tc.want)
			}
		})
	}
}
