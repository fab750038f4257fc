package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/convert"
)

// drawing says how a tree is printed.
type drawing struct {
	// width is the number of columns; lines are cut to it.
	width int
	// colour paints what is wrong.
	colour bool
	// depth is the innermost level that is drawn.
	depth v1alpha1.TopologyLevel
	// all draws every node on a line of its own; otherwise nodes in a row that
	// differ in nothing but their number share one.
	all bool
	// troubled leaves out what is well.
	troubled bool
	// ascii draws branches with characters of ASCII.
	ascii bool
}

// line is one vertex on its way to the terminal.
type line struct {
	branch, name  string
	level         string
	nodes, gpus   string
	broken, class string
	state         string
	isWell        bool
}

// column is one column after the name. The ones with a higher rank go first when
// the terminal is too narrow for all.
type column struct {
	title string
	cell  func(line) string
	right bool
	rank  int
}

var columns = []column{
	{title: "LEVEL", cell: func(l line) string { return l.level }, rank: 3},
	{title: "READY", cell: func(l line) string { return l.nodes }, right: true, rank: 1},
	{title: "FREE", cell: func(l line) string { return l.gpus }, right: true, rank: 0},
	{title: "BROKEN", cell: func(l line) string { return l.broken }, right: true, rank: 2},
	{title: "CLASS", cell: func(l line) string { return l.class }, rank: 4},
}

const (
	// minState and minName are the least room for the last column and the first.
	minState = 10
	minName  = 26
	gap      = 2
)

// draw prints the tree as a table whose first column shows the branches.
func (d drawing) draw(to io.Writer, roots []*Vertex) error {
	var lines []line
	for _, root := range roots {
		lines = d.lines(lines, root, "", "")
	}
	if len(lines) == 0 {
		_, err := fmt.Fprintln(to, d.emptyText())
		return err
	}
	shown, widths := d.fit(lines)
	var out strings.Builder
	d.row(&out, shown, widths, line{name: "NAME", state: "STATE", isWell: true}, true)
	for _, l := range lines {
		d.row(&out, shown, widths, l, false)
	}
	_, err := io.WriteString(to, out.String())
	return err
}

func (d drawing) emptyText() string {
	if d.troubled {
		return "Nothing is wrong."
	}
	return "There are no nodes and no TopologyDomains."
}

// lines adds a vertex and what is below it. lead stands before the vertex's own
// line, below before the lines of its children.
func (d drawing) lines(into []line, v *Vertex, lead, below string) []line {
	if d.troubled && !v.isTroubled() {
		return into
	}
	into = append(into, lineOf(v, lead))
	tee, corner, bar := "├─ ", "└─ ", "│  "
	if d.ascii {
		tee, corner, bar = "|- ", "`- ", "|  "
	}
	children := slices.DeleteFunc(slices.Clone(v.Children), func(c *Vertex) bool {
		return rung(c.Level) > rung(d.depth) || d.troubled && !c.isTroubled()
	})
	for len(children) > 0 {
		n := d.run(children)
		branch, indent := tee, bar
		if n == len(children) {
			branch, indent = corner, "   "
		}
		if n == 1 {
			into = d.lines(into, children[0], below+branch, below+indent)
		} else {
			into = append(into, lineOf(fold(children[:n]), below+branch))
		}
		children = children[n:]
	}
	return into
}

func (v *Vertex) isTroubled() bool {
	return len(v.States) > 0 || v.Broken > 0 || slices.ContainsFunc(v.Children, (*Vertex).isTroubled)
}

// run is how many of the first vertices share a line.
func (d drawing) run(children []*Vertex) int {
	n := 1
	for !d.all && n < len(children) && alike(children[0], children[n]) {
		n++
	}
	return n
}

// alike is true for nodes that differ in nothing but their name.
func alike(a, b *Vertex) bool {
	if a.Level != v1alpha1.LevelNode || b.Level != v1alpha1.LevelNode {
		return false
	}
	return lineOf(a, "").sameButName(lineOf(b, ""))
}

func (l line) sameButName(other line) bool {
	l.name = other.name
	return l == other
}

// fold makes one vertex of nodes that are alike.
func fold(nodes []*Vertex) *Vertex {
	out := &Vertex{Level: v1alpha1.LevelNode, Classes: nodes[0].Classes, States: nodes[0].States}
	var names []string
	for _, n := range nodes {
		names = append(names, n.Name)
		out.Nodes += n.Nodes
		out.Ready += n.Ready
		out.Accelerators += n.Accelerators
		out.Broken += n.Broken
		if n.Free == unknownCount {
			out.Free = unknownCount
		} else {
			out.Free += n.Free
		}
	}
	out.Name = convert.EncodeHosts(names)
	return out
}

func lineOf(v *Vertex, branch string) line {
	l := line{
		branch: branch, name: v.Name, level: string(v.Level), class: strings.Join(v.Classes, ","),
		nodes: fmt.Sprintf("%d/%d", v.Ready, v.Nodes),
		state: strings.Join(v.States, "; "), isWell: len(v.States) == 0,
	}
	switch {
	case v.Accelerators == 0:
	case v.Free < 0:
		l.gpus = fmt.Sprintf("?/%d", v.Accelerators)
	default:
		l.gpus = fmt.Sprintf("%d/%d", v.Free, v.Accelerators)
	}
	if v.Broken > 0 {
		l.broken = fmt.Sprint(v.Broken)
	}
	if l.isWell {
		l.state = "ok"
	}
	return l
}

// fit chooses the columns that the terminal has room for. widths has the name's
// column first and the state's last.
func (d drawing) fit(lines []line) (shown []column, widths []int) {
	name := len("NAME")
	for _, l := range lines {
		name = max(name, length(l.branch)+length(l.name))
	}
	for most := len(columns); ; most-- {
		shown, widths = nil, []int{0}
		rest := d.width
		for _, c := range columns {
			w := c.width(lines)
			if c.rank >= most || w == 0 {
				continue
			}
			shown, widths = append(shown, c), append(widths, max(w, length(c.title)))
			rest -= widths[len(shown)] + gap
		}
		if rest >= min(name, minName)+gap+minState || most == 0 {
			widths[0] = max(min(name, rest-gap-minState), min(name, minName))
			return shown, append(widths, max(rest-widths[0]-gap, 1))
		}
	}
}

// width is that of the widest cell, 0 when all are empty.
func (c column) width(lines []line) int {
	w := 0
	for _, l := range lines {
		w = max(w, length(c.cell(l)))
	}
	return w
}

// row prints one line, cut to the width.
func (d drawing) row(out *strings.Builder, shown []column, widths []int, l line, isTitle bool) {
	name := l.branch + clip(l.name, widths[0]-length(l.branch))
	out.WriteString(pad(name, widths[0], false))
	for i, c := range shown {
		text := c.cell(l)
		if isTitle {
			text = c.title
		}
		out.WriteString(strings.Repeat(" ", gap) + pad(text, widths[i+1], c.right))
	}
	state := clip(l.state, widths[len(widths)-1])
	if d.colour && !l.isWell {
		state = "\x1b[31m" + state + "\x1b[0m"
	}
	out.WriteString(strings.Repeat(" ", gap) + state + "\n")
}

func length(text string) int { return utf8.RuneCountInString(text) }

func pad(text string, width int, right bool) string {
	fill := strings.Repeat(" ", max(width-length(text), 0))
	if right {
		return fill + text
	}
	return text + fill
}

// clip cuts the end of a text that is too long, and shows that it did.
func clip(text string, width int) string {
	if length(text) <= width {
		return text
	}
	runes := []rune(text)
	return string(runes[:max(width-1, 0)]) + "…"
}
