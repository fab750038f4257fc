package fleet

import (
	"fmt"
	"slices"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
)

// driverVersion is the driver that every simulated GPU runs with.
const driverVersion = "580.95.05"

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
		AgentVersion:  "sandbox",
		DriverVersion: driverVersion,
		Accelerators:  s.accelerators(m),
		NVLinks:       s.nvLinks(m),
		NICs:          s.networkPorts(m, v1alpha1.LinkLayer(f.Fabric.LinkLayer)),
	}
	if m.Rack != "" {
		report.NVLinkFabric = &v1alpha1.NVLinkFabric{
			ClusterUUID: f.clusterUUID(m.Rack), CliqueID: new(int64(cliqueID)), Health: v1alpha1.DeviceHealthy,
		}
	}
	switch f.Provider {
	case ProviderNone:
		report.PCITopology = v1alpha1.PCITopologyPhysical
	case ProviderDOKS:
		// The guest of a virtual machine sees neither NUMA nor the real PCI tree.
		report.PCITopology = v1alpha1.PCITopologyVirtualized
		for i := range report.Accelerators {
			report.Accelerators[i].NUMANode = nil
		}
		for i := range report.NICs {
			report.NICs[i].NUMANode = nil
		}
		return report
	case ProviderGKE:
		// Whether the tree is the machine's own depends on the machine type.
	}
	report.NUMANodes = s.numaNodes()
	report.PCIeRelations = s.pcieRelations(m)
	return report
}

func (s *shape) numaNodes() []v1alpha1.NUMANode {
	nodes := make([]v1alpha1.NUMANode, len(s.numaCPUs))
	for i, cpus := range s.numaCPUs {
		nodes[i] = v1alpha1.NUMANode{ID: new(int32(i)), CPUs: cpus, MemoryBytes: s.memory / int64(len(s.numaCPUs))}
	}
	return nodes
}

func (s *shape) accelerators(m *Machine) []v1alpha1.Accelerator {
	gpus := make([]v1alpha1.Accelerator, s.gpus)
	for i := range gpus {
		gpus[i] = v1alpha1.Accelerator{
			UUID:              GPUUUID(m.Name, i),
			Index:             new(int32(i)),
			ProductName:       s.gpu.product,
			PCIAddress:        s.gpuBDF[i],
			PCIID:             s.gpu.pciID,
			NUMANode:          new(s.gpuNUMA[i]),
			MemoryBytes:       s.gpu.memory,
			ComputeCapability: fmt.Sprintf("%d.%d", s.gpu.major, s.gpu.minor),
			Health:            v1alpha1.DeviceHealthy,
		}
	}
	return gpus
}

// nvLinks draw the graph between GPUs and switches. A rack's switches have the
// same names on all of its machines, a baseboard's only on its own.
func (s *shape) nvLinks(m *Machine) []v1alpha1.NVLink {
	prefix := "switch-"
	if m.Rack != "" {
		prefix += m.Rack + "-"
	}
	var links []v1alpha1.NVLink
	for i := range s.gpus {
		for j, count := range s.switches {
			links = append(links, v1alpha1.NVLink{
				From: GPUUUID(m.Name, i), To: prefix + strconv.Itoa(j),
				Links: count, ActiveLinks: new(count), LinkGbps: s.linkGbps,
			})
		}
	}
	return links
}

func (s *shape) networkPorts(m *Machine, layer v1alpha1.LinkLayer) []v1alpha1.NIC {
	nics := make([]v1alpha1.NIC, len(s.nics))
	for i, port := range s.nics {
		nics[i] = v1alpha1.NIC{
			Name: "mlx5_" + strconv.Itoa(i), GUID: NICGUID(m.Name, i), PCIAddress: port.bdf, NUMANode: new(port.numa),
			LinkLayer: layer, RateGbps: m.nicGbps, State: v1alpha1.NICActive, Rail: new(int32(i)),
		}
	}
	return nics
}

// pcieRelations relate every GPU to the network ports and NVMe devices of its own
// NUMA node. The others are all equally far, and at fleet size each line counts:
// the API server keeps every report in memory.
func (s *shape) pcieRelations(m *Machine) []v1alpha1.PCIeRelation {
	var relations []v1alpha1.PCIeRelation
	for i := range s.gpus {
		gpu := GPUUUID(m.Name, i)
		for j, port := range s.nics {
			to := "mlx5_" + strconv.Itoa(j)
			switch {
			case slices.Contains(port.gpus, i):
				relations = append(relations, v1alpha1.PCIeRelation{From: gpu, To: to, Path: v1alpha1.PCIePIX})
			case port.numa == s.gpuNUMA[i]:
				relations = append(relations, v1alpha1.PCIeRelation{From: gpu, To: to, Path: v1alpha1.PCIeNODE})
			}
		}
		for j := range s.hostNVMes {
			if int(s.gpuNUMA[i]) == j%len(s.numaCPUs) {
				relations = append(relations, v1alpha1.PCIeRelation{From: gpu, To: "nvme" + strconv.Itoa(j), Path: v1alpha1.PCIeNODE})
			}
		}
	}
	return relations
}
