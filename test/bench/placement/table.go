package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// writeTable prints what a person looks for first: times, ratios, and how tight
// the answers are, each as ours|kueue|kai|lower bound.
func writeTable(to io.Writer, results []*result) error {
	var text strings.Builder
	text.WriteString("case\tp50 us\tp99 us\tsnapshot\tunchanged\tnew shape\tfirst\tallocs\tkueue new\tx\tkueue repeat\tx\tkai ms\tx\tracks\tblocks\t\n")
	for _, r := range results {
		half, repeat := percentile(r.decision, 0.5), percentile(r.kueueSame, 0.5)
		first := percentile(r.kueueNew, 0.5)
		kai, times := "-", "-"
		switch {
		case r.kai.late:
			kai = "late"
		case len(r.kaiTimes) > 0:
			kai = fmt.Sprintf("%.1f", percentile(r.kaiTimes, 0.5)/1000)
			times = fmt.Sprintf("%.0f", percentile(r.kaiTimes, 0.5)/half)
		}
		racks, blocks := r.tightness()
		fmt.Fprintf(&text, "%s\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%.0f\t%.0f\t%.0f\t%.0f\t%.0f\t%s\t%s\t%s\t%s\t\n",
			r.name, half, percentile(r.decision, 0.99), percentile(r.snapshot, 0.5), percentile(r.unchanged, 0.5),
			percentile(r.newShape, 0.5), percentile(r.first, 0.5), percentile(r.allocs, 0.5),
			first, first/half, repeat, repeat/half, kai, times, racks, blocks)
	}
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', tabwriter.AlignRight)
	if _, err := io.WriteString(w, text.String()); err != nil {
		return fmt.Errorf("printing the table: %w", err)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("printing the table: %w", err)
	}
	return nil
}

// tightness is ours|kueue|kai|bound for racks and blocks. A refusal is "no", an
// engine that was not asked or was too late is "-".
func (r *result) tightness() (racks, blocks string) {
	add := func(a Answer, asked bool) {
		switch rack, block := r.fabric.spread(a); {
		case !asked:
			racks, blocks = racks+"-|", blocks+"-|"
		case !a.placed():
			racks, blocks = racks+"no|", blocks+"no|"
		default:
			racks, blocks = racks+fmt.Sprintf("%d|", rack), blocks+fmt.Sprintf("%d|", block)
		}
	}
	add(r.ours, true)
	add(r.kueue, true)
	add(r.kai.Answer, r.askedKAI && !r.kai.late)
	if !r.bound.feasible {
		return racks + "no", blocks + "no"
	}
	return racks + fmt.Sprint(r.bound.racks), blocks + fmt.Sprint(r.bound.blocks)
}
