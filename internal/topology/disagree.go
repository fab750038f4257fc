package topology

// pairing says how declared domains and domains from labels cover each other at
// one level.
type pairing struct {
	// evidenceOf is what most nodes of a declared domain are labelled with, and
	// declaredOf where most nodes of a label are declared. A tie has no entry.
	evidenceOf map[string]identity
	declaredOf map[identity]string
	// values are all label values of the level, of declared nodes or not.
	values map[string]bool
}

// disagreements compares each declared domain with the labels and reports of
// its nodes, level by level. Names differ freely; what counts is which nodes are
// together. A node agrees when its label's domain is the one that most of its
// declared domain has, and the other way round, without a tie. It disagrees in
// any case when its declared domain has the name of another label value.
func disagreements(declared *Tree, facts []evidence) []Problem {
	var problems []Problem
	paths := make([]Path, len(facts))
	for i, e := range facts {
		paths[i] = declared.Path(e.node)
	}
	for level := Fabric; level <= NVLinkDomain; level++ {
		p := pair(level, paths, facts)
		for i, e := range facts {
			name := paths[i][level]
			id, ok := e.identify(level)
			if !ok || name == "" || p.agrees(name, id) {
				continue
			}
			fact := "declared " + level.String() + " " + quote(name)
			problems = append(problems, nodeProblem(Disagreement, e.node, fact, e.at[level].String()))
		}
	}
	return problems
}

func pair(level Level, paths []Path, facts []evidence) pairing {
	byDeclared := map[string]map[identity]int{}
	byEvidence := map[identity]map[string]int{}
	values := map[string]bool{}
	for i, e := range facts {
		id, ok := e.identify(level)
		if !ok {
			continue
		}
		values[id.value()] = true
		if name := paths[i][level]; name != "" {
			count(byDeclared, name, id)
			count(byEvidence, id, name)
		}
	}
	return pairing{evidenceOf: winners(byDeclared), declaredOf: winners(byEvidence), values: values}
}

func (p pairing) agrees(name string, id identity) bool {
	if name != id.value() && p.values[name] {
		return false
	}
	winner, ok := p.evidenceOf[name]
	return ok && winner == id && p.declaredOf[id] == name
}

func count[A, B comparable](counts map[A]map[B]int, a A, b B) {
	if counts[a] == nil {
		counts[a] = map[B]int{}
	}
	counts[a][b]++
}

// winners keeps the key with the highest count, unless another one equals it.
func winners[A, B comparable](counts map[A]map[B]int) map[A]B {
	out := map[A]B{}
	for a, of := range counts {
		best, alone := 0, false
		var winner B
		for b, n := range of {
			switch {
			case n > best:
				winner, best, alone = b, n, true
			case n == best:
				alone = false
			}
		}
		if alone {
			out[a] = winner
		}
	}
	return out
}
