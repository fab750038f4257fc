package cuda

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/ebitengine/purego"
)

// Search says where libraries are looked for. The zero value is the loader's own
// path: what the container runtime of the accelerator's vendor mounts is there.
type Search struct {
	// HostRoot is the folder below which the host's file system is seen. The usual
	// places below it come before the loader's path.
	HostRoot string
	// Driver, BLASLt and CUFile are files, or folders that hold them. One that is
	// set is the only place.
	Driver, BLASLt, CUFile string
}

// driverFolders are where installations put the driver's libraries.
var driverFolders = []string{
	"usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu", "usr/lib64", "usr/local/nvidia/lib64",
	"home/kubernetes/bin/nvidia/lib64",
	"run/nvidia/driver/usr/lib/x86_64-linux-gnu", "run/nvidia/driver/usr/lib/aarch64-linux-gnu", "run/nvidia/driver/usr/lib64",
}

// toolkitFolders are where installations put the toolkit's libraries.
var toolkitFolders = []string{
	"usr/local/cuda/lib64", "usr/local/cuda/targets/x86_64-linux/lib", "usr/local/cuda/targets/sbsa-linux/lib",
	"opt/cuda/lib64", "usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu", "usr/lib64",
}

// library is one opened shared library. It is never closed: the driver keeps
// threads of its own.
type library struct {
	path   string
	handle uintptr
}

// openLibrary opens the first of the names that loads.
func (s Search) openLibrary(explicit string, names, folders []string) (library, error) {
	var failures []string
	for _, path := range s.candidates(explicit, names, folders) {
		handle, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
		if err == nil {
			return library{path: path, handle: handle}, nil
		}
		// The loader's own words matter for a file that is there and does not load.
		if _, missing := os.Stat(path); missing == nil || !strings.Contains(path, "/") && len(failures) == 0 {
			failures = append(failures, err.Error())
		}
	}
	return library{}, fmt.Errorf("%s: %w%s", strings.Join(names, " or "), ErrNoLibrary, detail(failures))
}

func detail(failures []string) string {
	if len(failures) == 0 {
		return ""
	}
	return " (" + strings.Join(failures, "; ") + ")"
}

func (s Search) candidates(explicit string, names, folders []string) []string {
	if explicit != "" {
		if info, err := os.Stat(explicit); err != nil || !info.IsDir() {
			return []string{explicit}
		}
		return inFolders(explicit, []string{"."}, names)
	}
	var out []string
	if s.HostRoot != "" {
		out = inFolders(s.HostRoot, folders, names)
	}
	out = append(out, names...)
	return append(out, inFolders("/", unusual(folders), names)...)
}

// unusual returns the folders in which the loader does not look by itself.
func unusual(folders []string) []string {
	var out []string
	for _, folder := range folders {
		if strings.Contains(folder, "cuda") || strings.HasPrefix(folder, "usr/local/") {
			out = append(out, folder)
		}
	}
	return out
}

func inFolders(root string, folders, names []string) []string {
	var out []string
	for _, name := range names {
		for _, folder := range folders {
			out = append(out, filepath.Join(root, folder, name))
		}
	}
	return out
}

// binding is one function of a library and the variable that calls it.
type binding struct {
	symbol string
	// function points to a variable of a function type.
	function any
	// optional is a function whose variable may stay nil.
	optional bool
}

// bind looks all functions up before it returns, so that a missing one is found
// before the first call. A call through a missing symbol would end the process.
func (l library) bind(bindings []binding) error {
	var missing []error
	for _, b := range bindings {
		address, err := purego.Dlsym(l.handle, b.symbol)
		if err != nil || address == 0 {
			if !b.optional {
				missing = append(missing, &SymbolError{Library: l.path, Symbol: b.symbol})
			}
			continue
		}
		purego.RegisterFunc(b.function, address)
	}
	return errors.Join(missing...)
}
