package fleet

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
)

// Answers of the driver's library, in its numbers.
const (
	accessWorks, accessMissing = 0, 5
	fabricCompleted            = 3
	fabricHealthy              = 1
	// fabricMask has "false" in each part that tells of a fault, and a right
	// configuration.
	fabricMask = 0x1aa
	// eventTypes are Xids and memory errors of one and of two bits.
	eventTypes = 11
	// throttleIdle is why clocks of a GPU without work are low.
	throttleIdle = 1
)

// c2cLinks is how many links connect a Grace CPU and one of its GPUs.
const c2cLinks = 10

// ancestorNumbers and linkVersionNumbers are the library's numbers for what
// connects two GPUs, and for versions of NVLink.
var (
	ancestorNumbers = map[v1alpha1.PCIePath]int{
		v1alpha1.PCIePIX: 10, v1alpha1.PCIePXB: 20, v1alpha1.PCIePHB: 30, v1alpha1.PCIeNODE: 40, v1alpha1.PCIeSYS: 50,
	}
	linkVersionNumbers = map[string]int{"3.0": 4, "4.0": 6, "5.0": 7}
)

// NVML returns the description of the machine's GPUs for the fake of NVIDIA's
// library in hack/fakenvml, nil for a machine without NVIDIA GPUs. It tells of the
// same devices as the machine's report in Reports.
func (f *Fleet) NVML(m Machine) []byte {
	s := shapes[m.Shape]
	if s.gpus == 0 || s.gpu.isAMD() {
		return nil
	}
	var out bytes.Buffer
	line := func(format string, values ...any) { fmt.Fprintf(&out, format+"\n", values...) }
	line("# FAKE: the GPUs of the simulated machine %s, shape %s, for hack/fakenvml.", m.Name, m.Shape)
	line("driver %s", driverVersion)
	for i := range s.gpus {
		line("gpu %d uuid %s", i, s.gpuUUID(&m, i))
		line("gpu %d pci %s", i, s.gpuBDF[i])
		if f.tellsNUMA() {
			line("gpu %d numa %d", i, s.gpuNUMA[i])
		}
	}
	vendor, device, _ := strings.Cut(s.gpu.pciID, ":")
	line("gpu * name %s", s.gpu.product)
	line("gpu * pci-device 0x%s%s", device, vendor)
	line("gpu * memory-total %d", s.gpu.memory)
	line("gpu * memory-reserved %d", driverReserves)
	line("gpu * memory-used 0")
	line("gpu * cc-major %d", s.gpu.major)
	line("gpu * cc-minor %d", s.gpu.minor)
	line("gpu * temperature 32")
	line("gpu * throttle %d", throttleIdle)
	line("gpu * ecc-uncorrected 0")
	line("gpu * remap-pending 0")
	line("gpu * remap-failure 0")
	line("gpu * recovery 0")
	line("gpu * events %d", eventTypes)
	if s.gpu.c2cGBps > 0 {
		line("gpu * c2c %d", c2cLinks)
		line("gpu * c2c-mbps %d", s.gpu.c2cGBps*1000/c2cLinks)
	}
	s.describeMIG(line)
	s.describeLinks(line)
	f.describeFabric(&m, &s, line)
	f.describePairs(&s, line)
	return out.Bytes()
}

// describeMIG offers instances that have eighths of the memory.
func (s *shape) describeMIG(line func(string, ...any)) {
	if !s.gpu.hasMIG {
		return
	}
	line("gpu * mig 0")
	for _, p := range []struct{ number, slices, eighths int }{{0, 1, 1}, {9, 1, 2}, {1, 2, 2}, {2, 3, 4}, {3, 4, 4}, {4, 7, 8}} {
		sold := (s.gpu.memory + gib - 1) / gib
		gigabytes := (sold*int64(p.eighths) + 4) / 8
		line("gpu * mig-profile %d %dg.%dgb %d %d", p.number, p.slices, gigabytes, p.slices, s.gpu.memory/mib*int64(p.eighths)/8)
	}
}

// describeLinks tells the address of switches in the machine only.
func (s *shape) describeLinks(line func(string, ...any)) {
	if len(s.switches) == 0 {
		return
	}
	next := int32(0)
	for i, count := range s.switches {
		address := "none"
		if i < len(s.switchBDF) {
			address = s.switchBDF[i]
		}
		line("link * %s switch %s", numbers(next, count), address)
		next += count
	}
	line("link * %s version %d", numbers(0, next), linkVersionNumbers[s.linkVersion])
	line("gpu * links %d", next)
	line("gpu * link-mbps %d", s.linkGbps*1000/8)
}

// numbers writes count numbers from first on.
func numbers(first, count int32) string {
	return strconv.Itoa(int(first)) + "-" + strconv.Itoa(int(first+count-1))
}

// describeFabric tells of what GPUs with NVLink switches know: a rack has a
// cluster, a baseboard one without a UUID.
func (f *Fleet) describeFabric(m *Machine, s *shape, line func(string, ...any)) {
	if len(s.switches) == 0 {
		return
	}
	line("gpu * fabric-state %d", fabricCompleted)
	line("gpu * fabric-status 0")
	line("gpu * fabric-mask %#x", fabricMask)
	line("gpu * fabric-summary %d", fabricHealthy)
	if m.Rack == "" {
		line("gpu * fabric-clique 0")
		return
	}
	line("gpu * fabric-uuid %s", f.clusterUUID(m.Rack))
	line("gpu * fabric-clique %d", cliqueID)
	line("gpu * rack %s", f.rackSerial(m.Rack))
}

// rackSerial returns the serial number of a rack, 13 characters as the driver
// gives it.
func (f *Fleet) rackSerial(rack string) string {
	return strings.ToUpper(strings.ReplaceAll(uuid(f.Name, rack, "serial"), "-", "")[:13])
}

func (f *Fleet) describePairs(s *shape, line func(string, ...any)) {
	nvLink := accessMissing
	if len(s.switches) > 0 {
		nvLink = accessWorks
	}
	for i := range s.gpus {
		for j := i + 1; j < s.gpus; j++ {
			line("pair %d %d ancestor %d", i, j, ancestorNumbers[f.gpuPath(s, i, j)])
			line("pair %d %d read %d", i, j, accessWorks)
			line("pair %d %d nvlink %d", i, j, nvLink)
		}
	}
}
