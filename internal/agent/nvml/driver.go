//go:build cgo

package nvml

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/NVIDIA/go-nvml/pkg/dl"
	gonvml "github.com/NVIDIA/go-nvml/pkg/nvml"

	"github.com/k8s4ai/k8s4ai/internal/agent/machine"
)

var (
	// ErrNoDriver says that the machine has no NVIDIA driver, which is no fault: it
	// has no library, or the library finds no driver in the kernel.
	ErrNoDriver = errors.New("no NVIDIA driver")
	// ErrReplaced says that the library on disk is not the one that this process
	// has loaded. Functions are bound for the life of a process, so the agent must
	// start anew.
	ErrReplaced = errors.New("the NVIDIA driver was replaced since the agent started: restart the agent")
)

// waitMilliseconds is how long one wait for events lasts. It bounds how long Close
// and the end of Events take.
const waitMilliseconds = 5000

// Driver is the loaded library of an NVIDIA driver. Its methods may be called at
// the same time.
type Driver struct {
	library gonvml.Interface
	// has says which of the functions that some drivers lack are there.
	has map[string]bool
	// wait is in milliseconds.
	wait uint32
	// settle waits until a device's utilisation forgets what was.
	settle func()

	closing   chan struct{}
	closeOnce sync.Once
	closeErr  error
	// inUse is held for reading as long as a call may run.
	inUse sync.RWMutex

	// reading protects memory.
	reading sync.Mutex
	memory  memory
}

// Reading is one look at the GPUs of a machine.
type Reading struct {
	// Driver is the version of the driver.
	Driver string
	// GPUs are in the order of the driver, each UUID once, at most 64.
	GPUs  []machine.GPU
	Links []machine.Link
	// Problems name what could not be read, at most 64.
	Problems []machine.Problem
}

// loaded is the library that this process is bound to.
var loaded struct {
	sync.Mutex
	file os.FileInfo
}

// Open loads the driver's library and starts it. It returns ErrNoDriver on a
// machine without a driver, ErrReplaced when the process has loaded another
// library before, and else an error that says what is wrong with the library.
func Open(libraryPath string) (*Driver, error) {
	if libraryPath == "" {
		return nil, fmt.Errorf("%w: no library %s", ErrNoDriver, libraryName)
	}
	path, err := filepath.Abs(libraryPath)
	if err != nil {
		return nil, fmt.Errorf("finding the NVIDIA driver's library: %w", err)
	}
	if err := load(path); err != nil {
		return nil, err
	}
	library := gonvml.New(gonvml.WithLibraryPath(path))
	if ret := library.Init(); ret != gonvml.SUCCESS {
		return nil, initError(ret)
	}
	has := map[string]bool{}
	for _, symbol := range slices.Concat(added, deprecated) {
		has[symbol] = library.Extensions().LookupSymbol(symbol) == nil
	}
	d := &Driver{library: library, has: has, wait: waitMilliseconds, closing: make(chan struct{}), memory: newMemory()}
	d.settle = d.settleDown
	return d, nil
}

// load checks a library before its first call: starting one that lacks the
// function for that would end the process.
func load(path string) error {
	loaded.Lock()
	defer loaded.Unlock()
	file, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w: no library %s", ErrNoDriver, path)
	}
	if err != nil {
		return fmt.Errorf("finding the NVIDIA driver's library: %w", err)
	}
	if loaded.file != nil && !os.SameFile(loaded.file, file) {
		return fmt.Errorf("loading %s: %w", path, ErrReplaced)
	}
	library := dl.New(path, dl.RTLD_LAZY)
	if err := library.Open(); err != nil {
		return fmt.Errorf("loading the NVIDIA driver's library: %w: is it whole, and for this processor?", err)
	}
	var missing []string
	for _, symbol := range required {
		if library.Lookup(symbol) != nil {
			missing = append(missing, symbol)
		}
	}
	if len(missing) > 0 {
		return errors.Join(
			fmt.Errorf("the NVIDIA driver's library %s lacks %s: install a driver of branch R450 or newer", path, strings.Join(missing, ", ")),
			library.Close())
	}
	// The handle stays open: go-nvml opens the same library again.
	loaded.file = file
	return nil
}

func initError(ret gonvml.Return) error {
	switch ret {
	case gonvml.ERROR_DRIVER_NOT_LOADED, gonvml.ERROR_GPU_NOT_FOUND:
		return fmt.Errorf("%w: the library says %q", ErrNoDriver, describe(ret))
	case gonvml.ERROR_NO_PERMISSION:
		return fmt.Errorf("starting the NVIDIA driver's library: %s: let the agent use /dev/nvidiactl and /dev/nvidia*", describe(ret))
	case gonvml.ERROR_LIB_RM_VERSION_MISMATCH:
		return fmt.Errorf("starting the NVIDIA driver's library: %s: library and kernel module are of different versions; load the new module or reboot", describe(ret))
	default:
		return fmt.Errorf("starting the NVIDIA driver's library: %s", describe(ret))
	}
}

// Close ends Events, waits for it and for a Read under way, and stops the library.
// That takes at most 5 seconds longer than the driver itself needs.
func (d *Driver) Close() error {
	d.closeOnce.Do(func() {
		close(d.closing)
		d.inUse.Lock()
		defer d.inUse.Unlock()
		if ret := d.library.Shutdown(); ret != gonvml.SUCCESS {
			d.closeErr = fmt.Errorf("stopping the NVIDIA driver's library: %s", describe(ret))
		}
	})
	return d.closeErr
}

// isClosing is true as soon as Close was called. The caller holds inUse.
func (d *Driver) isClosing() bool {
	select {
	case <-d.closing:
		return true
	default:
		return false
	}
}
