package fleet

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

const (
	// railNICs is the number of network ports from which on a machine is cabled
	// by rails: port i of every machine goes to the same switch.
	railNICs = 8
	// maxCables is the number of cables of one switch. ibsim counts ports in 8
	// bits, as InfiniBand does.
	maxCables = 250
	// minRedundancy is the number of switches above each switch.
	minRedundancy = 2
)

// IBSim returns the fleet's InfiniBand fabric as a file for ibsim, in the form of
// ibnetdiscover's output: leaf switches with their machines, spines that join the
// leaf switches of a block, and cores that join several blocks. Adapters have the
// GUIDs of NICGUID and descriptions such as "hgx-a-0-00 mlx5_0"; the point of
// attachment SIM_HOST can be either "H-<guid>" or the description. It is nil for
// a fleet without InfiniBand, and an error for one whose leaves are larger than a
// switch can be.
//
// Machines with at least 8 ports are cabled by rails: a leaf domain is then one
// switch per rail, called <leaf>-rail-<i>. A rack, or a block without leaves,
// stands for a leaf. Pools outside the fabric have no cables.
func (f *Fleet) IBSim() ([]byte, error) {
	if f.Fabric.LinkLayer != "InfiniBand" {
		return nil, nil
	}
	n := &network{index: map[string]int{}}
	var blocks []string
	leaves := map[string][]int{}
	for _, m := range f.Machines() {
		nics := len(shapes[m.Shape].nics)
		if m.Block == "" || nics == 0 {
			continue
		}
		if _, known := leaves[m.Block]; !known {
			blocks = append(blocks, m.Block)
		}
		for i := range nics {
			name := m.leafSwitch(i, nics)
			leaf, known := n.index[name]
			if !known {
				leaf = n.add(name)
				leaves[m.Block] = append(leaves[m.Block], leaf)
			}
			n.plug(leaf, &m, i)
		}
	}
	var spines []int
	for _, block := range blocks {
		spines = append(spines, n.joinAbove(leaves[block], block+"-spine-")...)
	}
	if len(blocks) > 1 {
		n.joinAbove(spines, f.Fabric.Name+"-core-")
	}
	return n.text()
}

// leafSwitch names the switch of a network port.
func (m *Machine) leafSwitch(nic, nics int) string {
	name := m.Leaf + m.Rack
	if name == "" {
		name = m.Block + "-leaf"
	}
	if nics < railNICs {
		return name
	}
	return name + "-rail-" + strconv.Itoa(nic)
}

// SwitchGUID returns the node GUID of a switch of IBSim.
func SwitchGUID(name string) string {
	sum := sha256.Sum256(fmt.Appendln(nil, name, "switch"))
	return fmt.Sprintf("%016x", binary.BigEndian.Uint64(sum[:8]))
}

// network is what is cabled to what, by index.
type network struct {
	switches []ibSwitch
	adapters []ibAdapter
	index    map[string]int
}

type ibSwitch struct {
	name   string
	cables []cable
}

// cable is one end of a cable: where it leads.
type cable struct {
	isSwitch bool
	index    int
	port     int
}

type ibAdapter struct {
	guid, description, speed string
	leaf, leafPort           int
}

func (n *network) add(name string) int {
	n.index[name] = len(n.switches)
	n.switches = append(n.switches, ibSwitch{name: name})
	return len(n.switches) - 1
}

func (n *network) plug(leaf int, m *Machine, nic int) {
	at := &n.switches[leaf]
	at.cables = append(at.cables, cable{index: len(n.adapters), port: 1})
	// ibsim knows no speed above HDR.
	speed := "4xHDR"
	if m.nicGbps < 200 {
		speed = "4xEDR"
	}
	n.adapters = append(n.adapters, ibAdapter{
		guid:        strings.ReplaceAll(NICGUID(m.Name, nic), ":", ""),
		description: m.Name + " mlx5_" + strconv.Itoa(nic), speed: speed,
		leaf: leaf, leafPort: len(at.cables),
	})
}

// joinAbove adds as many switches as it takes to give each of the given ones two
// above it, neighbours in a ring so that all are connected.
func (n *network) joinAbove(below []int, name string) []int {
	count := max(minRedundancy, (len(below)*minRedundancy+maxCables/2-1)/(maxCables/2))
	above := make([]int, count)
	for i := range above {
		above[i] = n.add(name + strconv.Itoa(i))
	}
	for i, lower := range below {
		for j := range minRedundancy {
			upper := above[(i+j)%count]
			low, up := &n.switches[lower], &n.switches[upper]
			low.cables = append(low.cables, cable{true, upper, len(up.cables) + 1})
			up.cables = append(up.cables, cable{true, lower, len(low.cables)})
		}
	}
	return above
}

func (n *network) text() ([]byte, error) {
	var b bytes.Buffer
	for _, s := range n.switches {
		if len(s.cables) > maxCables {
			return nil, fmt.Errorf("switch %s has %d cables, at most %d are possible: use more leaves with fewer nodes", s.name, len(s.cables), maxCables)
		}
		guid := SwitchGUID(s.name)
		fmt.Fprintf(&b, "sysimgguid=0x%s\nswitchguid=0x%s(%s)\nSwitch\t%d \"S-%s\"\t\t# \"MF0;%s:MQM9700/U1\" enhanced port 0 lid 0 lmc 0\n",
			guid, guid, guid, len(s.cables), guid, s.name)
		for port, c := range s.cables {
			if c.isSwitch {
				far := &n.switches[c.index]
				fmt.Fprintf(&b, "[%d]\t\"S-%s\"[%d]\t\t# \"MF0;%s:MQM9700/U1\" lid 0 4xHDR\n", port+1, SwitchGUID(far.name), c.port, far.name)
				continue
			}
			far := &n.adapters[c.index]
			fmt.Fprintf(&b, "[%d]\t\"H-%s\"[1] \t\t# \"%s\" lid 0 %s\n", port+1, far.guid, far.description, far.speed)
		}
		b.WriteByte('\n')
	}
	for _, a := range n.adapters {
		leaf := &n.switches[a.leaf]
		fmt.Fprintf(&b, "sysimgguid=0x%s\ncaguid=0x%s\nCa\t1 \"H-%s\"\t\t# \"%s\"\n[1] \t\"S-%s\"[%d]\t\t# lid 0 lmc 0 \"MF0;%s:MQM9700/U1\" lid 0 %s\n\n",
			a.guid, a.guid, a.guid, a.description, SwitchGUID(leaf.name), a.leafPort, leaf.name, a.speed)
	}
	return b.Bytes(), nil
}
