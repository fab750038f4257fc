package topology

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/convert"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// decision is what has to be written. Everything in it differs from what is
// stored.
type decision struct {
	// create, remove and correct are derived domains.
	create  []*v1alpha1.TopologyDomain
	remove  []*v1alpha1.TopologyDomain
	correct []correction
	// status are domains with the manager's part of their status.
	status []*v1alpha1.TopologyDomain
	labels []relabelling
}

// correction puts a derived domain right that somebody edited.
type correction struct{ is, wanted *v1alpha1.TopologyDomain }

// relabelling changes labels of a node; nil removes one.
type relabelling struct {
	node   string
	change map[string]*string
}

// decide compares what the fabric says with what is stored.
func (r *Reconciler) decide(s sight) decision {
	var out decision
	for name, is := range s.domains {
		domain, known := r.fabric.state.Domain(name)
		stays := true
		if is == nil || is.Spec.Level != v1alpha1.LevelNode {
			stays = out.shape(is, domain, known && domain.Source != topology.Declared)
		}
		if is == nil || !stays {
			continue
		}
		if status := r.status(is, domain, known); !equality.Semantic.DeepEqual(mine(is), &status.Status) {
			out.status = append(out.status, status)
		}
	}
	for _, node := range s.nodes {
		place, _, _ := r.fabric.state.Place(node.Name)
		if change := labelChange(node, place.Labels); change != nil {
			out.labels = append(out.labels, relabelling{node.Name, change})
		}
	}
	return out
}

// shape decides whether the object of a derived domain, nil for none, has to
// come, to go or to change. It says whether the object stays.
func (d *decision) shape(is *v1alpha1.TopologyDomain, domain topology.DomainState, wanted bool) (stays bool) {
	switch {
	case is == nil && wanted:
		d.create = append(d.create, derived(domain))
	case is == nil || !isDerived(is):
	case !wanted, is.Spec.Level != levelOf(domain):
		// The level of an object never changes: it goes, and comes back when its
		// deletion is seen.
		d.remove = append(d.remove, is)
		return false
	case !sameDomain(is, derived(domain)):
		d.correct = append(d.correct, correction{is: is, wanted: derived(domain)})
	}
	return true
}

func isDerived(domain *v1alpha1.TopologyDomain) bool {
	return domain.Spec.Level != v1alpha1.LevelNode && domain.Labels[v1alpha1.LabelTopologySource] != ""
}

func sameDomain(a, b *v1alpha1.TopologyDomain) bool {
	return equality.Semantic.DeepEqual(a.Spec, b.Spec) && a.Labels[v1alpha1.LabelTopologySource] == b.Labels[v1alpha1.LabelTopologySource]
}

func levelOf(domain topology.DomainState) v1alpha1.TopologyLevel {
	return v1alpha1.TopologyLevel(domain.Level.String())
}

// derived is the object of a domain that nobody declared.
func derived(domain topology.DomainState) *v1alpha1.TopologyDomain {
	source := v1alpha1.TopologySourceLabels
	switch domain.Source {
	case topology.Reported:
		source = v1alpha1.TopologySourceReported
	case topology.Scanned:
		source = v1alpha1.TopologySourceScanned
	case topology.Labels, topology.Declared:
	}
	return &v1alpha1.TopologyDomain{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "TopologyDomain"},
		ObjectMeta: metav1.ObjectMeta{Name: domain.Name, Labels: map[string]string{v1alpha1.LabelTopologySource: source}},
		Spec:       v1alpha1.TopologyDomainSpec{Level: levelOf(domain), ParentName: domain.Parent, UplinkGbps: domain.UplinkGbps},
	}
}

// findings tell what there is to say of a stored domain.
func (r *Reconciler) findings(is *v1alpha1.TopologyDomain, domain topology.DomainState, known bool) []convert.Finding {
	switch {
	case is.Spec.Level == v1alpha1.LevelNode:
		m := r.fabric.nodes[is.Spec.NodeName]
		if m == nil {
			return []convert.Finding{convert.NodeNotFound(is.Spec.NodeName)}
		}
		_, problems, _ := r.fabric.state.Place(is.Spec.NodeName)
		return m.evidence.FindingsOf(is.Name, problems)
	case !known:
		return nil
	}
	out := r.fabric.declared.FindingsOf(is.Name, domain.Problems)
	if domain.Source == topology.Scanned && domain.Parent == "" && r.fabric.scanProblem != "" {
		out = append(out, convert.Finding{Reason: v1alpha1.ReasonIgnoredEvidence, Message: convert.Message("the newest scan does not count: " + r.fabric.scanProblem)})
	}
	return out
}

// mirrored are the labels that mirror the fabric.
var mirrored = []string{v1alpha1.LabelBlock, v1alpha1.LabelLeaf, v1alpha1.LabelNVLinkDomain}

// labelChange is how the mirrored labels of a node have to change, nil for not
// at all.
func labelChange(node *corev1.Node, wants map[string]string) map[string]*string {
	var out map[string]*string
	for _, key := range mirrored {
		value, want := wants[key]
		was, exists := node.Labels[key]
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

// mine is the part of a stored status that the manager writes.
func mine(stored *v1alpha1.TopologyDomain) *v1alpha1.TopologyDomainStatus {
	out := stored.Status.DeepCopy()
	if stored.Spec.Level == v1alpha1.LevelNode {
		out.Node, out.Measurements = nil, nil
		out.Conditions = slices.DeleteFunc(out.Conditions, func(c metav1.Condition) bool { return slices.Contains(agentConditions, c.Type) })
	}
	return out
}

// agentConditions are what the agent says of its own node's domain.
var agentConditions = []string{v1alpha1.ConditionHealthy, v1alpha1.ConditionDiscovered}
