package convert

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/capability"
	"github.com/k8s4ai/k8s4ai/internal/placement"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// Objects are all objects of a cluster that bear on where a gang may go, those by
// pointer of which there are many. They are as the API server has stored them, each
// once: those of one name, UID and resourceVersion never differ. They may be shared
// with a cache: nothing here changes them.
type Objects struct {
	Nodes   []*corev1.Node
	Domains []*v1alpha1.TopologyDomain
	Pods    []*corev1.Pod
	Classes []v1alpha1.AcceleratorClass
	Slices  []resourcev1.ResourceSlice
	Scan    topology.Scan
}

// Follower works out a cluster as World.Scene does, and keeps the result from one
// look at the cluster to the next. Each look is at everything, so that nothing can
// be missed, and only what is another version than the last time is worked on:
//
//	a Pod, or what a gang holds   the sum of its nodes
//	a Node, or what its agent     the node, and where that changes its place, what
//	says                          topology.State follows from it
//	classes, devices of DRA       the nodes of which they change something
//	declared domains, the scan    the place of every node
//	the set of domains            the tree of placement, from what is known of nodes
//
// What changes in an object without a meaning for placement, such as a heartbeat,
// ends there. A Follower has one owner: no two methods may run at once. Snapshots
// stay as they are while it goes on.
type Follower struct {
	nodes   sightings[followed]
	domains sightings[v1alpha1.TopologyDomain]
	classes sightings[struct{}]
	slices  sightings[struct{}]
	// own are the TopologyDomains of each node.
	own      map[string][]*v1alpha1.TopologyDomain
	declared *Declared
	kinds    Kinds
	scan     topology.Scan
	fabric   *topology.State
	lodging  lodging
	// vertices are the domains of the fabric, and of state.
	vertices map[string]topology.Vertex
	state    *placement.State
	// stale are nodes to be worked out again, or all of them; unset are those that
	// state does not have as they are, and gone those that it still has.
	stale       map[string]struct{}
	isAllStale  bool
	unset, gone map[string]struct{}
}

// followed is what is known of one node.
type followed struct {
	isKnown bool
	// is has what NodeDiffers compares, and nothing else that would have to be kept.
	is       corev1.Node
	labelled topology.Labelled
	report   *topology.Report
	// node is without its domain and what is used of it.
	node   placement.Node
	domain string
}

// NewFollower returns a Follower that knows nothing yet.
func NewFollower() *Follower {
	return &Follower{
		own: map[string][]*v1alpha1.TopologyDomain{}, fabric: topology.NewState(), lodging: newLodging(), vertices: map[string]topology.Vertex{},
		stale: map[string]struct{}{}, unset: map[string]struct{}{}, gone: map[string]struct{}{},
	}
}

// Follow takes over what is stored, and all room that gangs hold, by their UID. A
// Holding never changes: what a gang holds anew is another pointer. After an error,
// which names a node that placement does not take, the Follower is of no more use.
func (f *Follower) Follow(now Objects, held map[types.UID]*Holding) error {
	f.seeKinds(now.Classes, now.Slices)
	f.seeDomains(now.Domains)
	if !reflect.DeepEqual(f.scan, now.Scan) {
		f.scan = now.Scan
		f.fabric.SetScan(now.Scan)
	}
	f.seeNodes(now.Nodes)
	f.lodging.see(now.Pods, f.unset)
	f.lodging.holdOnly(held, f.unset)
	isReshaped := f.settle()
	return f.write(isReshaped)
}

// Hold says what one gang holds from now on, nil for nothing.
func (f *Follower) Hold(gang types.UID, h *Holding) error {
	f.lodging.hold(gang, h, f.unset)
	return f.write(false)
}

// Snapshot is the cluster as placement sees it.
func (f *Follower) Snapshot() *placement.Snapshot { return f.state.Snapshot() }

// Profiles are the accelerator classes.
func (f *Follower) Profiles() []capability.Profile { return f.kinds.Profiles }

// seeKinds takes over classes, and the devices that DRA drivers publish.
func (f *Follower) seeKinds(classes []v1alpha1.AcceleratorClass, published []resourcev1.ResourceSlice) {
	areNew := differ(&f.classes, classes)
	if differ(&f.slices, published) {
		areNew = true
	}
	if !areNew {
		return
	}
	was := f.kinds
	f.kinds = ReadKinds(slices.SortedFunc(slices.Values(classes), func(a, b v1alpha1.AcceleratorClass) int { return strings.Compare(a.Name, b.Name) }), published)
	if !f.kinds.sorts(was) {
		f.isAllStale = true
	}
	for _, nodes := range []DRA{was.dra, f.kinds.dra} {
		for node := range nodes {
			if !reflect.DeepEqual(was.dra[node], f.kinds.dra[node]) {
				f.stale[node] = struct{}{}
			}
		}
	}
}

// sorts says whether a node without devices of DRA comes out of both the same. What
// devices were measured to deliver changes often, and says nothing of what they are.
func (k Kinds) sorts(other Kinds) bool {
	return slices.Equal(k.resources, other.resources) && maps.Equal(k.links, other.links) &&
		reflect.DeepEqual(unmeasured(k.Profiles), unmeasured(other.Profiles))
}

func unmeasured(profiles []capability.Profile) []capability.Profile {
	out := slices.Clone(profiles)
	for i := range out {
		out[i].MemoryGBps.Measured = 0
		for precision := range out[i].TFLOPS {
			out[i].TFLOPS[precision].Measured = 0
		}
	}
	return out
}

// seeDomains takes over what people and agents say of the fabric.
func (f *Follower) seeDomains(domains []*v1alpha1.TopologyDomain) {
	isRedeclared := f.declared == nil
	f.domains.begin()
	for _, is := range domains {
		known, isNew := f.domains.see(is)
		if !isNew || !evidenceDiffers(known, is) {
			continue
		}
		if declares(known) != declares(is) || declares(is) && !reflect.DeepEqual(known.Spec, is.Spec) {
			isRedeclared = true
		}
		f.disown(known)
		// No more than that is read of it, and nothing else of it is to be kept.
		*known = v1alpha1.TopologyDomain{Spec: is.Spec, Status: v1alpha1.TopologyDomainStatus{Node: is.Status.Node}}
		known.Name, known.Labels = is.Name, is.Labels
		if known.Spec.Level == v1alpha1.LevelNode {
			f.own[known.Spec.NodeName] = append(f.own[known.Spec.NodeName], known)
			f.stale[known.Spec.NodeName] = struct{}{}
		}
	}
	for known := range f.domains.missing() {
		isRedeclared = isRedeclared || declares(known)
		f.disown(known)
	}
	if !isRedeclared {
		return
	}
	var all []v1alpha1.TopologyDomain
	for known := range f.domains.all() {
		if declares(known) {
			all = append(all, *known)
		}
	}
	slices.SortFunc(all, func(a, b v1alpha1.TopologyDomain) int { return strings.Compare(a.Name, b.Name) })
	f.declared, f.isAllStale = ReadDeclared(all), true
	f.fabric.Declare(f.declared.Declarations)
}

// evidenceDiffers says whether two versions of a domain say different things of the
// fabric. What the manager writes into a status changes with every Pod.
func evidenceDiffers(known, is *v1alpha1.TopologyDomain) bool {
	return known.Name == "" || IsDeclared(known) != IsDeclared(is) ||
		!reflect.DeepEqual(known.Spec, is.Spec) || !reflect.DeepEqual(known.Status.Node, is.Status.Node)
}

// declares says whether a domain is a declared one; one without a name is none yet.
func declares(domain *v1alpha1.TopologyDomain) bool { return domain.Name != "" && IsDeclared(domain) }

// disown forgets a domain of a node.
func (f *Follower) disown(domain *v1alpha1.TopologyDomain) {
	if domain.Name == "" || domain.Spec.Level != v1alpha1.LevelNode {
		return
	}
	node := domain.Spec.NodeName
	f.own[node] = slices.DeleteFunc(f.own[node], func(d *v1alpha1.TopologyDomain) bool { return d == domain })
	if len(f.own[node]) == 0 {
		delete(f.own, node)
	}
	f.stale[node] = struct{}{}
}

// seeNodes works out the nodes that are new or stale.
func (f *Follower) seeNodes(nodes []*corev1.Node) {
	f.nodes.begin()
	for _, is := range nodes {
		known, isNew := f.nodes.see(is)
		_, isStale := f.stale[is.Name]
		if isStale || f.isAllStale || isNew && (!known.isKnown || NodeDiffers(&known.is, is)) {
			f.workOut(known, is)
		}
	}
	for known := range f.nodes.missing() {
		f.fabric.RemoveNode(known.node.Name)
		f.gone[known.node.Name] = struct{}{}
	}
	f.stale, f.isAllStale = map[string]struct{}{}, false
}

func (f *Follower) workOut(known *followed, is *corev1.Node) {
	e := f.declared.Evidence(is, f.own[is.Name])
	if !known.isKnown || !reflect.DeepEqual(known.labelled, e.Labelled) || !reflect.DeepEqual(known.report, e.Report) {
		f.fabric.SetNode(e.Labelled, e.Report, topology.NodeRoom{})
		known.labelled, known.report = e.Labelled, e.Report
	}
	scene := f.kinds.SceneNode(is, e.Stored, e.Distrusted, nil)
	if !known.isKnown || !reflect.DeepEqual(known.node, scene.Node) {
		known.node = scene.Node
		f.unset[is.Name] = struct{}{}
	}
	known.isKnown = true
	known.is = corev1.Node{Spec: is.Spec, Status: corev1.NodeStatus{Allocatable: is.Status.Allocatable, Conditions: is.Status.Conditions}}
	known.is.Labels, known.is.DeletionTimestamp = is.Labels, is.DeletionTimestamp
}

// NodeDiffers says whether two versions of a node differ in anything that bears on
// placement: in what Declared.Evidence and Kinds.SceneNode read of a node. Heartbeats
// do not.
func NodeDiffers(a, b *corev1.Node) bool {
	return !equality.Semantic.DeepEqual(a.Spec, b.Spec) || !equality.Semantic.DeepEqual(a.Labels, b.Labels) ||
		!equality.Semantic.DeepEqual(a.Status.Allocatable, b.Status.Allocatable) ||
		a.DeletionTimestamp.IsZero() != b.DeletionTimestamp.IsZero() || isReady(a) != isReady(b)
}

// settle takes over what the fabric has become. It says whether the set of its
// domains is another one.
func (f *Follower) settle() (isReshaped bool) {
	changes := f.fabric.Take()
	for _, name := range changes.Domains {
		domain, found := f.fabric.Domain(name)
		was, existed := f.vertices[name]
		switch exists := found && domain.Accepted; {
		case exists && (!existed || was != domain.Vertex):
			f.vertices[name] = domain.Vertex
			isReshaped = true
		case existed && !exists:
			delete(f.vertices, name)
			isReshaped = true
		}
	}
	for _, name := range changes.Nodes {
		place, _, _ := f.fabric.Place(name)
		if known := f.nodes.at(name); known != nil && known.domain != place.Domain {
			known.domain = place.Domain
			f.unset[name] = struct{}{}
		}
	}
	return isReshaped || f.state == nil
}

// write brings the tree of placement up to date.
func (f *Follower) write(isReshaped bool) error {
	var err error
	if isReshaped {
		var nodes []placement.Node
		for known := range f.nodes.all() {
			nodes = append(nodes, f.nodeOf(known))
		}
		f.state, err = placement.NewState(slices.Collect(maps.Values(f.vertices)), nodes...)
	} else {
		for name := range f.gone {
			f.state.RemoveNode(name)
		}
		for name := range f.unset {
			if known := f.nodes.at(name); known != nil && err == nil {
				err = f.state.SetNode(f.nodeOf(known))
			}
		}
	}
	if err != nil {
		return fmt.Errorf("taking a snapshot of the cluster: %w", err)
	}
	f.unset, f.gone = map[string]struct{}{}, map[string]struct{}{}
	return nil
}

// nodeOf is a node as placement gets it.
func (f *Follower) nodeOf(known *followed) placement.Node {
	out := known.node
	out.Domain, out.Used = known.domain, f.lodging.on(out.Name)
	return out
}
