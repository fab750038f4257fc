package topology

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// forest is what was declared, checked: names are unique, and every parent
// exists and is wider than its child.
type forest struct {
	vertices map[string]Vertex
	// known has every domain with a name of its own and a possible level.
	known map[string]Vertex
	// cut has the names that exist and are left out.
	cut map[string]bool
	// problems are those of domains, in no order.
	problems []Problem
}

// grow builds the forest of what can be trusted; the rest becomes problems.
func grow(vertices []Vertex) *forest {
	f := &forest{vertices: map[string]Vertex{}, known: map[string]Vertex{}, cut: map[string]bool{}}
	f.admit(vertices)
	f.cutCycles()
	f.hang()
	return f
}

// admit takes the domains that make sense on their own.
func (f *forest) admit(vertices []Vertex) {
	byName := map[string][]Vertex{}
	for _, v := range vertices {
		byName[v.Name] = append(byName[v.Name], v)
	}
	for _, name := range sortedKeys(byName) {
		same := byName[name]
		v := same[0]
		switch {
		case name == "":
			f.problems = append(f.problems, domainProblem(InvalidDomain, "", "a domain has no name"))
		case len(same) > 1:
			f.leaveOut(name, DuplicateDomain, describeAll(same)...)
		case v.Level < Fabric || v.Level > NVLinkDomain:
			f.leaveOut(name, InvalidDomain, fmt.Sprintf("level %d (%s) is not one of Fabric, Block, Leaf, NVLinkDomain", v.Level, v.Level))
		default:
			f.known[name] = v
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

func (f *forest) leaveOut(name string, kind ProblemKind, facts ...string) {
	f.cut[name] = true
	f.problems = append(f.problems, domainProblem(kind, name, facts...))
}

// cutCycles leaves out every domain that is its own ancestor. Each domain has
// one parent at most, so a walk that meets itself has found a whole cycle.
func (f *forest) cutCycles() {
	seen := map[string]bool{}
	for _, start := range sortedKeys(f.known) {
		var walk []string
		at := map[string]int{}
		name := start
		for {
			v, ok := f.known[name]
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
			f.leaveOut(member, Cycle, fact)
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
func (f *forest) hang() {
	children := map[string][]string{}
	var queue []string
	for _, name := range sortedKeys(f.known) {
		v := f.known[name]
		_, parentKnown := f.known[v.Parent]
		switch {
		case f.cut[name]:
		case v.Parent == "" || !parentKnown || f.cut[v.Parent]:
			queue = append(queue, name)
		default:
			children[v.Parent] = append(children[v.Parent], name)
		}
	}
	for len(queue) > 0 {
		name := queue[0]
		queue = append(queue[1:], children[name]...)
		f.hangOne(f.known[name])
	}
}

func (f *forest) hangOne(v Vertex) {
	parent, parentKnown := f.known[v.Parent]
	switch {
	case v.Parent == "":
	case f.cut[v.Parent]:
		f.leaveOut(v.Name, ParentLeftOut, "parent "+quote(v.Parent)+" is left out")
		return
	case !parentKnown:
		f.problems = append(f.problems, domainProblem(MissingParent, v.Name, "parent "+quote(v.Parent)+" does not exist"))
		v.Parent = ""
	case parent.Level >= v.Level:
		f.leaveOut(v.Name, ParentNotWider, named(v), "parent "+named(parent))
		return
	}
	f.vertices[v.Name] = v
}

// home finds the innermost of the domains that a node is listed in. A node may
// be listed in a domain and in the domain's ancestors. lost means that it is
// listed in some, and yet has no place: listed in two that do not nest, it
// belongs to none.
func (f *forest) home(node string, listed []string) (inner string, lost bool, problems []Problem) {
	domains := slices.DeleteFunc(slices.Clone(listed), func(d string) bool { return d == "" })
	if len(domains) == 0 {
		return "", false, nil
	}
	slices.SortFunc(domains, CompareNatural)
	domains = slices.Compact(domains)
	for _, d := range domains {
		if _, ok := f.known[d]; !ok && !f.cut[d] {
			problems = append(problems, nodeProblem(UnknownDomain, node, "domain "+quote(d)+" does not exist"))
		}
	}
	if inner, ok := f.nested(domains); ok {
		return inner, false, problems
	}
	switch {
	case len(domains) > 1:
		var facts []string
		for _, d := range domains {
			facts = append(facts, "listed in "+quote(d))
		}
		problems = append(problems, nodeProblem(DoublyParented, node, facts...))
	case f.cut[domains[0]]:
		problems = append(problems, nodeProblem(DomainLeftOut, node, "domain "+quote(domains[0])+" is left out"))
	}
	return "", true, problems
}

// nested returns the innermost of the domains when they lie on one path.
func (f *forest) nested(domains []string) (string, bool) {
	var inner Vertex
	for _, d := range domains {
		v, ok := f.vertices[d]
		if !ok {
			return "", false
		}
		if v.Level > inner.Level {
			inner = v
		}
	}
	// Levels strictly widen towards the root, so the walk is one step per level.
	var path Path
	for v, ok := inner, true; ok; v, ok = f.vertices[v.Parent] {
		path[v.Level] = v.Name
	}
	for _, d := range domains {
		if path[f.vertices[d].Level] != d {
			return "", false
		}
	}
	return inner.Name, true
}

func compareVertices(a, b Vertex) int {
	return cmp.Or(cmp.Compare(a.Level, b.Level), CompareNatural(a.Name, b.Name))
}
