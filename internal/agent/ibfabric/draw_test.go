package ibfabric

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// drawing makes the text of ibnetdiscover for a fabric of a test. GUIDs count up
// in the order in which names appear.
type drawing struct {
	names []string
	guid  map[string]uint64
	lines map[string][]string
}

func draw() *drawing { return &drawing{guid: map[string]uint64{}, lines: map[string][]string{}} }

func (d *drawing) of(name string) (id string, port int) {
	if d.guid[name] == 0 {
		d.names = append(d.names, name)
		d.guid[name] = 0x1000 + uint64(len(d.names))
	}
	letter := "S"
	if strings.HasPrefix(name, "h") {
		letter = "H"
	}
	return fmt.Sprintf("%s-%016x", letter, d.guid[name]), len(d.lines[name]) + 1
}

// cable joins two nodes. Names that start with h are adapters.
func (d *drawing) cable(a, b string) *drawing {
	idA, portA := d.of(a)
	idB, portB := d.of(b)
	d.lines[a] = append(d.lines[a], fmt.Sprintf("[%d]\t%q[%d]\t\t# %q lid 0 4xHDR\n", portA, idB, portB, b))
	d.lines[b] = append(d.lines[b], fmt.Sprintf("[%d]\t%q[%d]\t\t# %q lid 0 4xHDR\n", portB, idA, portA, a))
	return d
}

// mesh joins each of the first to each of the second, which are separated by
// spaces.
func (d *drawing) mesh(first, second string) *drawing {
	for a := range strings.FieldsSeq(first) {
		for b := range strings.FieldsSeq(second) {
			d.cable(a, b)
		}
	}
	return d
}

// plug puts a number of adapters on each of the switches.
func (d *drawing) plug(count int, switches string) *drawing {
	for s := range strings.FieldsSeq(switches) {
		for i := range count {
			d.cable(fmt.Sprintf("h-%s-%d-%d", s, len(d.names), i), s)
		}
	}
	return d
}

// dead removes switches with their cables, as when their power fails.
func (d *drawing) dead(switches string) *drawing {
	for s := range strings.FieldsSeq(switches) {
		id, _ := d.of(s)
		d.names = slices.DeleteFunc(d.names, func(name string) bool { return name == s })
		for name, lines := range d.lines {
			d.lines[name] = slices.DeleteFunc(lines, func(line string) bool { return strings.Contains(line, id) })
		}
		// What has no cable left cannot be found.
		d.names = slices.DeleteFunc(d.names, func(name string) bool { return len(d.lines[name]) == 0 })
	}
	return d
}

func (d *drawing) section(name string) string {
	id, _ := d.of(name)
	if id[0] == 'S' {
		return fmt.Sprintf("switchguid=0x%x(%x)\nSwitch\t254 %q\t\t# \"MF0;%s:MQM9700/U1\" enhanced port 0 lid 0 lmc 0\n%s\n",
			d.guid[name], d.guid[name], id, name, strings.Join(d.lines[name], ""))
	}
	return fmt.Sprintf("caguid=0x%x\nCa\t2 %q\t\t# %q\n%s\n", d.guid[name], id, name, strings.Join(d.lines[name], ""))
}

func (d *drawing) text() string {
	var b strings.Builder
	for _, name := range d.names {
		b.WriteString(d.section(name))
	}
	return b.String()
}

func (d *drawing) scan(t *testing.T) topology.Scan {
	t.Helper()
	result := mustRead(t, d.text())
	if result.Incomplete != "" {
		t.Fatalf("the drawing is incomplete: %s", result.Incomplete)
	}
	return result.Scan
}

func mustRead(t testing.TB, text string) Result {
	t.Helper()
	result, err := Read(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// blocks writes leaf switches as "fabric: block(leaf leaf) …" without keys, in an
// order that does not depend on them.
func blocks(scan topology.Scan) string {
	fabrics := map[string]map[string][]string{}
	for _, leaf := range scan.Leaves {
		if fabrics[leaf.Fabric] == nil {
			fabrics[leaf.Fabric] = map[string][]string{}
		}
		fabrics[leaf.Fabric][leaf.Block] = append(fabrics[leaf.Fabric][leaf.Block], leaf.Name)
	}
	var all []string
	for _, fabric := range fabrics {
		var parts []string
		for block, leaves := range fabric {
			slices.Sort(leaves)
			part := "(" + strings.Join(leaves, " ") + ")"
			if block == "" {
				part = "one" + part
			}
			parts = append(parts, part)
		}
		slices.Sort(parts)
		all = append(all, strings.Join(parts, " "))
	}
	slices.Sort(all)
	return strings.Join(all, "; ")
}

// blockKeys returns the key of each leaf switch's block, by name.
func blockKeys(scan topology.Scan) map[string]string {
	keys := map[string]string{}
	for _, leaf := range scan.Leaves {
		keys[leaf.Name] = leaf.Block
	}
	return keys
}

func distinct(keys map[string]string) int {
	return len(slices.Compact(slices.Sorted(maps.Values(keys))))
}
