package nvml

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

const libraryName = "libnvidia-ml.so.1"

// directories returns where distributions, GKE and the GPU Operator put the
// driver's library, those for the processor that the program runs on first.
func directories() []string {
	triplet, other := "x86_64-linux-gnu", "aarch64-linux-gnu"
	if runtime.GOARCH == "arm64" {
		triplet, other = other, triplet
	}
	const operator = "run/nvidia/driver/usr/lib/"
	return []string{
		"usr/lib/" + triplet, "usr/lib64", "home/kubernetes/bin/nvidia/lib64",
		operator + triplet, "run/nvidia/driver/usr/lib64",
		"usr/lib/" + other, operator + other,
	}
}

// Find returns the path of the driver's library below the host's root, "" when
// there is none. Links in the path are followed as the host follows them, so that
// an absolute one stays below hostRoot.
func Find(hostRoot string) string {
	for _, directory := range directories() {
		path, ok := resolve(hostRoot, directory+"/"+libraryName)
		if !ok {
			continue
		}
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path
		}
	}
	return ""
}

// maxLinks is how many links a path may lead through, as in the kernel.
const maxLinks = 40

// resolve returns the path of a file of the host in the file system of the agent.
func resolve(hostRoot, path string) (string, bool) {
	var done []string
	todo := strings.Split(path, "/")
	for links := 0; len(todo) > 0; {
		element := todo[0]
		todo = todo[1:]
		switch element {
		case "", ".":
			continue
		case "..":
			done = done[:max(len(done)-1, 0)]
			continue
		}
		done = append(done, element)
		target, err := os.Readlink(filepath.Join(hostRoot, filepath.Join(done...)))
		if err != nil {
			continue // A file, a directory, or nothing, which the caller finds.
		}
		if links++; links > maxLinks {
			return "", false
		}
		done = done[:len(done)-1]
		if filepath.IsAbs(target) {
			done = nil
		}
		todo = slices.Concat(strings.Split(target, "/"), todo)
	}
	return filepath.Join(hostRoot, filepath.Join(done...)), true
}
