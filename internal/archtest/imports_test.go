package archtest

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/k8s4ai/k8s4ai"

// layer is a set of packages with one rule.
type layer struct {
	// packages are paths below the module. One that ends in "/..." stands for
	// everything below it; of several that match, the longest counts.
	packages []string
	// mayImport are the paths, with everything below them, that the packages may
	// import beyond the standard library. "./" stands for the module.
	mayImport []string
	// tests are what their tests may import in addition. Unset means anything.
	tests []string
	// standard are the packages of the standard library that they may import.
	// Unset means all of them.
	standard []string
}

var (
	// coreStandard has no clock, no I/O, no concurrency and nothing random: what
	// is left are functions from values to values.
	coreStandard = []string{"bytes", "cmp", "crypto/sha256", "encoding/binary", "encoding/hex", "errors", "fmt", "iter", "maps", "math", "math/bits", "slices", "sort", "strconv", "strings", "unicode", "unicode/utf8"}
	coreTests    = []string{"github.com/google/go-cmp"}

	apiTypes   = []string{"./api", "k8s.io/api", "k8s.io/apimachinery"}
	controller = slices.Concat(apiTypes, []string{
		"./internal/convert", "./internal/observe", "./internal/report", "./internal/metrics",
		"./internal/topology", "./internal/capability", "./internal/placement",
		"k8s.io/client-go/tools/events", "k8s.io/client-go/util/workqueue", "k8s.io/utils/ptr", "sigs.k8s.io/controller-runtime", "golang.org/x/sync/errgroup",
	})
)

// layers is the picture of docs/architecture.md as a table. A package that is in
// no layer fails the test, so that a new folder cannot appear without a decision
// about where it stands.
var layers = []layer{
	// The core: values in, values out.
	{packages: []string{"internal/topology"}, standard: coreStandard, tests: coreTests},
	{packages: []string{"internal/capability"}, standard: coreStandard, tests: coreTests},
	// sync guards tables that save work and change no answer (ADR 7).
	{packages: []string{"internal/placement"}, mayImport: []string{"./internal/topology"}, standard: append([]string{"sync", "sync/atomic"}, coreStandard...), tests: append([]string{"./test/oracle"}, coreTests...)},
	{packages: []string{"internal/queueing"}, mayImport: []string{"./internal/topology", "./internal/placement"}, standard: append([]string{"time"}, coreStandard...), tests: coreTests},
	{packages: []string{"internal/simulate"}, mayImport: []string{"./internal/topology", "./internal/placement", "./internal/queueing"}, standard: append([]string{"time", "encoding/csv", "io", "math/rand/v2"}, coreStandard...), tests: coreTests},

	// The kinds.
	{packages: []string{"api/v1alpha1"}, mayImport: []string{"k8s.io/api", "k8s.io/apimachinery"}},

	// Objects to values and back, without a client.
	{packages: []string{"internal/convert"}, mayImport: slices.Concat(apiTypes, []string{
		"./internal/topology", "./internal/capability", "./internal/placement",
		"k8s.io/component-helpers/resource", "k8s.io/dynamic-resource-allocation/cel", "k8s.io/utils/ptr",
	})},
	{packages: []string{"internal/fabricscan"}, mayImport: slices.Concat(apiTypes, []string{"./internal/topology"})},
	{packages: []string{"internal/planfile"}, mayImport: slices.Concat(apiTypes, []string{
		"./internal/convert", "./internal/fleet", "./internal/placement", "./internal/topology", "go.yaml.in/yaml/v3", "sigs.k8s.io/json", "sigs.k8s.io/yaml",
	})},
	{packages: []string{"internal/fleet"}, mayImport: slices.Concat(apiTypes, []string{"sigs.k8s.io/json", "sigs.k8s.io/yaml"})},

	// What the controllers share: observe reads, report writes, metrics count.
	{packages: []string{"internal/observe"}, mayImport: slices.Concat(apiTypes, []string{"./internal/convert", "./internal/fabricscan", "./internal/topology", "k8s.io/client-go/tools/cache", "sigs.k8s.io/controller-runtime/pkg"})},
	{packages: []string{"internal/report"}, mayImport: slices.Concat(apiTypes, []string{
		"k8s.io/client-go/tools/events", "sigs.k8s.io/controller-runtime/pkg/client", "golang.org/x/sync/errgroup",
	})},
	{packages: []string{"internal/metrics"}, mayImport: slices.Concat(apiTypes, []string{
		"github.com/prometheus/client_golang/prometheus", "sigs.k8s.io/controller-runtime/pkg/client", "sigs.k8s.io/controller-runtime/pkg/metrics",
	})},

	// The shells. A controller imports no other controller: they meet in objects.
	{packages: []string{"internal/controller/..."}, mayImport: controller},
	{packages: []string{"internal/controller"}, mayImport: []string{"./internal/controller", "./internal/metrics", "sigs.k8s.io/controller-runtime"}},
	{packages: []string{"cmd/manager"}, mayImport: slices.Concat(apiTypes, []string{"./internal/controller", "k8s.io/client-go", "sigs.k8s.io/controller-runtime"})},

	// The node agent: readers find out, machine works it out, the loop writes it.
	// nvml is the only package with cgo.
	{packages: []string{"internal/agent/machine"}, mayImport: apiTypes},
	{packages: []string{"internal/agent/nvml"}, mayImport: []string{"./internal/agent/machine", "github.com/NVIDIA/go-nvml"}},
	{packages: []string{"internal/agent/sysfs"}, mayImport: []string{"./internal/agent/machine"}},
	{packages: []string{"internal/agent/ibfabric"}, mayImport: []string{"./internal/topology"}},
	{packages: []string{"internal/agent/ibfabric/store"}, mayImport: slices.Concat(apiTypes, []string{"./internal/agent/ibfabric", "./internal/fabricscan", "./internal/topology"})},
	{packages: []string{"internal/agent/cuda"}, mayImport: []string{"github.com/ebitengine/purego"}},
	{packages: []string{"internal/agent/measure"}, mayImport: slices.Concat(apiTypes, []string{
		"./internal/agent/cuda", "golang.org/x/sys/unix", "k8s.io/client-go/dynamic", "k8s.io/client-go/util/retry",
	})},
	{packages: []string{"internal/agent"}, mayImport: slices.Concat(apiTypes, []string{
		"./internal/agent/machine", "./internal/agent/nvml", "./internal/agent/sysfs", "k8s.io/client-go/rest",
	})},
	{packages: []string{"cmd/node-agent"}, mayImport: slices.Concat(apiTypes, []string{"./internal/agent", "./internal/topology", "k8s.io/client-go", "github.com/spf13/cobra", "sigs.k8s.io/yaml"})},

	// The kubectl plugin reads, and prints.
	{packages: []string{"internal/cli"}, mayImport: slices.Concat(apiTypes, []string{
		"./internal/capability", "./internal/convert", "./internal/fabricscan", "./internal/fleet", "./internal/placement", "./internal/planfile", "./internal/queueing", "./internal/simulate", "./internal/topology",
		"k8s.io/utils/ptr", "github.com/spf13/cobra", "k8s.io/client-go/tools/clientcmd", "sigs.k8s.io/controller-runtime/pkg/client", "sigs.k8s.io/yaml",
	})},
	{packages: []string{"cmd/kubectl-k8s4ai"}, mayImport: []string{"./internal/cli", "golang.org/x/term", "sigs.k8s.io/controller-runtime"}},

	// Images of the binaries.
	{packages: []string{"internal/image"}, mayImport: []string{"github.com/google/go-containerregistry/pkg"}},
	{packages: []string{"hack/image"}, mayImport: []string{"./internal/image"}},
	{packages: []string{"hack/fakecuda"}, mayImport: []string{}},

	// Tests and what starts clusters for them. Nothing above imports these.
	{packages: []string{"internal/testkit"}, mayImport: slices.Concat(apiTypes, []string{
		"./test/sandbox", "./internal/convert", "k8s.io/client-go", "k8s.io/utils/ptr", "sigs.k8s.io/controller-runtime",
	})},
	{packages: []string{"test/oracle"}, mayImport: []string{"./internal/placement", "./internal/topology"}},
	{packages: []string{"test/..."}, mayImport: slices.Concat(apiTypes, []string{
		"./test", "./internal/fleet", "./internal/image", "./internal/convert", "./internal/controller", "./internal/topology",
		"k8s.io/client-go", "k8s.io/utils/ptr", "sigs.k8s.io/controller-runtime", "sigs.k8s.io/yaml",
	})},
	{packages: []string{"internal/archtest"}, mayImport: []string{}},
}

// goPackage is what `go list -json` says of a package.
type goPackage struct {
	ImportPath   string
	Name         string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

func TestImportsPointDown(t *testing.T) {
	for _, p := range listPackages(t) {
		rule, found := layerOf(p.ImportPath)
		if !found {
			t.Errorf("%s belongs to no layer: add it to layers", p.ImportPath)
			continue
		}
		for _, imported := range p.Imports {
			switch {
			case isStandard(imported):
				if rule.standard != nil && !slices.Contains(rule.standard, imported) {
					t.Errorf("%s may not import %s: a core package takes such things as values", p.ImportPath, imported)
				}
			case !isBelow(imported, rule.mayImport):
				t.Errorf("%s may not import %s", p.ImportPath, imported)
			}
		}
		if rule.tests == nil {
			continue
		}
		for _, imported := range slices.Concat(p.TestImports, p.XTestImports) {
			if !isStandard(imported) && imported != p.ImportPath && !isBelow(imported, slices.Concat(rule.mayImport, rule.tests)) {
				t.Errorf("a test of %s may not import %s", p.ImportPath, imported)
			}
		}
	}
}

// A table row for a package that is gone would let the next one of that name in.
func TestLayersExist(t *testing.T) {
	used := map[string]bool{}
	for _, p := range listPackages(t) {
		used[patternOf(p.ImportPath)] = true
	}
	for _, l := range layers {
		for _, pattern := range l.packages {
			if !used[pattern] {
				t.Errorf("no package is in layer %s: remove it", pattern)
			}
		}
	}
}

func TestPackagesAreNamedAfterWhatTheyHold(t *testing.T) {
	empty := []string{"base", "common", "helper", "helpers", "lib", "misc", "pkg", "shared", "types", "util", "utils"}
	for _, p := range listPackages(t) {
		for element := range strings.SplitSeq(strings.TrimPrefix(p.ImportPath, module), "/") {
			if slices.Contains(empty, element) {
				t.Errorf("%s: %q says nothing about what is inside", p.ImportPath, element)
			}
		}
	}
}

// listPackages lists the packages of the module.
func listPackages(t *testing.T) []goPackage {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Name,Imports,TestImports,XTestImports", "./...")
	command.Dir = root
	var complaint strings.Builder
	command.Stderr = &complaint
	out, err := command.Output()
	if err != nil {
		t.Fatalf("listing packages: %v\n%s", err, complaint.String())
	}
	var packages []goPackage
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			return packages
		}
		if err != nil {
			t.Fatalf("reading the list of packages: %v", err)
		}
		packages = append(packages, p)
	}
}

func layerOf(importPath string) (layer, bool) {
	pattern := patternOf(importPath)
	for _, l := range layers {
		if pattern != "" && slices.Contains(l.packages, pattern) {
			return l, true
		}
	}
	return layer{}, false
}

// patternOf is the longest pattern of layers that matches, "" for none.
func patternOf(importPath string) string {
	path := strings.TrimPrefix(importPath, module+"/")
	longest := ""
	for _, l := range layers {
		for _, pattern := range l.packages {
			below, isTree := strings.CutSuffix(pattern, "...")
			if (pattern == path || isTree && strings.HasPrefix(path, below)) && len(pattern) > len(longest) {
				longest = pattern
			}
		}
	}
	return longest
}

func isBelow(importPath string, allowed []string) bool {
	for _, path := range allowed {
		if own, ok := strings.CutPrefix(path, "./"); ok {
			path = module + "/" + own
		}
		if importPath == path || strings.HasPrefix(importPath, path+"/") {
			return true
		}
	}
	return false
}

func isStandard(importPath string) bool {
	first, _, _ := strings.Cut(importPath, "/")
	return !strings.Contains(first, ".")
}
