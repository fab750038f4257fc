package placement

import "github.com/k8s4ai/k8s4ai/internal/topology"

// Limits of a Request. Place refuses a larger one with an error in
// Verdict.Invalid, in time bounded by the size of the request.
const (
	// MaxPods is the largest number of pods of one request.
	MaxPods = 65536
	// MaxRoles is the largest number of roles of one request.
	MaxRoles = 64
	// MaxResources is the largest number of resources, and MaxClasses that of
	// accelerator classes, of one role.
	MaxResources = 64
	MaxClasses   = 256
	// MaxDepth is the deepest nesting of groups; the root is at depth 1.
	MaxDepth = 4
)

// Resources is an amount per resource name: millicores for cpu, bytes for
// memory and storage, pieces for everything else. A missing name is zero.
type Resources map[string]int64

// Request is what a gang asks for. Names of roles are unique in it.
type Request struct {
	// Root holds everything. Its Copies must be 0 or 1.
	Root Group
}

// Group is one vertex of the request tree: roles and smaller groups that
// belong together.
type Group struct {
	// Name identifies the group in refusals. The root may have none.
	Name string
	// Copies is how many identical copies (slices) of the group exist. Each
	// copy meets Required on its own. 0 means 1.
	Copies int
	// MinCopies allows fewer copies, down to this number, when Copies do not
	// fit. 0 means Copies.
	MinCopies int
	// Required is the level of the one domain that holds a whole copy.
	// topology.Cluster asks for nothing.
	Required topology.Level
	// Preferred is the level of the one domain that should hold a whole copy.
	// Where it cannot, the next wider level is tried, out to Required.
	// topology.Cluster prefers nothing.
	Preferred topology.Level
	// Pattern says how the members of a copy talk to each other.
	Pattern Pattern
	// Roles are the pods of one copy, outside its Groups.
	Roles []Role
	// Groups are the smaller groups inside one copy.
	Groups []Group
}

// Role is a number of pods of one shape.
type Role struct {
	Name string
	// Count is the number of pods in one copy of the role's group. >= 1.
	Count int
	// MinCount allows fewer pods, down to this number, when Count do not fit.
	// 0 means Count. Only a role of a group with one copy may set it.
	MinCount int
	// Spares is extra room of the same shape that is held beside one copy's
	// pods, in the same domain, without a pod. It never decreases with MinCount.
	Spares int
	Shape  Shape
}

// Shape is what one pod needs from its node.
type Shape struct {
	// Resources are the pod's requests. The resource "pods" is added by Place.
	Resources Resources
	// Classes are accelerator classes in order of preference. All pods of a role
	// get nodes of one class, the first that lets the gang fit. Empty means that
	// the role takes any node.
	Classes []string
	// Selector limits the role to nodes that satisfy one of the terms, and all
	// requirements of that term. Empty means every node.
	Selector []Term
	// Tolerations are the taints that the pod accepts.
	Tolerations []Toleration
	// WithinIsland asks for all devices of one pod out of one island of its node
	// (Node.Islands), for every resource of which the node tells islands. Which
	// devices the pods already there have is not known, so a node counts only what
	// fits however they are spread. Nodes that tell no islands of any resource that
	// the pod asks for are not eligible.
	WithinIsland bool
}

// Term is a conjunction of label requirements.
type Term []Requirement

// Requirement is one condition on a node label. Op is one of In, NotIn,
// Exists, DoesNotExist, Gt, Lt, with the meaning of Kubernetes node affinity.
// Key "metadata.name" with Field set compares the node's name.
type Requirement struct {
	Key    string
	Op     string
	Values []string
	// Field selects the node's field of that name instead of a label. The only
	// field is metadata.name.
	Field bool
}

// Taint keeps pods without a matching toleration away.
type Taint struct{ Key, Value, Effect string }

// Toleration accepts taints, with the meaning of Kubernetes tolerations: an
// empty Key with Operator Exists accepts everything, an empty Effect accepts
// every effect, an empty Operator is Equal.
type Toleration struct{ Key, Operator, Value, Effect string }

// Pattern is how the members of a group communicate.
type Pattern string

// The patterns of group communication. The empty one is Ring.
const (
	Ring          Pattern = "Ring"
	Tree          Pattern = "Tree"
	AllToAll      Pattern = "AllToAll"
	Pipeline      Pattern = "Pipeline"
	PrefillDecode Pattern = "PrefillDecode"
)
