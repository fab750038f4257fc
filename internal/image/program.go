package image

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
)

// program is what the header of a binary says.
type program struct {
	architecture string // as in an image, such as amd64
	isDynamic    bool   // it needs a loader
}

var architectures = map[elf.Machine]string{elf.EM_X86_64: "amd64", elf.EM_AARCH64: "arm64"}

// inspect reads the header of a Linux binary.
func inspect(binary string) (p program, err error) {
	file, err := elf.Open(binary)
	if err != nil {
		return program{}, fmt.Errorf("%s is no program for Linux that can be read: %w", binary, err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	architecture, known := architectures[file.Machine]
	if !known {
		return program{}, fmt.Errorf("%s is built for %s: build it for amd64 or arm64", binary, file.Machine)
	}
	p.architecture = architecture
	for _, header := range file.Progs {
		p.isDynamic = p.isDynamic || header.Type == elf.PT_INTERP
	}
	return p, nil
}

// partsOfC are the files that belong to the C library. A library that a program
// opens by name while it runs, such as libnvidia-ml.so.1, may need any of them.
var partsOfC = []string{"libdl.so.2", "libm.so.6", "libpthread.so.0", "librt.so.1"}

// libraries returns the loader and every library that the binary is linked with,
// as paths on this machine, and all of the C library. What else it opens by name
// while it runs is not among them.
func libraries(ctx context.Context, binary string) ([]string, error) {
	out, err := exec.CommandContext(ctx, "ldd", binary).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("asking ldd for the libraries of %s: %w: %s", binary, err, strings.TrimSpace(string(out)))
	}
	paths, err := parseLibraries(string(out))
	if err != nil {
		return nil, fmt.Errorf("the libraries of %s: %w", binary, err)
	}
	for _, found := range paths {
		if path.Base(found) != "libc.so.6" {
			continue
		}
		for _, name := range partsOfC {
			part := path.Join(path.Dir(found), name)
			if info, err := os.Stat(part); err == nil && info.Mode().IsRegular() && !slices.Contains(paths, part) {
				paths = append(paths, part)
			}
		}
	}
	return paths, nil
}

// parseLibraries reads what ldd prints, one library a line:
//
//	linux-vdso.so.1 (0x00007ffd0b1f2000)
//	libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f7c8a000000)
//	/lib64/ld-linux-x86-64.so.2 (0x00007f7c8a3b0000)
func parseLibraries(out string) ([]string, error) {
	var paths []string
	for line := range strings.Lines(out) {
		library, rest, isSearched := strings.Cut(strings.TrimSpace(line), " => ")
		if !isSearched {
			rest = library
		}
		if rest == "not found" {
			return nil, fmt.Errorf("%s is not on this machine: install the package that has it", library)
		}
		file, _, _ := strings.Cut(rest, " (0x")
		if !strings.HasPrefix(file, "/") {
			continue // the kernel provides it
		}
		file = path.Clean(file)
		if err := checkTarget(file); err != nil {
			return nil, fmt.Errorf("ldd names a library that is none: %w", err)
		}
		paths = append(paths, file)
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("ldd named none: %.200q", out)
	}
	return paths, nil
}
