package placement

// How islands of a node limit the pods that want all their devices out of one.

// withinIslands returns how many of most equal pods fit, each inside one island.
func withinIslands(k *kind, asks []ask, emptied bool, most int64) int64 {
	for _, a := range asks {
		if islands := k.traits.like.Islands[a.name]; len(islands) > 0 {
			most = min(most, int64(islandCount(islands, takenOf(k, a.column, emptied), a.amount, int(most))))
		}
	}
	return most
}

// takenOf is how much of a resource is taken on nodes of a kind.
func takenOf(k *kind, column int, emptied bool) int64 {
	if emptied {
		return 0
	}
	return amountAt(k.capacity, column) - amountAt(k.free, column)
}

// islandRule limits the pods on a node by the islands of one resource.
type islandRule struct {
	islands []int64
	used    int64
	// inside and outside are what a pod of each item takes: out of one island, or
	// from anywhere.
	inside, outside []int64
}

// islandRules are all such limits of a node. None means no limit.
type islandRules []islandRule

// usesIslands says whether islands matter to the gang on nodes of a kind.
func (u *supply) usesIslands(k *kind) bool { return len(u.islandsOf(k)) > 0 }

// islandsOf lists the rules for nodes of a kind.
func (u *supply) islandsOf(k *kind) islandRules {
	var out islandRules
	for r, name := range u.resources {
		islands := k.traits.like.Islands[name]
		if len(islands) == 0 {
			continue
		}
		rule := islandRule{
			islands: islands, used: takenOf(k, u.column[r], u.snapshot.emptied),
			inside: make([]int64, len(u.asks)), outside: make([]int64, len(u.asks)),
		}
		matters := false
		for i, it := range u.space.items {
			if u.gang.roles[it.role].shape.WithinIsland {
				rule.inside[i] = u.asks[i][r]
				matters = matters || u.asks[i][r] > 0
			} else {
				rule.outside[i] = u.asks[i][r]
			}
		}
		if matters {
			out = append(out, rule)
		}
	}
	return out
}

// limit returns how many of most pods of the last item fit beside x of the others,
// -1 when not even x do.
func (rules islandRules) limit(x []int, most int) int {
	if len(rules) == 0 {
		return most
	}
	low, high := -1, most
	for low < high {
		middle := low + (high-low+1)/2
		if rules.hold(x, middle) {
			low = middle
		} else {
			high = middle - 1
		}
	}
	return low
}

// alone returns how many of most pods of one item fit with none of the others.
func (rules islandRules) alone(item, items, most int) int {
	if item == items-1 {
		return rules.limit(make([]int, items-1), most)
	}
	low, high := 0, most
	for low < high {
		middle := low + (high-low+1)/2
		x := make([]int, items-1)
		x[item] = middle
		if rules.hold(x, 0) {
			low = middle
		} else {
			high = middle - 1
		}
	}
	return low
}

// hold says whether x pods of the leading items and n of the last one fit, however
// the devices that are taken are spread.
func (rules islandRules) hold(x []int, n int) bool {
	for _, rule := range rules {
		used := rule.used
		var asks []int64
		for i := range rule.inside {
			count := n
			if i < len(x) {
				count = x[i]
			}
			used = addCapped(used, rule.outside[i]*int64(count))
			for range count {
				if rule.inside[i] > 0 {
					asks = append(asks, rule.inside[i])
				}
			}
		}
		if !islandsHold(rule.islands, used, asks) {
			return false
		}
	}
	return true
}
