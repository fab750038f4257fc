package fleet

import (
	"fmt"
	"maps"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	resourceNVIDIA = "nvidia.com/gpu"
	resourceAMD    = "amd.com/gpu"
	kubeletsShare  = 2 * gib // memory that the kubelet keeps for itself
	podsPerNode    = 110
	nodeDisk       = 1024 * gib
)

// Nodes returns the nodes as the provider and the kubelet publish them, Ready and
// annotated for kwok. They carry no label of k8s4ai: those are the manager's to
// write. Times of conditions are unset.
func (f *Fleet) Nodes() []corev1.Node {
	machines := f.Machines()
	nodes := make([]corev1.Node, len(machines))
	for i := range machines {
		nodes[i] = f.node(&machines[i])
		nodes[i].Status.Addresses = []corev1.NodeAddress{
			{Type: corev1.NodeInternalIP, Address: address(i)},
			{Type: corev1.NodeHostName, Address: machines[i].Name},
		}
	}
	return nodes
}

func (f *Fleet) node(m *Machine) corev1.Node {
	s := shapes[m.Shape]
	capacity := f.resources(&s)
	allocatable := capacity.DeepCopy()
	allocatable[corev1.ResourceMemory] = *resource.NewQuantity(s.memory-kubeletsShare, resource.BinarySI)
	return corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name:        m.Name,
			Labels:      f.labels(m, &s),
			Annotations: map[string]string{"kwok.x-k8s.io/node": "fake"},
		},
		Spec: corev1.NodeSpec{
			ProviderID: fmt.Sprintf("sandbox://%s/%s", f.Name, m.Name),
			Taints:     f.taints(&s),
		},
		Status: corev1.NodeStatus{
			Capacity: capacity, Allocatable: allocatable,
			Conditions: []corev1.NodeCondition{{
				Type: corev1.NodeReady, Status: corev1.ConditionTrue,
				Reason: "KubeletReady", Message: "the simulated kubelet is ready",
			}},
			NodeInfo: corev1.NodeSystemInfo{
				Architecture: s.arch, OperatingSystem: "linux",
				KubeletVersion: "v1.36.3", MachineID: uuid(m.Name), SystemUUID: uuid(m.Name),
			},
		},
	}
}

// address returns the address of the machine with that index, from 172.16.0.1.
func address(index int) string {
	return fmt.Sprintf("172.%d.%d.%d", 16+index/(256*254), index/254%256, 1+index%254)
}

func (f *Fleet) resources(s *shape) corev1.ResourceList {
	list := corev1.ResourceList{
		corev1.ResourceCPU:              *resource.NewQuantity(s.cpus, resource.DecimalSI),
		corev1.ResourceMemory:           *resource.NewQuantity(s.memory, resource.BinarySI),
		corev1.ResourceEphemeralStorage: *resource.NewQuantity(nodeDisk, resource.BinarySI),
		corev1.ResourcePods:             *resource.NewQuantity(podsPerNode, resource.DecimalSI),
	}
	if s.gpus > 0 {
		list[s.gpu.resource()] = *resource.NewQuantity(int64(s.gpus), resource.DecimalSI)
	}
	if f.Provider == ProviderDOKS {
		for i := range s.nics {
			list[corev1.ResourceName("rdma/fabric"+strconv.Itoa(i))] = *resource.NewQuantity(1, resource.DecimalSI)
		}
	}
	return list
}

func (f *Fleet) taints(s *shape) []corev1.Taint {
	if f.Provider != ProviderDOKS || s.gpus == 0 {
		return nil
	}
	return []corev1.Taint{{Key: string(s.gpu.resource()), Effect: corev1.TaintEffectNoSchedule}}
}

func (f *Fleet) labels(m *Machine, s *shape) map[string]string {
	labels := map[string]string{
		corev1.LabelHostname:   m.Name,
		corev1.LabelArchStable: s.arch,
		corev1.LabelOSStable:   "linux",
	}
	switch f.Provider {
	case ProviderGKE:
		maps.Copy(labels, gkeLabels(m, s))
		maps.Copy(labels, gfdLabels(m, s))
	case ProviderDOKS:
		labels["doks.digitalocean.com/node-pool"] = m.Pool
		labels["doks.digitalocean.com/node-pool-id"] = uuid(f.Name, m.Pool)
		if s.gpus > 0 && s.doksModel != "" {
			labels["doks.digitalocean.com/gpu-brand"] = s.gpu.brand()
			labels["doks.digitalocean.com/gpu-model"] = s.doksModel
		}
	case ProviderNone:
		labels[corev1.LabelInstanceTypeStable] = m.Shape
		maps.Copy(labels, gfdLabels(m, s))
		maps.Copy(labels, amdLabels(s))
	}
	if m.Rack != "" {
		labels["nvidia.com/gpu.clique"] = fmt.Sprintf("%s.%d", f.clusterUUID(m.Rack), cliqueID)
	}
	return labels
}

// gkeLabels are the placement labels of GKE. The sub-block is what lies next
// around the hosts: a leaf or a rack.
func gkeLabels(m *Machine, s *shape) map[string]string {
	labels := map[string]string{"cloud.google.com/gke-nodepool": m.Pool}
	if s.gpus > 0 {
		labels["cloud.google.com/gke-accelerator"] = s.gkeAccelerator
		labels["cloud.google.com/gke-accelerator-count"] = strconv.Itoa(s.gpus)
	}
	if m.Block != "" {
		labels["cloud.google.com/gce-topology-block"] = m.Block
		labels["cloud.google.com/gce-topology-host"] = m.Name
	}
	if inner := m.Leaf + m.Rack; inner != "" {
		labels["cloud.google.com/gce-topology-subblock"] = inner
	}
	return labels
}

// gfdLabels are the labels of NVIDIA GPU feature discovery.
func gfdLabels(m *Machine, s *shape) map[string]string {
	if s.gpus == 0 || s.gpu.isAMD() {
		return nil
	}
	return map[string]string{
		"nvidia.com/gpu.present":       "true",
		"nvidia.com/gpu.product":       strings.ReplaceAll(s.gpu.product, " ", "-"),
		"nvidia.com/gpu.memory":        strconv.FormatInt(s.gpu.memory/mib, 10),
		"nvidia.com/gpu.count":         strconv.Itoa(s.gpus),
		"nvidia.com/gpu.family":        s.gpu.family,
		"nvidia.com/gpu.compute.major": strconv.Itoa(s.gpu.major),
		"nvidia.com/gpu.compute.minor": strconv.Itoa(s.gpu.minor),
		"nvidia.com/gpu.machine":       m.Shape,
		"nvidia.com/gpu.replicas":      "1",
	}
}

// amdLabels are the labels of AMD's node labeller.
func amdLabels(s *shape) map[string]string {
	if s.gpus == 0 || !s.gpu.isAMD() {
		return nil
	}
	_, device, _ := strings.Cut(s.gpu.pciID, ":")
	return map[string]string{
		"amd.com/gpu.device-id":    device,
		"amd.com/gpu.family":       s.gpu.family,
		"amd.com/gpu.product-name": strings.ReplaceAll(s.gpu.product, " ", "_"),
		"amd.com/gpu.vram":         strconv.FormatInt((s.gpu.memory+gib-1)/gib, 10) + "G",
	}
}
