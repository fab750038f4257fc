//go:build !cgo

package main

import "github.com/k8s4ai/k8s4ai/internal/agent/measure"

func newIdleChecker(_, _ string) measure.IdleChecker { return unknownIdle{} }

// unknownIdle cannot load libnvidia-ml.
type unknownIdle struct{}

// Idle implements measure.IdleChecker.
func (unknownIdle) Idle(string) (idle bool, why string) {
	return true, "this program was built without cgo and does not know who uses a device: build it with CGO_ENABLED=1"
}
