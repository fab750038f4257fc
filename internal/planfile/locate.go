package planfile

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	yamlv3 "go.yaml.in/yaml/v3"
)

const (
	// maxLocated bounds the document in which lines are looked for: a parser that
	// keeps them needs much memory.
	maxLocated = 8 << 20
	// maxDepth bounds how deep a path leads.
	maxDepth = 64
)

// locate finds the field that cannot be decoded. It is for errors only: decoders
// do not tell the field where a type decodes itself, as quantities and times do.
func locate(asJSON []byte, t reflect.Type) (at string, why error) {
	decoder := stdjson.NewDecoder(bytes.NewReader(asJSON))
	decoder.UseNumber()
	var value any
	if len(asJSON) > maxLocated {
		return "", nil
	}
	if err := decoder.Decode(&value); err != nil {
		return "", err
	}
	return locateIn("", value, t, 0)
}

var unmarshaler = reflect.TypeFor[stdjson.Unmarshaler]()

func locateIn(at string, value any, t reflect.Type, depth int) (string, error) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if value == nil || depth > maxDepth {
		return "", nil
	}
	if !reflect.PointerTo(t).Implements(unmarshaler) {
		if found, err := locateBelow(at, value, t, depth); err != nil {
			return found, err
		}
	}
	text, err := stdjson.Marshal(value)
	if err != nil {
		return at, err
	}
	if err := stdjson.Unmarshal(text, reflect.New(t).Interface()); err != nil {
		return at, plain(err, string(text), t)
	}
	return "", nil
}

// locateBelow looks at what a value holds before the value itself is to blame.
func locateBelow(at string, value any, t reflect.Type, depth int) (string, error) {
	switch v := value.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			inner, known := typeOf(t, key)
			if !known {
				continue
			}
			if found, err := locateIn(under(at, key), v[key], inner, depth+1); err != nil {
				return found, err
			}
		}
	case []any:
		if t.Kind() != reflect.Slice {
			break
		}
		for i := range v {
			if found, err := locateIn(fmt.Sprintf("%s[%d]", at, i), v[i], t.Elem(), depth+1); err != nil {
				return found, err
			}
		}
	}
	return "", nil
}

// typeOf is the type of what stands under a key.
func typeOf(t reflect.Type, key string) (reflect.Type, bool) {
	switch t.Kind() {
	case reflect.Map:
		return t.Elem(), true
	case reflect.Struct:
		for f := range t.Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if name == "" && f.Anonymous {
				if inner, known := typeOf(f.Type, key); known {
					return inner, true
				}
			}
			if name == key {
				return f.Type, true
			}
		}
	default:
	}
	return nil, false
}

// plain says in words what a value should be.
func plain(err error, text string, t reflect.Type) error {
	text = clip(text)
	var mismatch *stdjson.UnmarshalTypeError
	if !errors.As(err, &mismatch) {
		return fmt.Errorf("cannot read %s: %w", text, err)
	}
	switch t.Kind() {
	case reflect.Int, reflect.Int32, reflect.Int64:
		most := int64(math.MaxInt64)
		if t.Kind() == reflect.Int32 {
			most = math.MaxInt32
		}
		return fmt.Errorf("must be a whole number of at most %d, not %s", most, text)
	case reflect.Bool:
		return fmt.Errorf("must be true or false, not %s", text)
	case reflect.String:
		return fmt.Errorf("must be text, not %s: write it in quotes", text)
	case reflect.Slice:
		return fmt.Errorf("must be a list, not %s", text)
	case reflect.Map, reflect.Struct:
		return fmt.Errorf("must have fields, and is %s", text)
	default:
		return err
	}
}

// under is the path of what stands under a key.
func under(at, key string) string {
	if strings.ContainsAny(key, ".[]") {
		return at + "[" + key + "]"
	}
	return joined(at, key)
}

// nodes parses the document once more with lines, nil when that does not work.
func (d *document) nodes() *yamlv3.Node {
	if d.isParsed || len(d.data) > maxLocated {
		return d.root
	}
	d.isParsed = true
	var root yamlv3.Node
	if err := yamlv3.Unmarshal(d.data, &root); err == nil && len(root.Content) > 0 {
		d.root = root.Content[0]
	}
	return d.root
}

// lineOf is the line in the file at which a field stands, 0 when that is not
// known. Of a field that is missing it is the line of what should hold it.
func (d *document) lineOf(at string) int {
	node := d.nodes()
	if node == nil {
		return 0
	}
	line := node.Line
	for _, step := range steps(at) {
		for node.Kind == yamlv3.AliasNode && node.Alias != nil {
			node = node.Alias
		}
		next, under := child(node, step)
		if next == nil {
			break
		}
		node, line = next, under
	}
	return line + d.line - 1
}

// child is what stands under a key or an index, and the line of the key.
func child(node *yamlv3.Node, step string) (next *yamlv3.Node, line int) {
	switch node.Kind {
	case yamlv3.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value == step {
				return node.Content[i+1], node.Content[i].Line
			}
		}
	case yamlv3.SequenceNode:
		i, err := strconv.Atoi(step)
		if err != nil {
			// Groups and roles are told by name.
			i = slices.IndexFunc(node.Content, func(item *yamlv3.Node) bool {
				name, _ := child(item, "name")
				return item.Kind == yamlv3.MappingNode && name != nil && name.Value == step
			})
		}
		if i >= 0 && i < len(node.Content) {
			return node.Content[i], node.Content[i].Line
		}
	default:
	}
	return nil, 0
}

// steps cuts a path such as spec.roles[3].name into its keys and indexes.
func steps(at string) []string {
	var out []string
	for at != "" && len(out) < maxDepth {
		if rest, found := strings.CutPrefix(at, "["); found {
			step, after, _ := strings.Cut(rest, "]")
			out, at = append(out, step), strings.TrimPrefix(after, ".")
			continue
		}
		cut := strings.IndexAny(at, ".[")
		if cut < 0 {
			return append(out, at)
		}
		out = append(out, at[:cut])
		at = strings.TrimPrefix(at[cut:], ".")
	}
	return out
}

var errNotANumber = errors.New("must be a number: .nan and .inf are none")

// notANumber finds the first figure that JSON has no form for.
func (d *document) notANumber() (at string, problem error) {
	if root := d.nodes(); root != nil {
		return notANumber("", root, 0)
	}
	return "", nil
}

func notANumber(at string, node *yamlv3.Node, depth int) (string, error) {
	if depth > maxDepth {
		return "", nil
	}
	switch node.Kind {
	case yamlv3.ScalarNode:
		var figure float64
		if node.ShortTag() == "!!float" && node.Decode(&figure) == nil && (math.IsNaN(figure) || math.IsInf(figure, 0)) {
			return at, errNotANumber
		}
	case yamlv3.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			if found, problem := notANumber(under(at, node.Content[i].Value), node.Content[i+1], depth+1); problem != nil {
				return found, problem
			}
		}
	case yamlv3.SequenceNode:
		for i, item := range node.Content {
			if found, problem := notANumber(fmt.Sprintf("%s[%d]", at, i), item, depth+1); problem != nil {
				return found, problem
			}
		}
	default:
	}
	return "", nil
}
