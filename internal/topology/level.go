package topology

// Level is one rung of the fabric, outer to inner. A smaller value is a wider
// domain; the zero value stands for the whole cluster.
type Level int8

// The levels of a fabric. Every domain has exactly one of the five named ones.
const (
	// Cluster is the absence of a level: everything that the API server knows.
	Cluster Level = iota
	// Fabric is a set of nodes joined by one high-speed network.
	Fabric
	// Block is a spine or pod of that network.
	Block
	// Leaf is the set of nodes below one leaf (top-of-rack) switch or rail group.
	Leaf
	// NVLinkDomain is a set of nodes whose accelerators share one NVLink switch
	// fabric, such as one NVL72 rack.
	NVLinkDomain
	// Node is a single machine.
	Node
)

// Levels lists the named levels, outer to inner.
var Levels = [...]Level{Fabric, Block, Leaf, NVLinkDomain, Node}

var levelNames = [...]string{"Cluster", "Fabric", "Block", "Leaf", "NVLinkDomain", "Node"}

// String returns the name that the API uses, and "Cluster" for the zero value.
func (l Level) String() string {
	if l < 0 || int(l) >= len(levelNames) {
		return "Unknown"
	}
	return levelNames[l]
}

// ParseLevel returns the level of that API name. The empty string is Cluster.
// ok is false for any other text.
func ParseLevel(name string) (level Level, ok bool) {
	if name == "" {
		return Cluster, true
	}
	for i, n := range levelNames {
		if n == name {
			return Level(i), true
		}
	}
	return Cluster, false
}
