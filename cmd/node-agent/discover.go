package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/agent"
	"github.com/k8s4ai/k8s4ai/internal/agent/machine"
)

const (
	discoverLong = `discover looks at a machine once and prints what the agent would report. It needs no
cluster and writes nothing.

Faults that only time shows are not in one look: errors that the driver told
earlier, ports that were up before, and heat.`

	discoverExample = `  # This machine
  node-agent discover

  # As the object that the agent would write
  node-agent discover -o yaml

  # From inside a container that has the machine's / mounted
  node-agent discover --host-root /host`
)

func newDiscoverCommand() *cobra.Command {
	var hostRoot, output, node string
	command := &cobra.Command{
		Use: "discover", Short: "Print what is in this machine", Long: discoverLong, Example: discoverExample, Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			write, err := printerOf(output)
			if err != nil {
				return err
			}
			domain, err := discover(command.Context(), hostRoot, node)
			if err != nil {
				return err
			}
			return write(command.OutOrStdout(), domain)
		},
	}
	flags := command.Flags()
	flags.StringVar(&hostRoot, "host-root", "/", "where the root directory of the machine is")
	flags.StringVarP(&output, "output", "o", "table", "table, json or yaml")
	flags.StringVar(&node, "node-name", os.Getenv("NODE_NAME"), "name of the Node in json and yaml; by default $NODE_NAME, or the host name")
	return command
}

// discover looks at the machine below a directory once.
func discover(ctx context.Context, hostRoot, node string) (*v1alpha1.TopologyDomain, error) {
	if info, err := os.Stat(hostRoot); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("--host-root %s is no directory", hostRoot)
	}
	if node == "" {
		var err error
		if node, err = os.Hostname(); err != nil {
			return nil, fmt.Errorf("finding the name of this machine (set --node-name): %w", err)
		}
	}
	host := agent.NewHost(hostRoot)
	facts, err := host.Read(ctx)
	if err := errors.Join(err, host.Close()); err != nil {
		return nil, err
	}
	return domainOf(node, facts), nil
}

// domainOf is the TopologyDomain that the agent of a node would write.
func domainOf(node string, facts machine.Facts) *v1alpha1.TopologyDomain {
	report, conditions, _ := machine.Report(facts, machine.History{})
	report.AgentVersion = version
	return &v1alpha1.TopologyDomain{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "TopologyDomain"},
		ObjectMeta: metav1.ObjectMeta{Name: node},
		Spec:       v1alpha1.TopologyDomainSpec{Level: v1alpha1.LevelNode, NodeName: node},
		Status:     v1alpha1.TopologyDomainStatus{Node: &report, Conditions: conditions},
	}
}

func printerOf(output string) (func(io.Writer, *v1alpha1.TopologyDomain) error, error) {
	switch output {
	case "table":
		return printTable, nil
	case "json":
		return func(out io.Writer, domain *v1alpha1.TopologyDomain) error {
			encoder := json.NewEncoder(out)
			encoder.SetIndent("", "  ")
			return encoder.Encode(domain)
		}, nil
	case "yaml":
		return func(out io.Writer, domain *v1alpha1.TopologyDomain) error {
			text, err := yaml.Marshal(domain)
			if err != nil {
				return fmt.Errorf("writing yaml: %w", err)
			}
			_, err = out.Write(text)
			return err
		}, nil
	}
	return nil, fmt.Errorf("--output is %q: choose table, json or yaml", output)
}

// printTable prints a report for people: what is there first, then what is wrong.
func printTable(out io.Writer, domain *v1alpha1.TopologyDomain) error {
	p := &page{table: tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)}
	report := domain.Status.Node
	p.row("Driver", cmp.Or(report.DriverVersion, "none"))
	p.row("PCI tree", string(report.PCITopology))
	if f := report.NVLinkFabric; f != nil {
		p.row("NVLink fabric", fmt.Sprintf("%s clique %d, %s", f.ClusterUUID, *f.CliqueID, f.Health))
	}
	for _, c := range domain.Status.Conditions {
		p.row(c.Type, strings.TrimSuffix(fmt.Sprintf("%s (%s): %s", c.Status, c.Reason, c.Message), ": "))
	}
	p.accelerators(report)
	p.ports(report)
	p.rest(report)
	return p.table.Flush()
}

// page is a table with sections.
type page struct{ table *tabwriter.Writer }

func (p *page) row(cells ...string) {
	for i := range cells {
		cells[i] = cmp.Or(cells[i], "-")
	}
	_, _ = fmt.Fprintln(p.table, strings.Join(cells, "\t")) // Flush tells.
}

// section starts a section, whose columns have widths of their own.
func (p *page) section(heads ...string) {
	_ = p.table.Flush()
	_, _ = fmt.Fprintln(p.table)
	p.row(heads...)
}

func (p *page) accelerators(report *v1alpha1.NodeReport) {
	if len(report.Accelerators) == 0 {
		return
	}
	near := map[string][]string{}
	for _, r := range report.PCIeRelations {
		near[r.From] = append(near[r.From], r.To+" "+string(r.Path))
	}
	links := map[string][2]int32{}
	for _, l := range report.NVLinks {
		sum := links[l.From]
		links[l.From] = [2]int32{sum[0] + *l.ActiveLinks, sum[1] + l.Links}
	}
	p.section("GPU", "UUID", "NAME", "PCI", "NUMA", "MEMORY", "NVLINKS", "NEAR", "HEALTH")
	for i := range report.Accelerators {
		a := &report.Accelerators[i]
		nvlinks := ""
		if sum := links[a.UUID]; sum[1] > 0 {
			nvlinks = fmt.Sprintf("%d of %d", sum[0], sum[1])
		}
		p.row(strconv.Itoa(int(*a.Index)), a.UUID, a.ProductName, a.PCIAddress, number(a.NUMANode), gibibytes(a.MemoryBytes),
			nvlinks, strings.Join(near[a.UUID], ", "), strings.TrimSpace(string(a.Health)+" "+a.HealthReason))
	}
}

func (p *page) ports(report *v1alpha1.NodeReport) {
	if len(report.NICs) == 0 {
		return
	}
	p.section("RDMA PORT", "GUID", "PCI", "NUMA", "LAYER", "RATE", "STATE", "RAIL", "INTERFACE", "SUBNET")
	for i := range report.NICs {
		n := &report.NICs[i]
		rate := ""
		if n.RateGbps > 0 {
			rate = fmt.Sprintf("%d Gb/s", n.RateGbps)
		}
		p.row(n.Name, n.GUID, n.PCIAddress, number(n.NUMANode), string(n.LinkLayer), rate, string(n.State), number(n.Rail), n.InterfaceName, n.Subnet)
	}
}

func (p *page) rest(report *v1alpha1.NodeReport) {
	if len(report.NVMes) > 0 {
		p.section("NVME", "MODEL", "PCI", "NUMA", "SIZE")
		for _, n := range report.NVMes {
			p.row(n.Name, n.Model, n.PCIAddress, number(n.NUMANode), gibibytes(n.SizeBytes))
		}
	}
	if len(report.NUMANodes) > 0 {
		p.section("NUMA NODE", "CPUS", "MEMORY")
		for _, n := range report.NUMANodes {
			p.row(number(n.ID), n.CPUs, gibibytes(n.MemoryBytes))
		}
	}
}

func number(n *int32) string {
	if n == nil {
		return ""
	}
	return strconv.Itoa(int(*n))
}

func gibibytes(bytes int64) string {
	if bytes == 0 {
		return ""
	}
	return strconv.FormatFloat(float64(bytes)/(1<<30), 'f', 1, 64) + " GiB"
}
