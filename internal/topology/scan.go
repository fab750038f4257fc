package topology

// Scan is the switch tree of an InfiniBand fabric, as far as it places machines.
type Scan struct {
	// Leaves are the switches that adapters are plugged into.
	Leaves []LeafSwitch
}

// LeafSwitch is one switch with adapters.
type LeafSwitch struct {
	// GUID is the switch's node GUID in 16 lower-case hexadecimal digits.
	GUID string
	// Name is what the switch calls itself, "" when it has no name.
	Name string
	// Block names the group of switches that the next rank of switches joins, ""
	// when the whole fabric is joined there.
	Block string
	// Fabric names the connected fabric.
	Fabric string
	// Adapters are the node GUIDs of the adapters on the switch, and their system
	// image GUIDs where these differ.
	Adapters []uint64
}
