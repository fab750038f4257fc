package placement

import (
	"fmt"

	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// checkDomains returns the level of every domain by name, or an error that
// names the first domain that breaks the rules of NewSnapshot.
func checkDomains(domains []topology.Vertex) (map[string]topology.Level, error) {
	levels := make(map[string]topology.Level, len(domains))
	for _, d := range domains {
		if d.Name == "" {
			return nil, fmt.Errorf("a domain of level %s has no name", d.Level)
		}
		if _, twice := levels[d.Name]; twice {
			return nil, fmt.Errorf("domain %s: the name is used twice", d.Name)
		}
		if d.Level < topology.Fabric || d.Level > topology.NVLinkDomain {
			return nil, fmt.Errorf("domain %s: level %s is not one of Fabric to NVLinkDomain", d.Name, d.Level)
		}
		if d.UplinkGbps < 0 {
			return nil, fmt.Errorf("domain %s: the uplink is negative", d.Name)
		}
		levels[d.Name] = d.Level
	}
	for _, d := range domains {
		if d.Parent == "" {
			continue
		}
		parent, known := levels[d.Parent]
		if !known {
			return nil, fmt.Errorf("domain %s: parent %s does not exist", d.Name, d.Parent)
		}
		if parent >= d.Level {
			return nil, fmt.Errorf("domain %s: parent %s is not wider", d.Name, d.Parent)
		}
	}
	return levels, nil
}
