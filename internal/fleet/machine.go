package fleet

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strconv"
)

// Machine is one machine and its place. Empty names mean that the level does not
// exist there.
type Machine struct {
	// Name is the name of the Node.
	Name string
	// Pool is the name of the machine's pool.
	Pool string
	// Shape is the machine's shape.
	Shape string
	// Block, Leaf and Rack name the domains around the machine.
	Block, Leaf, Rack string

	nicGbps int32
}

// NodeCount returns the number of machines.
func (f *Fleet) NodeCount() int {
	count := 0
	for i := range f.Pools {
		pool := &f.Pools[i]
		count += max(pool.Blocks, 1) * max(pool.Leaves, pool.Racks, 1) * pool.Nodes
	}
	return count
}

// Machines lists the machines in the order of their names' parts: pool, block,
// leaf or rack, index.
func (f *Fleet) Machines() []Machine {
	machines := make([]Machine, 0, f.NodeCount())
	block := 0
	for i := range f.Pools {
		pool := &f.Pools[i]
		if pool.Blocks == 0 {
			machines = pool.appendGroup(machines, pool.Name, Machine{})
		}
		for range pool.Blocks {
			machines = pool.appendBlock(machines, letters(block))
			block++
		}
	}
	return machines
}

func (p *Pool) appendBlock(machines []Machine, letter string) []Machine {
	place := Machine{Block: "block-" + letter}
	prefix := p.Name + "-" + letter
	groups := max(p.Leaves, p.Racks)
	if groups == 0 {
		return p.appendGroup(machines, prefix, place)
	}
	for i := range groups {
		if p.Leaves > 0 {
			place.Leaf = place.Block + "-leaf-" + strconv.Itoa(i)
		} else {
			place.Rack = place.Block + "-rack-" + strconv.Itoa(i)
		}
		machines = p.appendGroup(machines, prefix+"-"+strconv.Itoa(i), place)
	}
	return machines
}

// appendGroup adds the machines of one innermost domain, numbered with leading
// zeros so that they sort.
func (p *Pool) appendGroup(machines []Machine, prefix string, place Machine) []Machine {
	width := max(2, len(strconv.Itoa(p.Nodes-1)))
	place.Pool, place.Shape, place.nicGbps = p.Name, p.Shape, p.NICGbps
	for i := range p.Nodes {
		place.Name = fmt.Sprintf("%s-%0*d", prefix, width, i)
		machines = append(machines, place)
	}
	return machines
}

// letters counts a, b, …, z, aa, ab, …
func letters(n int) string {
	if n < 26 {
		return string(rune('a' + n))
	}
	return letters(n/26-1) + string(rune('a'+n%26))
}

// uuid returns the same UUID for the same words, in any run.
func uuid(words ...any) string {
	sum := sha256.Sum256(fmt.Appendln(nil, words...))
	sum[6] = sum[6]&0x0f | 0x80 // version 8: made by the application's own rule
	sum[8] = sum[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[0:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}

// GPUUUID returns the UUID of an NVIDIA GPU of a node.
func GPUUUID(node string, index int) string { return "GPU-" + uuid(node, "gpu", index) }

// AMDUUID returns the UUID of an AMD GPU of a node: "GPU-" and the 16 digits of
// the device's unique id.
func AMDUUID(node string, index int) string {
	sum := sha256.Sum256(fmt.Appendln(nil, node, "amd gpu", index))
	return fmt.Sprintf("GPU-%x", sum[:8])
}

// gpuUUID returns the UUID of a GPU of the machine, in its vendor's form.
func (s *shape) gpuUUID(m *Machine, index int) string {
	if s.gpu.isAMD() {
		return AMDUUID(m.Name, index)
	}
	return GPUUUID(m.Name, index)
}

// NICGUID returns the node GUID of a network port of a node.
func NICGUID(node string, index int) string {
	sum := sha256.Sum256(fmt.Appendln(nil, node, "nic", index))
	guid := binary.BigEndian.Uint64(sum[:8])
	return fmt.Sprintf("%04x:%04x:%04x:%04x", guid>>48&0xffff, guid>>32&0xffff, guid>>16&0xffff, guid&0xffff)
}

// cliqueID is what the driver reports for the partition that every GPU is in
// before an administrator makes others.
const cliqueID = 32766

// clusterUUID returns the UUID of a rack's NVLink fabric.
func (f *Fleet) clusterUUID(rack string) string { return uuid(f.Name, rack) }
