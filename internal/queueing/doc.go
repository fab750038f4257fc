// Package queueing decides when gangs start and at whose cost: the order of the
// queue, reservations and backfill, preemption, repair after node failures, and
// defragmentation. Where a gang goes is package placement's.
//
// Everything is a function of values: instants are inputs, decisions are values
// with reasons, and nothing here reads a clock or changes a cluster.
package queueing
