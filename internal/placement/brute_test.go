package placement

import (
	"fmt"
	"math/rand"
	"slices"
	"strings"

	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// world is the input of a snapshot, kept readable for the oracle.
type world struct {
	domains []topology.Vertex
	nodes   []Node
}

func (w world) snapshot() *Snapshot {
	s, err := NewSnapshot(w.domains, w.nodes)
	if err != nil {
		panic(err)
	}
	return s
}

// domainAt restates the rule for missing levels: walk up from the node while
// the next domain is not wider than the level.
func (w world) domainAt(node string, level topology.Level) string {
	if level == topology.Cluster {
		return "cluster"
	}
	n := w.node(node)
	name, up := "node "+n.Name, n.Domain
	for up != "" {
		i := slices.IndexFunc(w.domains, func(d topology.Vertex) bool { return d.Name == up })
		if w.domains[i].Level < level {
			break
		}
		name, up = "domain "+up, w.domains[i].Parent
	}
	return name
}

func (w world) node(name string) *Node {
	return &w.nodes[slices.IndexFunc(w.nodes, func(n Node) bool { return n.Name == name })]
}

// oracle answers by trying every node for every oneSlot.
type oracle struct {
	w      world
	free   []Resources
	domain [topology.Node + 1][]string
	dead   map[string]bool
}

// oneSlot is one pod or spare to place; pins are the group copies it belongs to.
type oneSlot struct {
	role *Role
	pins []pin
	// follows is the previous oneSlot of the same role in the same copy, -1 for none.
	follows int
}

type pin struct {
	copy  int
	level topology.Level
}

func newOracle(w world) *oracle {
	o := &oracle{w: w, dead: map[string]bool{}}
	for _, n := range w.nodes {
		free := Resources{}
		for name, amount := range n.Capacity {
			free[name] = max(0, amount-n.Used[name])
		}
		o.free = append(o.free, free)
		for l := range o.domain {
			o.domain[l] = append(o.domain[l], w.domainAt(n.Name, topology.Level(l)))
		}
	}
	return o
}

// slotsOf lists all slots of the full request and numbers the copies.
func slotsOf(g *Group, pins []pin, copies *int) []oneSlot {
	var out []oneSlot
	for range max(1, g.Copies) {
		mine := append(slices.Clone(pins), pin{*copies, g.Required})
		*copies++
		for i := range g.Roles {
			for n := range g.Roles[i].Count + g.Roles[i].Spares {
				follows := -1
				if n > 0 {
					follows = -2
				}
				out = append(out, oneSlot{&g.Roles[i], mine, follows})
			}
		}
		for i := range g.Groups {
			out = append(out, slotsOf(&g.Groups[i], mine, copies)...)
		}
	}
	return out
}

// maxOracleSlots keeps the oracle to milliseconds.
const maxOracleSlots = 9

// isSmall reports whether the oracle can answer for the request.
func isSmall(r Request) bool {
	copies := 0
	return len(slotsOf(&r.Root, nil, &copies)) <= maxOracleSlots
}

// fits reports whether the full request can be placed at all.
func (o *oracle) fits(r Request) bool {
	copies := 0
	slots := slotsOf(&r.Root, nil, &copies)
	return o.place(slots, 0, make([]string, copies), -1)
}

func (o *oracle) place(slots []oneSlot, at int, chosen []string, previous int) bool {
	if at == len(slots) {
		return true
	}
	s := slots[at]
	first := 0
	if s.follows == -2 {
		first = previous
	}
	key := o.state(at, first, chosen)
	if o.dead[key] {
		return false
	}
	for n := first; n < len(o.w.nodes); n++ {
		if o.w.nodes[n].Unavailable != "" || !o.has(n, s.role) {
			continue
		}
		next := slices.Clone(chosen)
		allowed := true
		for _, p := range s.pins {
			domain := o.domain[p.level][n]
			allowed = allowed && (next[p.copy] == "" || next[p.copy] == domain)
			next[p.copy] = domain
		}
		if !allowed {
			continue
		}
		o.charge(n, s.role, 1)
		done := o.place(slots, at+1, next, n)
		o.charge(n, s.role, -1)
		if done {
			return true
		}
	}
	o.dead[key] = true
	return false
}

// state is a key for what decides whether the rest can be placed. Figures are
// below 256.
func (o *oracle) state(at, first int, chosen []string) string {
	key := []byte{byte(at), byte(first)}
	for _, free := range o.free {
		key = append(key, byte(free["x/gpu"]), byte(free["cpu"]), byte(free["pods"]))
	}
	return string(key) + strings.Join(chosen, ",")
}

func (o *oracle) has(n int, r *Role) bool {
	for name, amount := range r.Shape.Resources {
		if o.free[n][name] < amount {
			return false
		}
	}
	pods, limited := o.free[n]["pods"]
	return !limited || pods >= 1
}

func (o *oracle) charge(n int, r *Role, times int64) {
	for name, amount := range r.Shape.Resources {
		if amount > 0 {
			o.free[n][name] -= times * amount
		}
	}
	if _, limited := o.free[n]["pods"]; limited {
		o.free[n]["pods"] -= times
	}
}

// validate returns what is wrong with a placement, "" for nothing.
func validate(w world, r Request, p *Placement) string {
	v := validator{w: w, left: p.Roles, taken: map[string]Resources{}}
	if problem := v.group(&r.Root, 1); problem != "" {
		return problem
	}
	return overcommitted(w, v.taken)
}

// validator walks a request along the roles of its placement.
type validator struct {
	w     world
	left  []RolePlacement
	taken map[string]Resources
}

// group checks a group of which outer copies of the parent are placed.
func (v *validator) group(g *Group, outer int) string {
	all, total := v.left, outer*max(1, g.Copies)
	if g.MinCopies > 0 && len(g.Roles) > 0 {
		// How many copies a shrunken gang has shows in its pods.
		total = len(all[0].Nodes) / g.Roles[0].Count
	}
	for i := range g.Roles {
		role, got := &g.Roles[i], v.left[0]
		v.left = v.left[1:]
		least := role.Count
		if role.MinCount > 0 {
			least = role.MinCount
		}
		if n := len(got.Nodes); got.Name != role.Name || n < total*least || n > total*role.Count {
			return fmt.Sprintf("%d copies of %d pods of %s are %d nodes of %s", total, role.Count, role.Name, n, got.Name)
		}
		if len(got.Spares) != total*role.Spares {
			return fmt.Sprintf("role %s has %d spares, not %d", role.Name, len(got.Spares), total*role.Spares)
		}
		if problem := charge(v.w, role, got, v.taken); problem != "" {
			return problem
		}
	}
	for i := range g.Groups {
		if problem := v.group(&g.Groups[i], total); problem != "" {
			return problem
		}
	}
	for n := range total {
		domain := ""
		for _, got := range all[:len(all)-len(v.left)] {
			for _, name := range append(copyOf(got.Nodes, total, n), copyOf(got.Spares, total, n)...) {
				at := v.w.domainAt(name, g.Required)
				if domain != "" && at != domain {
					return fmt.Sprintf("copy %d of group %q is in %s and %s, more than one %s", n, g.Name, at, domain, g.Required)
				}
				domain = at
			}
		}
	}
	return ""
}

// copyOf returns the names that belong to copy n of total.
func copyOf(names []string, total, n int) []string {
	each := len(names) / total
	return slices.Clone(names[n*each : (n+1)*each])
}

// charge adds up what a role takes and checks that its nodes may be used.
func charge(w world, role *Role, got RolePlacement, taken map[string]Resources) string {
	for _, name := range slices.Concat(got.Nodes, got.Spares) {
		n := w.node(name)
		if n.Unavailable != "" {
			return fmt.Sprintf("role %s is on the unavailable node %s", role.Name, name)
		}
		if len(role.Shape.Classes) > 0 && (!slices.Contains(role.Shape.Classes, got.Class) || !slices.Contains(n.Classes, got.Class)) {
			return fmt.Sprintf("role %s is on node %s of another class than %q", role.Name, name, got.Class)
		}
		if taken[name] == nil {
			taken[name] = Resources{}
		}
		for resource, amount := range role.Shape.Resources {
			taken[name][resource] += amount
		}
		taken[name]["pods"]++
	}
	return ""
}

func overcommitted(w world, taken map[string]Resources) string {
	for name, amounts := range taken {
		n := w.node(name)
		for resource, amount := range amounts {
			capacity, offered := n.Capacity[resource]
			if !offered && resource == "pods" {
				continue
			}
			if amount > 0 && amount > capacity-n.Used[resource] {
				return fmt.Sprintf("node %s gives %d of %s, more than %d", name, amount, resource, capacity-n.Used[resource])
			}
		}
	}
	return ""
}

// randomWorld makes up to 8 nodes below up to 4 domains with gaps in levels.
func randomWorld(r *rand.Rand) world {
	w := world{}
	for i := range r.Intn(5) {
		d := topology.Vertex{Name: fmt.Sprintf("d%d", i), Level: topology.Level(1 + r.Intn(4))}
		for _, up := range w.domains {
			if up.Level < d.Level && r.Intn(3) > 0 {
				d.Parent = up.Name
			}
		}
		w.domains = append(w.domains, d)
	}
	for i := range 1 + r.Intn(8) {
		n := Node{
			Name:     fmt.Sprintf("n%d", i),
			Capacity: Resources{"x/gpu": int64(r.Intn(8)), "cpu": int64(r.Intn(10))},
			Used:     Resources{"x/gpu": int64(r.Intn(3)), "cpu": int64(r.Intn(2))},
		}
		if r.Intn(4) == 0 {
			n.Capacity["pods"] = int64(r.Intn(4))
		}
		if len(w.domains) > 0 && r.Intn(8) > 0 {
			n.Domain = w.domains[r.Intn(len(w.domains))].Name
		}
		if r.Intn(12) == 0 {
			n.Unavailable = "cordoned"
		}
		w.nodes = append(w.nodes, n)
	}
	return w
}

// randomRequest makes up to 3 roles in up to 3 groups.
func randomRequest(r *rand.Rand) Request {
	roles := 0
	role := func() Role {
		roles++
		out := Role{Name: fmt.Sprintf("r%d", roles), Count: 1 + r.Intn(3), Shape: Shape{Resources: Resources{
			"x/gpu": int64(r.Intn(4)), "cpu": int64(r.Intn(3)),
		}}}
		if r.Intn(6) == 0 {
			out.Spares = 1
		}
		return out
	}
	levels := func(g *Group) {
		g.Required = topology.Level(min(r.Intn(6), r.Intn(6)))
		if r.Intn(3) == 0 {
			g.Preferred = g.Required + topology.Level(r.Intn(6-int(g.Required)))
		}
	}
	var out Request
	levels(&out.Root)
	if r.Intn(2) == 0 {
		out.Root.Required = topology.Level(r.Intn(2))
		out.Root.Preferred = 0
	}
	for range r.Intn(3) {
		out.Root.Roles = append(out.Root.Roles, role())
	}
	into := &out.Root
	for i := 0; roles < 3 && (roles == 0 || r.Intn(3) > 0); i++ {
		g := Group{Name: fmt.Sprintf("g%d", i), Copies: 1 + r.Intn(3), Roles: []Role{role()}}
		if roles < 3 && r.Intn(3) == 0 {
			g.Roles = append(g.Roles, role())
		}
		levels(&g)
		into.Groups = append(into.Groups, g)
		if r.Intn(2) == 0 {
			into = &into.Groups[len(into.Groups)-1]
		}
	}
	return out
}
