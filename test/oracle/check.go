package oracle

import (
	"fmt"
	"slices"

	"github.com/k8s4ai/k8s4ai/internal/placement"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// placed is a placement in the terms of the oracle.
type placed struct {
	// gang has the classes and the size of the placement.
	gang *gang
	at   size
	// slots are the nodes of each role: its pods copy by copy, then its spares.
	slots [][]int
}

// check reads a placement and returns what is wrong with it, "" for nothing. Its
// quality is not looked at.
func check(c Case, f *fleet, p *placement.Placement) (read placed, problem string) {
	of := sizesOf(&c.Request.Root)
	for read.at = (size{of, of}); read.at.step >= 0; read.at.step-- {
		if read.gang = newGang(&c.Request.Root, read.at, nil); read.gang.isSizeOf(p) {
			break
		}
	}
	if read.at.step < 0 {
		return read, "the placement is of none of the sizes that the request allows"
	}
	for i := range read.gang.roles {
		r, got, slots := &read.gang.roles[i], p.Roles[i], []int(nil)
		r.class = got.Class
		if classes := r.in.Shape.Classes; !slices.Contains(classes, r.class) && len(classes)+len(r.class) > 0 {
			return read, fmt.Sprintf("role %s has class %q", r.in.Name, r.class)
		}
		for _, name := range slices.Concat(got.Nodes, got.Spares) {
			n := f.index(name)
			if n < 0 || !mayUse(&f.nodes[n], &r.in.Shape, r.class) {
				return read, fmt.Sprintf("role %s may not use node %q", r.in.Name, name)
			}
			slots = append(slots, n)
		}
		if n := len(got.Nodes); !slices.IsSorted(slots[:n]) || !slices.IsSorted(slots[n:]) {
			return read, fmt.Sprintf("the ranks of role %s jump back and forth: %v", r.in.Name, slots)
		}
		read.slots = append(read.slots, slots)
	}
	if problem = overcommitted(f, read); problem == "" {
		problem = outsideOfLevel(f, read)
	}
	return read, problem
}

// isSizeOf reports whether the placement has the roles of the gang, and as many
// pods and spares.
func (g *gang) isSizeOf(p *placement.Placement) bool {
	if len(p.Roles) != len(g.roles) {
		return false
	}
	for i, r := range g.roles {
		got, total := p.Roles[i], g.groups[r.group].total
		if got.Name != r.in.Name || len(got.Nodes) != r.count*total || len(got.Spares) != r.in.Spares*total {
			return false
		}
	}
	return true
}

// overcommitted names a node that would give more than it has.
func overcommitted(f *fleet, p placed) string {
	taken := make([]placement.Resources, len(f.nodes))
	for i, nodes := range p.slots {
		for _, n := range nodes {
			if taken[n] == nil {
				taken[n] = placement.Resources{}
			}
			taken[n]["pods"]++
			for name, amount := range p.gang.roles[i].in.Shape.Resources {
				taken[n][name] += amount
			}
		}
	}
	for n, amounts := range taken {
		for name, amount := range amounts {
			capacity, limited := f.nodes[n].Capacity[name]
			if name == "pods" && !limited {
				continue
			}
			if free := max(0, capacity-f.nodes[n].Used[name]); amount > free {
				return fmt.Sprintf("node %s gives %d of %s and has %d", f.nodes[n].Name, amount, name, free)
			}
		}
	}
	return ""
}

// nodesOf lists the nodes of one copy of the group: its pods and its spares.
func (p placed) nodesOf(id, n int) []int {
	var out []int
	g := p.gang
	total := g.groups[id].total
	for i, r := range g.roles {
		if r.group < id || r.group >= g.groups[id].last {
			continue
		}
		pods := r.count * g.groups[r.group].total
		for _, nodes := range [][]int{p.slots[i][:pods], p.slots[i][pods:]} {
			each := len(nodes) / total
			out = append(out, nodes[n*each:(n+1)*each]...)
		}
	}
	return out
}

// outsideOfLevel names a copy that is in more than one domain of its level.
func outsideOfLevel(f *fleet, p placed) string {
	for id, at := range p.gang.groups {
		for n := range at.total {
			nodes := p.nodesOf(id, n)
			for _, i := range nodes {
				if f.at[i][at.level] != f.at[nodes[0]][at.level] {
					return fmt.Sprintf("copy %d of group %q is in more than one %s", n, at.in.Name, at.level)
				}
			}
		}
	}
	return ""
}

// untrueQuality names a figure of the quality that is not what the nodes show.
func untrueQuality(f *fleet, p placed, q placement.Quality) string {
	g, all := p.gang, slices.Concat(p.slots...)
	whole := f.common(all)
	if q.Level != f.levels[whole] || q.Domain != f.names[whole] {
		return fmt.Sprintf("the gang is in %s %q and not in %s %q", f.levels[whole], f.names[whole], q.Level, q.Domain)
	}
	for level := topology.Cluster; level <= topology.Node; level++ {
		touched := map[int]bool{}
		for _, i := range all {
			touched[f.at[i][level]] = true
		}
		if q.Domains[level] != len(touched) {
			return fmt.Sprintf("the gang is in %d of %s and not in %d", len(touched), level, q.Domains[level])
		}
	}
	if len(q.Groups) != len(g.groups)-1 {
		return fmt.Sprintf("the quality has %d groups", len(q.Groups))
	}
	for i, got := range q.Groups {
		widest := topology.Node
		for n := range g.groups[i+1].total {
			widest = min(widest, f.levels[f.common(p.nodesOf(i+1, n))])
		}
		if got.Name != g.groups[i+1].in.Name || got.Level != widest {
			return fmt.Sprintf("group %s reached %s and not %s", g.groups[i+1].in.Name, widest, got.Level)
		}
	}
	return ""
}
