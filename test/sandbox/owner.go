package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

const (
	dirPrefix = "k8s4ai-sandbox-"
	ownerFile = "owner"
	// unownedGrace is how long a directory may be without its owner file, which
	// is the moment between its creation and the lock.
	unownedGrace = 10 * time.Minute
	// removeAttempts times pollEvery is how long the removal of a directory waits
	// for processes that end.
	removeAttempts = 40
)

// owner holds the directory of one cluster. The owner file is locked for as long
// as the process lives, and the kernel gives the lock back however the process
// ends: a directory whose owner file can be locked belongs to nobody. A process
// id would not do, since ids are used again.
type owner struct {
	dir  string
	lock *os.File
	keep bool // the caller named the directory: its logs stay
}

func claimDir(dir string) (*owner, error) {
	o := &owner{dir: dir, keep: dir != ""}
	if err := o.makeDir(); err != nil {
		return nil, err
	}
	// The file gets its name once it is locked, so that no sweep sees it free.
	unnamed := filepath.Join(o.dir, ownerFile+".new")
	lock, err := os.OpenFile(unnamed, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("claiming the sandbox directory: %w", err)
	}
	o.lock = lock
	_, err = lock.WriteString(strconv.Itoa(os.Getpid()) + "\n")
	err = errors.Join(err,
		syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB),
		os.Rename(unnamed, filepath.Join(o.dir, ownerFile)))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("claiming the sandbox directory %s: %w", o.dir, err), o.release())
	}
	return o, nil
}

func (o *owner) makeDir() error {
	if !o.keep {
		dir, err := os.MkdirTemp("", dirPrefix)
		if err != nil {
			return fmt.Errorf("creating the sandbox directory: %w", err)
		}
		o.dir = dir
		return nil
	}
	abs, err := filepath.Abs(o.dir)
	if err != nil {
		return fmt.Errorf("creating the sandbox directory: %w", err)
	}
	o.dir = abs
	if err := os.MkdirAll(abs, 0o700); err != nil {
		return fmt.Errorf("creating the sandbox directory: %w", err)
	}
	entries, err := os.ReadDir(abs)
	if err != nil {
		return fmt.Errorf("reading the sandbox directory: %w", err)
	}
	if len(entries) > 0 {
		return fmt.Errorf("the sandbox directory %s is not empty: remove it or choose another one", abs)
	}
	return nil
}

// release removes the directory, or all of it but the logs.
func (o *owner) release() error {
	defer o.lock.Close()
	if !o.keep {
		if err := removeAll(o.dir); err != nil {
			return fmt.Errorf("removing the sandbox directory: %w", err)
		}
		return nil
	}
	entries, err := os.ReadDir(o.dir)
	if err != nil {
		return fmt.Errorf("removing the sandbox's files: %w", err)
	}
	for _, entry := range entries {
		if entry.Name() == "logs" {
			continue
		}
		if err := removeAll(filepath.Join(o.dir, entry.Name())); err != nil {
			return fmt.Errorf("removing the sandbox's files: %w", err)
		}
	}
	return nil
}

// sweep removes what killed owners left: temporary directories, and the cgroups
// of real nodes. It is housekeeping: what it cannot remove, it leaves.
func sweep(logf func(string, ...any)) {
	sweepNetworks(logf)
	dirs, err := filepath.Glob(filepath.Join(os.TempDir(), dirPrefix+"*"))
	if err != nil {
		return
	}
	for _, dir := range dirs {
		if isAbandoned(dir) && removeAll(dir) == nil {
			logf("removed %s, whose owner is gone", dir)
		}
	}
}

// removeAll removes a directory in which a process that the kernel is ending may
// still write.
func removeAll(dir string) error {
	for range removeAttempts {
		err := os.RemoveAll(dir)
		if !errors.Is(err, syscall.ENOTEMPTY) && !errors.Is(err, syscall.EBUSY) {
			return err
		}
		time.Sleep(pollEvery)
	}
	return os.RemoveAll(dir)
}

// isAbandoned is true for a directory of this user that no process owns.
func isAbandoned(dir string) bool {
	info, err := os.Lstat(dir)
	if err != nil || !info.IsDir() {
		return false
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); !ok || int(stat.Uid) != os.Getuid() {
		return false
	}
	file, err := os.Open(filepath.Join(dir, ownerFile))
	if errors.Is(err, os.ErrNotExist) {
		return time.Since(info.ModTime()) > unownedGrace
	}
	if err != nil {
		return false
	}
	defer file.Close()
	return syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
}
