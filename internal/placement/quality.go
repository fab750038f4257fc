package placement

import "github.com/k8s4ai/k8s4ai/internal/topology"

// placementOf names the nodes of every slot and measures how tight they are.
func placementOf(s *Snapshot, g *gang, all slots) *Placement {
	p := &Placement{Quality: qualityOf(s.forest, g, all)}
	for i := range g.roles {
		role := &g.roles[i]
		out := RolePlacement{Name: role.name, Class: role.class}
		for n, node := range all[i] {
			// A copy's slots are its pods first, then its spares.
			if n%(role.count+role.spares) < role.count {
				out.Nodes = append(out.Nodes, s.nodes[node].Name)
			} else {
				out.Spares = append(out.Spares, s.nodes[node].Name)
			}
		}
		p.Roles = append(p.Roles, out)
	}
	return p
}

func qualityOf(f *forest, g *gang, all slots) Quality {
	whole := g.copyAbove(f, all, 0, 0)
	q := Quality{Level: f.vertices[whole].level, Domain: f.vertices[whole].name}
	q.Domains[topology.Cluster] = 1
	for _, level := range topology.Levels {
		touched := map[int]bool{}
		for _, nodes := range all {
			for _, node := range nodes {
				touched[f.domainAt(f.ofNode[node], level)] = true
			}
		}
		q.Domains[level] = len(touched)
	}
	for i := 1; i < len(g.groups); i++ {
		widest := topology.Node
		for n := range g.groups[i].total {
			widest = min(widest, f.vertices[g.copyAbove(f, all, i, n)].level)
		}
		q.Groups = append(q.Groups, GroupQuality{Name: g.groups[i].name, Level: widest})
	}
	return q
}

// copyAbove returns the tightest vertex above all slots of copy n of the group.
func (g *gang) copyAbove(f *forest, all slots, group, n int) int {
	above := -1
	for i, role := range g.roles {
		if !g.contains(group, role.group) {
			continue
		}
		each := len(all[i]) / g.groups[group].total
		for _, node := range all[i][n*each : (n+1)*each] {
			if above < 0 {
				above = f.ofNode[node]
			}
			above = f.common(above, f.ofNode[node])
		}
	}
	return above
}
