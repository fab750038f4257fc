// Package topology is the fabric as a value: a forest of domains with nodes at
// its leaves, checked when it is built, and the assembly of that forest from
// what was declared and what node labels say.
//
//	Fabric > Block > Leaf > NVLinkDomain > Node
//
// A fabric may leave levels out. The domain of a node at a level that its
// fabric does not have is the widest domain above the node that is inside that
// level, in the last resort the node itself: nodes that are not known to share
// a leaf never count as sharing one.
//
// The package holds no client, clock or logger, and never fails on bad input:
// what cannot be trusted is left out of the forest and returned as a Problem.
package topology
