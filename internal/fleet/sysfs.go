package fleet

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
)

// Sysfs writes below dir what the kernel of a machine publishes and a node agent
// reads there: sys/ with NUMA nodes, the PCI tree, RDMA ports, NVMe controllers
// and AMD's compute topology, and proc/ with boot id, CPU flags and routes. It
// agrees with the machine's report. dir may exist; sys and proc in it may not.
func (f *Fleet) Sysfs(m Machine, dir string) error {
	s, known := shapes[m.Shape]
	if !known {
		return fmt.Errorf("writing sysfs of %s: there is no shape %q", m.Name, m.Shape)
	}
	for _, name := range []string{"sys", "proc"} {
		if _, err := os.Lstat(filepath.Join(dir, name)); !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("writing sysfs of %s: %s is there already: choose an empty directory: %w", m.Name, filepath.Join(dir, name), os.ErrExist)
		}
	}
	index := slices.IndexFunc(f.Machines(), func(other Machine) bool { return other.Name == m.Name })
	if index < 0 {
		return fmt.Errorf("writing sysfs of %s: the fleet has no such machine", m.Name)
	}
	w := &hostWriter{root: dir, fleet: f, machine: &m, shape: &s, index: index, at: map[string]string{}, made: map[string]bool{}}
	w.proc()
	w.numa()
	w.pci()
	for i := range s.nics {
		w.nic(i)
	}
	for i := range s.hostNVMes {
		w.nvme(i)
	}
	if s.gpu.isAMD() {
		w.kfd()
	}
	if w.err != nil {
		return fmt.Errorf("writing sysfs of %s: %w", m.Name, w.err)
	}
	return nil
}

// hostWriter writes one machine. After the first error it writes nothing more.
type hostWriter struct {
	root    string
	fleet   *Fleet
	machine *Machine
	shape   *shape
	index   int               // of the machine in the fleet
	at      map[string]string // PCI address to its directory
	made    map[string]bool   // directories that exist
	err     error
}

// place makes the directory of a file, once, and returns where the file goes.
func (w *hostWriter) place(name string) string {
	at := filepath.Join(w.root, filepath.FromSlash(name))
	if dir := filepath.Dir(at); w.err == nil && !w.made[dir] {
		w.err = os.MkdirAll(dir, 0o755)
		w.made[dir] = true
	}
	return at
}

func (w *hostWriter) file(name, format string, args ...any) {
	if at := w.place(name); w.err == nil {
		w.err = os.WriteFile(at, fmt.Appendf(nil, format+"\n", args...), 0o644)
	}
}

// link makes a relative link, as the kernel's are.
func (w *hostWriter) link(name, target string) {
	at := w.place(name)
	relative, err := filepath.Rel(path.Dir(name), target)
	if w.err = errors.Join(w.err, err); w.err == nil {
		w.err = os.Symlink(relative, at)
	}
}

// proc writes what tells a virtual machine from a real one, the boot, and the
// routes: a default one, which says nothing about rails, and each rail's.
func (w *hostWriter) proc() {
	w.file("proc/sys/kernel/random/boot_id", "%s", bootID(w.machine))
	flags := "flags\t\t: fpu vme de pse tsc msr"
	if w.fleet.isVirtual() {
		flags += " hypervisor"
	}
	if w.shape.arch == "arm64" {
		flags = "Features\t: fp asimd evtstrm aes"
	}
	w.file("proc/cpuinfo", "processor\t: 0\nmodel name\t: simulated\n%s lahf_lm\nbugs\t\t:", flags)
	vendor := map[Provider]string{ProviderDOKS: "DigitalOcean", ProviderGKE: "Google", ProviderNone: "Sandbox"}
	product := map[Provider]string{ProviderDOKS: "Droplet", ProviderGKE: "Google Compute Engine", ProviderNone: w.machine.Shape}
	w.file("sys/class/dmi/id/sys_vendor", "%s", vendor[w.fleet.Provider])
	w.file("sys/class/dmi/id/product_name", "%s", product[w.fleet.Provider])
	routes := []string{
		"Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT",
		"eth0\t00000000\t010010AC\t0003\t0\t0\t100\t00000000\t0\t0\t0",
		"eth0\t000010AC\t00000000\t0001\t0\t0\t100\t0000F0FF\t0\t0\t0",
	}
	if w.isEthernet() {
		for i := range w.shape.nics {
			routes = append(routes, fmt.Sprintf("%s\t0000%02X0A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0", w.fleet.interfaceName(i), i))
		}
	}
	w.file("proc/1/net/route", "%s", strings.Join(routes, "\n"))
}

func (w *hostWriter) isEthernet() bool {
	return w.fleet.Fabric.LinkLayer == string(v1alpha1.LinkLayerEthernet)
}

func (w *hostWriter) numa() {
	nodes := w.shape.numaNodes()
	if !w.fleet.tellsNUMA() {
		nodes = w.shape.oneNUMANode()
	}
	for i, node := range nodes {
		dir := "sys/devices/system/node/node" + strconv.Itoa(i)
		w.file(dir+"/cpulist", "%s", node.CPUs)
		w.file(dir+"/meminfo", "Node %d MemTotal:       %d kB\nNode %d MemFree:        %d kB", i, node.MemoryBytes/1024, i, node.MemoryBytes/2048)
	}
}

func (w *hostWriter) pci() {
	for _, d := range w.fleet.functions(w.shape) {
		dir := "sys/devices/" + d.dir
		vendor, device, _ := strings.Cut(d.id, ":")
		w.file(dir+"/class", "%s", d.code)
		w.file(dir+"/vendor", "0x%s", vendor)
		w.file(dir+"/device", "0x%s", device)
		w.file(dir+"/numa_node", "%d", d.numa)
		w.link("sys/bus/pci/devices/"+d.bdf, dir)
		w.at[d.bdf] = dir
	}
}

func (w *hostWriter) nic(i int) {
	name, pci := "mlx5_"+strconv.Itoa(i), w.at[w.shape.nics[i].bdf]
	dir := pci + "/infiniband/" + name
	guid := NICGUID(w.machine.Name, i)
	w.file(dir+"/node_guid", "%s", guid)
	w.file(dir+"/sys_image_guid", "%s", guid)
	w.file(dir+"/node_type", "1: CA")
	w.file(dir+"/node_desc", "%s %s", w.machine.Name, name)
	w.link(dir+"/device", pci)
	w.link("sys/class/infiniband/"+name, dir)
	port := dir + "/ports/1"
	w.file(port+"/state", "4: ACTIVE")
	w.file(port+"/phys_state", "5: LinkUp")
	w.file(port+"/link_layer", "%s", w.fleet.Fabric.LinkLayer)
	w.file(port+"/rate", "%d Gb/sec (4X)", w.machine.nicGbps)
	gids := []string{"fe80:0000:0000:0000:" + guid}
	if w.isEthernet() {
		// Each address has a row for RoCE v1 and one for v2.
		ipv4 := fmt.Sprintf("0000:0000:0000:0000:0000:ffff:0a%02x:%04x", i, w.index+1)
		gids = []string{gids[0], gids[0], ipv4, ipv4}
	}
	for row := range 8 {
		gid := "0000:0000:0000:0000:0000:0000:0000:0000"
		if row < len(gids) {
			gid = gids[row]
			w.file(fmt.Sprintf("%s/gid_attrs/types/%d", port, row), "%s", w.gidType(row))
			if w.isEthernet() {
				w.file(fmt.Sprintf("%s/gid_attrs/ndevs/%d", port, row), "%s", w.fleet.interfaceName(i))
			}
		}
		w.file(fmt.Sprintf("%s/gids/%d", port, row), "%s", gid)
	}
}

func (w *hostWriter) gidType(row int) string {
	if w.isEthernet() && row%2 == 1 {
		return "RoCE v2"
	}
	return "IB/RoCE v1"
}

func (w *hostWriter) nvme(i int) {
	name, pci := "nvme"+strconv.Itoa(i), w.at[nvmeBDF[i]]
	dir := pci + "/nvme/" + name
	w.file(dir+"/model", "%s", nvmeModel)
	w.file(dir+"/transport", "pcie")
	w.file(dir+"/address", "%s", nvmeBDF[i])
	w.file(dir+"/"+name+"n1/size", "%d", nvmeBytes/512)
	w.link(dir+"/device", pci)
	w.link("sys/class/nvme/"+name, dir)
}

// kfd writes the topology of AMD's compute driver: a node for each NUMA node, then
// one for each accelerator.
func (w *hostWriter) kfd() {
	const dir = "sys/devices/virtual/kfd/kfd"
	w.link("sys/class/kfd/kfd", dir)
	w.file("sys/module/amdgpu/version", "%s", amdDriverVersion)
	cpus := len(w.shape.numaCPUs)
	for i := range cpus {
		node := fmt.Sprintf("%s/topology/nodes/%d", dir, i)
		w.file(node+"/gpu_id", "0")
		w.file(node+"/name", "")
		w.file(node+"/properties", "cpu_cores_count %d\nsimd_count 0\ngfx_target_version 0\nvendor_id 0\ndevice_id 0", w.shape.cpus/int64(cpus))
	}
	vendor, device := uint64(0), uint64(0)
	if _, err := fmt.Sscanf(w.shape.gpu.pciID, "%x:%x", &vendor, &device); err != nil {
		w.err = errors.Join(w.err, err)
	}
	for i := range w.shape.gpus {
		node := fmt.Sprintf("%s/topology/nodes/%d", dir, cpus+i)
		unique, err := strconv.ParseUint(strings.TrimPrefix(AMDUUID(w.machine.Name, i), "GPU-"), 16, 64)
		if err != nil {
			w.err = errors.Join(w.err, err)
		}
		_, bus := place(w.shape.gpuBDF[i])
		w.file(node+"/gpu_id", "%d", 4096+i)
		w.file(node+"/name", "ip discovery")
		w.file(node+"/properties", "cpu_cores_count 0\nsimd_count 1216\nmem_banks_count 1\nio_links_count %d\ngfx_target_version 90402\n"+
			"vendor_id %d\ndevice_id %d\nlocation_id %d\ndomain 0\ndrm_render_minor %d\nunique_id %d", w.shape.gpus, vendor, device, bus<<8, 128+i, unique)
		w.file(node+"/mem_banks/0/properties", "heap_type 1\nsize_in_bytes %d\nflags 0\nwidth 8192", w.shape.gpu.memory)
		pci := w.at[w.shape.gpuBDF[i]]
		w.file(pci+"/product_name", "%s", w.shape.gpu.product)
		w.file(pci+"/mem_info_vram_total", "%d", w.shape.gpu.memory)
		w.file(pci+"/mem_info_vram_used", "%d", 290*mib)
		w.ioLinks(node, i)
	}
}

// ioLinks writes the way of a GPU to its CPU over PCIe, and to the others over
// XGMI. The bandwidth is that of one connection and of all, in MB/s.
func (w *hostWriter) ioLinks(node string, gpu int) {
	const pcie, xgmi = 2, 11
	cpus := len(w.shape.numaCPUs)
	write := func(k, kind, to int, one, all int32) {
		w.file(fmt.Sprintf("%s/io_links/%d/properties", node, k), "type %d\nversion_major 0\nversion_minor 0\nnode_from %d\nnode_to %d\nweight 15\n"+
			"min_bandwidth %d\nmax_bandwidth %d", kind, cpus+gpu, to, one, all)
	}
	write(0, pcie, int(w.shape.gpuNUMA[gpu]), 64000, 64000)
	k := 1
	for j := range w.shape.gpus {
		if j != gpu {
			one := w.shape.linkGbps * 125
			write(k, xgmi, cpus+j, one, one*w.shape.peerLinks)
			k++
		}
	}
}
