package ibfabric

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// Bounds of one output. They are well above a fabric of 10,000 machines with 8
// adapters each, and keep a file that is something else from filling the memory.
const (
	// MaxBytes bounds the whole text.
	MaxBytes = 256 << 20
	// MaxLineBytes bounds one line.
	MaxLineBytes = 4 << 10
	// MaxSwitches bounds the switches.
	MaxSwitches = 4096
	// MaxAdapters bounds everything else that has a section: channel adapters and
	// routers.
	MaxAdapters = 200_000
	// MaxLinks bounds the lines for ports, of which each link has two.
	MaxLinks = 1_000_000

	maxProblems  = 32
	maxNameBytes = 64
)

// Result is what one output of ibnetdiscover says.
type Result struct {
	// Scan is empty when the output is incomplete.
	Scan topology.Scan
	// Incomplete says why the output is no evidence, "" when it is whole.
	Incomplete string
	// Problems name what was left out and why, in printable text. There are at
	// most 33: the last then counts the others.
	Problems []string
	// Switches, Adapters and Links count what the output holds, without the
	// adapters inside switches.
	Switches, Adapters, Links int
}

// Read reads the text that ibnetdiscover prints without options, or with -f or
// -g. It fails when the text exceeds a bound or holds no switch. Text that was
// cut off, or that does not agree with itself, gives a Result that is
// Incomplete.
func Read(in io.Reader) (Result, error) {
	r := reader{in: bufio.NewReaderSize(in, MaxLineBytes), seen: map[uint64]int{}}
	if err := r.readAll(); err != nil {
		return Result{}, err
	}
	r.checkLinked()
	r.dropDuplicates()
	result := Result{Incomplete: r.damage}
	if result.Incomplete == "" {
		result.Incomplete = r.openLinks()
	}
	if result.Incomplete == "" {
		result.Scan = newTree(&r.problems, r.sections, &result).scan()
	}
	result.Problems = r.problems.list()
	return result, nil
}

var errNoSwitch = errors.New("the output holds no switch: run ibnetdiscover without -p, -l or -H, on an InfiniBand port that is up")

// kind is the letter with which ibnetdiscover starts the name of a node.
type kind byte

const (
	switchNode kind = 'S'
	adapter    kind = 'H'
)

// end is one end of a cable.
type end struct {
	guid uint64
	port uint8
}

type link struct {
	port uint8
	far  end
}

// section is what the output says of one node.
type section struct {
	kind kind
	guid uint64
	// system is the system image GUID, 0 when there is none.
	system uint64
	name   string
	links  []link
	// duplicate is true when another section has the same GUID.
	duplicate bool
}

type reader struct {
	in       *bufio.Reader
	line     int
	bytes    int
	links    int
	switches int
	sections []section
	// seen holds the index of the first section of each GUID.
	seen map[uint64]int
	// open is true while port lines belong to the last section.
	open bool
	// system is the system image GUID of the section that comes next.
	system uint64
	// damage says what the text cannot mean, "" while it makes sense.
	damage   string
	problems problems
}

func (r *reader) readAll() error {
	for {
		text, err := r.in.ReadSlice('\n')
		r.line++
		r.bytes += len(text)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			return fmt.Errorf("line %d is longer than %d bytes: this is no output of ibnetdiscover", r.line, MaxLineBytes)
		case err != nil && !errors.Is(err, io.EOF):
			return fmt.Errorf("reading the output of ibnetdiscover: %w", err)
		case r.bytes > MaxBytes:
			return fmt.Errorf("the output of ibnetdiscover is longer than %d MiB", MaxBytes>>20)
		}
		if err := r.readLine(strings.TrimRight(string(text), "\r\n")); err != nil {
			return err
		}
		if err != nil {
			// Each line is printed with its end, so one without is cut.
			if len(text) > 0 {
				r.damaged("the last line is cut off")
			}
			break
		}
	}
	if r.switches == 0 {
		return errNoSwitch
	}
	return nil
}

func (r *reader) readLine(line string) error {
	switch {
	case line == "":
		r.open, r.system = false, 0
	case line[0] == '[':
		return r.readPort(line)
	case strings.HasPrefix(line, "sysimgguid="):
		guid, ok := guidValue(line)
		if r.system = guid; !ok {
			r.damaged("it has no GUID")
		}
	case isHeader(line):
		return r.readHeader(line)
	}
	// Everything else tells nothing about cables: comments, vendid, devid,
	// switchguid and caguid, which repeat the header, chassis, and warnings.
	return nil
}

func (r *reader) readHeader(line string) error {
	s, ok := parseHeader(line)
	if !ok {
		r.open = false
		r.damaged("it starts a node and has no GUID")
		return nil
	}
	s.system = r.system
	r.open, r.system = true, 0
	if s.kind == switchNode {
		r.switches++
	}
	if r.switches > MaxSwitches || len(r.sections)-r.switches >= MaxAdapters {
		return fmt.Errorf("line %d: more than %d switches or %d adapters", r.line, MaxSwitches, MaxAdapters)
	}
	if first, known := r.seen[s.guid]; known {
		if !r.sections[first].duplicate {
			r.problems.add("two nodes have the GUID %016x (%s and %s); neither counts", s.guid, quote(r.sections[first].name), quote(s.name))
		}
		s.duplicate, r.sections[first].duplicate = true, true
	} else {
		r.seen[s.guid] = len(r.sections)
	}
	r.sections = append(r.sections, s)
	return nil
}

func (r *reader) readPort(line string) error {
	if r.links++; r.links > MaxLinks {
		return fmt.Errorf("line %d: more than %d ports", r.line, MaxLinks)
	}
	l, ok := parsePort(line)
	if !ok || !r.open {
		r.damaged("it tells no link")
		return nil
	}
	last := &r.sections[len(r.sections)-1]
	last.links = append(last.links, l)
	return nil
}

func (r *reader) damaged(what string) {
	if r.damage == "" {
		r.damage = fmt.Sprintf("line %d is damaged: %s", r.line, what)
	}
}

// checkLinked looks for nodes without a cable. ibnetdiscover finds nodes by going
// along cables, so the text ends too early behind such a node.
func (r *reader) checkLinked() {
	for i := range r.sections {
		if len(r.sections[i].links) == 0 && r.damage == "" {
			r.damage = fmt.Sprintf("node %016x has no cable", r.sections[i].guid)
		}
	}
}

// dropDuplicates takes out the sections that share a GUID, and the links to
// them, because nobody can tell which node such a link means.
func (r *reader) dropDuplicates() {
	duplicates := map[uint64]bool{}
	for i := range r.sections {
		if r.sections[i].duplicate {
			duplicates[r.sections[i].guid] = true
		}
	}
	if len(duplicates) == 0 {
		return
	}
	r.sections = slices.DeleteFunc(r.sections, func(s section) bool { return s.duplicate })
	clear(r.seen)
	for i := range r.sections {
		s := &r.sections[i]
		r.seen[s.guid] = i
		s.links = slices.DeleteFunc(s.links, func(l link) bool { return duplicates[l.far.guid] })
	}
}

// openLinks returns the first sign that something is missing. ibnetdiscover
// prints each cable twice, at both of its ends, and has no last line by which
// one could tell that the text is whole.
func (r *reader) openLinks() string {
	for i := range r.sections {
		links := r.sections[i].links
		slices.SortFunc(links, func(a, b link) int { return int(a.port) - int(b.port) })
		for j := 1; j < len(links); j++ {
			if links[j].port == links[j-1].port {
				return fmt.Sprintf("port %d of %016x is listed twice", links[j].port, r.sections[i].guid)
			}
		}
	}
	for i := range r.sections {
		s := &r.sections[i]
		for _, l := range s.links {
			far, known := r.seen[l.far.guid]
			if !known {
				return fmt.Sprintf("port %d of %016x leads to %016x, which has no section", l.port, s.guid, l.far.guid)
			}
			back := r.sections[far].links
			at, found := slices.BinarySearchFunc(back, l.far.port, func(l link, port uint8) int { return int(l.port) - int(port) })
			if !found || back[at].far != (end{s.guid, l.port}) {
				return fmt.Sprintf("port %d of %016x leads to port %d of %016x, which does not lead back", l.port, s.guid, l.far.port, l.far.guid)
			}
		}
	}
	return ""
}

// problems collects what was left out, up to a bound.
type problems struct {
	texts []string
	more  int
}

func (p *problems) add(format string, args ...any) {
	if len(p.texts) == maxProblems {
		p.more++
		return
	}
	p.texts = append(p.texts, fmt.Sprintf(format, args...))
}

func (p *problems) list() []string {
	if p.more == 0 {
		return p.texts
	}
	return append(p.texts, fmt.Sprintf("and %d more", p.more))
}
