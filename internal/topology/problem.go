package topology

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ProblemKind says what is wrong with a part of the evidence.
type ProblemKind string

// Problems of a forest, see NewTree.
const (
	// InvalidDomain: a domain has no name, or a level that no domain can have.
	// It is left out.
	InvalidDomain ProblemKind = "InvalidDomain"
	// DuplicateDomain: several domains have one name. All of them are left out.
	DuplicateDomain ProblemKind = "DuplicateDomain"
	// Cycle: a domain is its own ancestor. All domains of the cycle are left out.
	Cycle ProblemKind = "Cycle"
	// MissingParent: the parent does not exist. The domain stands as a root,
	// since what it says of its own nodes does not depend on the parent.
	MissingParent ProblemKind = "MissingParent"
	// ParentNotWider: the parent's level is not wider, so that either level may
	// be wrong. The domain is left out.
	ParentNotWider ProblemKind = "ParentNotWider"
	// ParentLeftOut: the domain hangs on one that is left out, and is left out
	// with it.
	ParentLeftOut ProblemKind = "ParentLeftOut"
	// DoublyParented: a node is listed in two domains of which neither holds
	// the other. The node is outside of the fabric.
	DoublyParented ProblemKind = "DoublyParented"
	// UnknownDomain: a node is listed in a domain that does not exist.
	UnknownDomain ProblemKind = "UnknownDomain"
	// DomainLeftOut: a node is listed in a domain that is left out. The node is
	// outside of the fabric.
	DomainLeftOut ProblemKind = "DomainLeftOut"
)

// Problems of an assembly, see Assemble.
const (
	// UnknownNode: a declared domain lists nodes that the cluster does not have.
	UnknownNode ProblemKind = "UnknownNode"
	// Disagreement: two sources place a node differently. The stronger one
	// counts; both are in the facts.
	Disagreement ProblemKind = "Disagreement"
	// SpansDomains: labels or reports name a domain whose nodes lie in several
	// wider domains that do not nest. It is left out.
	SpansDomains ProblemKind = "SpansDomains"
	// ValueTooLong: a value is longer than MaxValueBytes and does not count.
	ValueTooLong ProblemKind = "ValueTooLong"
	// InvalidValue: a value does not have the form of its key and does not count.
	InvalidValue ProblemKind = "InvalidValue"
	// FabricUnhealthy: the driver says that the node's NVLink fabric is degraded
	// or broken. The node keeps its place, which is a matter of wiring.
	FabricUnhealthy ProblemKind = "FabricUnhealthy"
	// NameOfNode: a declared domain has the name of a node, so that one of the
	// two cannot have an object of that name.
	NameOfNode ProblemKind = "NameOfNode"
	// DuplicateGUID: two machines report one GUID. It counts for neither.
	DuplicateGUID ProblemKind = "DuplicateGUID"
	// NameTooLong: a domain's name does not fit into a label value, so that its
	// nodes carry no mirrored label for it.
	NameTooLong ProblemKind = "NameTooLong"
)

// Problems of a report, see ValidateReport.
const (
	// TooMany: a list is longer than its bound; its rest is not looked at.
	TooMany ProblemKind = "TooMany"
	// DuplicateDevice: two devices have one identity.
	DuplicateDevice ProblemKind = "DuplicateDevice"
	// UnknownDevice: a link ends on a device that the report does not have.
	UnknownDevice ProblemKind = "UnknownDevice"
	// OutOfRange: a figure that no machine has, or that contradicts another one.
	OutOfRange ProblemKind = "OutOfRange"
)

const (
	maxFacts     = 8
	maxFactBytes = 256
)

// Problem is one piece of evidence that contradicts itself or another one.
type Problem struct {
	Kind ProblemKind
	// Domain is the domain that it concerns, "" when it concerns a node only.
	Domain string
	// Node is the node that it concerns, "" when it concerns a domain only.
	Node string
	// Facts are the conflicting statements: at most 8, of at most 256 bytes of
	// printable text each.
	Facts []string
}

// String is the problem in one line.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(string(p.Kind))
	if p.Domain != "" {
		b.WriteString(" domain " + quote(p.Domain))
	}
	if p.Node != "" {
		b.WriteString(" node " + quote(p.Node))
	}
	if len(p.Facts) > 0 {
		b.WriteString(": " + strings.Join(p.Facts, "; "))
	}
	return b.String()
}

func (p Problem) equal(o Problem) bool {
	return p.Kind == o.Kind && p.Domain == o.Domain && p.Node == o.Node && slices.Equal(p.Facts, o.Facts)
}

// domainProblem and nodeProblem keep facts within their bounds.
func domainProblem(kind ProblemKind, domain string, facts ...string) Problem {
	return Problem{Kind: kind, Domain: domain, Facts: boundFacts(facts)}
}

func nodeProblem(kind ProblemKind, node string, facts ...string) Problem {
	return Problem{Kind: kind, Node: node, Facts: boundFacts(facts)}
}

func boundFacts(facts []string) []string {
	var out []string
	for i, f := range facts {
		if i == maxFacts-1 && len(facts) > maxFacts {
			return append(out, fmt.Sprintf("and %d more", len(facts)-i))
		}
		if len(f) > maxFactBytes {
			f = strings.ToValidUTF8(f[:maxFactBytes-len("...")], "") + "..."
		}
		out = append(out, f)
	}
	return out
}

// quote makes any text printable and short enough to be one part of a fact.
func quote(s string) string {
	const most = 100
	if len(s) <= most {
		return bound(strconv.Quote(s))
	}
	return bound(strconv.Quote(s[:most]) + "...")
}

// bound cuts what quoting has blown up; quoted text is ASCII or whole runes.
func bound(s string) string {
	const most = 120
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}

func named(v Vertex) string { return v.Level.String() + " " + quote(v.Name) }

// tidy sorts problems and drops repetitions.
func tidy(problems []Problem) []Problem {
	slices.SortFunc(problems, func(a, b Problem) int {
		return cmp.Or(
			CompareNatural(a.Domain, b.Domain),
			CompareNatural(a.Node, b.Node),
			cmp.Compare(a.Kind, b.Kind),
			slices.Compare(a.Facts, b.Facts),
		)
	})
	return slices.CompactFunc(problems, Problem.equal)
}
