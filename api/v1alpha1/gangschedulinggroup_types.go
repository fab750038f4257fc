package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// GangSchedulingGroupSpec is a set of roles that start together or not at all.
// A change takes effect with the next placement: before the gang runs that is
// at once, afterwards when it is suspended and resumed, or restarts.
//
// +kubebuilder:validation:XValidation:rule="self.roles.map(r, r.replicas + (has(r.spares) ? r.spares : 0)).sum() <= 4096",message="a gang holds at most 4096 pods, spares included: lower replicas, or split the gang"
// +kubebuilder:validation:XValidation:rule="!has(self.groups) || self.groups.all(g, !has(g.roleNames) || g.roleNames.all(n, self.roles.exists(r, r.name == n)))",message="groups[].roleNames must name roles of this gang: correct the name or add the role"
// +kubebuilder:validation:XValidation:rule="!has(self.groups) || self.roles.all(r, self.groups.filter(g, has(g.roleNames) && g.roleNames.exists(n, n == r.name)).size() <= 1)",message="a role belongs to at most one group: remove its name from all groups but one"
// +kubebuilder:validation:XValidation:rule="!has(self.groups) || self.groups.all(g, !has(g.parentName) || self.groups.exists(p, p.name == g.parentName))",message="groups[].parentName must name another group of this gang: correct it, or remove it to hang the group below the gang itself"
// +kubebuilder:validation:XValidation:rule="!has(self.groups) || self.groups.all(g, !has(g.parentName) || g.parentName == g.name || self.groups.all(p, p.name != g.parentName || !has(p.parentName) || p.parentName == p.name || self.groups.all(q, q.name != p.parentName || !has(q.parentName))))",message="groups nest at most three deep below the gang and never in a circle: name a group further out in parentName, or remove parentName"
type GangSchedulingGroupSpec struct {
	// roles are the kinds of Pods of the gang. Ranks follow their order.
	//
	// +required
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Roles []GangRole `json:"roles,omitempty"`

	// topology says where the gang as a whole sits. Unset means anywhere, as
	// tightly as possible.
	//
	// +optional
	Topology *GangTopology `json:"topology,omitempty"`

	// groups divide the gang into parts that sit closer together than the whole,
	// such as tensor-parallel groups. Roles in no group belong to the gang itself.
	//
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Groups []GangGroup `json:"groups,omitempty"`

	// suspend keeps the gang from holding Pods or room. Setting it on a running
	// gang removes its Pods. Unset means false.
	//
	// +optional
	Suspend *bool `json:"suspend,omitempty"` //nolint:kubeapilinter // The name and type that Job, JobSet and Kueue use.

	// queueName is the Kueue LocalQueue whose quota the gang uses. Unset means no
	// quota.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	QueueName string `json:"queueName,omitempty"`

	// priority orders gangs that wait for room, larger first; gangs of one
	// priority wait in the order of their creation. Unset means 0.
	//
	// +optional
	// +kubebuilder:validation:Minimum=-1000000000
	// +kubebuilder:validation:Maximum=1000000000
	Priority *int32 `json:"priority,omitempty"`

	// bindTimeoutSeconds is how long all Pods may take to be bound to their
	// planned nodes. After that the whole gang is released and placed anew. Unset
	// means 30.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=3600
	BindTimeoutSeconds int32 `json:"bindTimeoutSeconds,omitempty"`

	// restartPolicy says what happens when a Pod fails or is lost after the gang
	// has started. Unset means type Never.
	//
	// +optional
	RestartPolicy *GangRestartPolicy `json:"restartPolicy,omitempty"`

	// masterPort is the port of rank 0 in the environment variable MASTER_PORT.
	// Unset means 29500.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	MasterPort int32 `json:"masterPort,omitempty"`

	// checkpointPolicyRef is the CheckpointPolicy of the gang's namespace that
	// says when its state is saved. It has no effect on placement.
	//
	// +optional
	CheckpointPolicyRef *LocalObjectRef `json:"checkpointPolicyRef,omitempty"`
}

// LocalObjectRef names an object of the same namespace.
type LocalObjectRef struct {
	// name is the name of the object.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
}

// GangRole is a number of Pods of one template.
//
// +kubebuilder:validation:XValidation:rule="!has(self.minReplicas) || self.minReplicas <= self.replicas",message="minReplicas must not exceed replicas: lower minReplicas or raise replicas"
// +kubebuilder:validation:XValidation:rule="has(self.template.spec) && self.template.spec.containers.size() > 0",message="template needs a container: write what the Pod runs in template.spec.containers"
// +kubebuilder:validation:XValidation:rule="!has(self.template.spec) || !has(self.template.spec.nodeName)",message="the nodes are chosen for the gang: remove nodeName from template.spec, and narrow them with nodeSelector or node affinity"
type GangRole struct {
	// name identifies the role; it is a part of Pod names.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name,omitempty"`

	// replicas is the number of Pods.
	//
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=4096
	Replicas int32 `json:"replicas,omitempty"`

	// minReplicas is the number of Pods with which the gang may start when not
	// all of them fit. Unset means replicas.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=4096
	MinReplicas int32 `json:"minReplicas,omitempty"`

	// spares is the number of further slots of the same shape that are held for
	// the role next to its Pods. For a role in a group with sliceSize the spares
	// are spread evenly over the slices, which they must divide into. Unset means 0.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1024
	Spares int32 `json:"spares,omitempty"`

	// accelerator narrows the nodes of the role by the accelerators they have.
	// All Pods of a role get accelerators of one class. Unset means any node. The
	// number of accelerators is in the template's resources.
	//
	// +optional
	Accelerator *AcceleratorRequest `json:"accelerator,omitempty"`

	// deviceLocality says how near to each other the devices of one Pod are. Unset
	// means Node.
	//
	// +optional
	DeviceLocality DeviceLocality `json:"deviceLocality,omitempty"`

	// template is the Pod. Its resource requests decide how much room a Pod
	// needs, its tolerations, nodeSelector and node affinity which nodes it takes.
	//
	// +required
	Template corev1.PodTemplateSpec `json:"template,omitzero"`
}

// DeviceLocality says how near to each other the devices of one Pod are. A value
// that this version does not know counts as Node.
//
// +kubebuilder:validation:Enum=Node;Island
type DeviceLocality string

// The localities of devices.
const (
	// DeviceLocalityNode takes any devices of the node.
	DeviceLocalityNode DeviceLocality = "Node"
	// DeviceLocalityIsland takes the devices of a Pod out of one island of its node:
	// devices that NVLink joins where it joins fewer than all, else those of one
	// NUMA node. Only nodes with a node agent's report have islands.
	DeviceLocalityIsland DeviceLocality = "Island"
)

// AcceleratorRequest asks for accelerators by name or by capability.
//
// +kubebuilder:validation:XValidation:rule="has(self.className) != has(self.capabilities)",message="set exactly one of className and capabilities: remove the other, or remove accelerator when any node will do"
type AcceleratorRequest struct {
	// className is an AcceleratorClass. The classes in its fallback may stand in.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	ClassName string `json:"className,omitempty"`

	// capabilities are what a class must offer. The least class that suffices is
	// tried first.
	//
	// +optional
	Capabilities *AcceleratorCapabilities `json:"capabilities,omitempty"`
}

// AcceleratorCapabilities are minimums for a class. A class that has no figure
// for one of them does not qualify. Where a figure was measured, the measured
// one counts.
//
// +kubebuilder:validation:XValidation:rule="has(self.minMemory) || has(self.features) || has(self.minFigures)",message="capabilities needs at least one of minMemory, features and minFigures: remove accelerator when any node will do"
type AcceleratorCapabilities struct {
	// minMemory is the memory of one device.
	//
	// +optional
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).isGreaterThan(quantity('0'))",message="minMemory must be more than 0: write the least memory of one device, such as 80Gi, or remove it"
	MinMemory *resource.Quantity `json:"minMemory,omitempty"`

	// features must all be offered, such as "FP8".
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	Features []string `json:"features,omitempty"`

	// minFigures are least throughputs of one device.
	//
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	MinFigures []MinFigure `json:"minFigures,omitempty"`
}

// MinFigure is a least throughput.
type MinFigure struct {
	// name says which throughput, and its unit.
	//
	// +required
	Name FigureName `json:"name,omitempty"`

	// value is the least one, such as "900".
	//
	// +required
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).isGreaterThan(quantity('0'))",message="value must be more than 0: write the least throughput of one device, such as 900"
	Value *resource.Quantity `json:"value,omitempty"`
}

// CommunicationPattern says how the members of a group talk to each other. A
// value that this version does not know counts as Ring.
//
// +kubebuilder:validation:Enum=Ring;Tree;AllToAll;Pipeline;PrefillDecode
type CommunicationPattern string

// The patterns of communication.
const (
	PatternRing          CommunicationPattern = "Ring"
	PatternTree          CommunicationPattern = "Tree"
	PatternAllToAll      CommunicationPattern = "AllToAll"
	PatternPipeline      CommunicationPattern = "Pipeline"
	PatternPrefillDecode CommunicationPattern = "PrefillDecode"
)

// GangTopology says where a set of Pods sits.
//
// +kubebuilder:validation:XValidation:rule="!has(self.required) || !has(self.preferred) || self.preferred == self.required || self.preferred == 'Node' || self.required == 'Fabric' || (self.required == 'Block' && self.preferred != 'Fabric') || (self.required == 'Leaf' && self.preferred == 'NVLinkDomain')",message="preferred must not be wider than required: choose a narrower preferred level (Fabric > Block > Leaf > NVLinkDomain > Node) or remove it"
type GangTopology struct {
	// required is the level of the one domain that must hold all Pods. Unset
	// means none.
	//
	// +optional
	Required TopologyLevel `json:"required,omitempty"`

	// preferred is the level of the one domain that should hold all Pods. Where
	// it cannot, the next wider level is tried. Unset means the tightest.
	//
	// +optional
	Preferred TopologyLevel `json:"preferred,omitempty"`

	// pattern says how the Pods talk to each other. Unset means Ring.
	//
	// +optional
	Pattern CommunicationPattern `json:"pattern,omitempty"`
}

// GangGroup is a part of a gang that sits closer together than the whole.
//
// +kubebuilder:validation:XValidation:rule="!has(self.parentName) || self.parentName != self.name",message="a group cannot be its own parent: name another group in parentName or remove it"
// +kubebuilder:validation:XValidation:rule="!has(self.required) || !has(self.preferred) || self.preferred == self.required || self.preferred == 'Node' || self.required == 'Fabric' || (self.required == 'Block' && self.preferred != 'Fabric') || (self.required == 'Leaf' && self.preferred == 'NVLinkDomain')",message="preferred must not be wider than required: choose a narrower preferred level (Fabric > Block > Leaf > NVLinkDomain > Node) or remove it"
type GangGroup struct {
	// name identifies the group.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name,omitempty"`

	// parentName is the group that holds this one. Unset means the gang itself.
	// Groups nest three deep below the gang.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	ParentName string `json:"parentName,omitempty"`

	// roleNames are the roles whose Pods belong to the group directly.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=16
	RoleNames []string `json:"roleNames,omitempty"`

	// sliceSize divides the group into equal slices of this many Pods, each of
	// which meets required and preferred on its own. It counts the Pods of all
	// roles of the group and of groups below it, and must divide the replicas of
	// the group so that every slice has the same Pods. Unset means one slice.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=4096
	SliceSize int32 `json:"sliceSize,omitempty"`

	// required is the level of the one domain that must hold a slice. Unset means
	// none.
	//
	// +optional
	Required TopologyLevel `json:"required,omitempty"`

	// preferred is the level of the one domain that should hold a slice. Where it
	// cannot, the next wider level is tried, out to required. Unset means none.
	//
	// +optional
	Preferred TopologyLevel `json:"preferred,omitempty"`

	// pattern says how the Pods of a slice talk to each other. Unset means Ring.
	//
	// +optional
	Pattern CommunicationPattern `json:"pattern,omitempty"`
}

// GangRestartType says how a gang comes back. A value that this version does
// not know counts as Never.
//
// +kubebuilder:validation:Enum=Never;RecreateGang
type GangRestartType string

// The ways in which a gang comes back.
const (
	// RestartNever ends the gang as failed.
	RestartNever GangRestartType = "Never"
	// RestartRecreateGang removes all Pods and places the gang anew.
	RestartRecreateGang GangRestartType = "RecreateGang"
)

// GangRestartPolicy says what happens when a member of a started gang fails.
//
// +kubebuilder:validation:XValidation:rule="!has(self.maxRestarts) || self.type == 'RecreateGang'",message="maxRestarts is for type RecreateGang: change type, or remove maxRestarts"
type GangRestartPolicy struct {
	// type says how the gang comes back.
	//
	// +required
	Type GangRestartType `json:"type,omitempty"`

	// maxRestarts is how often the gang may come back. Unset means 3.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	MaxRestarts int32 `json:"maxRestarts,omitempty"`
}

// GangSchedulingGroupStatus is where the gang is and how it does.
//
// +kubebuilder:validation:MinProperties=1
type GangSchedulingGroupStatus struct {
	// conditions are Ready, Reconciling, Stalled, Placed and Finished.
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// epoch counts the placements of the gang. It grows by one with every commit
	// and never shrinks. Unset means that the gang was never placed.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	Epoch int64 `json:"epoch,omitempty"`

	// placement is the committed placement: the gang's room is taken, and Pods
	// are created only from it. Unset means that the gang holds no room.
	//
	// +optional
	Placement *GangPlacement `json:"placement,omitempty"`

	// release is set while the Pods of the placement are being removed.
	//
	// +optional
	Release *GangRelease `json:"release,omitempty"`

	// roles count the Pods of each role.
	//
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	Roles []GangRoleStatus `json:"roles,omitempty"`

	// pods count the Pods of the gang.
	//
	// +optional
	Pods *GangPodCounts `json:"pods,omitempty"`

	// refusal says why the gang has no placement.
	//
	// +optional
	Refusal *GangRefusal `json:"refusal,omitempty"`

	// startedEpoch is the newest epoch in which every Pod ran. Unset means none.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	StartedEpoch int64 `json:"startedEpoch,omitempty"`

	// restarts is how often the gang came back after it had started.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	Restarts *int32 `json:"restarts,omitempty"`

	// backoff is set after a placement could not be realised.
	//
	// +optional
	Backoff *GangBackoff `json:"backoff,omitempty"`
}

// GangPlacement is a node for every Pod of a gang.
type GangPlacement struct {
	// generation is the metadata.generation that was placed.
	//
	// +required
	// +kubebuilder:validation:Minimum=1
	Generation int64 `json:"generation,omitempty"`

	// committedTime is when the placement was committed.
	//
	// +required
	CommittedTime *metav1.Time `json:"committedTime,omitempty"`

	// level is the tightest level at which one domain holds the gang. Unset means
	// that it spans several fabrics.
	//
	// +optional
	Level TopologyLevel `json:"level,omitempty"`

	// domain is the domain of that level. Unset means that level is unset.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Domain string `json:"domain,omitempty"`

	// spread counts the domains that the gang touches, by level.
	//
	// +optional
	// +listType=map
	// +listMapKey=level
	// +kubebuilder:validation:MaxItems=5
	Spread []LevelSpread `json:"spread,omitempty"`

	// groups are the levels that the slices of each group reached.
	//
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	Groups []GroupPlacement `json:"groups,omitempty"`

	// bandwidth is how fast the gang can exchange data, by an estimate. Unset means
	// that it has fewer than two devices.
	//
	// +optional
	Bandwidth *GangBandwidth `json:"bandwidth,omitempty"`

	// roles give the nodes of each role.
	//
	// +required
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Roles []RolePlacement `json:"roles,omitempty"`
}

// GangBandwidth is how fast all devices of a gang can exchange data in the gang's
// pattern: the bus bandwidth that NCCL's tests would tell, in gigabits per second
// and device, as if nothing else used the fabric. It follows from the figures of
// links, and is not measured.
//
// +kubebuilder:validation:MinProperties=1
type GangBandwidth struct {
	// estimatedGbps is the estimate, rounded down, and at least 1. Unset means that
	// a link that it depends on has no figure.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	EstimatedGbps int64 `json:"estimatedGbps,omitempty"`

	// bestGbps is the estimate for where the gang would sit if nothing else ran.
	// Unset means that a link that it depends on has no figure.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	BestGbps int64 `json:"bestGbps,omitempty"`

	// bottleneckLevel is the level of the domain whose links allow least. Where
	// estimatedGbps is unset it is the level of the widest one whose links have no
	// figure. Unset means what joins separate fabrics.
	//
	// +optional
	BottleneckLevel TopologyLevel `json:"bottleneckLevel,omitempty"`

	// bottleneckDomain is the domain of that level. Of a node or an NVLinkDomain it
	// means the adapters or the links between the devices, of a wider domain the
	// uplink. Unset means that bottleneckLevel is unset.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	BottleneckDomain string `json:"bottleneckDomain,omitempty"`
}

// LevelSpread counts the domains of one level that a gang touches.
type LevelSpread struct {
	// level is the level.
	//
	// +required
	Level TopologyLevel `json:"level,omitempty"`

	// domains is the number of domains.
	//
	// +required
	// +kubebuilder:validation:Minimum=1
	Domains int32 `json:"domains,omitempty"`
}

// GroupPlacement is the level that every slice of a group reached.
type GroupPlacement struct {
	// name is the group.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name,omitempty"`

	// level is the tightest level at which one domain holds a slice, for the
	// worst of the slices. Unset means that a slice spans several fabrics.
	//
	// +optional
	Level TopologyLevel `json:"level,omitempty"`

	// estimatedGbps is how fast the devices of a slice can exchange data in the
	// group's pattern while all slices do, counted as in bandwidth. Unset means
	// that a link has no figure, or that a slice has fewer than two devices.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	EstimatedGbps int64 `json:"estimatedGbps,omitempty"`
}

// RolePlacement gives every Pod of a role its node.
type RolePlacement struct {
	// name is the role.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=16
	Name string `json:"name,omitempty"`

	// replicas is the number of Pods that are placed.
	//
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=4096
	Replicas int32 `json:"replicas,omitempty"`

	// className is the AcceleratorClass of the nodes. Unset means that the role
	// asks for none.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	ClassName string `json:"className,omitempty"`

	// hosts lists the nodes in the order of the Pods' indexes, as a host list:
	// names separated by commas, "rack-[00-15]" for a run of names that count up,
	// and "*8" after either when each node takes that many Pods in a row.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1048576
	Hosts string `json:"hosts,omitempty"`

	// spareHosts lists the nodes of the spare slots in the same form.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1048576
	SpareHosts string `json:"spareHosts,omitempty"`

	// slot is what one Pod takes from its node, as it was when placed: the sum
	// of its requests.
	//
	// +optional
	Slot corev1.ResourceList `json:"slot,omitempty"`
}

// GangRelease says that the Pods of the placement are being removed.
type GangRelease struct {
	// reason says why, in one word.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Reason string `json:"reason,omitempty"`

	// message says why, for a person.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
}

// GangRoleStatus counts the Pods of one role.
type GangRoleStatus struct {
	// name is the role.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=16
	Name string `json:"name,omitempty"`

	// pods count the Pods of the role.
	//
	// +required
	Pods GangPodCounts `json:"pods,omitzero"`
}

// GangPodCounts counts Pods.
type GangPodCounts struct {
	// desired is the number of Pods that the placement holds, or that the spec
	// asks for while there is none.
	//
	// +required
	// +kubebuilder:validation:Minimum=0
	Desired *int32 `json:"desired,omitempty"`

	// created is the number of Pods that exist.
	//
	// +required
	// +kubebuilder:validation:Minimum=0
	Created *int32 `json:"created,omitempty"`

	// bound is the number of Pods that have a node.
	//
	// +required
	// +kubebuilder:validation:Minimum=0
	Bound *int32 `json:"bound,omitempty"`

	// running is the number of Pods that run.
	//
	// +required
	// +kubebuilder:validation:Minimum=0
	Running *int32 `json:"running,omitempty"`

	// succeeded is the number of Pods that ended well.
	//
	// +required
	// +kubebuilder:validation:Minimum=0
	Succeeded *int32 `json:"succeeded,omitempty"`

	// failed is the number of Pods that ended badly.
	//
	// +required
	// +kubebuilder:validation:Minimum=0
	Failed *int32 `json:"failed,omitempty"`
}

// GangRefusal is the best that the fleet could do for the gang.
type GangRefusal struct {
	// reason is the kind of refusal: WaitingForRoom, NoProof, Unsatisfiable,
	// InvalidSpec, UnknownClass or QueueUnsupported.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Reason string `json:"reason,omitempty"`

	// generation is the metadata.generation that was refused.
	//
	// +required
	// +kubebuilder:validation:Minimum=1
	Generation int64 `json:"generation,omitempty"`

	// message is the refusal in one sentence, such as "needs 24 slots in one
	// Block, best is block-b with 17".
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`

	// group is the group whose demand is not met. Unset means the whole gang.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Group string `json:"group,omitempty"`

	// level is the level of the one domain that must hold it. Unset means that
	// there is no such demand.
	//
	// +optional
	Level TopologyLevel `json:"level,omitempty"`

	// domain is the domain that comes nearest. Unset means that none has room.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Domain string `json:"domain,omitempty"`

	// needed is the number of slots asked for. Unset means that slots are not
	// what is wrong.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	Needed *int32 `json:"needed,omitempty"`

	// found is the number of slots in domain.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	Found *int32 `json:"found,omitempty"`

	// limiting is the resource that is short. Unset means unknown.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	Limiting string `json:"limiting,omitempty"`

	// levels tell, from the widest to the narrowest level that the gang could ask
	// for, which domain holds most of it.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=6
	Levels []LevelRefusal `json:"levels,omitempty"`

	// excluded counts nodes that no role may use, by reason. Of more than 16 reasons
	// the rarest are put together as "other reasons".
	//
	// +optional
	// +listType=map
	// +listMapKey=reason
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Excluded []ExcludedNodes `json:"excluded,omitempty"`
}

// LevelRefusal is the domain of one level that holds most of a gang.
type LevelRefusal struct {
	// level is the level. Unset means all of the cluster.
	//
	// +optional
	Level TopologyLevel `json:"level,omitempty"`

	// domain is the domain of that level that holds most. Unset means that none
	// holds anything, or that level is unset.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Domain string `json:"domain,omitempty"`

	// found is the number of slots of the gang that the domain holds.
	//
	// +required
	// +kubebuilder:validation:Minimum=0
	Found *int32 `json:"found,omitempty"`

	// needed is the number of slots of the gang.
	//
	// +required
	// +kubebuilder:validation:Minimum=0
	Needed *int32 `json:"needed,omitempty"`
}

// ExcludedNodes is a number of nodes that are left out for one reason.
type ExcludedNodes struct {
	// reason is why, such as "cordoned" or "of another class".
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=340
	Reason string `json:"reason,omitempty"`

	// nodes is the number of nodes.
	//
	// +required
	// +kubebuilder:validation:Minimum=1
	Nodes int32 `json:"nodes,omitempty"`
}

// GangBackoff delays the next placement of a gang.
type GangBackoff struct {
	// failures is the number of placements in a row that were not realised.
	//
	// +required
	// +kubebuilder:validation:Minimum=1
	Failures int32 `json:"failures,omitempty"`

	// generation is the metadata.generation that failed. A changed spec does not
	// wait.
	//
	// +required
	// +kubebuilder:validation:Minimum=1
	Generation int64 `json:"generation,omitempty"`

	// notBefore is the earliest time of the next placement.
	//
	// +required
	NotBefore *metav1.Time `json:"notBefore,omitempty"`

	// message says what went wrong last.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
}

// GangSchedulingGroup is a set of roles that start together or not at all, in
// the right place.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=gsg,categories=k8s4ai
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Pods",type=integer,JSONPath=`.status.pods.desired`
// +kubebuilder:printcolumn:name="Running",type=integer,JSONPath=`.status.pods.running`
// +kubebuilder:printcolumn:name="Domain",type=string,JSONPath=`.status.placement.domain`
// +kubebuilder:printcolumn:name="Refusal",type=string,JSONPath=`.status.refusal.message`,priority=1
// +kubebuilder:printcolumn:name="Epoch",type=integer,JSONPath=`.status.epoch`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",message="the name becomes a Service and a part of Pod host names: use at most 40 lower-case letters, digits and dashes, beginning with a letter",fieldPath=".metadata"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.status) || !has(oldSelf.status.epoch) || (has(self.status) && has(self.status.epoch) && self.status.epoch >= oldSelf.status.epoch)",message="status.epoch never shrinks: read the gang again and count on from its epoch",fieldPath=".status.epoch"
type GangSchedulingGroup struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object metadata.
	//
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is what the gang consists of and where it should sit.
	//
	// +required
	Spec GangSchedulingGroupSpec `json:"spec,omitzero"`

	// status is where the gang is and how it does.
	//
	// +optional
	Status GangSchedulingGroupStatus `json:"status,omitzero"`
}

// GangSchedulingGroupList is a list of GangSchedulingGroups.
//
// +kubebuilder:object:root=true
type GangSchedulingGroupList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []GangSchedulingGroup `json:"items"`
}
