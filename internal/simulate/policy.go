package simulate

import (
	"fmt"
	"strings"

	"github.com/k8s4ai/k8s4ai/internal/queueing"
)

// ParsePolicy reads "fifo" or "easy", each with "+preempt", "+defrag" or both
// behind it, in any order.
func ParsePolicy(text string) (queueing.Policy, error) {
	var p queueing.Policy
	base, more, _ := strings.Cut(text, "+")
	switch base {
	case "fifo":
	case "easy":
		p.Backfill = true
	default:
		return p, fmt.Errorf("policy %q: write fifo or easy, and +preempt or +defrag behind it", shortened(text))
	}
	for more != "" {
		var word string
		word, more, _ = strings.Cut(more, "+")
		switch {
		case word == "preempt" && !p.Preempt:
			p.Preempt = true
		case word == "defrag" && !p.Defragment:
			p.Defragment = true
		default:
			return queueing.Policy{}, fmt.Errorf("policy %q: behind fifo or easy stand +preempt and +defrag, each once", shortened(text))
		}
	}
	return p, nil
}
