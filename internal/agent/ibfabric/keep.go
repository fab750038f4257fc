package ibfabric

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// Keep returns now with the names of blocks and fabrics that before had for
// them. A block is known again by its leaf switches: it takes over the name of
// the block with which it has most of them in common. Names therefore stay when
// any switch fails, even the one whose GUID the name is, and when switches are
// added; they change only with a block of which no leaf switch is left.
func Keep(before, now topology.Scan) topology.Scan {
	kept := topology.Scan{Leaves: slices.Clone(now.Leaves)}
	rename(before, kept, func(leaf *topology.LeafSwitch) *string { return &leaf.Fabric })
	for i := range kept.Leaves {
		if leaf := &kept.Leaves[i]; leaf.Block == "" {
			leaf.Block = nameless + leaf.Fabric
		}
	}
	rename(before, kept, func(leaf *topology.LeafSwitch) *string { return &leaf.Block })
	return kept
}

// nameless starts what stands for the one block of a fabric, which needs no name
// unless it had one when there were others.
const nameless = "-"

// match is how many leaf switches a new and an old group have in common.
type match struct {
	now, before string
	common      int
}

func rename(before, now topology.Scan, name func(*topology.LeafSwitch) *string) {
	old := map[string]string{}
	for i := range before.Leaves {
		if key := *name(&before.Leaves[i]); key != "" {
			old[before.Leaves[i].GUID] = key
		}
	}
	common := map[match]int{}
	members := map[string][]string{}
	for i := range now.Leaves {
		leaf := &now.Leaves[i]
		group := *name(leaf)
		members[group] = append(members[group], leaf.GUID)
		if key, known := old[leaf.GUID]; known {
			common[match{now: group, before: key}]++
		}
	}
	names := assign(common)
	taken := map[string]bool{}
	for _, key := range names {
		taken[key] = true
	}
	for _, group := range slices.Sorted(maps.Keys(members)) {
		if names[group] == "" {
			names[group] = fresh(group, members[group], taken)
			taken[names[group]] = true
		}
	}
	for i := range now.Leaves {
		group := name(&now.Leaves[i])
		*group = names[*group]
	}
}

// assign gives each new group the old name that it has most in common with, and
// each old name to one group.
func assign(common map[match]int) map[string]string {
	matches := make([]match, 0, len(common))
	for m, count := range common {
		m.common = count
		matches = append(matches, m)
	}
	slices.SortFunc(matches, func(a, b match) int {
		return cmp.Or(cmp.Compare(b.common, a.common), cmp.Compare(a.now, b.now), cmp.Compare(a.before, b.before))
	})
	names, taken := map[string]string{}, map[string]bool{}
	for _, m := range matches {
		if names[m.now] == "" && !taken[m.before] {
			names[m.now], taken[m.before] = m.before, true
		}
	}
	return names
}

// fresh names a group that is new. Its own first choice can be taken: when a
// block falls into two, the larger part keeps the name, which may be the GUID of
// a switch in the smaller one.
func fresh(group string, members []string, taken map[string]bool) string {
	if strings.HasPrefix(group, nameless) {
		return ""
	}
	for _, guid := range members {
		if !taken[guid] {
			return guid
		}
	}
	for n := 2; ; n++ {
		if name := group + "-" + strconv.Itoa(n); !taken[name] {
			return name
		}
	}
}
