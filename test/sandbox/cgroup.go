package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// cgroupsGone is how long the kernel may take to let go of the cgroup of a process
// that it has killed.
const cgroupsGone = 10 * time.Second

// hierarchies are the directories where cgroups are mounted: one with version 2,
// one for each controller with version 1.
func hierarchies() ([]string, error) {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil, fmt.Errorf("looking for cgroups: %w", err)
	}
	var dirs []string
	for line := range strings.Lines(string(mounts)) {
		fields := strings.Fields(line)
		if len(fields) > 2 && (fields[2] == "cgroup" || fields[2] == "cgroup2") {
			dirs = append(dirs, fields[1])
		}
	}
	if len(dirs) == 0 {
		return nil, errors.New("looking for cgroups: none are mounted below /sys/fs/cgroup, and a kubelet needs them")
	}
	return dirs, nil
}

// makeCgroups makes the cgroup, below others if its name has slashes, in every
// hierarchy. A kubelet puts the cgroups of its Pods below one that exists.
func makeCgroups(name string) error {
	dirs, err := hierarchies()
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		for part := range strings.SplitSeq(name, "/") {
			parent := dir
			dir = filepath.Join(dir, part)
			if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
				return fmt.Errorf("making a node's cgroup: %w", err)
			}
			if err := inheritCPUs(parent, dir); err != nil {
				return err
			}
		}
	}
	return nil
}

// inheritCPUs copies what a new cgroup of version 1 does not take from its parent,
// and without which no process can be put into it.
func inheritCPUs(parent, dir string) error {
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		own, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil || len(bytes.TrimSpace(own)) > 0 {
			continue // another hierarchy, or there is nothing to do
		}
		value, err := os.ReadFile(filepath.Join(parent, file))
		if err != nil || len(bytes.TrimSpace(value)) == 0 {
			continue // the root of version 2
		}
		if err := os.WriteFile(filepath.Join(dir, file), value, 0o600); err != nil {
			return fmt.Errorf("making a node's cgroup: %w", err)
		}
	}
	return nil
}

// removeCgroups removes the cgroup with everything below it in every hierarchy.
// Its processes have been killed; it waits for their end.
func removeCgroups(ctx context.Context, name string) error {
	dirs, err := hierarchies()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, cgroupsGone)
	defer cancel()
	for _, dir := range dirs {
		var last error
		err := poll(ctx, "removing the cgroup "+name, func(context.Context) (bool, error) {
			last = removeTree(filepath.Join(dir, name))
			return last == nil, nil
		})
		if err != nil {
			return errors.Join(err, last)
		}
	}
	return nil
}

// removeTree removes a directory of cgroups from below. The files in it are not
// removed one by one, nor could they be.
func removeTree(top string) error {
	var dirs []string
	err := filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && entry.IsDir() {
			dirs = append(dirs, path)
		}
		return err
	})
	for _, dir := range slices.Backward(dirs) {
		if removeErr := os.Remove(dir); removeErr != nil && !errors.Is(removeErr, fs.ErrNotExist) {
			err = errors.Join(err, removeErr)
		}
	}
	return err
}

// cgroupIndexes are the indexes of the networks that have cgroups.
func cgroupIndexes() []int {
	dirs, err := hierarchies()
	if err != nil {
		return nil
	}
	var indexes []int
	for _, dir := range dirs {
		found, err := filepath.Glob(filepath.Join(dir, claimPrefix+"*"))
		if err != nil {
			continue
		}
		for _, path := range found {
			index, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(path), claimPrefix))
			if err == nil && index >= 0 && index < maxNetworks && !slices.Contains(indexes, index) {
				indexes = append(indexes, index)
			}
		}
	}
	return indexes
}
