package placement

import (
	"encoding/binary"
	"maps"
	"slices"
	"sync"

	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// profile is what a gang of one role asks of a fleet, its size aside.
type profile struct {
	shape *Shape
	class string
	// asks is what one slot takes.
	asks []ask
	// units says how many slots one unit has in a domain of each level: 1, or a
	// whole copy of the outermost group that ends below that level.
	units [topology.Node + 1]int64
	// emptied counts all room as free.
	emptied bool
}

// ask is the amount of one resource.
type ask struct {
	name   string
	column int
	amount int64
	device bool
}

// newProfile describes the only role of the gang, with groups at these levels.
// Resources in ample count as if nodes had no end of them.
func newProfile(s *Snapshot, g *gang, levels []topology.Level, ample []string) *profile {
	role := &g.roles[0]
	p := &profile{shape: role.shape, class: role.class, asks: asksOf(s, role.shape, ample), emptied: s.emptied}
	for l := range p.units {
		p.units[l] = 1
		for i := 1; i < len(g.groups); i++ {
			if levels[i] > topology.Level(l) {
				p.units[l] = int64(g.groups[i].slots)
				break
			}
		}
	}
	return p
}

// asksOf lists what a pod of the shape takes, sorted by name.
func asksOf(s *Snapshot, shape *Shape, ample []string) []ask {
	out := make([]ask, 0, len(shape.Resources)+1)
	for name, amount := range shape.Resources {
		if amount > 0 && name != podsResource {
			out = append(out, ask{name: name, column: s.columns.column(name), amount: amount, device: isDevice(name)})
		}
	}
	out = append(out, ask{name: podsResource, column: podsColumn, amount: addCapped(1, shape.Resources[podsResource])})
	slices.SortFunc(out, func(a, b ask) int {
		if a.name < b.name {
			return -1
		}
		return 1
	})
	return slices.DeleteFunc(out, func(a ask) bool { return slices.Contains(ample, a.name) })
}

// clone copies all that eligibility looks at.
func (s *Shape) clone() *Shape {
	out := *s
	out.Resources, out.Classes, out.Tolerations = maps.Clone(s.Resources), slices.Clone(s.Classes), slices.Clone(s.Tolerations)
	out.Selector = make([]Term, len(s.Selector))
	for i, term := range s.Selector {
		out.Selector[i] = slices.Clone(term)
		for j := range term {
			out.Selector[i][j].Values = slices.Clone(term[j].Values)
		}
	}
	return &out
}

// key is equal for profiles that see every fleet alike.
func (p *profile) key() string {
	key := make([]byte, 0, 256)
	text := func(words ...string) {
		key = binary.AppendUvarint(key, uint64(len(words)))
		for _, w := range words {
			key = binary.AppendUvarint(key, uint64(len(w)))
			key = append(key, w...)
		}
	}
	flag := func(set bool) {
		if set {
			key = append(key, 1)
		} else {
			key = append(key, 0)
		}
	}
	flag(p.emptied)
	flag(p.shape.WithinIsland)
	for _, n := range p.units {
		key = binary.AppendVarint(key, n)
	}
	text(p.class)
	key = binary.AppendUvarint(key, uint64(len(p.asks)))
	for _, a := range p.asks {
		text(a.name)
		key = binary.AppendVarint(key, int64(a.column))
		key = binary.AppendVarint(key, a.amount)
	}
	key = binary.AppendUvarint(key, uint64(len(p.shape.Selector)))
	for _, term := range p.shape.Selector {
		key = binary.AppendUvarint(key, uint64(len(term)))
		for _, r := range term {
			flag(r.Field)
			text(r.Key, r.Op)
			text(r.Values...)
		}
	}
	for _, t := range p.shape.Tolerations {
		text(t.Key, t.Operator, t.Value, t.Effect)
	}
	return string(key)
}

// room orders domains by how much would be left over in them. It is not cut at
// the demand.
type room struct {
	// slots counts, role by role, how many slots would fit on their own.
	slots int64
	// devices are the free extended resources that the gang asks for.
	devices int64
}

func (r room) compare(other room) int {
	if r.slots != other.slots {
		return int(max(-1, min(1, r.slots-other.slots)))
	}
	return int(max(-1, min(1, r.devices-other.devices)))
}

func (r *room) add(other room, times int64) {
	r.slots = addCapped(r.slots, other.slots*times)
	r.devices = addCapped(r.devices, mulCapped(other.devices, times))
}

// view is what one profile sees of a fleet: a summary of every domain. It is
// worked out anew only where a domain has changed, which its stamp tells, so that
// it serves all versions of the fleet.
type view struct {
	*profile
	mu sync.Mutex
	// used is the time of the last use, idle how many snapshots were taken since.
	used uint64
	idle int
	// asked are the questions of the last requests.
	asked  [maxAsked]question
	kinds  []kindView
	places []placeView
	// eligible is per traits: 0 for not known, 1 for yes, 2 for no.
	eligible []uint8
}

// kindView is what a node of one kind holds.
type kindView struct {
	kind *kind
	room room
}

// placeView is what one version of a domain holds.
type placeView struct {
	stamp uint64
	// units is how many units the domain holds.
	units int64
	room  room
	// most is the largest number of units in any one domain of each level, among
	// the domain itself and everything below it.
	most [topology.Node + 1]int64
	// runs are the units of the parts of the domain, largest first.
	runs      []run
	runsStamp uint64
	// found remembers answers of tightest, by version, level and demand.
	found []finding
	// deeper remembers the answer of deepest.
	deeper deepest
}

// run is a number of parts that hold the same.
type run struct {
	units int64
	n     int
}

// question is what tightest is asked about the whole fleet.
type question struct {
	level topology.Level
	n     int64
}

// maxAsked is the number of questions whose answers a view keeps.
const maxAsked = 4

// maxIdle is the number of snapshots for which a view that nobody uses is kept up
// to date.
const maxIdle = 8

// maxViews is the largest number of profiles that a fleet remembers.
const maxViews = 16

// views are the views of a fleet by their profile.
type views struct {
	mu    sync.Mutex
	of    map[string]*view
	clock uint64
}

func (v *views) reset() { v.of = map[string]*view{} }

// lend returns the view of the profile, locked. While somebody else uses it, it is
// another one, which is not remembered.
func (v *views) lend(p *profile, places int) *view {
	key := p.key()
	v.mu.Lock()
	defer v.mu.Unlock()
	v.clock++
	out, known := v.of[key]
	if known && out.mu.TryLock() {
		out.used, out.idle = v.clock, 0
		return out
	}
	// The view outlives the request, which its caller may change.
	p.shape = p.shape.clone()
	out = &view{profile: p, used: v.clock, places: make([]placeView, places)}
	out.mu.Lock()
	if known {
		return out
	}
	if len(v.of) >= maxViews {
		oldest := key
		for _, k := range slices.Sorted(maps.Keys(v.of)) {
			if other := v.of[k]; oldest == key || other.used < v.of[oldest].used {
				oldest = k
			}
		}
		delete(v.of, oldest)
	}
	v.of[key] = out
	return out
}

// follow brings the views that are in use up to date with a version of the fleet.
func (v *views) follow(root *domain) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(v.of)) {
		one := v.of[key]
		if one.emptied || one.idle > maxIdle || !one.mu.TryLock() {
			continue
		}
		one.idle++
		for _, q := range one.asked {
			if q.n > 0 {
				one.tightest(root, q.level, q.n)
			}
		}
		one.mu.Unlock()
	}
}

// remember keeps a question whose answer is wanted of later versions, too.
func (v *view) remember(q question) {
	for i, known := range v.asked {
		if known == q || i == len(v.asked)-1 {
			copy(v.asked[1:i+1], v.asked[:i])
			v.asked[0] = q
			return
		}
	}
}

// giveBack ends the use of a lent view.
func (v *view) giveBack() { v.mu.Unlock() }

// hold returns what a node of the kind holds.
func (v *view) hold(k *kind) room {
	if k.index >= len(v.kinds) {
		v.kinds = append(v.kinds, make([]kindView, k.index+1-len(v.kinds))...)
	}
	known := &v.kinds[k.index]
	if known.kind != k {
		*known = kindView{k, v.holdOf(k)}
	}
	return known.room
}

func (v *view) holdOf(k *kind) room {
	if !v.mayUse(k.traits) {
		return room{}
	}
	free := k.free
	if v.emptied {
		free = k.capacity
	}
	out := room{slots: MaxPods}
	for _, a := range v.asks {
		have := amountAt(free, a.column)
		out.slots = min(out.slots, have/a.amount)
		if a.device {
			out.devices = addCapped(out.devices, have)
		}
	}
	if v.shape.WithinIsland {
		out.slots = withinIslands(k, v.asks, v.emptied, out.slots)
	}
	return out
}

// mayUse says whether nodes of these traits are eligible.
func (v *view) mayUse(t *traits) bool {
	if t.id >= len(v.eligible) {
		v.eligible = append(v.eligible, make([]uint8, t.id+1-len(v.eligible))...)
	}
	if v.eligible[t.id] == 0 {
		v.eligible[t.id] = 2
		if ineligible(&t.like, v.shape, v.class) == "" {
			v.eligible[t.id] = 1
		}
	}
	return v.eligible[t.id] == 1
}

// see returns the summary of a version of a domain.
func (v *view) see(d *domain) *placeView {
	y := &v.places[d.id]
	if y.stamp == d.stamp {
		return y
	}
	y.stamp, y.units, y.room, y.most = d.stamp, 0, room{}, [topology.Node + 1]int64{}
	for _, child := range d.children {
		below := v.see(child)
		y.units += below.units / v.ratio(d.level, child.level)
		y.room.add(below.room, 1)
		for l := range y.most {
			y.most[l] = max(y.most[l], below.most[l])
		}
	}
	for _, t := range d.tallies {
		r := v.hold(t.kind)
		y.units += r.slots / v.ratio(d.level, topology.Node) * int64(t.n)
		y.room.add(r, int64(t.n))
		y.most[topology.Node] = max(y.most[topology.Node], r.slots)
	}
	y.most[d.level] = max(y.most[d.level], y.units)
	return y
}

// ratio is how many units of a domain of the finer level make one of the coarser.
func (v *view) ratio(coarse, fine topology.Level) int64 { return v.units[coarse] / v.units[fine] }

// partsOf lists what the parts of a domain hold, in its units, largest first.
func (v *view) partsOf(d *domain) []run {
	y := v.see(d)
	if y.runsStamp == d.stamp {
		return y.runs
	}
	runs := y.runs[:0]
	if len(d.children) == 0 && y.most[topology.Node] == 1 && v.units[d.level] == 1 {
		// Pods that take whole nodes, the most common case.
		runs = append(runs, run{1, int(y.units)})
		y.runs, y.runsStamp = runs, d.stamp
		return runs
	}
	for _, child := range d.children {
		if n := v.places[child.id].units / v.ratio(d.level, child.level); n > 0 {
			runs = append(runs, run{n, 1})
		}
	}
	for _, t := range d.tallies {
		if n := v.hold(t.kind).slots / v.ratio(d.level, topology.Node); n > 0 {
			runs = append(runs, run{n, t.n})
		}
	}
	slices.SortFunc(runs, func(a, b run) int { return int(b.units - a.units) })
	last := 0
	for i := 1; i < len(runs); i++ {
		if runs[i].units == runs[last].units {
			runs[last].n += runs[i].n
			continue
		}
		last++
		runs[last] = runs[i]
	}
	y.runs, y.runsStamp = runs[:min(len(runs), last+1)], d.stamp
	return y.runs
}

// fewest is the least number of parts that hold n together. There must be enough.
func fewest(runs []run, n int64) int {
	count := 0
	for _, r := range runs {
		if most := r.units * int64(r.n); most < n {
			n -= most
			count += r.n
			continue
		}
		return count + int((n+r.units-1)/r.units)
	}
	return count
}
