package ibfabric

import (
	"strconv"
	"strings"
)

// isHeader is true of a line that starts a node, such as:
//
//	Switch	65 "S-fc6a1c0300aa0001"		# "MF0;leaf-0:MQM9700/U1" enhanced port 0 lid 1 lmc 0
func isHeader(line string) bool {
	word, _ := firstWord(line)
	return word == "Switch" || word == "Ca" || word == "Rt" || word == "???"
}

func parseHeader(line string) (section, bool) {
	_, rest := firstWord(line)
	k, guid, rest, ok := parseNode(strings.TrimLeft(rest, " \t0123456789"))
	return section{kind: k, guid: guid, name: nodeName(description(rest))}, ok
}

func firstWord(line string) (word, rest string) {
	if at := strings.IndexAny(line, " \t"); at >= 0 {
		return line[:at], line[at:]
	}
	return line, ""
}

// parsePort reads one end of a cable, of a switch or of an adapter, with the
// numbers on the outside of a chassis where -g was given:
//
//	[1][ext 3]	"H-a0b1c2d3e4f50001"[1](a0b1c2d3e4f50002) 		# "n0 mlx5_0" lid 3 4xNDR
//	[1](a0b1c2d3e4f50002) 	"S-fc6a1c0300aa0001"[1]		# lid 3 lmc 0 "MF0;leaf-0:MQM9700/U1" lid 1 4xNDR
func parsePort(line string) (link, bool) {
	port, rest, ok := parseNumber(line)
	if !ok {
		return link{}, false
	}
	start := strings.IndexByte(rest, '"')
	if start < 0 || !onlyAside(rest[:start]) {
		return link{}, false
	}
	_, guid, rest, ok := parseNode(rest[start:])
	if !ok {
		return link{}, false
	}
	farPort, _, ok := parseNumber(rest)
	return link{port: port, far: end{guid, farPort}}, ok
}

// onlyAside is true of what may stand between a port and its far end.
func onlyAside(text string) bool {
	return strings.Trim(text, " \t()[]abcdefABCDEF0123456789xt") == ""
}

// parseNumber reads the number of a port in brackets: 1 to 255.
func parseNumber(text string) (number uint8, rest string, ok bool) {
	inside, found := strings.CutPrefix(text, "[")
	if !found {
		return 0, "", false
	}
	digits, rest, found := strings.Cut(inside, "]")
	n, err := strconv.ParseUint(digits, 10, 8)
	return uint8(n), rest, found && err == nil && n > 0
}

// parseNode reads the name that ibnetdiscover gives a node: a letter for its
// kind and its GUID, in quotes.
func parseNode(text string) (k kind, guid uint64, rest string, ok bool) {
	inside, found := strings.CutPrefix(text, `"`)
	if !found {
		return 0, 0, "", false
	}
	name, rest, found := strings.Cut(inside, `"`)
	if !found || len(name) < 3 || len(name) > 2+16 || name[1] != '-' {
		return 0, 0, "", false
	}
	guid, err := strconv.ParseUint(name[2:], 16, 64)
	return kind(name[0]), guid, rest, err == nil && guid != 0
}

// guidValue reads the value of a line such as sysimgguid=0xfc6a1c0300aa0001.
func guidValue(line string) (uint64, bool) {
	_, value, _ := strings.Cut(line, "=0x")
	if at := strings.IndexAny(value, " \t"); at >= 0 {
		value = value[:at]
	}
	guid, err := strconv.ParseUint(value, 16, 64)
	return guid, err == nil
}

// description returns the node description behind the GUID. It may hold quotes
// itself, so it reaches to the last one.
func description(rest string) string {
	first, last := strings.IndexByte(rest, '"'), strings.LastIndexByte(rest, '"')
	if first < 0 || first == last {
		return ""
	}
	return rest[first+1 : last]
}

// nodeName returns a description as printable text of bounded length.
func nodeName(text string) string {
	var b strings.Builder
	for i := 0; i < len(text) && b.Len() < maxNameBytes; i++ {
		if text[i] >= ' ' && text[i] <= '~' {
			b.WriteByte(text[i])
		}
	}
	return strings.TrimSpace(b.String())
}

// switchName returns the name that a person has given the switch, from a
// description such as "MF0;leaf-0:MQM9700/U1". It is empty for the maker's
// default.
func switchName(text string) string {
	if inside, managed := strings.CutPrefix(text, "MF0;"); managed {
		text, _, _ = strings.Cut(inside, ":")
	}
	if strings.Contains(text, "Mellanox Technologies") || strings.Contains(text, "Infiniscale") {
		return ""
	}
	return text
}

// isInsideSwitch is true of the adapter of a switch's own reduction engine,
// which shows up on a port of the switch and belongs to no machine.
func isInsideSwitch(name string) bool { return strings.Contains(name, "Aggregation Node") }

func quote(text string) string { return strconv.Quote(text) }
