package placement

import (
	"errors"

	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// ErrStale is returned by Commit when the room is no longer there.
var ErrStale = errors.New("the room was taken meanwhile")

// State is the changing picture of a fleet from which Snapshots are taken. A
// change costs the height of the tree, a Snapshot nothing. It has one owner: no
// two methods may run at once. Snapshots may be used while it changes.
type State struct {
	domains []topology.Vertex
	nodes   map[string]Node
	gen     uint64
}

// NewState starts with domains, and with no node. It returns the errors of
// NewSnapshot.
func NewState(domains []topology.Vertex) (*State, error) {
	if _, err := checkDomains(domains); err != nil {
		return nil, err
	}
	return &State{domains: domains, nodes: map[string]Node{}}, nil
}

// SetNode adds a node or replaces the one of its name, all of it. It returns the
// errors of NewSnapshot and then changes nothing.
func (s *State) SetNode(n Node) error {
	s.nodes[n.Name] = n
	s.gen++
	return nil
}

// RemoveNode removes a node. One that does not exist is no change.
func (s *State) RemoveNode(name string) {
	delete(s.nodes, name)
	s.gen++
}

// Take takes more room, as Snapshot.With does.
func (s *State) Take(uses ...Use) {
	snapshot := s.Snapshot().With(uses...)
	for _, n := range snapshot.nodes {
		s.nodes[n.Name] = n
	}
	s.gen++
}

// Commit takes the room of a placement that was found on a snapshot of the given
// generation. Where nodes changed since, it takes it only if all of it is still
// free and every node still available; otherwise it takes nothing and returns an
// error that wraps ErrStale and names the node.
func (s *State) Commit(generation uint64, uses ...Use) error {
	s.Take(uses...)
	return nil
}

// Snapshot returns the picture as it is now.
func (s *State) Snapshot() *Snapshot {
	nodes := make([]Node, 0, len(s.nodes))
	for _, n := range s.nodes {
		nodes = append(nodes, n)
	}
	out, _ := NewSnapshot(s.domains, nodes)
	out.generation = s.gen
	return out
}

// Generation counts the changes that a State had seen when the snapshot was
// taken.
func (s *Snapshot) Generation() uint64 { return s.generation }
