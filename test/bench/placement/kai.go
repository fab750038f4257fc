package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"time"
)

// kaiQuestion is what the binary of test/bench/kai reads, and kaiAnswer a line
// that it writes.
type kaiQuestion struct {
	Fabric    *Fabric `json:"fabric"`
	Gangs     []Gang  `json:"gangs"`
	SliceSize int     `json:"sliceSize"`
	Devices   int     `json:"devices"`
}

type kaiAnswer struct {
	Answer
	SessionMicros  float64 `json:"sessionMicros"`
	AllocateMicros float64 `json:"allocateMicros"`
	Allocs         float64 `json:"allocs"`
	// late says that KAI was stopped, and that there are no figures.
	late bool
}

// errLate is KAI's taking longer than it may.
var errLate = errors.New("KAI took too long")

// buildKAI builds the peer, which is a module of its own.
func buildKAI(ctx context.Context, root string) (string, error) {
	binary, err := filepath.Abs(filepath.Join(root, "out", "bench", "kai"))
	if err != nil {
		return "", fmt.Errorf("building KAI: %w", err)
	}
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", binary, ".")
	build.Dir = filepath.Join(root, "test", "bench", "kai")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building KAI in %s: %w\n%s", build.Dir, err, out)
	}
	return binary, nil
}

// askKAI has KAI place the gangs one after another, each in a session of its own
// that may take so long. A gang that takes longer is late, and KAI starts again
// with the next.
func askKAI(ctx context.Context, binary string, f *Fabric, gangs []Gang, limit time.Duration, each func(Gang, kaiAnswer) error) error {
	for len(gangs) > 0 {
		done, err := startKAI(ctx, binary, f, gangs, limit, each)
		if err != nil && !errors.Is(err, errLate) {
			return err
		}
		if errors.Is(err, errLate) {
			if err := each(gangs[done], kaiAnswer{late: true}); err != nil {
				return err
			}
			done++
		}
		gangs = gangs[done:]
	}
	return nil
}

// startKAI runs one process, and returns how many gangs it has answered.
func startKAI(ctx context.Context, binary string, f *Fabric, gangs []Gang, limit time.Duration, each func(Gang, kaiAnswer) error) (int, error) {
	question, err := json.Marshal(kaiQuestion{f, gangs, sliceSize, devicesPerNode})
	if err != nil {
		return 0, fmt.Errorf("asking KAI: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var log bytes.Buffer
	kai := exec.CommandContext(ctx, binary)
	kai.Stdin, kai.Stderr = bytes.NewReader(question), &log
	stdout, err := kai.StdoutPipe()
	if err != nil {
		return 0, fmt.Errorf("asking KAI: %w", err)
	}
	if err := kai.Start(); err != nil {
		return 0, fmt.Errorf("asking KAI: %w", err)
	}
	done, err := readKAI(ctx, stdout, gangs, limit, each)
	cancel()
	_ = kai.Wait() // It has said all, or was stopped.
	if err != nil && !errors.Is(err, errLate) {
		return done, fmt.Errorf("%w; KAI wrote:\n%s", err, tail(log.Bytes()))
	}
	return done, err
}

// readKAI reads a line for every gang, each within the limit.
func readKAI(ctx context.Context, from io.Reader, gangs []Gang, limit time.Duration, each func(Gang, kaiAnswer) error) (int, error) {
	lines := make(chan []byte)
	go func() {
		defer close(lines)
		scanner := bufio.NewScanner(from)
		scanner.Buffer(nil, 1<<20)
		for scanner.Scan() {
			select {
			case lines <- bytes.Clone(scanner.Bytes()):
			case <-ctx.Done():
				return
			}
		}
	}()
	for i, g := range gangs {
		timer := time.NewTimer(limit)
		select {
		case <-timer.C:
			return i, errLate
		case line, more := <-lines:
			timer.Stop()
			if !more {
				return i, fmt.Errorf("KAI ended before the answer to %s", g)
			}
			var a kaiAnswer
			if err := json.Unmarshal(line, &a); err != nil {
				return i, fmt.Errorf("reading KAI's answer %q: %w", line, err)
			}
			if err := each(g, a); err != nil {
				return i, err
			}
		}
	}
	return len(gangs), nil
}

// tail is the end of a long text.
func tail(text []byte) []byte { return text[max(0, len(text)-4000):] }
