package measure

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
)

// WriteJSON writes the report as it is kept in test/fixtures/machines.
func (r Report) WriteJSON(to io.Writer) error {
	encoder := json.NewEncoder(to)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(r); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}

// WriteTable writes one line for each figure and for each one that is missing.
func (r Report) WriteTable(to io.Writer) error {
	table := tabwriter.NewWriter(to, 0, 8, 2, ' ', 0)
	row := func(columns ...any) { _, _ = fmt.Fprintf(table, "%v\t%v\t%v\t%v\t%v\t%v\n", columns...) }
	row("DEVICE", "MODEL", "FIGURE", "VALUE", "SPREAD", "METHOD")
	for _, d := range r.Devices {
		model := cmp.Or(d.Name, "-")
		if d.Skipped != nil {
			row(d.UUID, model, "-", "-", "-", fmt.Sprintf("%s: %s", d.Skipped.Reason, d.Skipped.Message))
		}
		for _, f := range d.Figures {
			row(d.UUID, model, f.Name, fmt.Sprintf("%.5g", f.Value), fmt.Sprintf("%.1f %%", f.SpreadPercent), fmt.Sprintf("%s, %s", f.Method, f.Detail))
		}
		for _, g := range d.Omitted {
			row(d.UUID, model, g.Name, "-", "-", fmt.Sprintf("%s: %s", g.Reason, g.Message))
		}
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("writing the table: %w", err)
	}
	return nil
}
