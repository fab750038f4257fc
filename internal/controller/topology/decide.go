package topology

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/convert"
	"github.com/k8s4ai/k8s4ai/internal/report"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// maxClasses bounds the classes in a status.
const maxClasses = 64

// decision is what a pass changes. Everything in it differs from what is stored.
type decision struct {
	// create, remove and correct are derived domains.
	create  []*v1alpha1.TopologyDomain
	remove  []*v1alpha1.TopologyDomain
	correct []correction
	// status are domains with the manager's part of their status.
	status []*v1alpha1.TopologyDomain
	// labels are label changes by node; nil removes a label.
	labels map[string]map[string]*string
}

// correction puts a derived domain right that somebody edited.
type correction struct{ is, wanted *v1alpha1.TopologyDomain }

// decide compares what the scene says with what is stored.
func decide(world convert.World, scene convert.Scene) decision {
	out := decision{labels: map[string]map[string]*string{}}
	stored := map[string]*v1alpha1.TopologyDomain{}
	for i := range world.Domains {
		stored[world.Domains[i].Name] = &world.Domains[i]
	}
	wanted := derived(scene.Fabric.Assembly)
	for _, domain := range wanted {
		is := stored[domain.Name]
		switch {
		case is == nil:
			out.create = append(out.create, domain)
		case isDerived(is) && is.Spec.Level != domain.Spec.Level:
			// The level of an object never changes: it goes, and comes with the next pass.
			out.remove = append(out.remove, is)
		case isDerived(is) && !sameDomain(is, domain):
			out.correct = append(out.correct, correction{is: is, wanted: domain})
		}
	}
	for i := range world.Domains {
		domain := &world.Domains[i]
		if isDerived(domain) && !slices.ContainsFunc(wanted, func(w *v1alpha1.TopologyDomain) bool { return w.Name == domain.Name }) {
			out.remove = append(out.remove, domain)
		}
	}
	out.status = statuses(world, scene)
	for i := range world.Nodes {
		if change := labelChange(world.Nodes[i].Labels, scene.Fabric.Assembly.Nodes, world.Nodes[i].Name); change != nil {
			out.labels[world.Nodes[i].Name] = change
		}
	}
	return out
}

func isDerived(domain *v1alpha1.TopologyDomain) bool {
	return domain.Spec.Level != v1alpha1.LevelNode && domain.Labels[v1alpha1.LabelTopologySource] != ""
}

func sameDomain(a, b *v1alpha1.TopologyDomain) bool {
	return equality.Semantic.DeepEqual(a.Spec, b.Spec) && a.Labels[v1alpha1.LabelTopologySource] == b.Labels[v1alpha1.LabelTopologySource]
}

// derived are the objects for domains that nobody declared.
func derived(assembly topology.Assembly) []*v1alpha1.TopologyDomain {
	var out []*v1alpha1.TopologyDomain
	for _, d := range assembly.Domains {
		source := v1alpha1.TopologySourceLabels
		switch d.Source {
		case topology.Declared:
			continue
		case topology.Reported:
			source = v1alpha1.TopologySourceReported
		case topology.Labels:
		}
		out = append(out, &v1alpha1.TopologyDomain{
			TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "TopologyDomain"},
			ObjectMeta: metav1.ObjectMeta{Name: d.Name, Labels: map[string]string{v1alpha1.LabelTopologySource: source}},
			Spec:       v1alpha1.TopologyDomainSpec{Level: v1alpha1.TopologyLevel(d.Level.String()), ParentName: d.Parent, UplinkGbps: d.UplinkGbps},
		})
	}
	return out
}

// view is what statuses look up.
type view struct {
	scene     convert.Scene
	nodes     map[string]*convert.SceneNode
	domains   map[string]*topology.Domain
	places    map[string]*topology.Place
	summaries map[string]topology.Summary
}

func newView(scene convert.Scene) *view {
	v := &view{scene: scene, nodes: map[string]*convert.SceneNode{}, domains: map[string]*topology.Domain{}, places: map[string]*topology.Place{}}
	var rooms []topology.NodeRoom
	for i := range scene.Nodes {
		node := &scene.Nodes[i]
		v.nodes[node.Name] = node
		rooms = append(rooms, topology.NodeRoom{Node: node.Name, Ready: node.Unavailable == "", Accelerators: node.Accelerators, Reasons: node.Faults})
	}
	assembly := scene.Fabric.Assembly
	for i := range assembly.Domains {
		v.domains[assembly.Domains[i].Name] = &assembly.Domains[i]
	}
	for i := range assembly.Nodes {
		v.places[assembly.Nodes[i].Node] = &assembly.Nodes[i]
	}
	v.summaries = topology.Summarise(assembly, rooms)
	return v
}

// statuses lists the domains whose status differs from what it should be. Only
// the manager's fields are set.
func statuses(world convert.World, scene convert.Scene) []*v1alpha1.TopologyDomain {
	v := newView(scene)
	var out []*v1alpha1.TopologyDomain
	for i := range world.Domains {
		stored := &world.Domains[i]
		if domain := v.domain(stored); !equality.Semantic.DeepEqual(mine(stored), &domain.Status) {
			out = append(out, domain)
		}
	}
	return out
}

// mine is the part of a stored status that the manager writes.
func mine(stored *v1alpha1.TopologyDomain) *v1alpha1.TopologyDomainStatus {
	out := stored.Status.DeepCopy()
	out.Node = nil
	if stored.Spec.Level == v1alpha1.LevelNode {
		out.Conditions = slices.DeleteFunc(out.Conditions, func(c metav1.Condition) bool { return c.Type == v1alpha1.ConditionHealthy })
	}
	return out
}

// domain is a stored domain with the status that it should have.
func (v *view) domain(stored *v1alpha1.TopologyDomain) *v1alpha1.TopologyDomain {
	out := &v1alpha1.TopologyDomain{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "TopologyDomain"},
		ObjectMeta: metav1.ObjectMeta{Name: stored.Name, UID: stored.UID},
		Status:     v1alpha1.TopologyDomainStatus{Conditions: mine(stored).Conditions},
	}
	var below []*convert.SceneNode
	if stored.Spec.Level == v1alpha1.LevelNode {
		if node := v.nodes[stored.Spec.NodeName]; node != nil {
			below = append(below, node)
			out.Status.ParentName = v.places[node.Name].Domain
		}
	} else if domain := v.domains[stored.Name]; domain != nil {
		out.Status.ParentName = domain.Parent
		for _, name := range domain.AllNodes {
			below = append(below, v.nodes[name])
		}
		report.Set(&out.Status.Conditions, stored.Generation, healthy(v.summaries[stored.Name]))
	} else {
		// Nothing is known below a domain that is left out of the fabric.
		meta.RemoveStatusCondition(&out.Status.Conditions, v1alpha1.ConditionHealthy)
	}
	v.count(&out.Status, below, stored.Spec.Level == v1alpha1.LevelNode)
	report.Set(&out.Status.Conditions, stored.Generation, accepted(v.scene.Fabric.Findings[stored.Name])...)
	return out
}

// count adds up the nodes below a domain.
func (v *view) count(status *v1alpha1.TopologyDomainStatus, below []*convert.SceneNode, isNode bool) {
	nodes := v1alpha1.NodeCounts{Total: new(int32(len(below))), Ready: new(int32)}
	var total topology.Accelerators
	classes := map[string]*v1alpha1.DomainClass{}
	for _, node := range below {
		if node.Unavailable == "" {
			*nodes.Ready++
		}
		total.Total = convert.Sum(total.Total, node.Accelerators.Total)
		total.Free = convert.Sum(total.Free, node.Accelerators.Free)
		total.Unhealthy = convert.Sum(total.Unhealthy, node.Accelerators.Unhealthy)
		for _, device := range node.Devices {
			if device.Class == "" {
				continue
			}
			class := classes[device.Class]
			if class == nil {
				class = &v1alpha1.DomainClass{Name: device.Class, Devices: new(int32)}
				classes[device.Class] = class
			}
			if device.Device == "" {
				*class.Devices = convert.Count(convert.Sum(int64(*class.Devices), node.Accelerators.Total))
				continue
			}
			*class.Devices++
			if isNode {
				class.UUIDs = append(class.UUIDs, device.Device)
			}
		}
	}
	status.Nodes, status.Accelerators = &nodes, convert.DeviceCounts(total)
	for _, name := range slices.Sorted(maps.Keys(classes)) {
		if len(status.Classes) < maxClasses {
			status.Classes = append(status.Classes, *classes[name])
		}
	}
}

func healthy(summary topology.Summary) metav1.Condition {
	if summary.Healthy {
		return report.Condition(v1alpha1.ConditionHealthy, true, v1alpha1.ReasonHealthy, "")
	}
	var parts []string
	for _, r := range summary.Reasons {
		parts = append(parts, fmt.Sprintf("%d with %s", r.Nodes, r.Reason))
	}
	return report.Condition(v1alpha1.ConditionHealthy, false, v1alpha1.ReasonNodesUnhealthy, "nodes: "+strings.Join(parts, ", "))
}

// accepted are the conditions that follow from what was found.
func accepted(findings []convert.Finding) []metav1.Condition {
	stalled := report.Condition(v1alpha1.ConditionStalled, false, v1alpha1.ReasonAsExpected, "")
	ready := report.Condition(v1alpha1.ConditionReady, true, v1alpha1.ReasonAccepted, "")
	if len(findings) > 0 {
		var messages []string
		for _, f := range findings {
			messages = append(messages, f.Message)
		}
		worst, message := findings[0], convert.Message(strings.Join(messages, "; "))
		ready = report.Condition(v1alpha1.ConditionReady, !worst.Stalls, worst.Reason, message)
		if worst.Stalls {
			stalled = report.Condition(v1alpha1.ConditionStalled, true, worst.Reason, message)
		}
	}
	return []metav1.Condition{ready, report.Condition(v1alpha1.ConditionReconciling, false, v1alpha1.ReasonAsExpected, ""), stalled}
}

// mirrored are the labels that mirror the fabric.
var mirrored = []string{v1alpha1.LabelBlock, v1alpha1.LabelLeaf, v1alpha1.LabelNVLinkDomain}

// labelChange is how the mirrored labels of a node have to change, nil for not
// at all.
func labelChange(has map[string]string, places []topology.Place, node string) map[string]*string {
	at, found := slices.BinarySearchFunc(places, node, func(p topology.Place, name string) int { return topology.CompareNatural(p.Node, name) })
	var wants map[string]string
	if found {
		wants = places[at].Labels
	}
	var out map[string]*string
	for _, key := range mirrored {
		value, want := wants[key]
		was, exists := has[key]
		if want == exists && value == was {
			continue
		}
		if out == nil {
			out = map[string]*string{}
		}
		out[key] = nil
		if want {
			out[key] = &value
		}
	}
	return out
}
