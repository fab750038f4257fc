//go:build cgo

package nvml

import (
	"fmt"

	gonvml "github.com/NVIDIA/go-nvml/pkg/nvml"

	"github.com/k8s4ai/k8s4ai/internal/agent/machine"
)

const (
	recoveryReset = "GPUReset"
	// maxC2C is more chip-to-chip links than any device has.
	maxC2C = 64
	// maxTemperature is in degrees Celsius; a device that is broken tells more.
	maxTemperature = 200
)

// gpu is one GPU during one look.
type gpu struct {
	driver *Driver
	device gonvml.Device // nil when there is no handle
	known  *known
	facts  machine.GPU
	faults []string
	isLost bool
}

func (d *Driver) newGPU(index int, uuid string, device gonvml.Device) *gpu {
	k := d.memory.devices[uuid]
	if k == nil {
		k = &known{fixed: machine.GPU{
			UUID: uuid, NUMANode: machine.Unknown,
			MemoryTotal: machine.Unknown, MemoryReserved: machine.Unknown, MemoryUsed: machine.Unknown, TemperatureC: machine.Unknown,
		}}
		k.last = k.fixed
		d.memory.devices[uuid] = k
	}
	g := &gpu{driver: d, device: device, known: k}
	g.facts.Index = index
	return g
}

// ok says whether a call brought a result. What a device or driver does not have
// is no fault; a device that is gone is lost, whatever else it answers.
func (g *gpu) ok(what string, ret gonvml.Return) bool {
	switch ret {
	case gonvml.SUCCESS:
		return true
	case gonvml.ERROR_GPU_IS_LOST, gonvml.ERROR_GPU_NOT_FOUND:
		if !g.isLost {
			g.faults = append(g.faults, what+": "+describe(ret))
		}
		g.isLost = true
	case gonvml.ERROR_RESET_REQUIRED:
		g.facts.Recovery = recoveryReset
	case gonvml.ERROR_NOT_SUPPORTED, gonvml.ERROR_FUNCTION_NOT_FOUND, gonvml.ERROR_NO_DATA, gonvml.ERROR_NOT_FOUND,
		gonvml.ERROR_NOT_READY, gonvml.ERROR_DEPRECATED, gonvml.ERROR_ARGUMENT_VERSION_MISMATCH, gonvml.ERROR_VGPU_ECC_NOT_SUPPORTED:
	default:
		g.faults = append(g.faults, what+": "+describe(ret))
	}
	return false
}

// read fills in the facts. A GPU that is lost on the way keeps those of the last
// look.
func (g *gpu) read() {
	index := g.facts.Index
	steps := []func(){
		g.readFixed, g.readMemory, g.readMIG, g.readFields, g.readErrors, g.readClocks, g.readFabric,
	}
	for _, step := range steps {
		if !g.isLost {
			step()
		}
	}
	if g.isLost {
		g.facts = g.known.last
		g.facts.Lost = true
		g.facts.MemoryUsed, g.facts.TemperatureC, g.facts.Throttle = machine.Unknown, machine.Unknown, nil
	}
	g.facts.Index = index
	if !g.isLost {
		g.known.last = g.facts
	}
}

// readFixed fills in what does not change. It asks again as long as some of it
// fails.
func (g *gpu) readFixed() {
	k := g.known
	if !k.isComplete {
		faults := len(g.faults)
		g.readIdentity(&k.fixed)
		k.fixed.NUMANode = g.numaNode()
		k.rack = g.rack()
		k.isComplete = len(g.faults) == faults && !g.isLost
	}
	recovery := g.facts.Recovery
	index := g.facts.Index
	g.facts = k.fixed
	g.facts.Index, g.facts.Recovery = index, recovery
}

func (g *gpu) readIdentity(fixed *machine.GPU) {
	if name, ret := g.device.GetName(); g.ok("name", ret) {
		fixed.Name = printable(name, maxText)
	}
	if pci, ret := g.device.GetPciInfo(); g.ok("PCI address", ret) {
		fixed.PCIAddress, fixed.PCIID = pciAddress(cString(pci.BusId[:])), pciID(pci.PciDeviceId)
		if fixed.PCIAddress == "" {
			g.faults = append(g.faults, fmt.Sprintf("its PCI address %q is none", printable(cString(pci.BusId[:]), maxText)))
		}
	}
	if major, minor, ret := g.device.GetCudaComputeCapability(); g.ok("compute capability", ret) && major > 0 && major < 1000 && minor >= 0 && minor < 1000 {
		fixed.ComputeCapability = fmt.Sprintf("%d.%d", major, minor)
	}
}

// numaNode returns the node next to the device. GetNumaNodeId is another thing:
// the node that the device's own memory makes up, where it does.
func (g *gpu) numaNode() int {
	if !g.driver.has[symbolMemoryAffinity] {
		return machine.Unknown
	}
	const nodes = 64 // go-nvml makes room for eight times as many.
	set, ret := g.device.GetMemoryAffinity(nodes, gonvml.AFFINITY_SCOPE_NODE)
	if !g.ok("NUMA node", ret) {
		return machine.Unknown
	}
	return onlyNode(set)
}

func (g *gpu) rack() string {
	if !g.driver.has[symbolPlatformInfo] {
		return ""
	}
	info, ret := g.device.GetPlatformInfo()
	if !g.ok("platform", ret) {
		return ""
	}
	// The call asks for the first form, where the rack is in the place of what
	// later forms call chassis.
	return rackID(info.ChassisSerialNumber)
}

func (g *gpu) readMemory() {
	f := &g.facts
	switch {
	case g.driver.has[symbolMemoryInfo2]:
		if info, ret := g.device.GetMemoryInfo_v2(); g.ok("memory", ret) {
			f.MemoryTotal, f.MemoryReserved, f.MemoryUsed = bytesOf(info.Total), bytesOf(info.Reserved), bytesOf(info.Used)
		}
	case g.driver.has[symbolMemoryInfo]:
		// This form counts what the driver reserves as used.
		if info, ret := g.device.GetMemoryInfo(); g.ok("memory", ret) {
			f.MemoryTotal, f.MemoryUsed = bytesOf(info.Total), bytesOf(info.Used)
		}
	}
	if f.MemoryTotal == 0 {
		f.MemoryTotal = machine.Unknown // Memory that is the CPU's.
	}
	if f.MemoryReserved > f.MemoryTotal {
		f.MemoryReserved = machine.Unknown
	}
	if f.MemoryUsed > f.MemoryTotal {
		f.MemoryUsed = machine.Unknown
	}
}

// readFields asks for several numbers in one call.
func (g *gpu) readFields() {
	fields := []gonvml.FieldValue{
		{FieldId: gonvml.FI_DEV_NVLINK_LINK_COUNT},
		{FieldId: gonvml.FI_DEV_NVLINK_SPEED_MBPS_COMMON},
		{FieldId: gonvml.FI_DEV_GET_GPU_RECOVERY_ACTION},
		{FieldId: gonvml.FI_DEV_C2C_LINK_COUNT},
	}
	if !g.ok("fields", g.device.GetFieldValues(fields)) {
		return
	}
	if count, ok := numberOf(&fields[0]); ok {
		if count > gonvml.NVLINK_MAX_LINKS {
			g.faults = append(g.faults, fmt.Sprintf("it tells of %d NVLinks: the first %d are read", count, gonvml.NVLINK_MAX_LINKS))
		}
		g.known.linkCount = int(min(count, gonvml.NVLINK_MAX_LINKS))
	}
	if speed, ok := numberOf(&fields[1]); ok && speed > 0 {
		g.known.linkGbps = gbps(speed) // Where no link is active, there is none.
	}
	if action, ok := numberOf(&fields[2]); ok && g.facts.Recovery == "" {
		g.facts.Recovery = recoveryAction(action)
	}
	if count, ok := numberOf(&fields[3]); ok && count > 0 {
		g.readC2C(min(count, maxC2C))
	}
}

// readC2C adds up the active links to the CPU.
func (g *gpu) readC2C(count uint64) {
	var fields []gonvml.FieldValue
	for link := range uint32(count) {
		fields = append(fields,
			gonvml.FieldValue{FieldId: gonvml.FI_DEV_C2C_LINK_GET_STATUS, ScopeId: link},
			gonvml.FieldValue{FieldId: gonvml.FI_DEV_C2C_LINK_GET_MAX_BW, ScopeId: link})
	}
	if !g.ok("C2C", g.device.GetFieldValues(fields)) {
		return
	}
	var megabytes uint64
	for i := 0; i < len(fields); i += 2 {
		if status, ok := numberOf(&fields[i]); !ok || status != 1 {
			continue
		}
		g.facts.C2CLinks++
		if bandwidth, ok := numberOf(&fields[i+1]); ok && bandwidth <= maxGbps*1000/8 {
			megabytes += bandwidth
		}
	}
	g.facts.C2CGBps = int((megabytes + 500) / 1000)
}

func (g *gpu) readErrors() {
	if count, ret := g.device.GetTotalEccErrors(gonvml.MEMORY_ERROR_TYPE_UNCORRECTED, gonvml.VOLATILE_ECC); g.ok("ECC errors", ret) && count <= maxMemory {
		g.facts.UncorrectableECC = int64(count)
	}
	if _, _, isPending, isFailure, ret := g.device.GetRemappedRows(); g.ok("remapped rows", ret) {
		g.facts.RemapPending, g.facts.RemapFailure = isPending, isFailure
	}
}

func (g *gpu) readClocks() {
	switch {
	case g.driver.has[symbolTemperatureV]:
		if info, ret := g.device.GetTemperatureV().V1(); g.ok("temperature", ret) {
			g.facts.TemperatureC = degrees(int(info.Temperature))
		}
	case g.driver.has[symbolTemperature]:
		if temperature, ret := g.device.GetTemperature(gonvml.TEMPERATURE_GPU); g.ok("temperature", ret) {
			g.facts.TemperatureC = degrees(int(temperature))
		}
	}
	switch {
	case g.driver.has[symbolClocksReasons]:
		if mask, ret := g.device.GetCurrentClocksEventReasons(); g.ok("clocks", ret) {
			g.facts.Throttle = throttleReasons(mask)
		}
	case g.driver.has[symbolThrottleReasons]:
		if mask, ret := g.device.GetCurrentClocksThrottleReasons(); g.ok("clocks", ret) {
			g.facts.Throttle = throttleReasons(mask)
		}
	}
}

// degrees bounds a temperature; Unknown is for one that a device in a machine cannot have.
func degrees(temperature int) int {
	if temperature < 0 || temperature > maxTemperature {
		return machine.Unknown
	}
	return temperature
}
