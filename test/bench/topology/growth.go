package main

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/k8s4ai/k8s4ai/internal/topology"
	"github.com/k8s4ai/k8s4ai/test/bench"
)

const (
	nodesPerLeaf   = 32
	leavesPerBlock = 16
	railsPerNode   = 8
	devicesPerNode = 8
	// growthChanges is how many changes of a node are measured at each size.
	growthChanges = 4000

	blockLabel = "cloud.google.com/gce-topology-block"
	leafLabel  = "cloud.google.com/gce-topology-subblock"
)

// growthRows measures one change of one node with all that follows from it, in a
// fabric of 1,000 and one of 10,000 nodes of the same shape. The median must not
// grow with the number of nodes.
func growthRows() []bench.Row {
	small, large := newCluster(1000).medianChange(), newCluster(10_000).medianChange()
	row := func(metric string, value float64, unit string) bench.Row {
		return bench.Row{Case: "growth", Metric: metric, Value: value, Unit: unit}
	}
	return []bench.Row{
		row("change_at_1k_nodes", small, "us"),
		row("change_at_10k_nodes", large, "us"),
		row("cost_ratio_10k_over_1k", large/small, "ratio"),
	}
}

// cluster is a fabric with what is known of its nodes. Their provider labels
// blocks and leaves, and all of them share the subnets of eight rails.
type cluster struct {
	state  *topology.State
	nodes  []topology.Labelled
	rooms  []topology.NodeRoom
	random *rand.Rand
}

func newCluster(size int) *cluster {
	c := &cluster{state: topology.NewState(), random: rand.New(rand.NewPCG(1, uint64(size)))}
	for i := range size {
		leaf := i / nodesPerLeaf
		c.nodes = append(c.nodes, topology.Labelled{Name: fmt.Sprintf("node-%05d", i), Labels: labelsOf(leaf)})
		c.rooms = append(c.rooms, topology.NodeRoom{
			Ready: true, Accelerators: topology.Accelerators{Total: devicesPerNode, Free: devicesPerNode},
			Classes: []topology.ClassCount{{Class: "h100-sxm-80gb", Devices: devicesPerNode}},
		})
		c.set(i)
	}
	c.state.Take()
	return c
}

func labelsOf(leaf int) map[string]string {
	return map[string]string{blockLabel: fmt.Sprintf("block-%d", leaf/leavesPerBlock), leafLabel: fmt.Sprintf("leaf-%d", leaf)}
}

// set tells the State of a node with its report.
func (c *cluster) set(i int) {
	report := &topology.Report{Node: c.nodes[i].Name}
	for rail := range railsPerNode {
		report.NICs = append(report.NICs, topology.NIC{
			Name: fmt.Sprintf("mlx5_%d", rail), LinkLayer: "Ethernet", Active: true, Subnet: fmt.Sprintf("10.%d.0.0/16", rail),
		})
	}
	c.state.SetNode(c.nodes[i], report, c.rooms[i])
}

// medianChange is the median time of a change with all that is read after it, in
// microseconds. The changes take turns: health, room, leaf, and a node that
// leaves and comes back.
func (c *cluster) medianChange() float64 {
	times := make([]float64, 0, growthChanges)
	for turn := range growthChanges {
		i := c.random.IntN(len(c.nodes))
		room := &c.rooms[i]
		switch turn % 4 {
		case 0:
			room.Accelerators.Unhealthy, room.Reasons = 1-room.Accelerators.Unhealthy, nil
			if room.Accelerators.Unhealthy > 0 {
				room.Reasons = []string{"AcceleratorUnhealthy"}
			}
		case 1:
			room.Accelerators.Free = c.random.Int64N(devicesPerNode + 1)
		case 2:
			c.nodes[i].Labels = labelsOf(c.random.IntN(len(c.nodes) / nodesPerLeaf))
		}
		start := time.Now()
		if turn%4 == 3 {
			c.state.RemoveNode(c.nodes[i].Name)
			c.read()
		}
		c.set(i)
		c.read()
		times = append(times, float64(time.Since(start).Nanoseconds())/1000)
	}
	return bench.Median(times)
}

// read looks up all that has changed, as the manager does before it writes.
func (c *cluster) read() {
	changes := c.state.Take()
	for _, name := range changes.Domains {
		c.state.Domain(name)
	}
	for _, name := range changes.Nodes {
		c.state.Place(name)
	}
}
