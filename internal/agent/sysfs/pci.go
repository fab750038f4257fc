package sysfs

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"github.com/k8s4ai/k8s4ai/internal/agent/machine"
)

const (
	pciDevices = "sys/bus/pci/devices"
	// maxDepth bounds the bridges between the CPU and a device.
	maxDepth = 32
	// maxNUMANode is the largest number that a report can carry.
	maxNUMANode = 1023
)

// parseAddress returns a PCI address in lower case, with a domain of 4 digits
// where that is enough: the driver writes 8, and a volume management device
// needs 5.
func parseAddress(text string) (string, bool) {
	parts := strings.Split(strings.ToLower(text), ":")
	if len(parts) != 3 {
		return "", false
	}
	slot, function, _ := strings.Cut(parts[2], ".")
	domain, err := strconv.ParseUint(parts[0], 16, 32)
	if err != nil || !isHex(parts[0]) || len(parts[0]) < 4 || len(parts[0]) > 8 ||
		len(parts[1]) != 2 || !isHex(parts[1]) || len(slot) != 2 || !isHex(slot) ||
		len(function) != 1 || function[0] < '0' || function[0] > '7' {
		return "", false
	}
	return fmt.Sprintf("%04x:%s:%s.%s", domain, parts[1], slot, function), true
}

// isHostBridge knows the directory of a root of the PCI tree, such as pci0000:15.
func isHostBridge(component string) bool {
	name, found := strings.CutPrefix(component, "pci")
	domain, bus, hasBus := strings.Cut(name, ":")
	return found && hasBus && len(domain) >= 4 && len(domain) <= 8 && isHex(domain) && len(bus) == 2 && isHex(bus)
}

// pciChain finds the PCI function in the path of something that belongs to it,
// which has no symbolic links in it, and returns the function's address, its
// directory, and the way to it from the host bridge on, itself included. A second
// host bridge on the way, as below a volume management device, counts as one more
// bridge.
func pciChain(target string) (address, dir string, chain []string) {
	components := strings.Split(target, "/")
	first, last := -1, -1
	for i, component := range components {
		if first < 0 && isHostBridge(component) {
			first = i
		}
		if known, isAddress := parseAddress(component); isAddress && first >= 0 {
			address, last = known, i
		}
	}
	if last < 0 || last-first > maxDepth {
		return "", "", nil
	}
	return address, strings.Join(components[:last+1], "/"), components[first : last+1]
}

var errOutside = errors.New("it is no symbolic link into sys/devices")

// resolve returns the path below sys/devices to which a symbolic link of the
// kernel points. The kernel's links point there in one step.
func (r *reader) resolve(name string) (string, error) {
	target, err := fs.ReadLink(r.fsys, name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if err != nil || len(target) > maxFileBytes {
		return "", fmt.Errorf("%s: %w", name, errOutside)
	}
	if path.IsAbs(target) {
		target = strings.TrimPrefix(path.Clean(target), "/")
	} else {
		target = path.Join(path.Dir(name), target)
	}
	if !strings.HasPrefix(target, "sys/devices/") || !fs.ValidPath(target) {
		return "", fmt.Errorf("%s: %w", name, errOutside)
	}
	return target, nil
}

// pciDevice looks a PCI function up by its address. Its chain is nil when the
// kernel does not know it.
func (r *reader) pciDevice(address string) device {
	d := device{numa: machine.Unknown}
	known, isAddress := parseAddress(address)
	if !isAddress || r.fsys == nil {
		return d
	}
	target, err := r.resolve(pciDevices + "/" + known)
	if err != nil {
		return d
	}
	found, dir, chain := pciChain(target)
	if found != known {
		return d
	}
	d.address, d.chain, d.numa = known, chain, r.numaNode(known, dir)
	return d
}

// classDevice looks up what stands in a class directory, such as
// sys/class/nvme/nvme0: by where its link leads, or by its link "device".
func (r *reader) classDevice(dir, name string) device {
	if target, err := r.resolve(dir + "/" + name); err == nil {
		d := device{name: name, numa: machine.Unknown}
		if address, at, chain := pciChain(target); chain != nil {
			d.address, d.chain, d.numa = address, chain, r.numaNode(name, at)
		}
		return d
	}
	target, err := fs.ReadLink(r.fsys, dir+"/"+name+"/device")
	if err != nil {
		return device{name: name, numa: machine.Unknown}
	}
	d := r.pciDevice(path.Base(target))
	d.name = name
	return d
}

// numaNode reads the NUMA node of a PCI function. The kernel writes -1 when it
// does not know, which is usual in virtual machines.
func (r *reader) numaNode(device, dir string) int {
	text, err := r.text(dir + "/numa_node")
	if errors.Is(err, fs.ErrNotExist) {
		return machine.Unknown
	}
	node := machine.Unknown
	if err == nil {
		node, err = strconv.Atoi(text)
	}
	if err != nil {
		r.problem(device, "numa_node: %v", err)
	}
	if err != nil || node < 0 || node > maxNUMANode {
		return machine.Unknown
	}
	return node
}

// relation names the nearest common part of two devices in the words of
// `nvidia-smi topo -m`, "" when it is not known.
//
// In the tree a PCIe switch is an upstream bridge with downstream bridges below
// it. Two devices that each hang on a downstream bridge of one switch are PIX,
// like two functions behind one bridge; more bridges below the common one make
// PXB.
func relation(a, b device) string {
	if a.chain == nil || b.chain == nil {
		return ""
	}
	bridgesA, bridgesB := a.chain[:len(a.chain)-1], b.chain[:len(b.chain)-1]
	common := 0
	for common < min(len(bridgesA), len(bridgesB)) && bridgesA[common] == bridgesB[common] {
		common++
	}
	switch below := max(len(bridgesA), len(bridgesB)) - common; {
	case common > 1 && below <= 1:
		return "PIX"
	case common > 1:
		return "PXB"
	case common == 1:
		return "PHB"
	case a.numa < 0 || b.numa < 0:
		return ""
	case a.numa == b.numa:
		return "NODE"
	default:
		return "SYS"
	}
}
