// Package agent is the loop of the node agent:
//
//	Source.Read ──facts──> machine.Report ──report──> pace ──may I?──> API server
//	Source.Events ──a driver's error──> look at once      └──> Lease, every heartbeat
//
// Each agent writes two objects: the TopologyDomain of its node, when something on
// the machine has changed, and a Lease, which says that the agent lives. Nothing is
// watched and nothing is cached: with 10,000 agents each of them has to cost the API
// server as good as nothing.
package agent
