package placement

import (
	"encoding/binary"
	"math"
	"sync"

	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// placeMixed places a gang of several roles.
func (p *planner) placeMixed(g *gang) Verdict {
	lent := p.snapshot.fleet.supplies.lend(p.snapshot, g, p.effort.left)
	u := lent.supply
	defer func() { p.snapshot.fleet.supplies.giveBack(lent) }()
	required := u.below(p.snapshot.root).survey(g.requiredLevels())
	p.effort.left = u.effort.left
	if !required.trusted {
		return p.search(u)
	}
	if !required.feasible {
		r := refusal{snapshot: p.snapshot, gang: g, levels: required.levels, count: surveyCounter{required}}
		return Verdict{Refusal: r.explain(), Proof: Exact}
	}
	tight := tighten(required)
	best := tight.tightest()
	out := make(slots, len(g.roles))
	// The shares of a domain that holds the gang are no larger than what is
	// worked out above, so they are not cut short.
	p.effort.left = u.effort.left
	u.effort.left = math.MaxInt
	if best.node != nil {
		tight.take(best.node, best.domain.place, tight.stages[topology.Node].demand, out)
	} else {
		tight.assign(best.domain, tight.stages[tight.fits].demand, out)
	}
	return Verdict{Placement: placementOf(g, out), Proof: Exact}
}

// supplies are what gangs of several roles have seen of a fleet, by gang. As with
// views, only what has changed is worked out anew.
type supplies struct {
	mu    sync.Mutex
	of    map[string]*lentSupply
	clock uint64
}

// lentSupply is a supply and who may have it.
type lentSupply struct {
	key    string
	used   uint64
	supply *supply
}

// The bounds of what a fleet remembers of gangs of several roles: how many gangs,
// and how many entries of frontiers of one.
const (
	maxSupplies    = 8
	maxSupplySize  = 1 << 19
	maxSupplyKinds = 1 << 14
)

func (s *supplies) reset() { s.of = map[string]*lentSupply{} }

// lend returns a supply for the gang that nobody else uses, with so much effort.
func (s *supplies) lend(at *Snapshot, g *gang, left int) *lentSupply {
	key := g.key(at)
	s.mu.Lock()
	out := s.of[key]
	delete(s.of, key)
	s.mu.Unlock()
	if out == nil {
		e := &effort{left: left}
		out = &lentSupply{key: key, supply: newSupply(at, g, nil, e)}
	}
	out.supply.snapshot, out.supply.gang, out.supply.effort.left = at, g, left
	return out
}

// giveBack remembers a lent supply, unless it is large or cannot be trusted.
func (s *supplies) giveBack(lent *lentSupply) {
	u := lent.supply
	if u.effort.exhausted() || u.effort.kept > maxSupplySize || len(u.kinds) > maxSupplyKinds {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clock++
	lent.used = s.clock
	s.of[lent.key] = lent
	if len(s.of) <= maxSupplies {
		return
	}
	oldest := lent
	for _, other := range s.of {
		if other.used < oldest.used {
			oldest = other
		}
	}
	delete(s.of, oldest.key)
}

// key is equal for gangs that see every fleet alike.
func (g *gang) key(s *Snapshot) string {
	var key []byte
	for i := range g.groups {
		group := &g.groups[i]
		key = binary.AppendVarint(key, int64(group.parent))
		key = binary.AppendVarint(key, int64(group.total))
		key = append(key, byte(group.required))
	}
	for i := range g.roles {
		role := &g.roles[i]
		key = binary.AppendVarint(key, int64(role.group))
		key = binary.AppendVarint(key, int64(role.total))
		p := profile{shape: role.shape, class: role.class, asks: asksOf(s, role.shape, nil), emptied: s.emptied}
		described := p.key()
		key = binary.AppendUvarint(key, uint64(len(described)))
		key = append(key, described...)
	}
	return string(key)
}
