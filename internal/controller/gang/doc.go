// Package gang keeps every GangSchedulingGroup placed whole or not at all.
//
//	            +------------------ release ------------------+
//	            v                                             |
//	Waiting --commit--> Placed --create pods, bind--> Running +--> Finished
//	   ^                                                 |
//	   +--- suspended, refused, backing off              +- member failed or lost
//
// Two reconcilers share the work:
//
//   - Planner looks at all waiting gangs in the order of their priority, asks
//     placement.Place, and commits an answer by writing it into the gang's status
//     with the next epoch. It creates nothing.
//   - Reconciler brings one gang's Pods in line with its committed placement, and
//     releases the placement as a whole when it cannot be realised.
//
// What makes it safe against a crash at any point:
//
//   - The status write is the commit. It carries the resourceVersion that was
//     read, and comes before the first Pod.
//   - A Pod is created only from a committed placement, pinned to its node, under
//     a name that follows from role and index, and carries the epoch. A Pod of
//     another epoch is stale and gets deleted.
//   - The intent to release is written before the first Pod is deleted, and the
//     placement is cleared only after the API server itself (not a cache) shows
//     no Pod of the gang any more. Until then its room is taken.
//
// Reads:  GangSchedulingGroups, Pods, Nodes, TopologyDomains, AcceleratorClasses.
// Writes: status and finalizer of GangSchedulingGroups; their Pods and Services.
package gang
