package placement

import "github.com/k8s4ai/k8s4ai/internal/topology"

// Proof says how far a "no" can be trusted.
type Proof string

const (
	// Exact: every placement was considered, directly or by dominance.
	Exact Proof = "Exact"
	// None: the search gave up at its bound; a placement may exist.
	None Proof = "None"
)

// Verdict is the answer to a Request. Exactly one of Placement, Refusal and
// Invalid is set.
type Verdict struct {
	// Placement gives every pod its node.
	Placement *Placement
	// Refusal says why the gang does not fit, with numbers.
	Refusal *Refusal
	// Invalid names the field of the request that can never be satisfied or
	// makes no sense. It is empty for a sound request.
	Invalid string
	// Proof is Exact, or None when a Refusal comes from a search that gave up.
	Proof Proof
}

// Placement is a node for every pod of a gang.
type Placement struct {
	// Roles are in the order of a depth-first walk of the request, roles of a
	// group before its groups.
	Roles []RolePlacement
	// Quality is how good the placement is.
	Quality Quality
}

// RolePlacement lists the nodes of one role.
type RolePlacement struct {
	Name string
	// Class is the accelerator class that was chosen, "" for none.
	Class string
	// Nodes has one entry per pod, in rank order: copies one after another,
	// neighbours in the fabric next to each other.
	Nodes []string
	// Spares has one entry per spare slot.
	Spares []string
}

// Quality tells how tightly a gang sits, its spares included.
type Quality struct {
	// Level is the tightest level at which one domain holds the whole gang, and
	// Domain its name. Level is topology.Cluster and Domain empty when the gang
	// spans several fabrics.
	Level  topology.Level
	Domain string
	// Domains counts the domains that the gang touches, by level. A level at
	// which the domain of a node is not of that level (because the fabric does
	// not have it) is counted by what stands in for it. The cluster counts as 1.
	Domains [len(topology.Levels) + 1]int
	// Groups are the levels that the copies of each group reached, in
	// depth-first order without the root.
	Groups []GroupQuality
}

// GroupQuality is the tightest level that every copy of a group reached.
type GroupQuality struct {
	Name  string
	Level topology.Level
}

// Refusal reports the best that any domain could do, so that a person can
// tell what is missing and where it is nearest.
type Refusal struct {
	// Group is the group whose demand is not met; "" is the whole gang.
	Group string
	// Level is the level of the one domain that has to hold it. Cluster when
	// there is no such demand.
	Level topology.Level
	// Domain is the domain of that level that comes nearest; "" when no domain
	// has any room, or Level is Cluster.
	Domain string
	// Needed and Found count slots: pods, or copies of Unit.
	Needed, Found int
	// Unit is the name of the group whose copies are counted, "" for pods.
	Unit string
	// Limiting is the resource that is short in Domain, or "eligible nodes" when
	// no node there may take the pods at all.
	Limiting string
	// Excluded counts nodes that no role may use, and those that have no room for
	// one pod of any role, by reason, sorted by reason.
	Excluded []Exclusion
	// Levels tells, from the widest to the narrowest level that could be asked
	// for, which domain holds most of the gang there.
	Levels []LevelBest
}

// LevelBest is the domain of exactly one level that holds most of a gang. Groups
// that are inside narrower domains than the gang count in whole copies.
type LevelBest struct {
	Level topology.Level
	// Domain is "" when no domain of the level holds anything, and for Cluster.
	Domain string
	// Found and Needed count slots of the whole gang, groups kept to their
	// required levels.
	Found, Needed int
}

// Exclusion is a number of nodes that are left out for one reason.
type Exclusion struct {
	Reason string
	Nodes  int
}
