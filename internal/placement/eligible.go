package placement

import (
	"slices"
	"strconv"
)

// The operators of a Requirement and of a Toleration, and the effects of a
// Taint, as Kubernetes spells them.
const (
	opIn           = "In"
	opNotIn        = "NotIn"
	opExists       = "Exists"
	opDoesNotExist = "DoesNotExist"
	opGt           = "Gt"
	opLt           = "Lt"
	opEqual        = "Equal"

	effectNoSchedule       = "NoSchedule"
	effectPreferNoSchedule = "PreferNoSchedule"
	effectNoExecute        = "NoExecute"

	fieldName = "metadata.name"
)

// ineligible says why pods of the shape may not run on the node, whatever its
// room, and is empty when they may. class is the accelerator class that the
// role has settled on, "" for any.
func ineligible(n *Node, shape *Shape, class string) string {
	if n.Unavailable != "" {
		return n.Unavailable
	}
	for _, taint := range n.Taints {
		if repels(taint, shape.Tolerations) {
			return "tainted " + taint.Key
		}
	}
	if class != "" && !slices.Contains(n.Classes, class) {
		return "of another class"
	}
	if len(shape.Selector) > 0 && !slices.ContainsFunc(shape.Selector, n.satisfies) {
		return "outside the selector"
	}
	if shape.WithinIsland && !n.tellsIslands(shape) {
		return "without known islands"
	}
	return ""
}

// tellsIslands says whether the node tells the islands of a resource that the
// shape asks for.
func (n *Node) tellsIslands(shape *Shape) bool {
	for name, amount := range shape.Resources {
		if amount > 0 && len(n.Islands[name]) > 0 {
			return true
		}
	}
	return false
}

// repels reports whether the taint keeps a pod with these tolerations away.
func repels(taint Taint, tolerations []Toleration) bool {
	if taint.Effect != effectNoSchedule && taint.Effect != effectNoExecute {
		return false
	}
	return !slices.ContainsFunc(tolerations, func(t Toleration) bool {
		return (t.Effect == "" || t.Effect == taint.Effect) &&
			(t.Key == "" || t.Key == taint.Key) &&
			(t.Operator == opExists || t.Value == taint.Value)
	})
}

// satisfies reports whether the node meets every requirement of the term. As in
// Kubernetes, a term without requirements selects nothing.
func (n *Node) satisfies(term Term) bool {
	for _, r := range term {
		if !n.meets(r) {
			return false
		}
	}
	return len(term) > 0
}

// meets reports whether the node meets one requirement.
func (n *Node) meets(r Requirement) bool {
	value, has := n.Labels[r.Key]
	if r.Field {
		value, has = n.Name, true
	}
	switch r.Op {
	case opIn:
		return has && slices.Contains(r.Values, value)
	case opNotIn:
		return !has || !slices.Contains(r.Values, value)
	case opExists:
		return has
	case opDoesNotExist:
		return !has
	}
	// Gt and Lt compare integers; a label that is not one meets neither.
	have, err := strconv.ParseInt(value, 10, 64)
	want, wantErr := strconv.ParseInt(r.Values[0], 10, 64)
	if err != nil || wantErr != nil {
		return false
	}
	return (r.Op == opGt && have > want) || (r.Op == opLt && have < want)
}
