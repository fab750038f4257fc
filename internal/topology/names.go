package topology

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// assignNames gives every group a name that is unique, valid as a label value
// and as the name of an object, and the same for the same evidence:
//
//	value             when that is a valid name and no other domain has it
//	parent-value      when the value occurs more than once at its level
//	<either>-<hash>   when it had to be changed, cut, or is taken
//
// taken has the names that are in use; it gains the new ones. groups are ordered
// outer levels first, so that a parent has its name before its children.
func assignNames(groups []*group, taken map[string]bool) {
	for len(groups) > 0 {
		n := 1
		for n < len(groups) && groups[n].id.level == groups[0].id.level {
			n++
		}
		nameLevel(groups[:n], taken)
		groups = groups[n:]
	}
}

// nameLevel names the groups of one level. Those with a clean name come first,
// so that none loses it to a name with a hash.
func nameLevel(groups []*group, taken map[string]bool) {
	values := map[string]int{}
	for _, g := range groups {
		values[g.id.value()]++
	}
	wanted := make([]string, len(groups))
	asked := map[string]int{}
	for i, g := range groups {
		wanted[i] = g.id.value()
		if parent := g.parent.name(); values[wanted[i]] > 1 && parent != "" {
			wanted[i] = parent + "-" + wanted[i]
		}
		asked[wanted[i]]++
	}
	var unclean []int
	for i, g := range groups {
		if isName(wanted[i]) && asked[wanted[i]] == 1 && !taken[wanted[i]] {
			g.name = wanted[i]
		} else {
			unclean = append(unclean, i)
		}
	}
	for _, g := range groups {
		if g.name != "" {
			taken[g.name] = true
		}
	}
	for _, i := range unclean {
		groups[i].name = hashedName(groups[i].id, wanted[i], taken)
		taken[groups[i].name] = true
	}
}

// hashedName ends in a hash of the whole identity. The round enters the hash
// only where a name is taken even so.
func hashedName(id identity, wanted string, taken map[string]bool) string {
	const hashBytes = 4
	stem := sanitise(wanted, maxLabelValue-1-2*hashBytes)
	if stem == "" {
		stem = strings.ToLower(id.level.String())
	}
	for round := 0; ; round++ {
		sum := sha256.Sum256(fmt.Appendf(nil, "%d %q %q %d", id.level, id.provider, id.values, round))
		name := stem + "-" + hex.EncodeToString(sum[:hashBytes])
		if !taken[name] {
			return name
		}
	}
}

// isName reports whether s is a DNS-1123 subdomain of at most 63 bytes, which
// both an object and a label value may be.
func isName(s string) bool {
	if len(s) == 0 || len(s) > maxLabelValue {
		return false
	}
	for part := range strings.SplitSeq(s, ".") {
		if part == "" || part[0] == '-' || part[len(part)-1] == '-' {
			return false
		}
		for i := range len(part) {
			if !isNameByte(part[i]) {
				return false
			}
		}
	}
	return true
}

func isNameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-'
}

// sanitise makes a valid name of at most that many bytes from any text, or ""
// when nothing of it can stay.
func sanitise(s string, most int) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if !isNameByte(c) && c != '.' {
			c = '-'
		}
		b[i] = c
	}
	name := strings.Trim(string(b), "-.")
	if len(name) > most {
		name = strings.TrimRight(name[:most], "-.")
	}
	if !isName(name) {
		// Only a dot beside a dot or a dash is left that no name may have.
		name = strings.ReplaceAll(name, ".", "-")
	}
	return name
}
