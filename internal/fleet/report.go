package fleet

import (
	"fmt"
	"slices"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
)

// The drivers that simulated GPUs run with.
const (
	driverVersion    = "580.95.05"
	amdDriverVersion = "6.12.12"
)

// driverReserves is the memory of a GPU that NVIDIA's driver keeps for itself.
const driverReserves = 512 * mib

// The local NVMe devices of every shape, the first next to NUMA node 0.
const (
	nvmeModel = "Sandbox NVMe 3.84TB"
	nvmeBytes = int64(3840755982336)
)

var nvmeBDF = []string{"0000:f1:00.0", "0000:f9:00.0"}

// Reports returns the TopologyDomain of every node with GPUs or RDMA ports, its
// status as a node agent writes it. Conditions are absent: they carry times, which
// the writer knows.
func (f *Fleet) Reports() []v1alpha1.TopologyDomain {
	var reports []v1alpha1.TopologyDomain
	for _, m := range f.Machines() {
		s := shapes[m.Shape]
		if s.gpus == 0 && len(s.nics) == 0 {
			continue
		}
		reports = append(reports, v1alpha1.TopologyDomain{
			ObjectMeta: metav1.ObjectMeta{Name: m.Name},
			Spec:       v1alpha1.TopologyDomainSpec{Level: v1alpha1.LevelNode, NodeName: m.Name},
			Status:     v1alpha1.TopologyDomainStatus{Node: f.report(&m, &s)},
		})
	}
	return reports
}

func (f *Fleet) report(m *Machine, s *shape) *v1alpha1.NodeReport {
	report := &v1alpha1.NodeReport{
		BootID:        bootID(m),
		AgentVersion:  "sandbox",
		DriverVersion: driverVersion,
		PCITopology:   v1alpha1.PCITopologyVirtualized,
		NUMANodes:     s.numaNodes(),
		Accelerators:  s.accelerators(m),
		NVLinks:       s.nvLinks(m),
		NICs:          f.networkPorts(m, s),
		NVMes:         s.nvmes(),
		PCIeRelations: f.pcieRelations(m, s),
	}
	if s.gpu.isAMD() {
		report.DriverVersion = amdDriverVersion
	}
	if m.Rack != "" {
		report.NVLinkFabric = &v1alpha1.NVLinkFabric{
			ClusterUUID: f.clusterUUID(m.Rack), CliqueID: new(int64(cliqueID)), Health: v1alpha1.DeviceHealthy,
		}
	}
	if !f.isVirtual() {
		report.PCITopology = v1alpha1.PCITopologyPhysical
	}
	if !f.tellsNUMA() {
		report.NUMANodes = s.oneNUMANode()
		for i := range report.Accelerators {
			report.Accelerators[i].NUMANode = nil
		}
		for i := range report.NICs {
			report.NICs[i].NUMANode = nil
		}
		for i := range report.NVMes {
			report.NVMes[i].NUMANode = nil
		}
	}
	return report
}

// isVirtual says whether the provider's machines are virtual ones, whose PCI tree
// is the hypervisor's.
func (f *Fleet) isVirtual() bool { return f.Provider != ProviderNone }

// tellsNUMA says whether the kernel knows the NUMA node of a device. DOKS shows
// its guests one NUMA node and no device's place.
func (f *Fleet) tellsNUMA() bool { return f.Provider != ProviderDOKS }

// bootID is the kernel's id of the boot of which every report of a machine is.
func bootID(m *Machine) string { return uuid(m.Name, "boot") }

func (s *shape) numaNodes() []v1alpha1.NUMANode {
	nodes := make([]v1alpha1.NUMANode, len(s.numaCPUs))
	for i, cpus := range s.numaCPUs {
		nodes[i] = v1alpha1.NUMANode{ID: new(int32(i)), CPUs: cpus, MemoryBytes: s.memory / int64(len(s.numaCPUs))}
	}
	return nodes
}

// oneNUMANode is what a guest sees whose hypervisor hides NUMA.
func (s *shape) oneNUMANode() []v1alpha1.NUMANode {
	return []v1alpha1.NUMANode{{ID: new(int32(0)), CPUs: fmt.Sprintf("0-%d", s.cpus-1), MemoryBytes: s.memory}}
}

func (s *shape) accelerators(m *Machine) []v1alpha1.Accelerator {
	gpus := make([]v1alpha1.Accelerator, s.gpus)
	for i := range gpus {
		gpus[i] = v1alpha1.Accelerator{
			UUID:              s.gpuUUID(m, i),
			Index:             new(int32(i)),
			ProductName:       s.gpu.product,
			PCIAddress:        s.gpuBDF[i],
			PCIID:             s.gpu.pciID,
			NUMANode:          new(s.gpuNUMA[i]),
			MemoryBytes:       s.gpu.memory,
			ComputeCapability: s.gpu.computeCapability(),
			Health:            v1alpha1.DeviceHealthy,
			C2CGBps:           s.gpu.c2cGBps,
		}
		if s.gpu.hasMIG {
			gpus[i].MIGMode = v1alpha1.MIGDisabled
		}
		if s.gpu.isAMD() {
			gpus[i].Health = v1alpha1.DeviceUnknown // No source of health is read for these.
		} else {
			gpus[i].MemoryReservedBytes = new(driverReserves)
		}
	}
	return gpus
}

// nvLinks draw the graph between GPUs and switches, or among GPUs.
func (s *shape) nvLinks(m *Machine) []v1alpha1.NVLink {
	var links []v1alpha1.NVLink
	for i := range s.gpus {
		add := func(to string, count int32) {
			links = append(links, v1alpha1.NVLink{
				From: s.gpuUUID(m, i), To: to, Links: count, ActiveLinks: new(count),
				LinkGbps: s.linkGbps, Version: s.linkVersion,
			})
		}
		hidden := int32(0)
		for j, count := range s.switches {
			if j < len(s.switchBDF) {
				add("switch-"+s.switchBDF[j], count)
			} else {
				hidden += count
			}
		}
		// The driver numbers the connections to switches outside the machine, and
		// does not tell the switches apart.
		if hidden > 0 {
			add("switch-unknown", hidden)
		}
		for j := range s.gpus {
			if s.peerLinks > 0 && j != i {
				add(s.gpuUUID(m, j), s.peerLinks)
			}
		}
	}
	return links
}

func (f *Fleet) networkPorts(m *Machine, s *shape) []v1alpha1.NIC {
	var nics []v1alpha1.NIC
	for i, port := range s.nics {
		guid := NICGUID(m.Name, i)
		n := v1alpha1.NIC{
			Name: "mlx5_" + strconv.Itoa(i), GUID: guid, SystemGUID: guid, PCIAddress: port.bdf, NUMANode: new(port.numa),
			LinkLayer: v1alpha1.LinkLayer(f.Fabric.LinkLayer), RateGbps: m.nicGbps, State: v1alpha1.NICActive,
			Health: v1alpha1.DeviceHealthy,
		}
		if rail := f.rail(s, i); rail >= 0 {
			n.Rail = new(int32(rail))
		}
		if f.Fabric.LinkLayer == string(v1alpha1.LinkLayerEthernet) {
			n.InterfaceName, n.Subnet = f.interfaceName(i), railSubnet(i)
		}
		nics = append(nics, n)
	}
	return nics
}

// rail is what a node agent takes for the rail of a port: the first GPU next to
// it, or its place where the PCI tree tells nothing and every GPU has a port; -1
// for unknown.
func (f *Fleet) rail(s *shape, port int) int {
	switch {
	case f.isVirtual() && len(s.nics) == s.gpus:
		return port
	case f.isVirtual() || len(s.nics[port].gpus) == 0:
		return -1
	}
	return s.nics[port].gpus[0]
}

// interfaceName is the network interface of the port of a rail.
func (f *Fleet) interfaceName(rail int) string {
	if f.Provider == ProviderDOKS {
		return "fabric" + strconv.Itoa(rail)
	}
	return "rail" + strconv.Itoa(rail)
}

// railSubnet is the network of a rail: the ports of one rail reach each other.
func railSubnet(rail int) string { return fmt.Sprintf("10.%d.0.0/16", rail) }

func (s *shape) nvmes() []v1alpha1.NVMe {
	var devices []v1alpha1.NVMe
	for i := range s.hostNVMes {
		devices = append(devices, v1alpha1.NVMe{
			Name: "nvme" + strconv.Itoa(i), Model: nvmeModel, PCIAddress: nvmeBDF[i],
			NUMANode: new(int32(i % len(s.numaCPUs))), SizeBytes: nvmeBytes,
		})
	}
	return devices
}

// pcieRelations relate every GPU to what hangs on the PCIe switch or host bridge
// next to it. The others are all equally far, and at fleet size each line counts:
// the API server keeps every report in memory. In a virtual machine the tree says
// nothing, and what counts is which GPUs the driver lets reach each other; the AMD
// driver does not tell.
func (f *Fleet) pcieRelations(m *Machine, s *shape) []v1alpha1.PCIeRelation {
	var relations []v1alpha1.PCIeRelation
	for i := range s.gpus {
		gpu := s.gpuUUID(m, i)
		for j := i + 1; j < s.gpus; j++ {
			path := f.gpuPath(s, i, j)
			isFar := path == v1alpha1.PCIeNODE || path == v1alpha1.PCIeSYS
			if isFar || f.isVirtual() && s.gpu.isAMD() {
				continue
			}
			relation := v1alpha1.PCIeRelation{From: gpu, To: s.gpuUUID(m, j), Path: path}
			if !s.gpu.isAMD() {
				relation.PeerAccess = v1alpha1.PeerAccessSupported
			}
			relations = append(relations, relation)
		}
		for j, port := range s.nics {
			if slices.Contains(port.gpus, i) && !f.isVirtual() {
				relations = append(relations, v1alpha1.PCIeRelation{From: gpu, To: "mlx5_" + strconv.Itoa(j), Path: v1alpha1.PCIePIX})
			}
		}
	}
	return relations
}
