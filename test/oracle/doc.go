// Package oracle proves the placement engine right on fleets that are small
// enough to try everything.
//
//	Case     a fleet of up to 8 nodes and a gang of up to 13 small parts
//	solver   every way to settle the nodes one after another; no bounds, no
//	         dominance, none of the engine's reasoning
//	check    whether a placement keeps what the request demands
//	greedy   the rule of today's schedulers, for comparison
//	Judge    one verdict of the engine against all of these
//	Compare  many of them, counted
//
// It shares no code with the engine: the rules are written a second time, from
// the comments of the package placement.
package oracle
