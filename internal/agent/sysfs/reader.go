package sysfs

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/k8s4ai/k8s4ai/internal/agent/machine"
)

// Bounds of what is read. They are far above what machines have, and low enough
// that a broken tree cannot fill the agent's memory or the report.
const (
	maxFileBytes = 64 << 10
	cpuinfoHead  = 4 << 10
	maxEntries   = 1024
	maxProblems  = 64
	maxWhat      = 200
	// maxName is the longest name of a device that a report can carry, with room
	// for a port's number.
	maxName = 60
	maxText = 128
)

// reader reads below a host's root and collects what goes wrong.
type reader struct {
	fsys     fs.FS
	problems []machine.Problem
	dropped  int
	buffer   []byte
}

func (r *reader) problem(device, format string, args ...any) {
	if len(r.problems) >= maxProblems {
		r.dropped++
		return
	}
	r.problems = append(r.problems, machine.Problem{
		Device: printable(device, maxName), What: printable(fmt.Sprintf(format, args...), maxWhat),
	})
}

func (r *reader) allProblems() []machine.Problem {
	if r.dropped == 0 {
		return r.problems
	}
	return append(r.problems, machine.Problem{Device: "machine", What: fmt.Sprintf("%d more problems", r.dropped)})
}

var errTooLong = errors.New("is longer than 64 KiB")

// text returns a file of at most 64 KiB without the space around it.
func (r *reader) text(name string) (string, error) {
	text, err := r.head(name, maxFileBytes+1)
	if err == nil && len(text) > maxFileBytes {
		return "", fmt.Errorf("%s %w", name, errTooLong)
	}
	return strings.TrimSpace(text), err
}

// head returns the start of a file. It opens regular files only, because opening
// a pipe waits for its writer.
func (r *reader) head(name string, limit int) (string, error) {
	info, err := fs.Stat(r.fsys, name)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is no file", name)
	}
	file, err := r.fsys.Open(name)
	if err != nil {
		return "", err
	}
	if r.buffer == nil {
		r.buffer = make([]byte, maxFileBytes+1)
	}
	n, err := io.ReadFull(file, r.buffer[:limit])
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return string(r.buffer[:n]), errors.Join(err, file.Close())
}

// names lists a directory in the order in which people count. A directory that is
// not there is empty.
func (r *reader) names(dir string) []string {
	file, err := r.fsys.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		r.problem(dir, "cannot be listed: %v", err)
		return nil
	}
	lister, isDir := file.(fs.ReadDirFile)
	if !isDir {
		r.problem(dir, "cannot be listed: it is no directory: %v", file.Close())
		return nil
	}
	entries, err := lister.ReadDir(maxEntries + 1)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if err = errors.Join(err, file.Close()); err != nil {
		r.problem(dir, "cannot be listed: %v", err)
	}
	if len(entries) > maxEntries {
		r.problem(dir, "has more than %d entries: the others are left out", maxEntries)
		entries = entries[:maxEntries]
	}
	names := make([]string, len(entries))
	for i, entry := range entries {
		names[i] = entry.Name()
	}
	slices.SortFunc(names, compareNames)
	return names
}

// compareNames orders mlx5_2 before mlx5_10.
func compareNames(a, b string) int {
	x, y := strings.TrimRight(a, "0123456789"), strings.TrimRight(b, "0123456789")
	if x != y {
		return strings.Compare(x, y)
	}
	p, q := strings.TrimLeft(a[len(x):], "0"), strings.TrimLeft(b[len(y):], "0")
	return cmp.Or(cmp.Compare(len(p), len(q)), strings.Compare(p, q), strings.Compare(a, b))
}

// deviceNames are the entries of a class directory that a report can name.
func (r *reader) deviceNames(dir string) []string {
	var names []string
	for _, name := range r.names(dir) {
		if len(name) > maxName || !isPlain(name) {
			r.problem(name, "%s: a name of this kind cannot be reported", dir)
			continue
		}
		names = append(names, name)
	}
	return names
}

// isPlain says whether text is one printable ASCII word.
func isPlain(text string) bool {
	for i := range len(text) {
		if text[i] <= ' ' || text[i] > '~' {
			return false
		}
	}
	return text != ""
}

// printable makes text safe for a log and a report, and cuts it.
func printable(text string, limit int) string {
	text = strings.Map(func(c rune) rune {
		if c == unicode.ReplacementChar || !unicode.IsPrint(c) {
			return '?'
		}
		return c
	}, strings.TrimSpace(text))
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit]
}
