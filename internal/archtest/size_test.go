package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// root is the directory of go.mod, seen from this package.
const root = "../.."

const (
	maxFunctionLines  = 60
	maxReconcileLines = 40
	maxFileLines      = 500
)

// exemptFiles may be longer than maxFileLines. Generated files always may.
var exemptFiles = map[string]string{
	"api/v1alpha1/topologydomain_types.go":      "one kind is one file, and most of it is comments that become the schema",
	"api/v1alpha1/acceleratorclass_types.go":    "one kind is one file, and most of it is comments that become the schema",
	"api/v1alpha1/gangschedulinggroup_types.go": "one kind is one file, and most of it is comments that become the schema",
}

// exemptFunctions may be longer than maxFunctionLines, by file and name.
var exemptFunctions = map[string]string{}

// cgoPackages are the directories that may use cgo. Everything else builds with
// CGO_ENABLED=0.
var cgoPackages = map[string]string{}

// source is one Go file that is not a test.
type source struct {
	path  string
	lines int
	set   *token.FileSet
	file  *ast.File
}

func TestFilesAreShort(t *testing.T) {
	used := map[string]bool{}
	for _, s := range sources(t) {
		if s.lines <= maxFileLines || ast.IsGenerated(s.file) {
			continue
		}
		if used[s.path] = true; exemptFiles[s.path] == "" {
			t.Errorf("%s has %d lines, at most %d: split it by what is inside", s.path, s.lines, maxFileLines)
		}
	}
	expectUsed(t, exemptFiles, used)
}

func TestFunctionsAreShort(t *testing.T) {
	used := map[string]bool{}
	for _, s := range sources(t) {
		if ast.IsGenerated(s.file) {
			continue
		}
		for _, declaration := range s.file.Decls {
			function, ok := declaration.(*ast.FuncDecl)
			if !ok || function.Body == nil {
				continue
			}
			limit := maxFunctionLines
			if function.Name.Name == "Reconcile" && function.Recv != nil {
				limit = maxReconcileLines
			}
			lines := s.set.Position(function.End()).Line - s.set.Position(function.Name.Pos()).Line + 1
			if lines <= limit {
				continue
			}
			key := s.path + ":" + function.Name.Name
			if used[key] = true; exemptFunctions[key] == "" {
				t.Errorf("%s: %s has %d lines, at most %d", s.path, function.Name.Name, lines, limit)
			}
		}
	}
	expectUsed(t, exemptFunctions, used)
}

func TestCgoStaysWhereItIs(t *testing.T) {
	used := map[string]bool{}
	for _, s := range sources(t) {
		for _, spec := range s.file.Imports {
			directory := filepath.ToSlash(filepath.Dir(s.path))
			if spec.Path.Value != `"C"` {
				continue
			}
			if used[directory] = true; cgoPackages[directory] == "" {
				t.Errorf("%s uses cgo", s.path)
			}
		}
	}
	expectUsed(t, cgoPackages, used)
}

// expectUsed fails for an exemption that nothing needs.
func expectUsed(t *testing.T, exempt map[string]string, used map[string]bool) {
	t.Helper()
	for name := range exempt {
		if !used[name] {
			t.Errorf("%s needs no exemption any more: remove it", name)
		}
	}
}

// sources parses every Go file of the module that is not a test.
func sources(t *testing.T) []source {
	t.Helper()
	var out []source
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return skip(path, entry.Name())
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, content, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, path)
		out = append(out, source{path: filepath.ToSlash(relative), lines: strings.Count(string(content), "\n"), set: set, file: file})
		return err
	})
	if err != nil {
		t.Fatalf("reading the sources: %v", err)
	}
	return out
}

// skip leaves out what is built, hidden, or a module of its own.
func skip(path, name string) error {
	if path == root {
		return nil
	}
	if strings.HasPrefix(name, ".") || slices.Contains([]string{"bin", "out", "shared", "testdata", "vendor"}, name) {
		return filepath.SkipDir
	}
	if _, err := os.Stat(filepath.Join(path, "go.mod")); err == nil {
		return filepath.SkipDir
	}
	return nil
}
