package planfile

import (
	stdjson "encoding/json"
	"errors"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/convert"
	"github.com/k8s4ai/k8s4ai/internal/fleet"
)

// Bounds of files, in bytes. A snapshot of 10,000 nodes takes about 15 MiB.
const (
	// MaxFleetBytes bounds a fleet file in JSON.
	MaxFleetBytes = 128 << 20
	// MaxYAMLBytes bounds a fleet file in YAML, which takes many times its size in
	// memory to read.
	MaxYAMLBytes = 32 << 20
	// MaxGangsBytes bounds a file of gangs or of classes.
	MaxGangsBytes = 16 << 20
)

// ParseFleet reads a fleet file: a snapshot, or a description of machines, to
// which classes are applied. file names it in errors. A snapshot has classes of
// its own; it is an error to give others.
func ParseFleet(file string, data []byte, classes []v1alpha1.AcceleratorClass) (*Snapshot, error) {
	if len(data) > MaxFleetBytes {
		return nil, fmt.Errorf("%s: more than %d MiB: take the snapshot of a smaller fleet", file, MaxFleetBytes>>20)
	}
	d := document{file: file, index: 1, of: 1, line: 1, data: data}
	if !d.looksLikeJSON() && len(data) > MaxYAMLBytes {
		return nil, fmt.Errorf("%s: more than %d MiB of YAML: write the snapshot with -o json", file, MaxYAMLBytes>>20)
	}
	documents, err := split(file, data)
	if err != nil {
		return nil, err
	}
	if len(documents) > 1 {
		return nil, fmt.Errorf("%s: has %d documents: a fleet file has one", file, len(documents))
	}
	d = documents[0]
	asJSON, err := d.json()
	if err != nil {
		return nil, err
	}
	var meta typeMeta
	_ = stdjson.Unmarshal(asJSON, &meta)
	if meta.Kind == "" && meta.APIVersion == "" {
		f, err := fleet.Parse(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		return Machines(f, classes), nil
	}
	if len(classes) > 0 {
		return nil, fmt.Errorf("%s: is a snapshot, which holds the classes of its cluster: leave out the class files", file)
	}
	switch at := field.NewPath("apiVersion"); {
	case meta.APIVersion != APIVersion:
		return nil, d.invalid(field.ErrorList{field.NotSupported(at, meta.APIVersion, []string{APIVersion})})
	case meta.Kind != KindSnapshot:
		return nil, d.invalid(field.ErrorList{field.NotSupported(field.NewPath("kind"), meta.Kind, []string{KindSnapshot})})
	}
	out := &Snapshot{}
	if err := d.decode(asJSON, out); err != nil {
		return nil, err
	}
	if problems := out.validate(); len(problems) > 0 {
		return nil, d.invalid(problems)
	}
	return out, nil
}

// Machines is a snapshot of described machines with nothing on them: what the
// manager would make of their nodes, their declared domains and the reports of
// their agents.
func Machines(f *fleet.Fleet, classes []v1alpha1.AcceleratorClass) *Snapshot {
	world := convert.World{Nodes: f.Nodes(), Domains: append(f.Domains(), f.Reports()...), Classes: classes}
	return Take(world.Scene(), classes, nil, nil)
}

// ParseGangs reads one or several GangSchedulingGroups, or Lists of them. A
// namespace that is not set is namespace. It returns an error for a gang that
// the API server would refuse for what bears on its placement.
func ParseGangs(file string, data []byte, namespace string) ([]v1alpha1.GangSchedulingGroup, error) {
	var out []v1alpha1.GangSchedulingGroup
	seen := map[string]bool{}
	err := eachObject(file, data, "GangSchedulingGroup", func(d *document, asJSON []byte) error {
		group := v1alpha1.GangSchedulingGroup{}
		if err := d.decode(asJSON, &group); err != nil {
			return err
		}
		if group.Namespace == "" {
			group.Namespace = namespace
		}
		problems := validateGang(nil, &group)
		key := group.Namespace + "/" + group.Name
		if seen[key] {
			problems = append(problems, field.Duplicate(field.NewPath("metadata", "name"), key))
		}
		seen[key] = true
		out = append(out, group)
		return d.invalid(problems)
	})
	return out, err
}

// ParseClasses reads one or several AcceleratorClasses, or Lists of them.
func ParseClasses(file string, data []byte) ([]v1alpha1.AcceleratorClass, error) {
	var out []v1alpha1.AcceleratorClass
	seen := map[string]bool{}
	err := eachObject(file, data, "AcceleratorClass", func(d *document, asJSON []byte) error {
		class := v1alpha1.AcceleratorClass{}
		if err := d.decode(asJSON, &class); err != nil {
			return err
		}
		var problems field.ErrorList
		switch at := field.NewPath("metadata", "name"); {
		case class.Name == "":
			problems = append(problems, field.Required(at, ""))
		case seen[class.Name]:
			problems = append(problems, field.Duplicate(at, class.Name))
		}
		seen[class.Name] = true
		out = append(out, class)
		return d.invalid(problems)
	})
	return out, err
}

// eachObject takes the objects of one kind from a file. It stops after some
// problems.
func eachObject(file string, data []byte, kind string, take func(*document, []byte) error) error {
	if len(data) > MaxGangsBytes {
		return fmt.Errorf("%s: more than %d MiB: divide it", file, MaxGangsBytes>>20)
	}
	documents, err := split(file, data)
	if err != nil {
		return err
	}
	var failed []error
	for i := range documents {
		if err := documents[i].each(kind, take); err != nil {
			if failed = append(failed, err); len(failed) == maxProblems {
				break
			}
		}
	}
	return errors.Join(failed...)
}

// each takes the object of the document, or the items of its List.
func (d *document) each(kind string, take func(*document, []byte) error) error {
	asJSON, err := d.json()
	if err != nil {
		return err
	}
	var head struct {
		typeMeta
		Items []stdjson.RawMessage `json:"items"`
	}
	if err := stdjson.Unmarshal(asJSON, &head); err != nil {
		return d.problem("", fmt.Sprintf("must be a %s: write apiVersion, kind, metadata and spec", kind))
	}
	isList := head.Kind == kind+"List" || head.Kind == "List" && head.APIVersion == "v1"
	if !isList {
		if err := d.isKind(head.typeMeta, kind); err != nil {
			return err
		}
		return take(d, asJSON)
	}
	if len(head.Items) > maxDocuments {
		return d.problem("items", fmt.Sprintf("has more than %d items: divide it", maxDocuments))
	}
	var failed []error
	for i, item := range head.Items {
		d.under = fmt.Sprintf("items[%d]", i)
		meta := typeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: kind}
		err := stdjson.Unmarshal(item, &meta)
		if err != nil {
			err = d.problem("", fmt.Sprintf("must be a %s", kind))
		} else if err = d.isKind(meta, kind); err == nil {
			err = take(d, item)
		}
		if err != nil {
			if failed = append(failed, err); len(failed) == maxProblems {
				break
			}
		}
	}
	d.under = ""
	return errors.Join(failed...)
}

func (d *document) isKind(meta typeMeta, kind string) error {
	if meta.APIVersion != v1alpha1.GroupVersion.String() {
		return d.problem("apiVersion", fmt.Sprintf("must be %s, not %q", v1alpha1.GroupVersion, oneLine(clip(meta.APIVersion))))
	}
	if meta.Kind != kind {
		return d.problem("kind", fmt.Sprintf("must be %s, not %q: this file holds nothing else", kind, oneLine(clip(meta.Kind))))
	}
	return nil
}

// looksLikeJSON says whether the first character is that of a JSON object.
func (d *document) looksLikeJSON() bool {
	return strings.HasPrefix(strings.TrimLeft(string(d.data[:min(len(d.data), 1024)]), " \t\r\n"), "{")
}
