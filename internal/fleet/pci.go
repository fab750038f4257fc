package fleet

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
)

// function is one PCI function of a machine.
type function struct {
	bdf  string
	dir  string // below sys/devices
	id   string // vendor:device
	code string // PCI class
	numa int32
}

// The PCI classes and IDs of what every machine has.
const (
	classBridge     = "0x060400"
	classOther      = "0x068000"
	classGPU        = "0x030200"
	classAMD        = "0x120000"
	classInfiniBand = "0x020700"
	classEthernet   = "0x020000"
	classNVMe       = "0x010802"

	idRootPort = "8086:352a"
	idSwitch   = "1000:c030"
	idNVSwitch = "10de:22a3"
	idNIC      = "15b3:1021"
	idNVMe     = "144d:a824"
)

// functions returns the PCI functions of a machine of the shape. Bare metal has
// the tree from which the relations of its report follow: a port and the GPUs next
// to it share a PCIe switch; the GPUs of one NUMA node and PCI domain without a
// port share a host bridge; everything else has its own. In a virtual machine
// every device is right behind the one host bridge.
func (f *Fleet) functions(s *shape) []function {
	devices := f.endpoints(s)
	switch f.Provider {
	case ProviderNone:
	case ProviderGKE, ProviderDOKS:
		return behind("pci0000:00", "0000:00:%02x.0", 2, devices)
	}
	var all []function
	placed := make([]bool, len(devices))
	for i, port := range s.nics {
		if len(port.gpus) == 0 {
			continue
		}
		members := []function{devices[s.gpus+i]}
		placed[s.gpus+i] = true
		for _, gpu := range port.gpus {
			members = append(members, devices[gpu])
			placed[gpu] = true
		}
		all = append(all, onSwitch(members)...)
	}
	for i := range devices {
		if placed[i] {
			continue
		}
		var members []function
		for j := i; j < len(devices); j++ {
			if !placed[j] && sharesBridge(devices[i], devices[j]) {
				members = append(members, devices[j])
				placed[j] = true
			}
		}
		domain, bus := place(members[0].bdf)
		root := fmt.Sprintf("%s:%02x", domain, bus-1)
		all = append(all, behind("pci"+root, root+":%02x.0", 1, members)...)
	}
	return all
}

// sharesBridge says whether two devices without a PCIe switch have one host
// bridge: GPUs, or NVLink switches, of one NUMA node and PCI domain.
func sharesBridge(a, b function) bool {
	domainA, _ := place(a.bdf)
	domainB, _ := place(b.bdf)
	isAlone := a.code == classNVMe || a.code == classInfiniBand || a.code == classEthernet
	return a.bdf == b.bdf || !isAlone && a.code == b.code && a.numa == b.numa && domainA == domainB
}

// endpoints lists GPUs, then ports, then NVMe devices and NVLink switches, still
// without their directories.
func (f *Fleet) endpoints(s *shape) []function {
	var all []function
	add := func(bdf, id, code string, numa int32) {
		if !f.tellsNUMA() {
			numa = -1
		}
		all = append(all, function{bdf: bdf, id: id, code: code, numa: numa})
	}
	gpuClass, nicClass := classGPU, classInfiniBand
	if s.gpu.isAMD() {
		gpuClass = classAMD
	}
	if f.Fabric.LinkLayer == string(v1alpha1.LinkLayerEthernet) {
		nicClass = classEthernet
	}
	for i := range s.gpus {
		add(s.gpuBDF[i], s.gpu.pciID, gpuClass, s.gpuNUMA[i])
	}
	for _, port := range s.nics {
		add(port.bdf, idNIC, nicClass, port.numa)
	}
	for i := range s.hostNVMes {
		add(nvmeBDF[i], idNVMe, classNVMe, int32(i%len(s.numaCPUs)))
	}
	for _, bdf := range s.switchBDF {
		add(bdf, idNVSwitch, classOther, 0)
	}
	return all
}

// behind puts each device behind a port of its own of one host bridge; ports are
// numbered from first on.
func behind(bridge, port string, first int, devices []function) []function {
	var all []function
	for i, d := range devices {
		root := function{bdf: fmt.Sprintf(port, first+i), id: idRootPort, code: classBridge, numa: d.numa}
		root.dir = bridge + "/" + root.bdf
		d.dir = root.dir + "/" + d.bdf
		all = append(all, root, d)
	}
	return all
}

// onSwitch puts devices on the downstream ports of one PCIe switch, on the buses
// right below the lowest of theirs.
func onSwitch(devices []function) []function {
	slices.SortFunc(devices, func(a, b function) int { return strings.Compare(a.bdf, b.bdf) })
	domain, bus := place(devices[0].bdf)
	above := function{id: idRootPort, code: classBridge, numa: devices[0].numa}
	above.bdf = fmt.Sprintf("%s:%02x:01.0", domain, bus-3)
	above.dir = fmt.Sprintf("pci%s:%02x/%s", domain, bus-3, above.bdf)
	upstream := above
	upstream.id, upstream.bdf = idSwitch, fmt.Sprintf("%s:%02x:00.0", domain, bus-2)
	upstream.dir += "/" + upstream.bdf
	all := []function{above, upstream}
	for i, d := range devices {
		port := upstream
		port.bdf = fmt.Sprintf("%s:%02x:%02x.0", domain, bus-1, i)
		port.dir += "/" + port.bdf
		d.dir = port.dir + "/" + d.bdf
		all = append(all, port, d)
	}
	return all
}

// place returns the domain and the bus of an address of a shape.
func place(bdf string) (domain string, bus uint64) {
	domain, rest, _ := strings.Cut(bdf, ":")
	bus, _ = strconv.ParseUint(rest[:2], 16, 8)
	return domain, bus
}

// gpuPath is how the driver relates two GPUs of a machine.
func (f *Fleet) gpuPath(s *shape, i, j int) v1alpha1.PCIePath {
	if f.isVirtual() {
		return v1alpha1.PCIePHB
	}
	onSwitchI, onSwitchJ := s.switchOf(i), s.switchOf(j)
	domainI, _ := place(s.gpuBDF[i])
	domainJ, _ := place(s.gpuBDF[j])
	switch {
	case s.gpuNUMA[i] != s.gpuNUMA[j]:
		return v1alpha1.PCIeSYS
	case onSwitchI >= 0 && onSwitchI == onSwitchJ:
		return v1alpha1.PCIePIX
	case onSwitchI < 0 && onSwitchJ < 0 && domainI == domainJ:
		return v1alpha1.PCIePHB
	default:
		return v1alpha1.PCIeNODE
	}
}

// switchOf returns the port with which a GPU shares a PCIe switch, -1 for none.
func (s *shape) switchOf(gpu int) int {
	return slices.IndexFunc(s.nics, func(port nic) bool { return slices.Contains(port.gpus, gpu) })
}
