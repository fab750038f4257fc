package topology

// Vertex is one domain of the fabric.
type Vertex struct {
	Name  string
	Level Level
	// Parent is the name of the next wider domain, "" for a root.
	Parent string
	// UplinkGbps is the bandwidth from this domain to its parent, in gigabits
	// per second, 0 when it is not known.
	UplinkGbps int64
}
