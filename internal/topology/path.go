package topology

// Path is the way from the fabric's root down to a node: the name of the
// domain at each level, indexed by Level, and "" where the fabric does not have
// that level. Path[Cluster] is always "", Path[Node] is the node.
type Path [Node + 1]string

// At returns the domain that stands for the node at that level: the widest one
// of its path that is at or inside the level, in the last resort the node. For
// Cluster it returns Cluster and "". The returned level tells a domain from a
// node of the same name.
func (p Path) At(level Level) (Level, string) {
	if level <= Cluster {
		return Cluster, ""
	}
	for l := level; l < Node; l++ {
		if p[l] != "" {
			return l, p[l]
		}
	}
	return Node, p[Node]
}
