package cli

import (
	"strings"
)

// sheet is text for a terminal of some width. Nothing on it is cut: what is too
// long goes on in the next line.
type sheet struct {
	strings.Builder
	width  int
	colour bool
}

// minWrap is the least room that text is wrapped into.
const minWrap = 20

// text writes words, indented, wrapped at spaces.
func (s *sheet) text(indent int, text string) {
	for _, line := range wrap(oneLine(text), " ", s.width-indent) {
		s.WriteString(strings.TrimRight(strings.Repeat(" ", indent)+line, " ") + "\n")
	}
}

// table writes rows below a head, indented. Columns named in right are numbers.
// The last column is wrapped at commas.
func (s *sheet) table(indent int, head []string, right string, rows [][]string) {
	if len(rows) == 0 {
		return
	}
	widths := make([]int, len(head))
	for _, row := range append([][]string{head}, rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], length(cell))
		}
	}
	last, before := len(head)-1, indent
	for _, w := range widths[:last] {
		before += w + gap
	}
	for _, row := range append([][]string{head}, rows...) {
		lead := strings.Repeat(" ", indent)
		for i, cell := range row[:last] {
			lead += pad(oneLine(cell), widths[i], strings.Contains(right, head[i])) + strings.Repeat(" ", gap)
		}
		for _, line := range wrap(oneLine(row[last]), ",", s.width-before) {
			if strings.Contains(right, head[last]) {
				line = pad(line, widths[last], true)
			}
			s.WriteString(strings.TrimRight(lead+line, " ") + "\n")
			lead = strings.Repeat(" ", before)
		}
	}
}

// painted is text in red where the terminal has colours.
func (s *sheet) painted(text string) string {
	if !s.colour {
		return text
	}
	return "\x1b[31m" + text + "\x1b[0m"
}

// wrap cuts a text behind separators into lines of at most width columns. A part
// that is wider gets a line of its own.
func wrap(text, separator string, width int) []string {
	width = max(width, minWrap)
	var out []string
	line := ""
	for part := range strings.SplitAfterSeq(text, separator) {
		if line != "" && length(line)+length(strings.TrimRight(part, " ")) > width {
			out = append(out, strings.TrimRight(line, " "))
			line = ""
		}
		line += part
	}
	return append(out, strings.TrimRight(line, " "))
}
