package cli

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
)

// drawNode lists the devices of one node.
func drawNode(streams Streams, d drawing, v *Vertex) error {
	report := v.domain.Status.Node
	var out strings.Builder
	facts(&out, v, report, streams.Now())
	sections := []section{
		{title: "ACCELERATORS", head: []string{"#", "MODEL", "MEMORY", "NUMA", "LINKS", "NEAR", "HEALTH"}, rows: acceleratorRows(report)},
		{title: "NETWORK PORTS", head: []string{"NAME", "GBPS", "LAYER", "RAIL", "NUMA", "SUBNET", "STATE"}, rows: nicRows(report)},
		{title: "NVME", head: []string{"NAME", "SIZE", "NUMA", "MODEL"}, rows: nvmeRows(report)},
		{title: "NUMA", head: []string{"#", "MEMORY", "CPUS"}, rows: numaRows(report)},
	}
	for _, s := range sections {
		if len(s.rows) > 0 {
			s.write(&out, d.width)
		}
	}
	_, err := io.WriteString(streams.Out, out.String())
	return err
}

// facts writes what holds for the node as a whole.
func facts(out *strings.Builder, v *Vertex, report *v1alpha1.NodeReport, now time.Time) {
	row := func(key, value string) {
		if value != "" {
			fmt.Fprintf(out, "%-10s %s\n", key, oneLine(value))
		}
	}
	row("Node", v.Name)
	row("Parent", v.domain.Status.ParentName)
	state := strings.Join(v.States, "; ")
	row("State", cmp.Or(state, "ok"))
	if report.ObservedTime != nil {
		row("Changed", duration.HumanDuration(now.Sub(report.ObservedTime.Time))+" ago")
	}
	row("Agent", report.AgentVersion)
	row("Driver", report.DriverVersion)
	row("PCI tree", string(report.PCITopology))
	row("Class", strings.Join(v.Classes, ", "))
	if f := report.NVLinkFabric; f != nil && f.CliqueID != nil {
		row("NVLink", fmt.Sprintf("fabric %s, clique %d, %s", f.ClusterUUID, *f.CliqueID, f.Health))
	}
}

// section is one table of a node.
type section struct {
	title string
	head  []string
	rows  [][]string
}

// write prints the table; the last column takes what is left of the width.
func (s section) write(out *strings.Builder, width int) {
	widths := make([]int, len(s.head))
	for _, row := range append([][]string{s.head}, s.rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], length(cell))
		}
	}
	fmt.Fprintf(out, "\n%s\n", s.title)
	for _, row := range append([][]string{s.head}, s.rows...) {
		var text strings.Builder
		for i, cell := range row {
			text.WriteString("  " + pad(cell, widths[i], false))
		}
		out.WriteString(clip(strings.TrimRight(text.String(), " "), width) + "\n")
	}
}

func acceleratorRows(report *v1alpha1.NodeReport) [][]string {
	links := map[string]string{}
	for _, l := range report.NVLinks {
		links[l.From] = addLinks(links[l.From], number(l.ActiveLinks), l.Links)
	}
	near := map[string][]string{}
	for _, r := range report.PCIeRelations {
		if r.Path == v1alpha1.PCIePIX || r.Path == v1alpha1.PCIePXB {
			near[r.From] = append(near[r.From], r.To)
		}
	}
	names := map[string]string{}
	for _, a := range report.Accelerators {
		names[a.UUID] = fmt.Sprintf("#%d", number(a.Index))
	}
	var rows [][]string
	for _, a := range report.Accelerators {
		var neighbours []string
		for _, uuid := range near[a.UUID] {
			neighbours = append(neighbours, cmp.Or(names[uuid], uuid))
		}
		health := string(a.Health)
		if a.HealthReason != "" {
			health += ": " + a.HealthReason
		}
		rows = append(rows, []string{
			fmt.Sprint(number(a.Index)), oneLine(a.ProductName), binary(a.MemoryBytes), numa(a.NUMANode),
			cmp.Or(links[a.UUID], "-"), cmp.Or(strings.Join(neighbours, ","), "-"), oneLine(health),
		})
	}
	return rows
}

// addLinks adds to a text of the form "active/total".
func addLinks(sum string, active, total int32) string {
	var a, t int32
	_, _ = fmt.Sscanf(sum, "%d/%d", &a, &t)
	return fmt.Sprintf("%d/%d", a+active, t+total)
}

func nicRows(report *v1alpha1.NodeReport) [][]string {
	var rows [][]string
	for _, n := range report.NICs {
		state := string(n.State)
		if n.Health == v1alpha1.DeviceUnhealthy {
			state += ", was up before"
		}
		rate := "-"
		if n.RateGbps > 0 {
			rate = fmt.Sprint(n.RateGbps)
		}
		rows = append(rows, []string{n.Name, rate, string(n.LinkLayer), numa(n.Rail), numa(n.NUMANode), cmp.Or(n.Subnet, "-"), state})
	}
	return rows
}

func nvmeRows(report *v1alpha1.NodeReport) [][]string {
	var rows [][]string
	for _, n := range report.NVMes {
		rows = append(rows, []string{n.Name, binary(n.SizeBytes), numa(n.NUMANode), oneLine(n.Model)})
	}
	return rows
}

func numaRows(report *v1alpha1.NodeReport) [][]string {
	var rows [][]string
	for _, n := range report.NUMANodes {
		rows = append(rows, []string{numa(n.ID), binary(n.MemoryBytes), n.CPUs})
	}
	return rows
}

// numa writes a number that may be unknown.
func numa(n *int32) string {
	if n == nil {
		return "-"
	}
	return fmt.Sprint(*n)
}

// binary writes bytes with the largest binary unit that keeps one decimal.
func binary(bytes int64) string {
	if bytes <= 0 {
		return "-"
	}
	value, unit := float64(bytes), 0
	for value >= 1024 && unit < 5 {
		value /= 1024
		unit++
	}
	return fmt.Sprintf("%.1f%s", value, []string{"B", "Ki", "Mi", "Gi", "Ti", "Pi"}[unit])
}
