package topology

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/convert"
	"github.com/k8s4ai/k8s4ai/internal/placement"
)

// holdings is the room that gangs hold, by node.
type holdings struct {
	gangs  map[types.NamespacedName]holding
	epochs map[types.UID]int64
	byNode map[string]map[types.NamespacedName][]placement.Use
}

// holding is the commitment of one gang.
type holding struct {
	uid   types.UID
	nodes []string
}

func newHoldings() *holdings {
	return &holdings{
		gangs: map[types.NamespacedName]holding{}, epochs: map[types.UID]int64{},
		byNode: map[string]map[types.NamespacedName][]placement.Use{},
	}
}

// set replaces what a gang holds, nil for a gang that is gone. It returns the
// nodes on which it held or holds something.
func (h *holdings) set(key types.NamespacedName, gang *v1alpha1.GangSchedulingGroup) []string {
	was := h.gangs[key]
	for _, node := range was.nodes {
		if delete(h.byNode[node], key); len(h.byNode[node]) == 0 {
			delete(h.byNode, node)
		}
	}
	delete(h.gangs, key)
	delete(h.epochs, was.uid)
	touched := was.nodes
	if gang == nil {
		return touched
	}
	uses, held := convert.Commitment(gang)
	if !held {
		return touched
	}
	is := holding{uid: gang.UID}
	for _, use := range uses {
		if h.byNode[use.Node] == nil {
			h.byNode[use.Node] = map[types.NamespacedName][]placement.Use{}
		}
		if len(h.byNode[use.Node][key]) == 0 {
			is.nodes = append(is.nodes, use.Node)
		}
		h.byNode[use.Node][key] = append(h.byNode[use.Node][key], use)
	}
	h.gangs[key], h.epochs[gang.UID] = is, gang.Status.Epoch
	return append(touched, is.nodes...)
}

// on lists what gangs hold on a node.
func (h *holdings) on(node string) []placement.Use {
	var out []placement.Use
	for _, uses := range h.byNode[node] {
		out = append(out, uses...)
	}
	return out
}

// has says whether a Pod is a part of what its gang holds.
func (h *holdings) has(pod *corev1.Pod) bool {
	uid, epoch := convert.GangOf(pod)
	held, ok := h.epochs[uid]
	return ok && held == epoch
}
