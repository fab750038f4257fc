package planfile

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	yamlv3 "go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

const (
	// maxDocuments bounds the documents of one file, and the items of a List.
	maxDocuments = 10000
	// maxProblems is how many problems of one document an error tells.
	maxProblems = 10
)

// document is one YAML or JSON document of a file.
type document struct {
	file string
	// index counts the documents of the file from 1, of is how many there are.
	index, of int
	// line is where the document begins, from 1.
	line int
	data []byte
	// under is the path of the object inside the document, such as items[3].
	under string
	// root is the document with its lines, parsed when an error asks for them.
	root     *yamlv3.Node
	isParsed bool
}

// split cuts a file into its documents. Empty ones are left out.
func split(file string, data []byte) ([]document, error) {
	out, err := splitJSON(file, data)
	if err != nil {
		out = splitYAML(file, data)
	}
	switch {
	case len(out) == 0:
		return nil, fmt.Errorf("%s: has no document: write at least one", file)
	case len(out) > maxDocuments:
		return nil, fmt.Errorf("%s: has more than %d documents: divide it", file, maxDocuments)
	}
	for i := range out {
		out[i].index, out[i].of = i+1, len(out)
	}
	return out, nil
}

// splitJSON takes JSON values that follow one another, which are no YAML. An
// error means that the file is something else.
func splitJSON(file string, data []byte) ([]document, error) {
	if text := bytes.TrimLeft(data, " \t\r\n"); len(text) == 0 || text[0] != '{' {
		return nil, errors.New("not JSON")
	}
	var out []document
	decoder := stdjson.NewDecoder(bytes.NewReader(data))
	line, counted := 1, 0
	for len(out) <= maxDocuments {
		var raw stdjson.RawMessage
		err := decoder.Decode(&raw)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		begin := int(decoder.InputOffset()) - len(raw)
		line += bytes.Count(data[counted:begin], []byte("\n"))
		counted = begin
		out = append(out, document{file: file, line: line, data: raw})
	}
	return out, nil
}

// splitYAML cuts at the marks that YAML has for it, which mean the same at the
// beginning of a line wherever they stand.
func splitYAML(file string, data []byte) []document {
	var out []document
	begin, from := 0, 1
	take := func(end int) {
		if text := data[begin:end]; hasContent(text) {
			out = append(out, document{file: file, line: from, data: text})
		}
	}
	at := 0
	for line := 1; at < len(data) && len(out) <= maxDocuments; line++ {
		end := at + 1 + bytes.IndexByte(data[at:], '\n')
		if end == at {
			end = len(data)
		}
		switch text := data[at:end]; {
		case isMark(text, "---"):
			take(at)
			begin, from = at+len("---"), line
		case isMark(text, "..."):
			take(at)
			begin, from = end, line+1
		}
		at = end
	}
	take(len(data))
	return out
}

func isMark(line []byte, mark string) bool {
	rest, found := bytes.CutPrefix(line, []byte(mark))
	return found && (len(rest) == 0 || strings.ContainsRune(" \t\r\n", rune(rest[0])))
}

// hasContent says whether there is more than comments.
func hasContent(text []byte) bool {
	for line := range bytes.Lines(text) {
		if line = bytes.TrimSpace(line); len(line) > 0 && line[0] != '#' {
			return true
		}
	}
	return false
}

// typeMeta is what every document begins with.
type typeMeta struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
}

// json returns the document as JSON.
func (d *document) json() ([]byte, error) {
	if text := bytes.TrimLeft(d.data, " \t\r\n"); len(text) > 0 && text[0] == '{' && stdjson.Valid(d.data) {
		return d.data, nil
	}
	asJSON, err := yaml.YAMLToJSONStrict(d.data)
	if err == nil {
		return asJSON, nil
	}
	if at, problem := d.notANumber(); problem != nil {
		return nil, d.problem(at, problem.Error())
	}
	// Once more, with empty lines in front, for an error with the line of the file.
	if padded := append(bytes.Repeat([]byte("\n"), d.line-1), d.data...); d.line > 1 {
		if _, again := yaml.YAMLToJSONStrict(padded); again != nil {
			err = again
		}
	}
	return nil, d.problem("", oneLine(err.Error()))
}

// decode reads JSON of the document into a value. Fields that it does not have
// are errors.
func (d *document) decode(asJSON []byte, into any) error {
	strict, err := json.UnmarshalStrict(asJSON, into)
	if err != nil {
		at, why := locate(asJSON, reflect.TypeOf(into).Elem())
		if why == nil {
			why = err
		}
		return d.problem(at, oneLine(why.Error()))
	}
	if len(strict) > 0 {
		return d.strict(strict)
	}
	return nil
}

// strict tells of fields that are unknown or written twice.
func (d *document) strict(problems []error) error {
	var out []error
	for i, problem := range problems {
		if i == maxProblems {
			break
		}
		what, at, found := strings.Cut(problem.Error(), " field \"")
		at, _, quoted := strings.Cut(at, "\"")
		if !found || !quoted {
			out = append(out, d.problem("", oneLine(problem.Error())))
			continue
		}
		out = append(out, d.problem(at, what+" field: correct its name, or remove it"))
	}
	return errors.Join(out...)
}

// invalid turns problems of fields into one error.
func (d *document) invalid(problems field.ErrorList) error {
	var out []error
	for i, problem := range problems {
		if i == maxProblems {
			out = append(out, d.problem("", fmt.Sprintf("and %d more problems", len(problems)-maxProblems)))
			break
		}
		out = append(out, d.problem(problem.Field, oneLine(clip(problem.ErrorBody()))))
	}
	return errors.Join(out...)
}

// problem says what is wrong, and where. at is the path of the field, "" for the
// document as a whole.
func (d *document) problem(at, what string) error {
	place := d.file
	if d.of > 1 {
		place += fmt.Sprintf(": document %d", d.index)
	}
	if line := d.lineOf(joined(d.under, at)); at != "" && line > 0 {
		place += fmt.Sprintf(": line %d", line)
	} else if d.of > 1 {
		place += fmt.Sprintf(" (line %d)", d.line)
	}
	if at = joined(d.under, at); at != "" {
		place += ": " + at
	}
	return fmt.Errorf("%s: %s", place, what)
}

func joined(under, at string) string {
	if under == "" || at == "" || strings.HasPrefix(at, "[") {
		return under + at
	}
	return under + "." + at
}

// oneLine keeps what a file holds from the terminal's controls.
func oneLine(text string) string {
	return strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))), " ")
}

// maxQuoted is how much of a wrong value an error tells, in bytes.
const maxQuoted = 300

func clip(text string) string {
	if len(text) <= maxQuoted {
		return text
	}
	return strings.ToValidUTF8(text[:maxQuoted], "") + "…"
}
