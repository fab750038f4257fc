//go:build cgo

package nvml

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	gonvml "github.com/NVIDIA/go-nvml/pkg/nvml"
)

const (
	// mostUtilisation is in percent. A desktop or a monitor that looks now and then
	// stays below it, work does not.
	mostUtilisation = 5
	// settleTime is twice the longest time over which a device takes the mean of its
	// utilisation. After it, what this process did before no longer shows.
	settleTime = 2 * time.Second
)

// Idle says whether nothing uses a device. These speak against it: a compute
// process other than this one, a utilisation above 5 %, and a device that is lost
// or waits for a reset. What speaks against it must do so twice, 2 seconds apart:
// a process that has just ended, and this process's own work, show for a moment.
//
// What cannot be asked does not speak against it: then idle is true and why names
// what is unknown. Some devices have no utilisation, partitioned ones among them;
// drivers may refuse the list of processes, and that of drivers 535 before
// 535.154 is not asked for. why is at most 200 bytes.
//
// In a PID namespace of its own, drivers show this process under another number,
// others' processes may be hidden, and this process counts once it has work on the
// device. Ask before that.
func (d *Driver) Idle(uuid string) (idle bool, why string) {
	against, unknown := d.usage(uuid)
	if against != "" {
		d.settle()
		against, unknown = d.usage(uuid)
	}
	if against != "" {
		return false, printable(against, maxProblem)
	}
	return true, printable(unknown, maxProblem)
}

// settleDown waits, but not for a driver that is closed.
func (d *Driver) settleDown() {
	timer := time.NewTimer(settleTime)
	defer timer.Stop()
	select {
	case <-d.closing:
	case <-timer.C:
	}
}

// usage is one look: what speaks against the device being idle, and what could not
// be asked.
func (d *Driver) usage(uuid string) (against, unknown string) {
	d.inUse.RLock()
	defer d.inUse.RUnlock()
	if d.isClosing() {
		return "", "the driver's library is closed"
	}
	device := d.deviceOf(uuid)
	if device == nil {
		return "", fmt.Sprintf("the driver's library does not tell of a device %s", uuid)
	}
	var u usage
	d.askProcesses(device, &u)
	askUtilisation(device, &u)
	return strings.Join(u.against, "; "), strings.Join(u.unknown, "; ")
}

// deviceOf returns the handle of a device, nil when no device says that it is it.
func (d *Driver) deviceOf(uuid string) gonvml.Device {
	count, ret := d.library.DeviceGetCount()
	if ret != gonvml.SUCCESS {
		return nil
	}
	for i := range min(count, maxGPUs) {
		device, ret := d.library.DeviceGetHandleByIndex(i)
		if ret != gonvml.SUCCESS {
			continue
		}
		if told, ret := device.GetUUID(); ret == gonvml.SUCCESS && isIdentifier(told) && told == uuid {
			return device
		}
	}
	return nil
}

type usage struct{ against, unknown []string }

// ok says whether a call brought a result. A device that is gone or broken is not
// idle; any other failure says nothing about its use.
func (u *usage) ok(what string, ret gonvml.Return) bool {
	switch ret {
	case gonvml.SUCCESS:
		return true
	case gonvml.ERROR_GPU_IS_LOST, gonvml.ERROR_GPU_NOT_FOUND, gonvml.ERROR_RESET_REQUIRED:
		u.against = append(u.against, what+": "+describe(ret))
	default:
		u.unknown = append(u.unknown, what+": "+describe(ret))
	}
	return false
}

func (d *Driver) askProcesses(device gonvml.Device, u *usage) {
	const what = "processes"
	// go-nvml takes the newest of three forms that the library has, and without any
	// the oldest, which then ends the process. Between these two there is a second.
	if !d.has[symbolProcesses3] && !d.has[symbolProcesses] {
		u.unknown = append(u.unknown, what+": this driver does not list them")
		return
	}
	version, ret := d.library.SystemGetDriverVersion()
	if !u.ok(what, ret) {
		return
	}
	if !listsProcesses(version) {
		u.unknown = append(u.unknown, what+": driver "+version+" does not list them reliably")
		return
	}
	processes, ret := device.GetComputeRunningProcesses()
	if !u.ok(what, ret) {
		return
	}
	var others []gonvml.ProcessInfo
	for _, p := range processes {
		if int64(p.Pid) != int64(os.Getpid()) {
			others = append(others, p)
		}
	}
	if len(others) > 0 {
		u.against = append(u.against, inWords(others))
	}
}

// listsProcesses is false for drivers 535 before 535.154. Some of them write longer
// entries than the interface has room for, which would overwrite memory.
func listsProcesses(version string) bool {
	branch, rest, _ := strings.Cut(version, ".")
	if branch != "535" {
		return true
	}
	release, _, _ := strings.Cut(rest, ".")
	number, err := strconv.Atoi(release)
	return err == nil && number >= 154
}

// inWords names one of the processes, so that somebody can look what it is.
func inWords(processes []gonvml.ProcessInfo) string {
	first := fmt.Sprintf("PID %d", processes[0].Pid)
	if used := processes[0].UsedGpuMemory; used <= maxMemory { // All bits are set for unknown.
		first += fmt.Sprintf(" with %d MiB", used>>20)
	}
	if len(processes) == 1 {
		return "a process uses it: " + first
	}
	return fmt.Sprintf("%d processes use it, one of them %s", len(processes), first)
}

func askUtilisation(device gonvml.Device, u *usage) {
	const what = "utilisation"
	rates, ret := device.GetUtilizationRates()
	if !u.ok(what, ret) {
		return
	}
	switch {
	case rates.Gpu > 100:
		u.unknown = append(u.unknown, fmt.Sprintf("%s: %d %% cannot be", what, rates.Gpu))
	case rates.Gpu > mostUtilisation:
		u.against = append(u.against, fmt.Sprintf("its utilisation is %d %%, above %d %%", rates.Gpu, mostUtilisation))
	}
}
