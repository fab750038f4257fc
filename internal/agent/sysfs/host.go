package sysfs

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/k8s4ai/k8s4ai/internal/agent/machine"
)

// Host is one look at a machine.
type Host struct {
	// BootID is the kernel's id of the current boot, "" when it is not known.
	BootID string
	// Virtual is true in a virtual machine.
	Virtual bool
	// AMDDriver is the version of the amdgpu module, "" without one and for the
	// module that comes with the kernel, which has no version of its own.
	AMDDriver string
	// NUMANodes are the nodes that have CPUs or memory, by number.
	NUMANodes []machine.NUMANode
	// NICs are the ports of RDMA devices, virtual functions included.
	NICs []machine.NIC
	// NVMes are the controllers on the PCI bus. Those over a network are no part
	// of the machine.
	NVMes []machine.NVMe
	// GPUs are the AMD accelerators, with their peers, in the order of the kernel's
	// topology; Links are their XGMI connections.
	GPUs  []machine.GPU
	Links []machine.Link
	// Problems name what could not be read, at most 64 and one that counts the rest.
	Problems []machine.Problem

	fsys fs.FS
	// devices are what GPUs are related to: RDMA devices, then NVMe controllers.
	devices []device
}

// device is one function on the PCI bus, or elsewhere when chain is nil.
type device struct {
	name    string
	address string
	chain   []string
	numa    int
}

// Read looks at the machine whose root directory is root, such as
// os.DirFS("/host"). It must be able to read symbolic links, as os.DirFS can. What
// is not there is left out; what cannot be read is in Problems.
func Read(root fs.FS) Host {
	r := &reader{fsys: root}
	h := Host{fsys: root}
	h.BootID = r.bootID()
	h.Virtual = r.isVirtual()
	h.NUMANodes = r.numaNodes()
	nics, adapters := r.rdma()
	nvmes, controllers := r.nvme()
	h.NICs, h.NVMes = nics, nvmes
	h.devices = slices.Concat(adapters, controllers)
	h.GPUs, h.Links, h.AMDDriver = r.amd()
	h.Problems = r.allProblems()
	return h
}

// Relate tells how near each GPU is to each RDMA device and NVMe controller. A
// pair that the kernel does not tell enough about is left out. In a virtual
// machine the answer is about the hypervisor's PCI tree, not about the machine's.
func (h Host) Relate(gpus []machine.GPU) []machine.Relation {
	r := &reader{fsys: h.fsys}
	var relations []machine.Relation
	for i := range gpus {
		gpu := r.pciDevice(gpus[i].PCIAddress)
		if gpus[i].NUMANode >= 0 {
			gpu.numa = gpus[i].NUMANode
		}
		for _, to := range h.devices {
			if path := relation(gpu, to); path != "" {
				relations = append(relations, machine.Relation{From: gpus[i].UUID, To: to.name, Path: path})
			}
		}
	}
	return relations
}

// NUMAOf returns the NUMA node of a PCI device, machine.Unknown when the kernel
// does not tell it.
func (h Host) NUMAOf(pciAddress string) int {
	r := &reader{fsys: h.fsys}
	return r.pciDevice(pciAddress).numa
}

func (r *reader) bootID() string {
	text, err := r.text("proc/sys/kernel/random/boot_id")
	if err == nil && (!isPlain(text) || len(text) > maxName) {
		err = fmt.Errorf("%.40q is none", text)
	}
	if err != nil {
		r.problem("machine", "the id of its boot is not known, so faults of an earlier boot are not forgotten: %v", err)
		return ""
	}
	return text
}

// isVirtual asks the CPU, which tells on x86. Elsewhere the maker of the machine
// has to do.
func (r *reader) isVirtual() bool {
	text, err := r.head("proc/cpuinfo", cpuinfoHead)
	if err != nil {
		r.problem("machine", "whether it is virtual is not known: %v", err)
	}
	if virtual, known := cpuIsVirtual(text); known {
		return virtual
	}
	for _, name := range []string{"sys/class/dmi/id/sys_vendor", "sys/class/dmi/id/product_name"} {
		if text, err := r.text(name); err == nil && isHypervisorName(text) {
			return true
		}
	}
	text, err = r.text("sys/hypervisor/type")
	return err == nil && text != ""
}

// numaNodes lists the nodes that hold anything: a Grace machine keeps many empty
// ones for GPU instances.
func (r *reader) numaNodes() []machine.NUMANode {
	const dir = "sys/devices/system/node"
	var nodes []machine.NUMANode
	for _, name := range r.names(dir) {
		id, isNode := numbered(name, "node")
		if !isNode {
			continue
		}
		cpus, err := r.text(dir + "/" + name + "/cpulist")
		if err == nil {
			err = checkCPUList(cpus)
		}
		if err != nil {
			r.problem("NUMA "+name, "cpulist: %v", err)
			cpus = ""
		}
		meminfo, err := r.text(dir + "/" + name + "/meminfo")
		memory := int64(0)
		if err == nil {
			memory, err = parseMemTotal(meminfo)
		}
		if err != nil {
			r.problem("NUMA "+name, "meminfo: %v", err)
		}
		if cpus != "" || memory > 0 {
			nodes = append(nodes, machine.NUMANode{ID: id, CPUs: cpus, MemoryBytes: memory})
		}
	}
	return nodes
}

// isHypervisorName knows the makers of virtual machines. Names that clouds also
// give to their bare-metal machines, such as Amazon's, do not count.
func isHypervisorName(text string) bool {
	for _, name := range []string{
		"QEMU", "KVM", "VMware", "VirtualBox", "Xen", "Bochs", "BHYVE", "OpenStack", "RHEV", "Parallels",
		"Virtual Machine", "Google Compute Engine", "DigitalOcean", "Cloud Hypervisor", "Firecracker", "Apple Virtualization",
	} {
		if strings.Contains(text, name) {
			return true
		}
	}
	return false
}
