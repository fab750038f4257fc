package convert

import (
	"maps"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/k8s4ai/k8s4ai/internal/placement"
)

// Holding is the room that one epoch of a gang holds.
type Holding struct {
	Epoch int64
	Uses  []placement.Use
}

// lodging is who takes room on which node: Pods, and gangs by what they hold. It
// adds up, node by node, to what World.Used adds up to. Sums are made anew and not
// changed: a sum that has reached the largest integer could not be taken back.
type lodging struct {
	pods   sightings[lodger]
	onNode map[string]map[*lodger]struct{}
	ofGang map[types.UID]map[*lodger]struct{}
	held   map[types.UID]*Holding
	// heldOn is what gangs hold on a node.
	heldOn map[string]map[types.UID]placement.Resources
}

// lodger is what a Pod takes. One that takes nothing is on no node.
type lodger struct {
	node  string
	gang  types.UID
	epoch int64
	takes placement.Resources
}

func newLodging() lodging {
	return lodging{
		onNode: map[string]map[*lodger]struct{}{}, ofGang: map[types.UID]map[*lodger]struct{}{},
		held: map[types.UID]*Holding{}, heldOn: map[string]map[types.UID]placement.Resources{},
	}
}

// see takes over all Pods, and adds the nodes whose sum may change by it.
func (l *lodging) see(pods []*corev1.Pod, touched map[string]struct{}) {
	l.pods.begin()
	for _, pod := range pods {
		known, isNew := l.pods.see(pod)
		if !isNew {
			continue
		}
		now := lodgerOf(pod)
		if known.node == now.node && known.gang == now.gang && known.epoch == now.epoch && maps.Equal(known.takes, now.takes) {
			continue
		}
		l.leave(known, touched)
		*known = now
		l.move(known, touched)
	}
	for known := range l.pods.missing() {
		l.leave(known, touched)
	}
}

func lodgerOf(pod *corev1.Pod) lodger {
	if pod.Spec.NodeName == "" || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		return lodger{}
	}
	gang, epoch := GangOf(pod)
	return lodger{node: pod.Spec.NodeName, gang: gang, epoch: epoch, takes: PodRequests(pod)}
}

func (l *lodging) move(in *lodger, touched map[string]struct{}) {
	if in.node == "" {
		return
	}
	enter(l.onNode, in.node, in, struct{}{})
	if in.gang != "" {
		enter(l.ofGang, in.gang, in, struct{}{})
	}
	touched[in.node] = struct{}{}
}

func (l *lodging) leave(out *lodger, touched map[string]struct{}) {
	if out.node == "" {
		return
	}
	remove(l.onNode, out.node, out)
	remove(l.ofGang, out.gang, out)
	touched[out.node] = struct{}{}
}

// holdOnly takes over what all gangs hold.
func (l *lodging) holdOnly(held map[types.UID]*Holding, touched map[string]struct{}) {
	for gang, h := range held {
		l.hold(gang, h, touched)
	}
	for gang := range l.held {
		if held[gang] == nil {
			l.hold(gang, nil, touched)
		}
	}
}

// hold takes over what one gang holds. It changes which of the gang's Pods count.
func (l *lodging) hold(gang types.UID, h *Holding, touched map[string]struct{}) {
	was := l.held[gang]
	if was == h {
		return
	}
	if was != nil {
		for _, use := range was.Uses {
			remove(l.heldOn, use.Node, gang)
			touched[use.Node] = struct{}{}
		}
		delete(l.held, gang)
	}
	if h != nil {
		for _, use := range h.Uses {
			sum := l.heldOn[use.Node][gang]
			if sum == nil {
				sum = placement.Resources{}
				enter(l.heldOn, use.Node, gang, sum)
			}
			add(sum, use.Resources)
			touched[use.Node] = struct{}{}
		}
		l.held[gang] = h
	}
	for pod := range l.ofGang[gang] {
		touched[pod.node] = struct{}{}
	}
}

// on adds up what is taken of a node.
func (l *lodging) on(node string) placement.Resources {
	out := placement.Resources{}
	for pod := range l.onNode[node] {
		if h := l.held[pod.gang]; h == nil || h.Epoch != pod.epoch {
			add(out, pod.takes)
		}
	}
	for _, sum := range l.heldOn[node] {
		add(out, sum)
	}
	return out
}

// enter and remove keep a map of maps without empty ones.
func enter[K, M comparable, V any](into map[K]map[M]V, key K, member M, value V) {
	if into[key] == nil {
		into[key] = map[M]V{}
	}
	into[key][member] = value
}

func remove[K, M comparable, V any](from map[K]map[M]V, key K, member M) {
	if delete(from[key], member); len(from[key]) == 0 {
		delete(from, key)
	}
}
