package placement

import (
	"fmt"
	"strings"

	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// String says what is missing and where it is nearest, in one line. Equal
// refusals read the same.
func (r Refusal) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "needs %s in %s%s, %s", r.needs(), r.place(), r.purpose(), r.nearest())
	if r.Limiting != "" {
		fmt.Fprintf(&b, "; short of %s", r.Limiting)
	}
	for i, e := range r.Excluded {
		switch {
		case i > 0:
			fmt.Fprintf(&b, ", %d %s", e.Nodes, e.Reason)
		case e.Nodes == 1:
			fmt.Fprintf(&b, "; left out: 1 node %s", e.Reason)
		default:
			fmt.Fprintf(&b, "; left out: %d nodes %s", e.Nodes, e.Reason)
		}
	}
	return b.String()
}

// needs is the demand with its unit.
func (r Refusal) needs() string {
	switch {
	case r.Unit != "" && r.Needed == 1:
		return "1 copy of " + r.Unit
	case r.Unit != "":
		return fmt.Sprintf("%d copies of %s", r.Needed, r.Unit)
	case r.Needed == 1:
		return "1 slot"
	}
	return fmt.Sprintf("%d slots", r.Needed)
}

// place is where the demand has to be met.
func (r Refusal) place() string {
	if r.isCluster() {
		return "the cluster"
	}
	return "one " + r.Level.String()
}

// purpose names the group whose copy is meant, "" for the whole gang.
func (r Refusal) purpose() string {
	if r.Group == "" {
		return ""
	}
	return " for a copy of " + r.Group
}

// nearest is the most that any domain has.
func (r Refusal) nearest() string {
	switch {
	case r.isCluster() && r.Found == 0:
		return "there are none"
	case r.isCluster():
		return fmt.Sprintf("there are %d", r.Found)
	case r.Domain == "":
		return fmt.Sprintf("no %s has any", r.Level)
	}
	return fmt.Sprintf("best is %s with %d", r.Domain, r.Found)
}

// isCluster reports whether no level is asked for.
func (r Refusal) isCluster() bool { return r.Level == topology.Cluster }
