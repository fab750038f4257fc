package oracle

import (
	"maps"
	"slices"

	"github.com/k8s4ai/k8s4ai/internal/placement"
)

// maxRoom is the most of one resource in a room.
const maxRoom = 127

// scale writes room as four bytes: one per resource that the gang asks for, in
// the largest unit that divides all that is asked.
type scale struct {
	names []string
	units []int64
	asks  [][]int64
}

// newScale reports ok as false for a gang that asks for too much to be written
// so.
func newScale(g *gang) (s *scale, ok bool) {
	names := map[string]bool{"pods": true}
	for _, r := range g.roles {
		for name, amount := range r.in.Shape.Resources {
			names[name] = names[name] || amount > 0
		}
	}
	maps.DeleteFunc(names, func(_ string, asked bool) bool { return !asked })
	s = &scale{names: slices.Sorted(maps.Keys(names)), asks: make([][]int64, len(g.roles))}
	for _, name := range s.names {
		unit, total := int64(0), int64(0)
		for i, r := range g.roles {
			ask := r.in.Shape.Resources[name]
			if name == "pods" {
				ask++
			}
			s.asks[i] = append(s.asks[i], ask)
			unit = divisor(unit, ask)
			total += ask * int64((r.count+r.in.Spares)*g.groups[r.group].total)
		}
		// What is clipped at maxRoom is still more than all that is asked.
		if total/unit > maxRoom {
			return nil, false
		}
		s.units = append(s.units, unit)
	}
	return s, len(s.names) <= 4
}

func divisor(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// room is what is free on the node.
func (s *scale) room(n *placement.Node) uint32 {
	var room uint32
	for i, name := range s.names {
		capacity, limited := n.Capacity[name]
		free := max(0, capacity-n.Used[name]) / s.units[i]
		if name == "pods" && !limited {
			free = maxRoom
		}
		room |= uint32(min(free, maxRoom)) << (8 * i)
	}
	return room
}

// ask is what one slot of the role takes.
func (s *scale) ask(role int) uint32 {
	var ask uint32
	for i, amount := range s.asks[role] {
		ask |= uint32(amount/s.units[i]) << (8 * i)
	}
	return ask
}

// guards is the highest bit of each byte of a room. They are not part of it.
const guards = 0x80808080

// hasRoom reports whether every byte of the room is at least that of ask.
func hasRoom(room, ask uint32) bool { return ((room|guards)-ask)&guards == guards }
