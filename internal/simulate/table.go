package simulate

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// WriteTable prints the report for a terminal, in lines of at most 80 columns
// apart from the reasons of refusals.
func (r Report) WriteTable(w io.Writer) error {
	var out strings.Builder
	fmt.Fprintf(&out, "POLICY %s: %d of %d gangs finished in %s on %.0f devices\n\n", r.Policy, r.Finished, r.Gangs, readable(r.MakespanSeconds), r.Devices)
	rows := [][]string{{"DEVICES", "GANGS", "MEAN WAIT", "P50", "P95", "MAX"}}
	for _, waits := range r.Waits {
		rows = append(rows, waits.row())
	}
	writeRows(&out, append(rows, r.Large.row()))
	out.WriteByte('\n')
	rows = [][]string{{"LEVEL", "DOMAINS PER GANG", "IN ONE DOMAIN", "FRAGMENTATION"}}
	for _, level := range r.Levels {
		rows = append(rows, []string{level.Level, fmt.Sprintf("%.2f", level.MeanDomains), percent(level.InOne), percent(level.Fragmentation)})
	}
	writeRows(&out, rows)
	out.WriteByte('\n')
	held := r.WorkDeviceSeconds + r.LostDeviceSeconds + r.RestartDeviceSeconds
	writeRows(&out, [][]string{
		{"utilisation", fmt.Sprintf("%s (load %s)", percent(r.Utilisation), percent(r.OfferedLoad))},
		{"backfilled", fmt.Sprint(r.Backfilled)},
		{"evictions", fmt.Sprintf("%d: %s of device time lost, %s in restarts", r.Evictions, share(r.LostDeviceSeconds, held), share(r.RestartDeviceSeconds, held))},
		{"moves", fmt.Sprint(r.Moves)},
		{"refused", fmt.Sprint(r.Refused)},
	})
	for _, refusal := range r.Refusals {
		fmt.Fprintf(&out, "  %s: %s\n", refusal.Gang, refusal.Reason)
	}
	if more := r.Refused - len(r.Refusals); more > 0 {
		fmt.Fprintf(&out, "  and %d more\n", more)
	}
	if _, err := io.WriteString(w, out.String()); err != nil {
		return fmt.Errorf("printing the report: %w", err)
	}
	return nil
}

func (w *Waits) row() []string {
	return []string{w.Size, fmt.Sprint(w.Gangs), readable(w.MeanSeconds), readable(w.P50Seconds), readable(w.P95Seconds), readable(w.MaxSeconds)}
}

// writeRows aligns columns, the first to the left and figures to the right. Rows
// of two columns are names with their values, and all to the left.
func writeRows(out *strings.Builder, rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		fmt.Fprintf(out, "%-*s", widths[0], row[0])
		for i, cell := range row[1:] {
			if len(row) == 2 {
				fmt.Fprintf(out, "   %s", cell)
				continue
			}
			fmt.Fprintf(out, "   %*s", widths[i+1], cell)
		}
		out.WriteByte('\n')
	}
}

// readable rounds seconds to what a person reads at a glance.
func readable(seconds float64) string {
	const day = 24 * time.Hour
	at := time.Duration(seconds * float64(time.Second))
	switch {
	case at >= 10*day:
		return fmt.Sprintf("%.0fd", seconds/day.Seconds())
	case at >= day-500*time.Millisecond:
		return fmt.Sprintf("%.1fd", seconds/day.Seconds())
	case at >= time.Minute-50*time.Millisecond:
		at = at.Round(time.Second)
		if at >= time.Hour {
			return fmt.Sprintf("%dh%02dm", int(at.Hours()), int(at.Minutes())%60)
		}
		return fmt.Sprintf("%dm%02ds", int(at.Minutes()), int(at.Seconds())%60)
	case at == 0:
		return "0s"
	}
	return fmt.Sprintf("%.1fs", seconds)
}

func percent(of float64) string { return fmt.Sprintf("%.1f %%", 100*of) }

func share(part, of float64) string {
	if of == 0 {
		return percent(0)
	}
	return percent(part / of)
}
