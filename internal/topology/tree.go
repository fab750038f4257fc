package topology

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Membership says that a node is listed in a domain.
type Membership struct {
	Node   string
	Domain string
}

// Tree is a checked forest: names are unique, every parent exists and is wider
// than its child, and every node is in one domain at most.
type Tree struct {
	vertices map[string]Vertex
	// innermost is the narrowest domain of a node that has a place.
	innermost map[string]string
	// lost has the nodes that were listed somewhere and have no place.
	lost map[string]bool
}

// NewTree builds the forest of what can be trusted and returns the rest as
// problems, sorted. A node may be listed in a domain and in the domain's
// ancestors; it belongs to the innermost one. Listed in two domains that do not
// nest, it belongs to none.
func NewTree(vertices []Vertex, nodes []Membership) (*Tree, []Problem) {
	b := treeBuilder{
		known: map[string]Vertex{},
		cut:   map[string]bool{},
		tree:  &Tree{vertices: map[string]Vertex{}, innermost: map[string]string{}, lost: map[string]bool{}},
	}
	b.admit(vertices)
	b.cutCycles()
	b.hang()
	b.seat(nodes)
	return b.tree, tidy(b.problems)
}

// Vertices lists the domains of the forest, outer levels first, in natural
// order within a level.
func (t *Tree) Vertices() []Vertex {
	out := make([]Vertex, 0, len(t.vertices))
	for _, v := range t.vertices {
		out = append(out, v)
	}
	slices.SortFunc(out, compareVertices)
	return out
}

func compareVertices(a, b Vertex) int {
	return cmp.Or(cmp.Compare(a.Level, b.Level), CompareNatural(a.Name, b.Name))
}

// Vertex returns the domain of that name, if it is in the forest.
func (t *Tree) Vertex(name string) (Vertex, bool) {
	v, ok := t.vertices[name]
	return v, ok
}

// Domain returns the innermost domain of a node, "" when the node is outside.
func (t *Tree) Domain(node string) string { return t.innermost[node] }

// Lost reports whether a node was listed in a domain and yet has no place,
// because what was said of it cannot be trusted.
func (t *Tree) Lost(node string) bool { return t.lost[node] }

// Path returns the domains above a node.
func (t *Tree) Path(node string) Path {
	p := t.pathTo(t.innermost[node])
	p[Node] = node
	return p
}

// pathTo returns the domain with its ancestors. Levels strictly widen towards
// the root, so the walk is at most one step per level.
func (t *Tree) pathTo(domain string) Path {
	var p Path
	for domain != "" {
		v, ok := t.vertices[domain]
		if !ok {
			break
		}
		p[v.Level] = v.Name
		domain = v.Parent
	}
	return p
}

type treeBuilder struct {
	// known has every domain with a name of its own and a possible level.
	known map[string]Vertex
	// cut has the names that exist and are left out.
	cut      map[string]bool
	tree     *Tree
	problems []Problem
}

// admit takes the domains that make sense on their own.
func (b *treeBuilder) admit(vertices []Vertex) {
	byName := map[string][]Vertex{}
	for _, v := range vertices {
		byName[v.Name] = append(byName[v.Name], v)
	}
	for _, name := range sortedKeys(byName) {
		same := byName[name]
		v := same[0]
		switch {
		case name == "":
			b.problems = append(b.problems, domainProblem(InvalidDomain, "", "a domain has no name"))
		case len(same) > 1:
			b.leaveOut(name, DuplicateDomain, describeAll(same)...)
		case v.Level < Fabric || v.Level > NVLinkDomain:
			b.leaveOut(name, InvalidDomain, fmt.Sprintf("level %d (%s) is not one of Fabric, Block, Leaf, NVLinkDomain", v.Level, v.Level))
		default:
			b.known[name] = v
		}
	}
}

func describeAll(vertices []Vertex) []string {
	facts := make([]string, 0, len(vertices))
	for _, v := range vertices {
		facts = append(facts, fmt.Sprintf("%s with parent %s", named(v), quote(v.Parent)))
	}
	slices.Sort(facts)
	return facts
}

func (b *treeBuilder) leaveOut(name string, kind ProblemKind, facts ...string) {
	b.cut[name] = true
	b.problems = append(b.problems, domainProblem(kind, name, facts...))
}

// cutCycles leaves out every domain that is its own ancestor. Each domain has
// one parent at most, so a walk that meets itself has found a whole cycle.
func (b *treeBuilder) cutCycles() {
	seen := map[string]bool{}
	for _, start := range sortedKeys(b.known) {
		var walk []string
		at := map[string]int{}
		name := start
		for {
			v, ok := b.known[name]
			if !ok || seen[name] {
				break
			}
			seen[name] = true
			at[name] = len(walk)
			walk = append(walk, name)
			name = v.Parent
		}
		first, met := at[name]
		if !met {
			continue
		}
		cycle := walk[first:]
		fact := describeCycle(cycle)
		for _, member := range cycle {
			b.leaveOut(member, Cycle, fact)
		}
	}
}

// describeCycle starts at the first name of the natural order, so that the text
// does not depend on where the walk came in.
func describeCycle(cycle []string) string {
	const most = 4
	start := slices.Index(cycle, slices.MinFunc(cycle, CompareNatural))
	var parts []string
	for i := range cycle {
		if i == most {
			parts = append(parts, fmt.Sprintf("(%d more)", len(cycle)-i))
			break
		}
		parts = append(parts, shortQuote(cycle[(start+i)%len(cycle)]))
	}
	return strings.Join(append(parts, shortQuote(cycle[start])), " in ")
}

// shortQuote leaves room for several names in one fact.
func shortQuote(name string) string {
	const most = 40
	if len(name) > most {
		name = name[:most]
	}
	return quote(name)
}

// hang walks down from the roots and from what is left out, so that each domain
// is judged after its parent.
func (b *treeBuilder) hang() {
	children := map[string][]string{}
	var queue []string
	for _, name := range sortedKeys(b.known) {
		v := b.known[name]
		_, parentKnown := b.known[v.Parent]
		switch {
		case b.cut[name]:
		case v.Parent == "" || !parentKnown || b.cut[v.Parent]:
			queue = append(queue, name)
		default:
			children[v.Parent] = append(children[v.Parent], name)
		}
	}
	for len(queue) > 0 {
		name := queue[0]
		queue = append(queue[1:], children[name]...)
		b.hangOne(b.known[name])
	}
}

func (b *treeBuilder) hangOne(v Vertex) {
	parent, parentKnown := b.known[v.Parent]
	switch {
	case v.Parent == "":
	case b.cut[v.Parent]:
		b.leaveOut(v.Name, ParentLeftOut, "parent "+quote(v.Parent)+" is left out")
		return
	case !parentKnown:
		b.problems = append(b.problems, domainProblem(MissingParent, v.Name, "parent "+quote(v.Parent)+" does not exist"))
		v.Parent = ""
	case parent.Level >= v.Level:
		b.leaveOut(v.Name, ParentNotWider, named(v), "parent "+named(parent))
		return
	}
	b.tree.vertices[v.Name] = v
}

// seat gives each node its innermost domain.
func (b *treeBuilder) seat(nodes []Membership) {
	claims := map[string][]string{}
	for _, m := range nodes {
		if m.Node != "" && m.Domain != "" {
			claims[m.Node] = append(claims[m.Node], m.Domain)
		}
	}
	for _, node := range sortedKeys(claims) {
		domains := claims[node]
		slices.SortFunc(domains, CompareNatural)
		domains = slices.Compact(domains)
		for _, d := range domains {
			if _, ok := b.known[d]; !ok && !b.cut[d] {
				p := nodeProblem(UnknownDomain, node, "domain "+quote(d)+" does not exist")
				b.problems = append(b.problems, p)
			}
		}
		b.seatOne(node, domains)
	}
}

func (b *treeBuilder) seatOne(node string, domains []string) {
	if inner, ok := b.nested(domains); ok {
		b.tree.innermost[node] = inner
		return
	}
	b.tree.lost[node] = true
	if len(domains) > 1 {
		var facts []string
		for _, d := range domains {
			facts = append(facts, "listed in "+quote(d))
		}
		b.problems = append(b.problems, nodeProblem(DoublyParented, node, facts...))
		return
	}
	if b.cut[domains[0]] {
		b.problems = append(b.problems, nodeProblem(DomainLeftOut, node, "domain "+quote(domains[0])+" is left out"))
	}
}

// nested returns the innermost of the domains when they lie on one path.
func (b *treeBuilder) nested(domains []string) (string, bool) {
	var inner Vertex
	for _, d := range domains {
		v, ok := b.tree.vertices[d]
		if !ok {
			return "", false
		}
		if v.Level > inner.Level {
			inner = v
		}
	}
	path := b.tree.pathTo(inner.Name)
	for _, d := range domains {
		if path[b.tree.vertices[d].Level] != d {
			return "", false
		}
	}
	return inner.Name, true
}
