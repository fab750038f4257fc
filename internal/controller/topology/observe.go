package topology

import (
	"context"
	"fmt"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/convert"
	"github.com/k8s4ai/k8s4ai/internal/observe"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// fabric is what the Reconciler knows, kept from one look to the next.
type fabric struct {
	state    *topology.State
	declared *convert.Declared
	kinds    convert.Kinds
	held     *holdings
	nodes    map[string]*machine
	// scanProblem says why the newest scan does not count.
	scanProblem string
}

// machine is one node.
type machine struct {
	evidence convert.NodeEvidence
	scene    convert.SceneNode
}

// sight is what is stored of everything that has to be compared.
type sight struct {
	// domains has nil for a name without an object.
	domains map[string]*v1alpha1.TopologyDomain
	nodes   []*corev1.Node
}

// observe tells the State what has changed, and reads what is stored of all that
// changes by it. What it finds to be in need of a look goes into work as well, so
// that it is not lost when the rest cannot be read.
func (r *Reconciler) observe(ctx context.Context, work *batch) (sight, error) {
	if work.all {
		return r.observeAll(ctx)
	}
	for key := range work.gangs {
		var gang v1alpha1.GangSchedulingGroup
		found, err := r.get(ctx, key, &gang)
		if err != nil {
			return sight{}, err
		}
		held := &gang
		if !found {
			held = nil
		}
		for _, node := range r.fabric.held.set(key, held) {
			work.nodes[node] = struct{}{}
		}
		delete(work.gangs, key)
	}
	for name := range work.nodes {
		if err := r.observeNode(ctx, name); err != nil {
			return sight{}, err
		}
	}
	changes := r.fabric.state.Take()
	for _, name := range changes.Domains {
		work.domains[name] = struct{}{}
	}
	for _, name := range changes.Nodes {
		work.nodes[name] = struct{}{}
	}
	return r.look(ctx, *work)
}

// observeAll reads everything and starts the State anew.
func (r *Reconciler) observeAll(ctx context.Context) (sight, error) {
	world, err := observe.World(ctx, r.Client)
	if err != nil {
		return sight{}, err
	}
	var gangs v1alpha1.GangSchedulingGroupList
	if err := r.Client.List(ctx, &gangs, client.UnsafeDisableDeepCopy); err != nil {
		return sight{}, fmt.Errorf("listing gangs: %w", err)
	}
	var leases coordinationv1.LeaseList
	if err := r.Client.List(ctx, &leases, client.InNamespace(r.AgentNamespace), client.UnsafeDisableDeepCopy); err != nil {
		return sight{}, fmt.Errorf("listing the Leases of agents: %w", err)
	}
	world.Commit(gangs.Items)
	f := newFabric(world, gangs.Items)
	out := sight{domains: map[string]*v1alpha1.TopologyDomain{}}
	own := map[string][]*v1alpha1.TopologyDomain{}
	for i := range world.Domains {
		domain := &world.Domains[i]
		out.domains[domain.Name] = domain
		if domain.Spec.Level == v1alpha1.LevelNode {
			own[domain.Spec.NodeName] = append(own[domain.Spec.NodeName], domain)
		}
	}
	used := world.Used()
	for i := range world.Nodes {
		node := &world.Nodes[i]
		out.nodes = append(out.nodes, node)
		f.set(node, own[node.Name], used[node.Name])
	}
	for _, name := range f.state.Take().Domains {
		if _, stored := out.domains[name]; !stored {
			out.domains[name] = nil
		}
	}
	there := map[string]bool{}
	for i := range leases.Items {
		there[leases.Items[i].Name] = true
		r.agents.meet(&leases.Items[i], wasSilent(own[leases.Items[i].Name]))
	}
	r.agents.keep(there)
	if f.scanProblem != "" && (r.fabric == nil || r.fabric.scanProblem != f.scanProblem) {
		log.FromContext(ctx).Info("the newest scan of the fabric does not count", "why", f.scanProblem)
	}
	r.fabric, r.stale = f, r.now().Add(resync)
	return out, nil
}

func newFabric(world convert.World, gangs []v1alpha1.GangSchedulingGroup) *fabric {
	f := &fabric{
		state: topology.NewState(), declared: convert.ReadDeclared(world.Domains), kinds: convert.ReadKinds(world.Classes, world.Slices),
		held: newHoldings(), nodes: map[string]*machine{}, scanProblem: world.ScanProblem,
	}
	for i := range gangs {
		f.held.set(client.ObjectKeyFromObject(&gangs[i]), &gangs[i])
	}
	f.state.Declare(f.declared.Declarations)
	f.state.SetScan(world.Scan)
	return f
}

// set tells the State of a node. own are its TopologyDomains, used is the room
// that is taken on it.
func (f *fabric) set(node *corev1.Node, own []*v1alpha1.TopologyDomain, used map[string]int64) {
	m := &machine{evidence: f.declared.Evidence(node, own)}
	m.scene = f.kinds.SceneNode(node, m.evidence.Stored, m.evidence.Distrusted, used)
	f.nodes[node.Name] = m
	f.state.SetNode(m.evidence.Labelled, m.evidence.Report, m.scene.Room())
}

// observeNode reads one node with what is on it.
func (r *Reconciler) observeNode(ctx context.Context, name string) error {
	var node corev1.Node
	found, err := r.get(ctx, types.NamespacedName{Name: name}, &node)
	if err != nil {
		return err
	}
	if !found {
		delete(r.fabric.nodes, name)
		r.fabric.state.RemoveNode(name)
		return nil
	}
	own, err := r.domainsOf(ctx, name)
	if err != nil {
		return err
	}
	var pods corev1.PodList
	if err := r.Client.List(ctx, &pods, client.MatchingFields{nodeIndex: name}, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing the Pods of node %s: %w", name, err)
	}
	var lease coordinationv1.Lease
	switch beats, err := r.get(ctx, types.NamespacedName{Namespace: r.AgentNamespace, Name: name}, &lease); {
	case err != nil:
		return err
	case beats:
		r.agents.meet(&lease, wasSilent(own))
	default:
		r.agents.forget(name)
	}
	world := convert.World{Pods: pods.Items, Committed: r.fabric.held.on(name), IsCommitted: r.fabric.held.has}
	r.fabric.set(&node, own, world.Used()[name])
	return nil
}

// wasSilent says whether a node's agent gave no sign of life by what is stored.
func wasSilent(own []*v1alpha1.TopologyDomain) bool {
	for _, domain := range own {
		if meta.IsStatusConditionTrue(domain.Status.Conditions, v1alpha1.ConditionStale) {
			return true
		}
	}
	return false
}

// domainsOf lists the TopologyDomains of a node.
func (r *Reconciler) domainsOf(ctx context.Context, node string) ([]*v1alpha1.TopologyDomain, error) {
	var list v1alpha1.TopologyDomainList
	if err := r.Client.List(ctx, &list, client.MatchingFields{nodeIndex: node}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing the domains of node %s: %w", node, err)
	}
	out := make([]*v1alpha1.TopologyDomain, len(list.Items))
	for i := range list.Items {
		out[i] = &list.Items[i]
	}
	return out, nil
}

// look reads what is stored of everything in a batch.
func (r *Reconciler) look(ctx context.Context, work batch) (sight, error) {
	out := sight{domains: map[string]*v1alpha1.TopologyDomain{}}
	for name := range work.nodes {
		var node corev1.Node
		found, err := r.get(ctx, types.NamespacedName{Name: name}, &node)
		if err != nil {
			return out, err
		}
		if found {
			out.nodes = append(out.nodes, &node)
		}
		own, err := r.domainsOf(ctx, name)
		if err != nil {
			return out, err
		}
		for _, domain := range own {
			out.domains[domain.Name] = domain
		}
	}
	for name := range work.domains {
		if out.domains[name] != nil {
			continue
		}
		var domain v1alpha1.TopologyDomain
		found, err := r.get(ctx, types.NamespacedName{Name: name}, &domain)
		if err != nil {
			return out, err
		}
		out.domains[name] = nil
		if found {
			out.domains[name] = &domain
		}
	}
	return out, nil
}

// get reads an object; found is false when there is none.
func (r *Reconciler) get(ctx context.Context, key types.NamespacedName, into client.Object) (found bool, err error) {
	switch err := r.Client.Get(ctx, key, into); {
	case err == nil:
		return true, nil
	case client.IgnoreNotFound(err) == nil:
		return false, nil
	default:
		return false, fmt.Errorf("reading %T %s: %w", into, key, err)
	}
}
