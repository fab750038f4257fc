package topology

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// naming gives every derived domain a name that is unique, valid as a label value
// and as the name of an object, and the same for the same evidence:
//
//	value          when that is a valid name that nobody else wants or has
//	value-<hash>   otherwise; the hash is of the domain's identity
//
// A name depends on who asks for that very name, and on nothing else, so that a
// new domain renames at most the one that it now shares a value with.
//
// Each domain asks for its value (rank 0) and for its first name with a hash
// (rank 1), whether it needs it or not; and for the hash of a further round when
// another one asks for that, too. A name goes to the only one that asks for it at
// the lowest rank. So who gets what follows rank by rank from who asks, and the
// order in which domains come has no meaning.
type naming struct {
	// hash makes the end of a name; round is its rank.
	hash func(id identity, round int) string
	// taken are the names of declared domains and of nodes. Declared domains that
	// were left out are among them, since their objects exist.
	taken map[string]int
	asks  map[string]*ask
	// review are domains for which a name may have come or gone.
	review map[*domain]struct{}
}

// ask is who asks for a name, by rank.
type ask struct{ ranks []map[*domain]struct{} }

func newNaming() *naming {
	return &naming{hash: nameHash, taken: map[string]int{}, asks: map[string]*ask{}, review: map[*domain]struct{}{}}
}

func nameHash(id identity, round int) string {
	const hashBytes = 4
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %q %q %d", id.level, id.provider, id.values, round))
	return hex.EncodeToString(sum[:hashBytes])
}

// take notes that a name is taken once more, or once less.
func (n *naming) take(name string, by int) {
	n.change(name, func() {
		if n.taken[name] += by; n.taken[name] == 0 {
			delete(n.taken, name)
		}
	})
}

// want notes that a group is to have a name, or no longer.
func (n *naming) want(d *domain, wanted bool) {
	switch {
	case wanted && d.asked == nil:
		d.asked = make([]string, 1, 2)
		if name := d.id.wanted(); isName(name) {
			n.ask(d, name, 0)
		}
	case !wanted && d.asked != nil:
		n.withdraw(d, 0)
	default:
		return
	}
	n.review[d] = struct{}{}
}

// settle calls rename for every domain whose name has changed.
func (n *naming) settle(rename func(d *domain, name string)) {
	names := map[*domain]string{}
	for len(n.review) > 0 {
		now := n.review
		n.review = map[*domain]struct{}{}
		for d := range now {
			names[d] = n.choose(d)
		}
	}
	for d, name := range names {
		if name != d.name {
			rename(d, name)
		}
	}
}

// choose gives a domain the name that is free for it. It asks for names with
// further rounds as far as that takes.
func (n *naming) choose(d *domain) string {
	if d.asked == nil {
		return ""
	}
	at := 1
	for ; ; at++ {
		if at == len(d.asked) {
			n.ask(d, n.hashed(d.id, at), at)
		}
		if n.holds(d, at) {
			break
		}
	}
	n.withdraw(d, at+1)
	if n.holds(d, 0) {
		at = 0
	}
	return d.asked[at]
}

func (n *naming) hashed(id identity, round int) string {
	end := "-" + n.hash(id, round-1)
	stem := sanitise(id.wanted(), maxLabelValue-len(end))
	if stem == "" {
		stem = strings.ToLower(id.level.String())
	}
	return stem + end
}

// holds says whether a name that a domain asks for is its own.
func (n *naming) holds(d *domain, at int) bool {
	name := d.asked[at]
	holder, lowest := n.holder(name)
	return name != "" && holder == d && lowest == at
}

// holder is the only one that asks for a name at the lowest rank, nil if there
// are several or the name is taken.
func (n *naming) holder(name string) (*domain, int) {
	asked := n.asks[name]
	if asked == nil || n.taken[name] > 0 {
		return nil, 0
	}
	for at, of := range asked.ranks {
		if len(of) == 0 {
			continue
		}
		for d := range of {
			if len(of) == 1 {
				return d, at
			}
		}
		break
	}
	return nil, 0
}

func (n *naming) ask(d *domain, name string, at int) {
	if at < len(d.asked) {
		d.asked[at] = name
	} else {
		d.asked = append(d.asked, name)
	}
	n.change(name, func() {
		asked := n.asks[name]
		if asked == nil {
			asked = &ask{}
			n.asks[name] = asked
		}
		for len(asked.ranks) <= at {
			asked.ranks = append(asked.ranks, map[*domain]struct{}{})
		}
		asked.ranks[at][d] = struct{}{}
	})
}

// withdraw takes back what a domain asks for, from a rank on.
func (n *naming) withdraw(d *domain, from int) {
	for at := from; at < len(d.asked); at++ {
		name := d.asked[at]
		if name == "" {
			continue
		}
		n.change(name, func() {
			asked := n.asks[name]
			delete(asked.ranks[at], d)
			for last := len(asked.ranks) - 1; last >= 0 && len(asked.ranks[last]) == 0; last-- {
				asked.ranks = asked.ranks[:last]
			}
			if len(asked.ranks) == 0 {
				delete(n.asks, name)
			}
		})
	}
	if d.asked = d.asked[:min(from, len(d.asked))]; from == 0 {
		d.asked = nil
	}
}

// change does something to a name, and puts those on the list to whom it matters.
func (n *naming) change(name string, do func()) {
	before, was := n.holder(name)
	do()
	after, is := n.holder(name)
	if before == after && was == is {
		return
	}
	for _, d := range []*domain{before, after} {
		if d != nil {
			n.review[d] = struct{}{}
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
