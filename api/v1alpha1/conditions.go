package v1alpha1

// Conditions that every kind has.
const (
	// ConditionReady is True when the object does what its spec asks for.
	ConditionReady = "Ready"
	// ConditionReconciling is True while the controller works towards that, or
	// waits for something that comes without a person.
	ConditionReconciling = "Reconciling"
	// ConditionStalled is True when nothing goes on until a person changes the
	// object or the cluster. The message says what to change.
	ConditionStalled = "Stalled"
)

// Conditions of a GangSchedulingGroup.
const (
	// ConditionPlaced is True while the gang holds a committed placement.
	ConditionPlaced = "Placed"
	// ConditionFinished is True once the gang has succeeded or failed for good.
	ConditionFinished = "Finished"
)

// Reasons of a GangSchedulingGroup.
const (
	// ReasonRunning (Ready=True): every Pod of the gang runs.
	ReasonRunning = "Running"
	// ReasonPlanned (Placed=True): the placement is committed.
	ReasonPlanned = "Planned"
	// ReasonStarting (Ready=False, Reconciling=True): Pods are being created,
	// bound and started.
	ReasonStarting = "Starting"
	// ReasonWaitingForRoom (Placed=False): the gang fits the fleet, and does not
	// fit what is free. It is placed as soon as it does.
	ReasonWaitingForRoom = "WaitingForRoom"
	// ReasonUnsatisfiable (Stalled=True): the gang would not fit even if nothing
	// else ran. It is looked at again when nodes, domains or classes change.
	ReasonUnsatisfiable = "Unsatisfiable"
	// ReasonNoProof (Placed=False): the search gave up at its bound; the gang
	// may or may not fit. It is tried again when something changes.
	ReasonNoProof = "NoProof"
	// ReasonInvalidSpec (Stalled=True): the spec contradicts itself.
	ReasonInvalidSpec = "InvalidSpec"
	// ReasonUnknownClass (Stalled=True): a role names an AcceleratorClass that
	// does not exist, or capabilities that no class has.
	ReasonUnknownClass = "UnknownClass"
	// ReasonQueueUnsupported (Stalled=True): queueName is set and no quota
	// integration runs, so that starting would go around the quota.
	ReasonQueueUnsupported = "QueueUnsupported"
	// ReasonSuspended (Placed=False): spec.suspend is true.
	ReasonSuspended = "Suspended"
	// ReasonReleasing (Placed=True): the Pods are being removed; the room is
	// given back when the last one is gone.
	ReasonReleasing = "Releasing"
	// ReasonBackingOff (Placed=False): the last placement could not be realised,
	// and the next attempt waits.
	ReasonBackingOff = "BackingOff"
	// ReasonSucceeded (Finished=True): every Pod has succeeded.
	ReasonSucceeded = "Succeeded"
	// ReasonFailed (Finished=True, Stalled=True): a Pod failed or was lost and
	// the restart policy allows no further start.
	ReasonFailed = "Failed"
	// ReasonNotFinished (Finished=False): the gang has work to do.
	ReasonNotFinished = "NotFinished"
	// ReasonAsExpected (Reconciling=False, Stalled=False): nothing to report.
	ReasonAsExpected = "AsExpected"
)

// Why a placement is released, in status.release.reason.
const (
	// ReleaseSuspended: spec.suspend became true.
	ReleaseSuspended = "Suspended"
	// ReleaseBindTimeout: not every Pod was bound within the bind timeout.
	ReleaseBindTimeout = "BindTimeout"
	// ReleaseCreateRefused: the API server refused a Pod.
	ReleaseCreateRefused = "CreateRefused"
	// ReleaseNodeRefused: a kubelet turned a Pod away that was bound to it.
	ReleaseNodeRefused = "NodeRefused"
	// ReleaseMemberFailed: a Pod failed.
	ReleaseMemberFailed = "MemberFailed"
	// ReleaseMemberLost: a Pod that ran is gone or being deleted.
	ReleaseMemberLost = "MemberLost"
	// ReleaseSpecChanged: the spec changed before the gang had started.
	ReleaseSpecChanged = "SpecChanged"
	// ReleasePlacementInvalid: the stored placement cannot be read.
	ReleasePlacementInvalid = "PlacementInvalid"
)

// Reasons of a TopologyDomain.
const (
	// ReasonAccepted (Ready=True): the domain is a part of the fabric.
	ReasonAccepted = "Accepted"
	// ReasonParentNotFound (Stalled=True): parentName names no TopologyDomain.
	ReasonParentNotFound = "ParentNotFound"
	// ReasonParentNotWider (Stalled=True): the parent's level is not outside the
	// domain's own.
	ReasonParentNotWider = "ParentNotWider"
	// ReasonParentNotAccepted (Stalled=True): the parent is itself left out of
	// the fabric.
	ReasonParentNotAccepted = "ParentNotAccepted"
	// ReasonIgnoredEvidence (Ready=True, with message): a label, a report or a
	// name has a form that cannot be used; the rest of the evidence is.
	ReasonIgnoredEvidence = "IgnoredEvidence"
	// ReasonSpansDomains (Ready=True, with message): labels or reports name a
	// domain whose nodes lie in several wider domains; it is left out.
	ReasonSpansDomains = "SpansDomains"
	// ReasonNameOfNode (Stalled=True): the domain has the name of a Node, whose
	// own TopologyDomain needs it.
	ReasonNameOfNode = "NameOfNode"
	// ReasonInvalidDomain (Stalled=True): the domain contradicts another one.
	ReasonInvalidDomain = "InvalidDomain"
	// ReasonCycle (Stalled=True): following parentName leads back to the domain.
	ReasonCycle = "Cycle"
	// ReasonNodeNotFound (Stalled=True for level Node): the domain names a Node
	// that does not exist.
	ReasonNodeNotFound = "NodeNotFound"
	// ReasonNodeClaimedTwice (Stalled=True): a node is declared in more than one
	// domain; it belongs to none until that is settled.
	ReasonNodeClaimedTwice = "NodeClaimedTwice"
	// ReasonDisagreement (Ready=True, with message): two kinds of evidence
	// differ; the stronger one is used.
	ReasonDisagreement = "Disagreement"
	// ReasonImpossibleReport (Stalled=True): the node report holds figures that
	// cannot be; the node takes no gangs until it is mended.
	ReasonImpossibleReport = "ImpossibleReport"
	// ReasonInvalidSelector (Stalled=True): the node selector cannot be read.
	ReasonInvalidSelector = "InvalidSelector"
)

// ConditionHealthy is False on a TopologyDomain when capacity below it is
// broken. Placement leaves that capacity out.
const ConditionHealthy = "Healthy"

// Reasons of ConditionHealthy.
const (
	// ReasonHealthy (True): everything below the domain works.
	ReasonHealthy = "Healthy"
	// ReasonAcceleratorUnhealthy (False): an accelerator is broken.
	ReasonAcceleratorUnhealthy = "AcceleratorUnhealthy"
	// ReasonFabricUnhealthy (False): the NVLink fabric of a node is broken.
	ReasonFabricUnhealthy = "FabricUnhealthy"
	// ReasonNVLinkDown (False): an NVLink of an accelerator is down.
	ReasonNVLinkDown = "NVLinkDown"
	// ReasonNICDown (False): an RDMA port that has worked is down.
	ReasonNICDown = "NICDown"
	// ReasonNodesUnhealthy (False): nodes below the domain are not healthy.
	ReasonNodesUnhealthy = "NodesUnhealthy"
)

// ConditionDiscovered is written by the node agent on its node's domain. It is
// True when the agent could read all of the machine's hardware.
const ConditionDiscovered = "Discovered"

// Reasons of ConditionDiscovered.
const (
	// ReasonComplete (True): everything was read.
	ReasonComplete = "Complete"
	// ReasonNoAccelerator (True): everything was read, and there is no accelerator.
	ReasonNoAccelerator = "NoAccelerator"
	// ReasonIncomplete (False): some devices could not be read or contradict each
	// other; the message names them, and the report holds the others.
	ReasonIncomplete = "Incomplete"
)

// ConditionStale is True on the domain of a node whose agent gives no sign of
// life. The report then holds the last facts.
const ConditionStale = "Stale"

// Reasons of ConditionStale.
const (
	// ReasonHeartbeatLost (True): the agent has not renewed its Lease in time.
	ReasonHeartbeatLost = "HeartbeatLost"
	// ReasonHeartbeatSeen (False): the agent renews its Lease.
	ReasonHeartbeatSeen = "HeartbeatSeen"
)

// ConditionFigureDrift is True on an AcceleratorClass when a measured figure is
// so far from the datasheet's that one of the two must be wrong.
const ConditionFigureDrift = "FigureDrift"

// Reasons of ConditionFigureDrift.
const (
	// ReasonFarFromDatasheet (True): a measured figure is out of the range that
	// the datasheet's makes plausible; the message says which.
	ReasonFarFromDatasheet = "FarFromDatasheet"
	// ReasonAsMeasured (False): measured figures are plausible.
	ReasonAsMeasured = "AsMeasured"
	// ReasonNotMeasured (False): nothing was measured.
	ReasonNotMeasured = "NotMeasured"
)

// Conditions and reasons of an AcceleratorClass.
const (
	// ReasonMatched (Ready=True): at least one node has a device of the class.
	ReasonMatched = "Matched"
	// ReasonNoNodes (Ready=False): no node matches. Not an error: a pool may be
	// scaled to zero.
	ReasonNoNodes = "NoNodes"
	// ReasonAmbiguous (Stalled=True): devices match this class and another one
	// equally well; neither gets them.
	ReasonAmbiguous = "Ambiguous"
	// ReasonFallbackNotFound (Stalled=True): fallback names a class that does not
	// exist.
	ReasonFallbackNotFound = "FallbackNotFound"
)
