package convert

import (
	"fmt"
	"strconv"
	"strings"
)

// maxHosts bounds what DecodeHosts returns: the largest gang, spares included.
const maxHosts = 4096

// EncodeHosts writes node names as a host list, the notation of Slurm with a
// repeat count added: "a-[00-15]" is a run of names that count up, and "*8"
// after a name or a run repeats each of its names eight times in a row. The
// order of names is kept. A name must not contain ",", "[", "]" or "*", which
// Kubernetes names never do.
func EncodeHosts(names []string) string {
	var out strings.Builder
	hosts := countRepeats(names)
	for i := 0; i < len(hosts); {
		run := runLength(hosts[i:])
		if out.Len() > 0 {
			out.WriteByte(',')
		}
		prefix, first := splitNumber(hosts[i].name)
		if run == 1 {
			out.WriteString(hosts[i].name)
		} else {
			_, last := splitNumber(hosts[i+run-1].name)
			fmt.Fprintf(&out, "%s[%s-%s]", prefix, first, last)
		}
		if hosts[i].repeat > 1 {
			fmt.Fprintf(&out, "*%d", hosts[i].repeat)
		}
		i += run
	}
	return out.String()
}

// DecodeHosts reads what EncodeHosts wrote. It returns an error that quotes the
// part that cannot be read, or when the list holds more than 4096 names.
func DecodeHosts(list string) ([]string, error) {
	var names []string
	for part := range strings.SplitSeq(list, ",") {
		run, err := decodePart(part, maxHosts-len(names))
		if err != nil {
			return nil, err
		}
		names = append(names, run...)
	}
	return names, nil
}

// host is a name and how often it stands in a row.
type host struct {
	name   string
	repeat int
}

func countRepeats(names []string) []host {
	var hosts []host
	for _, name := range names {
		if n := len(hosts); n > 0 && hosts[n-1].name == name {
			hosts[n-1].repeat++
			continue
		}
		hosts = append(hosts, host{name: name, repeat: 1})
	}
	return hosts
}

// runLength counts the hosts at the start of the list that form one run: equal
// prefix, equal number of digits, equal repeat, numbers that count up by one.
func runLength(hosts []host) int {
	prefix, digits := splitNumber(hosts[0].name)
	if digits == "" {
		return 1
	}
	number, _ := strconv.ParseUint(digits, 10, 64)
	n := 1
	for ; n < len(hosts); n++ {
		p, d := splitNumber(hosts[n].name)
		if p != prefix || len(d) != len(digits) || hosts[n].repeat != hosts[0].repeat {
			break
		}
		if next, _ := strconv.ParseUint(d, 10, 64); next != number+uint64(n) {
			break
		}
	}
	return n
}

// splitNumber cuts the digits off the end of a name. At most 18 digits are
// taken, so that they always fit an integer.
func splitNumber(name string) (prefix, digits string) {
	cut := len(name)
	for cut > 0 && len(name)-cut < 18 && name[cut-1] >= '0' && name[cut-1] <= '9' {
		cut--
	}
	return name[:cut], name[cut:]
}

// decodePart reads what stands between two commas: at most room names.
func decodePart(part string, room int) ([]string, error) {
	body, repeat := part, 1
	if base, count, found := strings.Cut(part, "*"); found {
		n, err := strconv.Atoi(count)
		if err != nil || n < 1 {
			return nil, unreadable(part)
		}
		body, repeat = base, n
	}
	if repeat > room {
		return nil, errTooManyHosts
	}
	names, err := decodeRun(body, room/repeat)
	if err != nil {
		return nil, err
	}
	if body == "" || strings.ContainsAny(names[0], "[]*") {
		return nil, unreadable(part)
	}
	out := make([]string, 0, len(names)*repeat)
	for _, name := range names {
		for range repeat {
			out = append(out, name)
		}
	}
	return out, nil
}

// decodeRun reads one name, or a run of at most room names.
func decodeRun(body string, room int) ([]string, error) {
	prefix, span, isRun := strings.Cut(body, "[")
	if !isRun {
		return []string{body}, nil
	}
	from, to, ok := strings.Cut(strings.TrimSuffix(span, "]"), "-")
	first, errFirst := strconv.ParseUint(from, 10, 63)
	last, errLast := strconv.ParseUint(to, 10, 63)
	if !ok || !strings.HasSuffix(span, "]") || errFirst != nil || errLast != nil || last < first || len(from) != len(to) {
		return nil, unreadable(body)
	}
	if last-first >= uint64(room) {
		return nil, errTooManyHosts
	}
	names := make([]string, 0, last-first+1)
	for n := first; n <= last; n++ {
		names = append(names, fmt.Sprintf("%s%0*d", prefix, len(from), n))
	}
	return names, nil
}

var errTooManyHosts = fmt.Errorf("host list: more than %d names", maxHosts)

func unreadable(part string) error {
	return fmt.Errorf("host list: cannot read %q", truncate(part, 64))
}

// truncate cuts a text to at most limit bytes.
func truncate(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return text[:limit-len("…")] + "…"
}
