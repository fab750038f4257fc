package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// Every condition, reason and cause of a release stands in the page of its kind.
func TestConditionsAreDocumented(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), root+"/api/v1alpha1/conditions.go", nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	pages, err := filepath.Glob(root + "/docs/kinds/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatalf("finding docs/kinds/*.md: %v", err)
	}
	for _, page := range pages {
		text.WriteString(read(t, page))
	}
	ast.Inspect(file, func(node ast.Node) bool {
		literal, ok := node.(*ast.BasicLit)
		if !ok || literal.Kind != token.STRING {
			return true
		}
		value, err := strconv.Unquote(literal.Value)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(text.String(), "`"+value+"`") {
			t.Errorf("docs/kinds: no page explains %q of conditions.go", value)
		}
		return true
	})
}

// Every direct dependency has its reason.
func TestDependenciesHaveAReason(t *testing.T) {
	reasons := read(t, root+"/docs/dependencies.md")
	direct := map[string]bool{}
	for line := range strings.Lines(read(t, root+"/go.mod")) {
		fields := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "require "))
		if len(fields) == 2 && strings.HasPrefix(fields[1], "v") {
			direct[fields[0]] = true
			if !strings.Contains(reasons, "`"+fields[0]+"`") {
				t.Errorf("docs/dependencies.md: no reason for %s", fields[0])
			}
		}
	}
	for _, match := range regexp.MustCompile("(?m)^\\| `([^`]+)` ").FindAllStringSubmatch(reasons, -1) {
		if !direct[match[1]] {
			t.Errorf("docs/dependencies.md: %s is no direct dependency of go.mod", match[1])
		}
	}
}

var (
	link = regexp.MustCompile(`\]\(([^)#\s]+)[^)]*\)`)
	code = regexp.MustCompile("`[^`]*`")
)

// Links between the pages of the repository lead somewhere.
func TestLinksLeadSomewhere(t *testing.T) {
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return skip(path, entry.Name())
		}
		if !strings.HasSuffix(path, ".md") {
			return nil
		}
		for _, match := range link.FindAllStringSubmatch(code.ReplaceAllString(read(t, path), ""), -1) {
			if strings.Contains(match[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), match[1])); err != nil {
				t.Errorf("%s: %s does not exist", path, match[1])
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
