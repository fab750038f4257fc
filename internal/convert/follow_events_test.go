package convert

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/placement"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// oneOf is one of a list.
func oneOf[T any](h *history, from ...T) T { return from[h.IntN(len(from))] }

// node is one of the nodes that are or were there.
func (h *history) node() string { return oneOf(h, h.names...) }

// podNames is how many Pods there can be.
const podNames = 10

func (h *history) pod() string { return "pod-" + strconv.Itoa(h.IntN(podNames)) }

func (h *history) gang() types.UID { return oneOf(h, types.UID("gang-a"), "gang-b", "gang-c") }

// hold gives a gang another epoch with room on a few nodes, some of them twice.
func (h *history) hold(gang types.UID) {
	h.epochs[gang]++
	out := &Holding{Epoch: h.epochs[gang]}
	for range h.IntN(4) {
		use := placement.Use{Node: oneOf(h, h.node(), h.node(), "elsewhere"), Resources: placement.Resources{"nvidia.com/gpu": int64(h.IntN(3)), "pods": 1, "cpu": 500}}
		out.Uses = append(out.Uses, use)
		if h.IntN(3) == 0 {
			out.Uses = append(out.Uses, use)
		}
	}
	h.held[gang] = out
}

func (h *history) onNode(edit func(*corev1.Node)) { change(h, h.nodes, h.node(), edit) }

// onReport changes what an agent says.
func (h *history) onReport(edit func(*v1alpha1.NodeReport)) {
	change(h, h.domains, h.node(), func(d *v1alpha1.TopologyDomain) {
		if d.Status.Node != nil {
			edit(d.Status.Node)
		}
	})
}

// declaredNames are names that declared domains have or could have.
var declaredNames = []string{"fabric-a", "block-a", "block-b", "block-a-leaf-0", "block-a-leaf-1", "block-b-leaf-0", "block-c", "extra"}

func (h *history) onDeclared(edit func(*v1alpha1.TopologyDomain)) {
	change(h, h.domains, oneOf(h, declaredNames...), edit)
}

// ownClasses are of nodes by a label, and of devices of DRA.
var ownClasses = []string{"red", "blue", "model-x"}

func ownClass(name string) *v1alpha1.AcceleratorClass {
	class := byModel(name)
	class.Spec.Vendor = "Example"
	class.Spec.Match.NodeLabels = []v1alpha1.NodeLabelMatch{{Key: "team", Values: []string{name}}}
	return &class
}

// onClass changes a class, most often one that some node is of.
func (h *history) onClass(edit func(*v1alpha1.AcceleratorClass)) {
	change(h, h.classes, oneOf(h, "red", "h100-sxm-80gb", "gb200", oneOf(h, slices.Sorted(maps.Keys(h.classes))...)), edit)
}

// events are what can happen, by name.
var events = map[string]func(*history){
	"a node goes": func(h *history) { delete(h.nodes, h.node()) },
	"a node comes": func(h *history) {
		name := h.node()
		create(h, h.nodes, name, h.firstNodes[name])
	},
	"a node is cordoned, or not": func(h *history) {
		h.onNode(func(n *corev1.Node) { n.Spec.Unschedulable = !n.Spec.Unschedulable })
	},
	"a node is tainted, or not": func(h *history) {
		h.onNode(func(n *corev1.Node) {
			n.Spec.Taints = oneOf(h, nil, []corev1.Taint{{Key: "maintenance", Effect: corev1.TaintEffectNoSchedule}})
		})
	},
	"a node is ready, or not": func(h *history) {
		h.onNode(func(n *corev1.Node) {
			n.Status.Conditions[0].Status = oneOf(h, corev1.ConditionTrue, corev1.ConditionFalse, corev1.ConditionUnknown)
		})
	},
	"a node is being deleted": func(h *history) {
		h.onNode(func(n *corev1.Node) { n.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)} })
	},
	"a heartbeat": func(h *history) {
		h.onNode(func(n *corev1.Node) {
			n.Status.Conditions[0].LastHeartbeatTime.Time = time.Unix(int64(h.versions), 0)
		})
	},
	"a node moves by its labels": func(h *history) {
		h.onNode(func(n *corev1.Node) {
			n.Labels["topology.k8s.aws/network-node-layer-2"] = oneOf(h, "nn-1", "nn-2")
			n.Labels["topology.k8s.aws/network-node-layer-3"] = oneOf(h, "nn-3", "nn-4")
		})
	},
	"a node moves by labels of GKE": func(h *history) {
		h.onNode(func(n *corev1.Node) {
			n.Labels["cloud.google.com/gce-topology-block"] = oneOf(h, "b1", "b2")
			n.Labels["cloud.google.com/gce-topology-subblock"] = oneOf(h, "s1", "s2")
		})
	},
	"a node loses a label": func(h *history) {
		h.onNode(func(n *corev1.Node) {
			delete(n.Labels, oneOf(h, "topology.k8s.aws/network-node-layer-2", "topology.k8s.aws/network-node-layer-3", "cloud.google.com/gce-topology-subblock", "team", "nvidia.com/gpu.product"))
		})
	},
	"a node gets a label": func(h *history) {
		h.onNode(func(n *corev1.Node) { n.Labels[oneOf(h, "team", "kind")] = oneOf(h, "red", "blue") })
	},
	"a node offers more or less": func(h *history) {
		h.onNode(func(n *corev1.Node) {
			n.Status.Allocatable[oneOf(h, corev1.ResourceName("nvidia.com/gpu"), "example.com/gpu", corev1.ResourcePods)] = *resource.NewQuantity(int64(h.IntN(9)), resource.DecimalSI)
		})
	},
	"an agent's domain goes or comes": func(h *history) {
		name := h.node()
		toggle(h, h.domains, name, h.firstDomains[name])
	},
	"a report goes": func(h *history) {
		change(h, h.domains, h.node(), func(d *v1alpha1.TopologyDomain) { d.Status.Node = nil })
	},
	"a report is again what it was": func(h *history) {
		name := h.node()
		change(h, h.domains, name, func(d *v1alpha1.TopologyDomain) { *d = *h.firstDomains[name].DeepCopy() })
	},
	"a device changes its health": func(h *history) {
		h.onReport(func(r *v1alpha1.NodeReport) {
			if len(r.Accelerators) > 0 {
				r.Accelerators[h.IntN(len(r.Accelerators))].Health = oneOf(h, v1alpha1.DeviceHealthy, v1alpha1.DeviceUnhealthy)
			}
		})
	},
	"a port changes": func(h *history) {
		h.onReport(func(r *v1alpha1.NodeReport) {
			if len(r.NICs) > 0 {
				port := &r.NICs[h.IntN(len(r.NICs))]
				port.State, port.RateGbps = oneOf(h, v1alpha1.NICActive, v1alpha1.NICDown), oneOf(h, int32(200), 400)
				port.LinkLayer, port.Subnet = oneOf(h, v1alpha1.LinkLayerInfiniBand, v1alpha1.LinkLayerEthernet), oneOf(h, "", "10.0.0.0/16", "10.1.0.0/16", "nonsense")
			}
		})
	},
	"a clique changes": func(h *history) {
		h.onReport(func(r *v1alpha1.NodeReport) {
			r.NVLinkFabric = oneOf(h, nil, &v1alpha1.NVLinkFabric{ClusterUUID: oneOf(h, "c-1", "c-2"), CliqueID: new(int64(h.IntN(2))), Health: oneOf(h, v1alpha1.DeviceHealthy, v1alpha1.DeviceUnhealthy)})
		})
	},
	"a report cannot be true": func(h *history) {
		h.onReport(func(r *v1alpha1.NodeReport) {
			if len(r.Accelerators) > 1 {
				r.Accelerators[1].UUID = r.Accelerators[0].UUID
			}
		})
	},
	"a node is claimed twice, or not": func(h *history) {
		name := h.node()
		toggle(h, h.domains, name+"-twin", h.firstDomains[name])
	},
	"a domain claims another node": func(h *history) {
		change(h, h.domains, h.node(), func(d *v1alpha1.TopologyDomain) { d.Spec.NodeName = h.node() })
	},
	"a node's domain names a parent": func(h *history) {
		change(h, h.domains, h.node(), func(d *v1alpha1.TopologyDomain) {
			d.Spec.ParentName = oneOf(h, "", "nowhere", oneOf(h, declaredNames...))
		})
	},
	"the manager writes a status": func(h *history) {
		change(h, h.domains, oneOf(h, h.node(), oneOf(h, declaredNames...)), func(d *v1alpha1.TopologyDomain) {
			d.Status.Nodes = &v1alpha1.NodeCounts{Total: new(int32(h.IntN(9)))}
			d.Status.Measurements = []v1alpha1.DeviceMeasurement{{UUID: "x"}}
		})
	},
	"a domain is declared, or not": func(h *history) {
		name := oneOf(h, declaredNames...)
		first := h.firstDomains[name]
		if first == nil {
			first = new(domain(name, v1alpha1.LevelBlock, "", h.node()))
		}
		toggle(h, h.domains, name, first)
	},
	"a domain changes its parent": func(h *history) {
		h.onDeclared(func(d *v1alpha1.TopologyDomain) { d.Spec.ParentName = oneOf(h, "", oneOf(h, declaredNames...)) })
	},
	"a domain changes its level": func(h *history) {
		h.onDeclared(func(d *v1alpha1.TopologyDomain) {
			d.Spec.Level = oneOf(h, v1alpha1.LevelBlock, v1alpha1.LevelLeaf, v1alpha1.LevelNVLinkDomain)
		})
	},
	"a domain changes its members": func(h *history) {
		h.onDeclared(func(d *v1alpha1.TopologyDomain) {
			d.Spec.Members = &v1alpha1.TopologyDomainMembers{NodeNames: []string{h.node(), h.node()}}
		})
	},
	"a domain selects its members": func(h *history) {
		h.onDeclared(func(d *v1alpha1.TopologyDomain) {
			d.Spec.Members = &v1alpha1.TopologyDomainMembers{NodeSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": oneOf(h, "red", "blue")}}}
		})
	},
	"a domain changes its uplink": func(h *history) {
		h.onDeclared(func(d *v1alpha1.TopologyDomain) { d.Spec.UplinkGbps = int64(h.IntN(3)) * 400 })
	},
	"a domain counts as derived, or not": func(h *history) {
		h.onDeclared(func(d *v1alpha1.TopologyDomain) {
			d.Labels = oneOf(h, nil, map[string]string{v1alpha1.LabelTopologySource: v1alpha1.TopologySourceLabels})
		})
	},
	"a class goes or comes": func(h *history) {
		name := oneOf(h, ownClasses...)
		toggle(h, h.classes, name, ownClass(name))
	},
	"a class changes its resource": func(h *history) {
		h.onClass(func(c *v1alpha1.AcceleratorClass) {
			c.Spec.ResourceName = oneOf(h, "", "example.com/gpu", "example.com/other")
		})
	},
	"a class changes its link": func(h *history) {
		h.onClass(func(c *v1alpha1.AcceleratorClass) {
			if c.Spec.Interconnect == nil {
				c.Spec.Interconnect = &v1alpha1.AcceleratorInterconnect{Kind: "NVLink", BandwidthGBps: 900}
			}
			c.Spec.Interconnect.DomainSize = oneOf(h, int32(4), 72)
		})
	},
	"a class changes what it matches": func(h *history) {
		h.onClass(func(c *v1alpha1.AcceleratorClass) {
			c.Spec.Match.PCIIDs = oneOf(h, nil, []string{"10de:2330"}, []string{"10de:2941"})
		})
	},
	"a class is measured": func(h *history) {
		h.onClass(func(c *v1alpha1.AcceleratorClass) {
			c.Status.Measured = []v1alpha1.MeasuredFigure{{Name: oneOf(h, v1alpha1.FigureBF16, v1alpha1.FigureMemoryBandwidth), P50: resource.NewQuantity(int64(h.IntN(900)+1), resource.DecimalSI)}}
		})
	},
	"a driver publishes, or not": func(h *history) {
		name := h.node()
		out := slice(name, draDevice("gpu-0", "model=model-x"), draDevice("gpu-1", "model="+oneOf(h, "model-x", "red")))
		toggle(h, h.slices, out.Name, &out)
	},
	"a driver publishes another device": func(h *history) {
		change(h, h.slices, h.node()+"-slice", func(s *resourcev1.ResourceSlice) {
			s.Spec.Pool.Generation++
			s.Spec.Devices = append(s.Spec.Devices, draDevice("gpu-"+strconv.Itoa(h.versions), "model="+oneOf(h, "model-x", "blue")))
		})
	},
	"a scan": func(h *history) {
		h.scan = topology.Scan{}
		if h.IntN(4) == 0 {
			return
		}
		for i := range 1 + h.IntN(4) {
			leaf := topology.LeafSwitch{GUID: oneOf(h, "00000000000000a", "00000000000000b") + strconv.Itoa(i), Block: oneOf(h, "x", "y"), Fabric: "f"}
			for range 6 {
				if d := h.firstDomains[h.node()]; d != nil && d.Status.Node != nil {
					report, _ := Report(d.Name, d.Status.Node)
					for _, port := range report.NICs {
						guid, _ := strconv.ParseUint(strings.ReplaceAll(port.GUID, ":", ""), 16, 64)
						leaf.Adapters = append(leaf.Adapters, guid)
					}
				}
			}
			h.scan.Leaves = append(h.scan.Leaves, leaf)
		}
	},
	"a pod comes or vanishes": func(h *history) {
		pod := podOn("", oneOf(h, "", h.node(), h.node(), h.node(), "elsewhere"), corev1.PodRunning, "nvidia.com/gpu", strconv.Itoa(h.IntN(4)), "cpu", "1")
		if h.IntN(2) == 0 {
			pod.OwnerReferences = []metav1.OwnerReference{{APIVersion: v1alpha1.GroupVersion.String(), Kind: "GangSchedulingGroup", UID: h.gang(), Controller: new(true)}}
			pod.Labels = map[string]string{v1alpha1.LabelEpoch: strconv.Itoa(h.IntN(4))}
		}
		toggle(h, h.pods, h.pod(), &pod)
	},
	"a pod is bound": func(h *history) {
		change(h, h.pods, h.pod(), func(p *corev1.Pod) {
			if p.Spec.NodeName == "" {
				p.Spec.NodeName = h.node()
			}
		})
	},
	"a pod ends, or begins": func(h *history) {
		change(h, h.pods, h.pod(), func(p *corev1.Pod) {
			p.Status.Phase = oneOf(h, corev1.PodPending, corev1.PodRunning, corev1.PodSucceeded, corev1.PodFailed)
		})
	},
	"a pod is resized": func(h *history) {
		change(h, h.pods, h.pod(), func(p *corev1.Pod) {
			p.Spec.Containers[0].Resources.Requests = corev1.ResourceList{"memory": *resource.NewQuantity(oneOf(h, 1<<30, int64(math.MaxInt64), 5), resource.BinarySI)}
		})
	},
	"a pod changes its epoch": func(h *history) {
		change(h, h.pods, h.pod(), func(p *corev1.Pod) {
			p.Labels = map[string]string{v1alpha1.LabelEpoch: strconv.Itoa(h.IntN(4))}
		})
	},
	"a pod takes the name of another": func(h *history) {
		name := "pod-" + strconv.Itoa(h.IntN(12))
		if h.pods[name] != nil {
			create(h, h.pods, name, h.pods[name])
			change(h, h.pods, name, func(p *corev1.Pod) { p.Spec.NodeName = h.node() })
		}
	},
	"a gang holds room":        func(h *history) { h.hold(h.gang()) },
	"a gang gives room back":   func(h *history) { delete(h.held, h.gang()) },
	"a gang holds what it had": func(h *history) { gang := h.gang(); h.epochs[gang]--; h.hold(gang) },
}
