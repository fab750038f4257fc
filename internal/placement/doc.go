// Package placement decides which nodes the members of a gang go to.
//
// Place is a pure function: no clock, no client, no logger, no package state.
// The same Snapshot and Request always give the same Verdict, so a bug report
// is a Snapshot and its fix is one more table row.
//
//	Snapshot  nodes with their room, below a forest of topology domains
//	Request   a tree of groups: roles, and copies of groups, each inside one
//	          domain of its required level
//	Verdict   one node for every pod, or a Refusal with numbers
//
// Place works from the nodes outwards, and then back in:
//
//	supply   which counts of pods each node can hold
//	survey   which counts each domain can hold when every group keeps its level,
//	         out to the first level at which one domain holds the gang
//	choose   the preferred levels that can be kept, and the one domain
//	split    the demand shared out below it, down to the nodes
//	refuse   what came nearest, when no domain holds the gang
//
// Sets of counts are frontiers. They are exact; where they grow too large, a
// bounded search takes over and a refusal is no proof.
//
// All or nothing: a Verdict never places a part of what its Request demands.
package placement
