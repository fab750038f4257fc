package oracle

import (
	"slices"
	"strconv"

	"github.com/k8s4ai/k8s4ai/internal/placement"
)

// mayUse reports whether pods of the shape may be on the node, room aside. class
// is the one that the role has settled on, "" for any.
func mayUse(n *placement.Node, shape *placement.Shape, class string) bool {
	if n.Unavailable != "" || class != "" && !slices.Contains(n.Classes, class) {
		return false
	}
	for _, taint := range n.Taints {
		if taint.Effect != "PreferNoSchedule" && !tolerated(taint, shape.Tolerations) {
			return false
		}
	}
	if len(shape.Selector) == 0 {
		return true
	}
	for _, term := range shape.Selector {
		met := len(term) > 0
		for _, requirement := range term {
			met = met && meets(n, requirement)
		}
		if met {
			return true
		}
	}
	return false
}

func tolerated(taint placement.Taint, tolerations []placement.Toleration) bool {
	for _, t := range tolerations {
		if t.Effect != "" && t.Effect != taint.Effect {
			continue
		}
		if t.Operator == "Exists" && (t.Key == "" || t.Key == taint.Key) {
			return true
		}
		if t.Operator != "Exists" && t.Key == taint.Key && t.Value == taint.Value {
			return true
		}
	}
	return false
}

func meets(n *placement.Node, r placement.Requirement) bool {
	value, found := n.Labels[r.Key]
	if r.Field {
		value, found = n.Name, true
	}
	listed := found && slices.Contains(r.Values, value)
	switch r.Op {
	case "In":
		return listed
	case "NotIn":
		return !listed
	case "Exists":
		return found
	case "DoesNotExist":
		return !found
	}
	have, err := strconv.Atoi(value)
	if !found || err != nil {
		return false
	}
	bound, err := strconv.Atoi(r.Values[0])
	if err != nil {
		return false
	}
	if r.Op == "Gt" {
		return have > bound
	}
	return have < bound
}
