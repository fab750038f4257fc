package topology

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// identity tells two domains apart that evidence names. values hold the path of
// label values from Fabric to the domain's own level, "" where there is none.
// Only the last place is filled where the value is unique by itself: for an
// NVLink domain, with its key as provider, and for what a scan or subnets name.
type identity struct {
	level    Level
	provider string
	values   [Node]string
}

func alone(level Level, provider, value string) identity {
	id := identity{level: level, provider: provider}
	id.values[level] = value
	return id
}

func (id identity) value() string { return id.values[id.level] }

// wanted is the name that a domain has unless it must be changed. What a scan
// names has a number only, which says more with its level.
func (id identity) wanted() string {
	switch id.provider {
	case scanKey:
		return strings.ToLower(id.level.String()) + "-" + id.value()
	case railKey:
		return "rails-" + strings.ReplaceAll(id.value(), "/", "-")
	}
	return id.value()
}

// rank orders the sources of one level, strongest first. Levels of the network
// and the NVLink domain have different sources.
type rank int8

const (
	declaredRank rank = iota - 1
	scanRank
	labelRank
	railRank

	driverRank   = scanRank
	cliqueRank   = labelRank
	providedRank = railRank
)

// claim is what one source says of a node at one level.
type claim struct {
	id   identity
	rank rank
	hint hint
	// decides is true for the claim that places the node, unless a declaration does.
	decides bool
}

// claimsOf gathers what the sources say of a node, by level and then by rank.
//
// The path of a node down to its leaf comes from one source: the strongest that
// says anything of it. A scan knows all levels, so that a label cannot add one,
// and a path from labels is not mended with subnets.
func claimsOf(r *reading, scan *spot, rails string) []claim {
	var out []claim
	decided := false
	if scan != nil {
		decided = true
		for level := Fabric; level <= Leaf; level++ {
			if value := scan[level]; value != "" {
				out = append(out, claim{alone(level, scanKey, value), scanRank, hint{Scanned, scanKey, value}, true})
			}
		}
	}
	labelled := identity{provider: r.labels.provider}
	first := !decided
	for level := Fabric; level <= Leaf; level++ {
		h := r.labels.at[level]
		labelled.level, labelled.values[level] = level, h.value
		if h.key != "" {
			out = append(out, claim{labelled, labelRank, h, first})
			decided = true
		}
	}
	if rails != "" {
		out = append(out, claim{alone(Fabric, railKey, rails), railRank, hint{Reported, railKey, rails}, !decided})
	}
	slices.SortStableFunc(out, func(a, b claim) int { return cmp.Compare(a.id.level, b.id.level) })
	return append(out, r.nvlinkClaims()...)
}

// nvlinkClaims lists what names the node's NVLink domain. The clique label is
// left out where it repeats the driver, and where weigh has compared the two.
func (r *reading) nvlinkClaims() []claim {
	var out []claim
	decided := r.settled
	add := func(h hint, at rank, decides bool) {
		if h.key != "" {
			out = append(out, claim{alone(NVLinkDomain, h.key, h.value), at, h, decides})
		}
	}
	if r.settled {
		add(r.driver, driverRank, true)
	} else {
		add(r.clique, cliqueRank, true)
		decided = r.clique.key != ""
	}
	add(r.labels.at[NVLinkDomain], providedRank, !decided)
	return out
}

// deciding is the claim that places the node at a level.
func deciding(claims []claim, level Level) *claim {
	for i := range claims {
		if claims[i].id.level == level && claims[i].decides {
			return &claims[i]
		}
	}
	return nil
}

func describeGroup(id identity, key string) string {
	return fmt.Sprintf("%s %s of %s", id.level, quote(id.value()), key)
}
