// Package simulate replays arrivals of gangs on a fleet and says what a policy
// makes of them: who waits how long, what is used, lost and moved.
//
// It has a clock of its own that jumps from event to event, and decides nothing:
// every start, eviction and move comes from queueing.Next. The same fleet, trace
// and options always give the same Report.
//
//	Fleet     domains and nodes, as placement sees them
//	Arrival   one gang of the trace: when it comes, what it asks for, how long it
//	          works, how long it says that it will
//	Run       the event loop
//	Report    the figures
//
// ReadTrace reads arrivals from CSV, Generate draws them, and Compare runs two
// policies on the same drawn traces.
package simulate
