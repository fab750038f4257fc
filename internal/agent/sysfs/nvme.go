package sysfs

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/k8s4ai/k8s4ai/internal/agent/machine"
)

const (
	nvmeClass   = "sys/class/nvme"
	sectorBytes = 512 // the unit of sizes in sysfs, whatever the device's is
)

// nvme lists the controllers on the PCI bus.
func (r *reader) nvme() (controllers []machine.NVMe, devices []device) {
	for _, name := range r.deviceNames(nvmeClass) {
		dir := nvmeClass + "/" + name
		if transport, err := r.text(dir + "/transport"); err == nil && transport != "pcie" {
			continue
		}
		d := r.classDevice(nvmeClass, name)
		if d.address == "" {
			r.problem(name, "it has no place in the PCI tree")
		}
		model, err := r.text(dir + "/model")
		if err != nil {
			r.problem(name, "model: %v", err)
		}
		controllers = append(controllers, machine.NVMe{
			Name: name, Model: printable(model, maxText), PCIAddress: d.address, NUMANode: d.numa, SizeBytes: r.nvmeBytes(name, dir),
		})
		devices = append(devices, d)
	}
	return controllers, devices
}

// nvmeBytes adds up the namespaces of a controller. With multipath the kernel
// keeps the disk elsewhere and a path to it here, of the same size.
func (r *reader) nvmeBytes(name, dir string) int64 {
	total := int64(0)
	seen := map[string]bool{}
	for _, entry := range r.names(dir) {
		id, isNamespace := namespaceID(entry)
		if !isNamespace || seen[id] {
			continue
		}
		seen[id] = true
		text, err := r.text(dir + "/" + entry + "/size")
		sectors := int64(0)
		if err == nil {
			sectors, err = strconv.ParseInt(text, 10, 64)
		}
		if err == nil && (sectors < 0 || sectors > (math.MaxInt64-total)/sectorBytes) {
			err = fmt.Errorf("%d sectors cannot be", sectors)
		}
		if err != nil {
			r.problem(name, "size of %s: %v", entry, err)
			continue
		}
		total += sectors * sectorBytes
	}
	return total
}

// namespaceID returns the 1 of nvme0n1 and of nvme0c3n1.
func namespaceID(entry string) (string, bool) {
	rest, found := strings.CutPrefix(entry, "nvme")
	controller, id, hasID := strings.Cut(rest, "n")
	subsystem, path, isPath := strings.Cut(controller, "c")
	return id, found && hasID && isDigits(id) && isDigits(subsystem) && (!isPath || isDigits(path))
}
