package fleet

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
)

// Domains returns the TopologyDomains that a platform team declares where the
// provider's labels do not tell the fabric: fabric, blocks, leaves and racks,
// outer ones first. It is empty for gke.
func (f *Fleet) Domains() []v1alpha1.TopologyDomain {
	if f.Provider == ProviderGKE || f.Fabric.Name == "" {
		return nil
	}
	var domains []v1alpha1.TopologyDomain
	index := map[string]int{}
	add := func(name, parent string, level v1alpha1.TopologyLevel) int {
		i, known := index[name]
		if !known {
			i = len(domains)
			index[name] = i
			domains = append(domains, v1alpha1.TopologyDomain{
				ObjectMeta: metav1.ObjectMeta{Name: name},
				Spec:       v1alpha1.TopologyDomainSpec{Level: level, ParentName: parent},
			})
		}
		return i
	}
	add(f.Fabric.Name, "", v1alpha1.LevelFabric)
	for _, m := range f.Machines() {
		if m.Block == "" {
			continue
		}
		inner := add(m.Block, f.Fabric.Name, v1alpha1.LevelBlock)
		if m.Leaf != "" {
			inner = add(m.Leaf, m.Block, v1alpha1.LevelLeaf)
		}
		if m.Rack != "" {
			inner = add(m.Rack, m.Block, v1alpha1.LevelNVLinkDomain)
		}
		spec := &domains[inner].Spec
		if spec.Members == nil {
			spec.Members = &v1alpha1.TopologyDomainMembers{}
		}
		spec.Members.NodeNames = append(spec.Members.NodeNames, m.Name)
	}
	return domains
}
