package placement

import (
	"slices"

	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// slots lists the slots of every role. Slots of one copy follow each other, and
// those of one role are in the order of the fabric.
type slots [][]slot

// placementOf names the nodes of every slot and measures how tight they are.
func placementOf(g *gang, all slots) *Placement {
	p := &Placement{Quality: qualityOf(g, all), Roles: make([]RolePlacement, 0, len(g.roles))}
	for i := range g.roles {
		role := &g.roles[i]
		out := RolePlacement{Name: role.name, Class: role.class, Nodes: make([]string, 0, len(all[i]))}
		for n, at := range all[i] {
			// A copy's slots are its pods first, then its spares.
			if role.spares == 0 || n%(role.count+role.spares) < role.count {
				out.Nodes = append(out.Nodes, at.node.Name)
			} else {
				out.Spares = append(out.Spares, at.node.Name)
			}
		}
		p.Roles = append(p.Roles, out)
	}
	return p
}

func qualityOf(g *gang, all slots) Quality {
	level, domain := g.copyAbove(all, 0, 0)
	q := Quality{Level: level, Domain: domain, Domains: touched(all)}
	for i := 1; i < len(g.groups); i++ {
		widest := topology.Node
		for n := range g.groups[i].total {
			level, _ := g.copyAbove(all, i, n)
			widest = min(widest, level)
		}
		q.Groups = append(q.Groups, GroupQuality{Name: g.groups[i].name, Level: widest})
	}
	return q
}

// touched counts the domains of each level that hold any of the slots.
func touched(all slots) (out [topology.Node + 1]int) {
	list := all[0]
	if len(all) > 1 {
		list = slices.Concat(all...)
		slices.SortFunc(list, compareSlots)
	}
	out[topology.Cluster] = 1
	// In the order of the fabric each domain is entered once.
	for i := range list {
		// Two nodes share their domain of a level when one around both is as narrow.
		shared := topology.Cluster
		if i > 0 {
			if list[i].node == list[i-1].node {
				continue
			}
			shared = list[i].home.common(list[i-1].home).level
		}
		for level := shared + 1; level <= topology.Node; level++ {
			out[level]++
		}
	}
	return out
}

// compareSlots orders slots so that those of one domain follow each other.
func compareSlots(a, b slot) int {
	if a.home != b.home {
		return a.home.id - b.home.id
	}
	return topology.CompareNatural(a.node.Name, b.node.Name)
}

// copyAbove returns the level and name of the tightest domain around all slots of
// copy n of the group.
func (g *gang) copyAbove(all slots, group, n int) (topology.Level, string) {
	var node *Node
	var above *place
	several := false
	for i := range g.roles {
		if !g.contains(group, g.roles[i].group) {
			continue
		}
		each := len(all[i]) / g.groups[group].total
		for _, at := range all[i][n*each : (n+1)*each] {
			if node == nil {
				node, above = at.node, at.home
			}
			if at.node != node {
				several = true
				if at.home != above {
					above = above.common(at.home)
				}
			}
		}
	}
	if !several {
		return topology.Node, node.Name
	}
	return above.level, above.vertex.Name
}
