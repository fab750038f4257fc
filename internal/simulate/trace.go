package simulate

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/k8s4ai/k8s4ai/internal/placement"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// DefaultDevice is the resource that counts as a device where none is named.
const DefaultDevice = "nvidia.com/gpu"

// Limits of a trace. ReadTrace and Run refuse a larger one with an error.
const (
	// MaxTraceBytes is the largest size of a CSV file.
	MaxTraceBytes = 64 << 20
	// MaxArrivals is the largest number of gangs.
	MaxArrivals = 1_000_000
	// MaxTime is the latest arrival and the longest of all other times, about 126
	// years: seconds since 1970 are fine.
	MaxTime = 4_000_000_000 * time.Second
)

// Arrival is one gang of a trace.
type Arrival struct {
	// Name is unique in the trace.
	Name string
	// At is when the gang joins the queue, since any epoch. 0 to MaxTime.
	At time.Duration
	// Duration is how long the gang works, without interruptions. Above 0.
	Duration time.Duration
	// Request is what it asks for. Duration holds for every size that it allows.
	Request placement.Request
	// Estimate is the duration that the queue is told. It may be wrong: a gang that
	// takes longer runs on. 0 means that nothing is told.
	Estimate time.Duration
	// Priority orders the queue, larger first.
	Priority int32
	// Checkpoint is the work between two checkpoints, 0 for none: then an eviction
	// loses all work.
	Checkpoint time.Duration
	// Restart is how long the gang is not at work after an eviction or a move.
	Restart time.Duration
}

// The columns of a trace.
const (
	columnName       = "name"
	columnArrival    = "arrival"
	columnDuration   = "duration"
	columnRoles      = "roles"
	columnPriority   = "priority"
	columnEstimate   = "estimate"
	columnRequired   = "required"
	columnPreferred  = "preferred"
	columnCheckpoint = "checkpoint"
	columnRestart    = "restart"
	columnClasses    = "classes"
)

var (
	neededColumns = []string{columnArrival, columnDuration, columnRoles}
	columns       = append(slices.Clone(neededColumns), columnName, columnPriority, columnEstimate, columnRequired,
		columnPreferred, columnCheckpoint, columnRestart, columnClasses)
)

// unknownEstimate in the column estimate says that nothing is known.
const unknownEstimate = "unknown"

const (
	maxNameLength = 253
	maxClasses    = 16
	// nameDigits keeps the names of gangs without one in the order of the file.
	nameDigits = 7
)

// ReadTrace reads a trace from CSV, in the order of the file; docs/simulate.md
// has the format. device is the resource of which roles ask a number per pod, ""
// for DefaultDevice. An error names the line and the column.
func ReadTrace(r io.Reader, device string) ([]Arrival, error) {
	if device == "" {
		device = DefaultDevice
	}
	bounded := &io.LimitedReader{R: r, N: MaxTraceBytes + 1}
	t := traceReader{csv: csv.NewReader(bounded), device: device, lines: map[string]int{}}
	t.csv.Comment, t.csv.TrimLeadingSpace, t.csv.ReuseRecord = '#', true, true
	out, err := t.read()
	if bounded.N == 0 {
		return nil, fmt.Errorf("reading the trace: it has more than %d bytes: cut it in pieces", MaxTraceBytes)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the trace: %w", err)
	}
	return out, nil
}

// traceReader reads one file.
type traceReader struct {
	csv    *csv.Reader
	device string
	// header names the columns, in the order of the file.
	header []string
	// lines are those of the names that were read.
	lines map[string]int
}

func (t *traceReader) read() ([]Arrival, error) {
	record, err := t.csv.Read()
	if errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("line 1: no header: the first line names the columns, at least %s", strings.Join(neededColumns, ","))
	}
	if err != nil {
		return nil, positioned(err)
	}
	if err := t.readHeader(record); err != nil {
		return nil, err
	}
	var out []Arrival
	for {
		record, err := t.csv.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, positioned(err)
		}
		if len(out) == MaxArrivals {
			line, _ := t.csv.FieldPos(0)
			return nil, fmt.Errorf("line %d: more than %d gangs: cut the trace in pieces", line, MaxArrivals)
		}
		arrival, err := t.readArrival(record, len(out)+1)
		if err != nil {
			return nil, err
		}
		out = append(out, arrival)
	}
}

// positioned words an error of the CSV reader like those of ReadTrace.
func positioned(err error) error {
	var bad *csv.ParseError
	if errors.As(err, &bad) {
		return fmt.Errorf("line %d, column %d: %w", bad.Line, bad.Column, bad.Err)
	}
	return err
}

func (t *traceReader) readHeader(record []string) error {
	line, _ := t.csv.FieldPos(0)
	for i, name := range record {
		if i == 0 {
			// Spreadsheets put a byte order mark in front of UTF-8.
			name = strings.TrimPrefix(name, "\ufeff")
		}
		name = strings.TrimSpace(name)
		if !slices.Contains(columns, name) {
			return fmt.Errorf("line %d, column %d: no column is called %q: write some of %s", line, i+1, shortened(name), strings.Join(columns, ", "))
		}
		if slices.Contains(t.header, name) {
			return fmt.Errorf("line %d, column %d: %s is there twice", line, i+1, name)
		}
		t.header = append(t.header, name)
	}
	for _, name := range neededColumns {
		if !slices.Contains(t.header, name) {
			return fmt.Errorf("line %d: column %s is missing", line, name)
		}
	}
	return nil
}

// readArrival reads one line; number counts lines of gangs from 1.
func (t *traceReader) readArrival(record []string, number int) (Arrival, error) {
	line, _ := t.csv.FieldPos(0)
	a := Arrival{Name: fmt.Sprintf("gang-%0*d", nameDigits, number)}
	estimated := false
	var classes []string
	for i, name := range t.header {
		text := strings.TrimSpace(record[i])
		if text == "" && !slices.Contains(neededColumns, name) {
			continue
		}
		var err error
		switch name {
		case columnEstimate:
			estimated, a.Estimate, err = true, 0, nil
			if text != unknownEstimate {
				a.Estimate, err = parseTime(text, true)
			}
		case columnClasses:
			classes, err = parseClasses(text)
		default:
			err = a.set(name, text, t.device)
		}
		if err != nil {
			return Arrival{}, fmt.Errorf("line %d, column %s: %w", line, name, err)
		}
	}
	if before, twice := t.lines[a.Name]; twice {
		return Arrival{}, fmt.Errorf("line %d, column %s: %q is the gang of line %d, too", line, columnName, a.Name, before)
	}
	t.lines[a.Name] = line
	if preferred, required := a.Request.Root.Preferred, a.Request.Root.Required; preferred != topology.Cluster && preferred < required {
		return Arrival{}, fmt.Errorf("line %d, column %s: %s is wider than required %s: write a narrower level or none", line, columnPreferred, preferred, required)
	}
	if !estimated {
		a.Estimate = a.Duration
	}
	for i := range a.Request.Root.Roles {
		a.Request.Root.Roles[i].Shape.Classes = classes
	}
	return a, nil
}

// set reads the cell of one column.
func (a *Arrival) set(column, text, device string) (err error) {
	switch column {
	case columnName:
		a.Name = text
		if len(text) > maxNameLength {
			err = fmt.Errorf("%q is longer than %d bytes", shortened(text), maxNameLength)
		}
	case columnArrival:
		a.At, err = parseTime(text, false)
	case columnDuration:
		a.Duration, err = parseTime(text, true)
	case columnCheckpoint:
		a.Checkpoint, err = parseTime(text, false)
	case columnRestart:
		a.Restart, err = parseTime(text, false)
	case columnPriority:
		var value int64
		if value, err = strconv.ParseInt(text, 10, 32); err != nil {
			err = fmt.Errorf("%q is no whole number from -2147483648 to 2147483647", shortened(text))
		}
		a.Priority = int32(value)
	case columnRequired:
		a.Request.Root.Required, err = parseLevel(text)
	case columnPreferred:
		a.Request.Root.Preferred, err = parseLevel(text)
	case columnRoles:
		a.Request.Root.Roles, err = parseRoles(text, device)
	}
	return err
}

// parseTime reads seconds as a decimal, or a time with units such as 1h30m.
func parseTime(text string, positive bool) (time.Duration, error) {
	var at time.Duration
	var err error
	switch {
	case text == "":
		return 0, errors.New("it is empty: write seconds such as 90 or 0.5, or a time such as 1h30m")
	case strings.Trim(text, "0123456789.") == "":
		var seconds float64
		if seconds, err = strconv.ParseFloat(text, 64); err == nil && seconds <= MaxTime.Seconds() {
			// Seconds since 1970 with a fraction are more than a float64 of
			// nanoseconds can tell apart.
			whole, part := math.Modf(seconds)
			at = time.Duration(int64(whole)*int64(time.Second) + int64(math.Round(part*1e9)))
		} else if err == nil || errors.Is(err, strconv.ErrRange) {
			at, err = MaxTime+1, nil
		}
	default:
		at, err = time.ParseDuration(text)
	}
	switch {
	case err != nil:
		return 0, fmt.Errorf("%q is no time: write seconds such as 90 or 0.5, or a time such as 1h30m", shortened(text))
	case at > MaxTime:
		return 0, fmt.Errorf("%s is later than %.0f seconds", shortened(text), MaxTime.Seconds())
	case at < 0:
		return 0, fmt.Errorf("%s is negative", shortened(text))
	case positive && at == 0:
		return 0, fmt.Errorf("%s is not above 0", shortened(text))
	}
	return at, nil
}

func parseLevel(text string) (topology.Level, error) {
	level, ok := topology.ParseLevel(text)
	if !ok {
		return 0, fmt.Errorf("%q is no level: write one of %s, or nothing", shortened(text), strings.Trim(fmt.Sprint(topology.Levels), "[]"))
	}
	return level, nil
}

func parseClasses(text string) ([]string, error) {
	var out []string
	for name := range strings.SplitSeq(text, ";") {
		name = strings.TrimSpace(name)
		switch {
		case name == "":
			return nil, errors.New("a class has no name")
		case slices.Contains(out, name):
			return nil, fmt.Errorf("class %q is there twice", shortened(name))
		case len(out) == maxClasses:
			return nil, fmt.Errorf("more than %d classes", maxClasses)
		}
		out = append(out, name)
	}
	return out, nil
}

// shortened keeps what a file says from flooding an error.
func shortened(text string) string {
	const longest = 60
	if len(text) <= longest {
		return text
	}
	return strings.ToValidUTF8(text[:longest], "") + "..."
}
