//go:build cgo

package nvml

import (
	"fmt"
	"strings"

	gonvml "github.com/NVIDIA/go-nvml/pkg/nvml"

	"github.com/k8s4ai/k8s4ai/internal/agent/machine"
)

const (
	// maxGPUs is more than any machine has, and what a node report can hold.
	maxGPUs     = 64
	maxProblems = 64
)

// memory is what one look leaves for the next ones.
type memory struct {
	// uuids are those of the last look, by the driver's index.
	uuids []string
	// devices are those that were ever read, by UUID.
	devices map[string]*known
	// paths are the nearest common parts of two GPUs, by their UUIDs. They are
	// asked for once.
	paths map[[2]string]string
	// isSwitched says of the PCI ids of GPUs whether links of such a GPU end on
	// switches.
	isSwitched map[string]bool
}

func newMemory() memory {
	return memory{devices: map[string]*known{}, paths: map[[2]string]string{}, isSwitched: map[string]bool{}}
}

// known is what is remembered of a device.
type known struct {
	// isComplete is true when all that does not change was read.
	isComplete bool
	// fixed are the facts that do not change, and last those of the last look at
	// which the device answered.
	fixed, last machine.GPU
	rack        string
	// offeredUnder is the MIG mode under which the offered profiles were read.
	offeredUnder *bool
	// linkCount and linkGbps hold for all NVLinks.
	linkCount, linkGbps int
	// ends are where the links lead, as far as they were seen to carry traffic.
	ends [gonvml.NVLINK_MAX_LINKS]end
}

// look is one look at all GPUs.
type look struct {
	driver  *Driver
	gpus    []*gpu
	reading Reading
}

// Read looks at the machine's GPUs. What does not change, such as names, and where
// links lead, is asked for once per device; everything else, also whether GPUs
// reach each other, at every look. For 8 GPUs with switches that makes about 350
// calls. A device that answers no call is Lost with its last facts; one that has
// never answered is only named in Problems.
func (d *Driver) Read() Reading {
	d.inUse.RLock()
	defer d.inUse.RUnlock()
	d.reading.Lock()
	defer d.reading.Unlock()
	if d.isClosing() {
		return Reading{Problems: []machine.Problem{{Device: "driver", What: "the driver's library is closed"}}}
	}
	l := &look{driver: d}
	version, ret := d.library.SystemGetDriverVersion()
	if ret != gonvml.SUCCESS {
		l.complain("driver", "version: "+describe(ret))
	}
	l.reading.Driver = printable(version, maxText)
	l.find()
	for _, g := range l.gpus {
		g.read()
	}
	l.relate()
	l.readLinks()
	l.collect()
	return l.reading
}

// find fills in the GPUs, each UUID once.
func (l *look) find() {
	d := l.driver
	count, ret := d.library.DeviceGetCount()
	if ret != gonvml.SUCCESS {
		l.complain("driver", "number of GPUs: "+describe(ret))
		count = len(d.memory.uuids)
	}
	if count > maxGPUs || count < 0 {
		l.complain("driver", fmt.Sprintf("it tells of %d GPUs: the first %d are read", count, maxGPUs))
		count = maxGPUs
	}
	uuids := make([]string, count)
	indexes := map[string]int{}
	for i := range count {
		g, uuid := l.at(i)
		uuids[i] = uuid
		if g == nil {
			continue
		}
		if first, taken := indexes[uuid]; taken {
			l.complain(fmt.Sprintf("GPU %d", i), fmt.Sprintf("it has the UUID %s of GPU %d: only GPU %d is reported", uuid, first, first))
			continue
		}
		indexes[uuid] = i
		l.gpus = append(l.gpus, g)
	}
	d.memory.keep(uuids)
}

// keep remembers the UUIDs of a look. Devices that are gone are forgotten when
// there are many, so that a driver that makes up UUIDs fills no memory.
func (m *memory) keep(uuids []string) {
	if len(m.devices) > 2*maxGPUs {
		old := m.devices
		*m = newMemory()
		for _, uuid := range uuids {
			if k := old[uuid]; k != nil {
				m.devices[uuid] = k
			}
		}
	}
	m.uuids = uuids
}

// at returns the GPU of an index and its UUID, as far as it can be told.
func (l *look) at(index int) (*gpu, string) {
	d, name := l.driver, fmt.Sprintf("GPU %d", index)
	device, ret := d.library.DeviceGetHandleByIndex(index)
	if ret == gonvml.SUCCESS {
		var uuid string
		if uuid, ret = device.GetUUID(); ret == gonvml.SUCCESS {
			if !isIdentifier(uuid) {
				l.complain(name, fmt.Sprintf("its UUID %q is none", printable(uuid, maxText)))
				return nil, ""
			}
			return d.newGPU(index, strings.Clone(uuid), device), uuid
		}
	}
	uuid := ""
	if index < len(d.memory.uuids) {
		uuid = d.memory.uuids[index]
	}
	l.complain(strings.TrimSpace(name+" "+uuid), "it answers no call: "+describe(ret))
	if uuid == "" {
		return nil, ""
	}
	g := d.newGPU(index, uuid, nil)
	g.isLost = true
	if ret == gonvml.ERROR_RESET_REQUIRED {
		g.known.last.Recovery = recoveryReset
	}
	return g, uuid
}

// collect puts together what the GPUs said.
func (l *look) collect() {
	for _, g := range l.gpus {
		l.reading.GPUs = append(l.reading.GPUs, g.facts)
		if len(g.faults) > 0 {
			l.complain(fmt.Sprintf("GPU %d %s", g.facts.Index, g.facts.UUID), strings.Join(g.faults, "; "))
		}
	}
}

func (l *look) complain(device, what string) {
	if len(l.reading.Problems) < maxProblems {
		l.reading.Problems = append(l.reading.Problems, machine.Problem{Device: device, What: printable(what, maxProblem)})
	}
}
