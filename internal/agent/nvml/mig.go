//go:build cgo

package nvml

import (
	"strings"

	gonvml "github.com/NVIDIA/go-nvml/pkg/nvml"
)

// maxInstances is more MIG instances than any device can have.
const maxInstances = 64

// readMIG comes behind the memory: the names of instances need the device's size.
func (g *gpu) readMIG() {
	current, _, ret := g.device.GetMigMode()
	if !g.ok("MIG mode", ret) {
		return
	}
	isEnabled := current == gonvml.DEVICE_MIG_ENABLE
	g.facts.MIGMode = &isEnabled
	if k := g.known; k.offeredUnder == nil || *k.offeredUnder != isEnabled {
		k.fixed.MIGSupported, k.offeredUnder = g.offered(), &isEnabled
	}
	g.facts.MIGSupported = g.known.fixed.MIGSupported
	if isEnabled && g.driver.has[symbolAttributes] {
		g.facts.MIGProfiles = g.instances()
	}
}

// offered are the names of the profiles that the device offers.
func (g *gpu) offered() []string {
	var names []string
	for profile := range gonvml.GPU_INSTANCE_PROFILE_COUNT {
		if g.driver.has[symbolProfileInfoV] {
			if info, ret := g.device.GetGpuInstanceProfileInfoV(profile).V2(); ret == gonvml.SUCCESS {
				if name := strings.TrimPrefix(cString(info.Name[:]), "MIG "); isIdentifier(name) {
					names = append(names, name)
				}
			}
			continue
		}
		if info, ret := g.device.GetGpuInstanceProfileInfo(profile); ret == gonvml.SUCCESS {
			names = append(names, migName(info.SliceCount, 0, info.MemorySizeMB, g.facts.MemoryTotal))
		}
	}
	return names
}

// instances are the names of the instances that exist.
func (g *gpu) instances() []string {
	count, ret := g.device.GetMaxMigDeviceCount()
	if !g.ok("number of MIG instances", ret) {
		return nil
	}
	var names []string
	for i := range min(count, maxInstances) {
		instance, ret := g.device.GetMigDeviceHandleByIndex(i)
		if ret != gonvml.SUCCESS {
			continue // No instance has this number.
		}
		if a, ret := instance.GetAttributes(); g.ok("MIG instance", ret) {
			names = append(names, migName(a.GpuInstanceSliceCount, a.ComputeInstanceSliceCount, a.MemorySizeMB, g.facts.MemoryTotal))
		}
	}
	return names
}
