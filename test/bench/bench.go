// Package bench writes what benchmarks measure, one JSON object a line.
package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// Row is one figure.
type Row struct {
	Bench  string  `json:"bench"`
	Case   string  `json:"case"`
	Metric string  `json:"metric"`
	Value  float64 `json:"value"`
	Unit   string  `json:"unit"`
	// Peer names what was measured beside it in the same run; unset for none.
	Peer      string   `json:"peer,omitempty"`
	PeerValue *float64 `json:"peer_value,omitempty"`
	// Ratio is ours against the peer's; above 1 is better for us.
	Ratio *float64 `json:"ratio,omitempty"`
}

// Write prints the rows and keeps them in out/bench/<name>.jsonl below root.
func Write(to io.Writer, root, name string, rows []Row) error {
	var text []byte
	for _, row := range rows {
		row.Bench = name
		line, err := json.Marshal(row)
		if err != nil {
			return fmt.Errorf("encoding a figure: %w", err)
		}
		text = append(append(text, line...), '\n')
	}
	if _, err := to.Write(text); err != nil {
		return fmt.Errorf("printing figures: %w", err)
	}
	dir := filepath.Join(root, "out", "bench")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("keeping figures: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".jsonl"), text, 0o644); err != nil {
		return fmt.Errorf("keeping figures: %w", err)
	}
	return nil
}

// Median is the middle of the values, which it sorts. It is 0 for none.
func Median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	middle := len(values) / 2
	if len(values)%2 == 1 {
		return values[middle]
	}
	return (values[middle-1] + values[middle]) / 2
}
