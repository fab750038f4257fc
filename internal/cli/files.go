package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/fleet"
	"github.com/k8s4ai/k8s4ai/internal/planfile"
)

// readFile reads a file, or standard input for "-", up to a bound. name is what
// errors call it.
func readFile(in io.Reader, path string, most int64) (name string, data []byte, err error) {
	if path == "-" {
		if in == nil {
			return "", nil, errors.New("standard input: there is none")
		}
		data, err = io.ReadAll(io.LimitReader(in, most+1))
		return "standard input", data, err
	}
	file, err := os.Open(path)
	if err != nil {
		return path, nil, err
	}
	data, err = io.ReadAll(io.LimitReader(file, most+1))
	return path, data, errors.Join(err, file.Close())
}

// readFleet reads a fleet file, or a ready-made fleet by its name.
func readFleet(in io.Reader, path string, classes []v1alpha1.AcceleratorClass) (*planfile.Snapshot, error) {
	if slices.Contains(fleet.Names(), path) {
		f, err := fleet.Load(path)
		if err != nil {
			return nil, err
		}
		return planfile.Machines(f, classes), nil
	}
	name, data, err := readFile(in, path, planfile.MaxFleetBytes)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("reading the fleet: %w: give a file, or one of the ready-made fleets %s", err, strings.Join(fleet.Names(), ", "))
	}
	if err != nil {
		return nil, fmt.Errorf("reading the fleet: %w", err)
	}
	return planfile.ParseFleet(name, data, classes)
}

// readGangs reads a gangs file.
func readGangs(in io.Reader, path, namespace string) ([]v1alpha1.GangSchedulingGroup, error) {
	name, data, err := readFile(in, path, planfile.MaxGangsBytes)
	if err != nil {
		return nil, fmt.Errorf("reading the gangs: %w", err)
	}
	return planfile.ParseGangs(name, data, namespace)
}

// readClasses reads class files. A folder stands for the manifests in it, as it
// does for kubectl apply.
func readClasses(in io.Reader, paths []string) ([]v1alpha1.AcceleratorClass, error) {
	var out []v1alpha1.AcceleratorClass
	from := map[string]string{}
	for _, path := range paths {
		files, err := manifests(path)
		if err != nil {
			return nil, fmt.Errorf("reading the classes: %w", err)
		}
		for _, file := range files {
			name, data, err := readFile(in, file, planfile.MaxGangsBytes)
			if err != nil {
				return nil, fmt.Errorf("reading the classes: %w", err)
			}
			classes, err := planfile.ParseClasses(name, data)
			if err != nil {
				return nil, err
			}
			for i := range classes {
				if other, twice := from[classes[i].Name]; twice {
					return nil, fmt.Errorf("%s: metadata.name: class %s is in %s already: give one of the two", name, classes[i].Name, other)
				}
				from[classes[i].Name] = name
			}
			out = append(out, classes...)
		}
	}
	return out, nil
}

// manifests are the YAML and JSON files of a folder, or the file itself.
func manifests(path string) ([]string, error) {
	if path == "-" {
		return []string{path}, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, entry := range entries {
		name := entry.Name()
		isManifest := slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(name))
		if !entry.IsDir() && isManifest && !strings.HasPrefix(name, "kustomization.") {
			out = append(out, filepath.Join(path, name))
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s: has no file that ends in .yaml, .yml or .json", path)
	}
	return out, nil
}

// encode writes an answer for a program, as json or yaml.
func encode(to io.Writer, output string, answer any) error {
	text, err := json.MarshalIndent(answer, "", "  ")
	if err == nil && output == "yaml" {
		text, err = yaml.JSONToYAML(text)
	} else {
		text = append(text, '\n')
	}
	if err != nil {
		return fmt.Errorf("encoding the answer: %w", err)
	}
	_, err = to.Write(text)
	return err
}
