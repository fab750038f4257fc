package api

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/capability"
	"github.com/k8s4ai/k8s4ai/internal/convert"
	"github.com/k8s4ai/k8s4ai/internal/fleet"
)

const (
	catalogDir  = "../../config/catalog"
	catalogPage = "../../docs/catalog.md"
)

var writesPage = flag.Bool("update", false, "write the table of docs/catalog.md")

// catalogFiles are the files of the catalogue, each with one class.
func catalogFiles(t *testing.T) []file {
	t.Helper()
	return slices.DeleteFunc(documents(t, catalogDir), func(f file) bool { return f.name == "kustomization.yaml" })
}

func catalog(t *testing.T) []v1alpha1.AcceleratorClass {
	t.Helper()
	files := catalogFiles(t)
	out := make([]v1alpha1.AcceleratorClass, len(files))
	for i, f := range files {
		mustDecode(t, f, &out[i])
	}
	return out
}

func TestCatalogIsAccepted(t *testing.T) {
	for _, f := range catalogFiles(t) {
		t.Run(f.name, func(t *testing.T) {
			u := decode(t, f)
			if err := create(t, u); err != nil {
				t.Fatalf("refused: %v", err)
			}
			if missing := lacks("", decode(t, f).Object, u.Object); len(missing) > 0 {
				t.Errorf("the API server dropped or changed %s", strings.Join(missing, ", "))
			}
			if u.GetName()+".yaml" != f.name {
				t.Errorf("the class is called %s", u.GetName())
			}
		})
	}
}

func TestCatalogIsWhatIsInstalled(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(catalogDir, "kustomization.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var kustomization struct {
		Resources []string `json:"resources"`
	}
	if err := yaml.UnmarshalStrict(data, &kustomization); err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, f := range catalogFiles(t) {
		want = append(want, f.name)
	}
	if diff := cmp.Diff(want, kustomization.Resources); diff != "" {
		t.Errorf("kustomization.yaml (-files +resources):\n%s", diff)
	}
}

// sourced are the facts of a class that need an entry in sources, by its field.
func sourced(c *v1alpha1.AcceleratorClass) map[string]bool {
	spec := &c.Spec
	return map[string]bool{
		"match.pciIDs":               len(spec.Match.PCIIDs) > 0,
		"memory.capacity":            spec.Memory != nil,
		"interconnect.bandwidthGBps": spec.Interconnect != nil && spec.Interconnect.BandwidthGBps > 0,
		"host.pcieGeneration":        spec.Host != nil && spec.Host.PCIeGeneration > 0,
		"tdpWatts":                   spec.TDPWatts > 0,
		"migProfiles":                len(spec.MIGProfiles) > 0,
	}
}

// Nothing in the catalogue is guessed: each figure and each other number says
// where it comes from, and no source speaks of what is not there. Prices change
// too fast to be shipped.
func TestCatalogHasSources(t *testing.T) {
	for _, c := range catalog(t) {
		for _, f := range c.Spec.Figures {
			if len(f.Source) < 10 {
				t.Errorf("%s: %s has the source %q", c.Name, f.Name, f.Source)
			}
		}
		fields := sourced(&c)
		for _, s := range c.Spec.Sources {
			if !fields[s.Field] || len(s.Source) < 10 {
				t.Errorf("%s: the source of %s is %q", c.Name, s.Field, s.Source)
			}
			fields[s.Field] = false
		}
		for field, isMissing := range fields {
			if isMissing {
				t.Errorf("%s: %s has no source", c.Name, field)
			}
		}
		if c.Spec.Cost != nil {
			t.Errorf("%s has a price", c.Name)
		}
		if c.Status.Nodes != nil || len(c.Status.Measured) > 0 {
			t.Errorf("%s has a status", c.Name)
		}
	}
}

// The features of NVIDIA's devices follow from the compute capability.
func TestCatalogFeatures(t *testing.T) {
	features := map[string][]string{
		"7.0": nil, "7.5": nil, "8.0": {"BF16", "MIG"}, "8.6": {"BF16"}, "8.9": {"BF16", "FP8"}, "9.0": {"BF16", "FP8", "MIG"},
		"10.0": {"BF16", "FP8", "NVFP4", "MIG"}, "10.3": {"BF16", "FP8", "NVFP4", "MIG"},
	}
	for _, c := range catalog(t) {
		want, known := features[c.Spec.ComputeCapability]
		if isNVIDIA := c.Spec.Vendor == "NVIDIA"; known != isNVIDIA {
			t.Errorf("%s has the compute capability %q", c.Name, c.Spec.ComputeCapability)
		} else if isNVIDIA && !slices.Equal(c.Spec.Features, want) {
			t.Errorf("%s has features %q, want %q", c.Name, c.Spec.Features, want)
		}
		if hasMIG := slices.Contains(c.Spec.Features, "MIG"); hasMIG != (len(c.Spec.MIGProfiles) > 0) {
			t.Errorf("%s: the feature MIG is %t, with %d profiles", c.Name, hasMIG, len(c.Spec.MIGProfiles))
		}
	}
}

// A class is a fallback only where it is as good in everything that both know.
func TestCatalogFallbacks(t *testing.T) {
	profiles := map[string]capability.Profile{}
	for _, p := range convert.Profiles(catalog(t)) {
		profiles[p.Name] = p
	}
	for name, p := range profiles {
		for _, fallback := range p.Fallback {
			f, found := profiles[fallback]
			if !found {
				t.Errorf("%s falls back to %s, which is not in the catalogue", name, fallback)
				continue
			}
			worse := f.MemoryBytes < p.MemoryBytes || isLess(f.MemoryGBps, p.MemoryGBps) || f.Vendor != p.Vendor
			for i := range p.TFLOPS {
				worse = worse || isLess(f.TFLOPS[i], p.TFLOPS[i])
			}
			for _, feature := range p.Features {
				worse = worse || !slices.Contains(f.Features, feature)
			}
			if worse {
				t.Errorf("%s falls back to %s, which is worse", name, fallback)
			}
		}
	}
}

func isLess(a, b capability.Figure) bool {
	return a.Datasheet > 0 && b.Datasheet > 0 && a.Datasheet < b.Datasheet
}

// Whatever kind of evidence a class names, it recognises its own devices and no
// other class claims them.
func TestCatalogIsUnambiguous(t *testing.T) {
	classes := catalog(t)
	profiles := convert.Profiles(classes)
	for _, c := range classes {
		for _, facts := range evidenceFor(t, &c, classes) {
			got := capability.Classify(profiles, facts)
			if len(got) != 1 || got[0].Class != c.Name {
				t.Errorf("%s: a device with %+v is %+v", c.Name, facts, got)
			}
		}
	}
}

// evidenceFor makes up devices that a class should recognise.
func evidenceFor(t *testing.T, c *v1alpha1.AcceleratorClass, all []v1alpha1.AcceleratorClass) []capability.Facts {
	t.Helper()
	match := &c.Spec.Match
	device := capability.Device{ID: "d0", ComputeCapability: c.Spec.ComputeCapability}
	if c.Spec.Memory != nil {
		device.MemoryBytes = c.Spec.Memory.Capacity.Value()
	}
	if len(match.ProductNames) > 0 {
		device.Product = match.ProductNames[0]
	}
	var out []capability.Facts
	for _, id := range match.PCIIDs {
		device.PCIID = id
		out = append(out, capability.Facts{Devices: []capability.Device{device}})
	}
	for _, label := range match.NodeLabels {
		for _, value := range label.Values {
			out = append(out, capability.Facts{Labels: map[string]string{label.Key: value}})
		}
	}
	if match.DeviceSelector == "" {
		return out
	}
	if err := convert.CheckSelector(match.DeviceSelector); err != nil {
		t.Errorf("%s: %v", c.Name, err)
	}
	products := 0
	for _, label := range match.NodeLabels {
		if label.Key != "nvidia.com/gpu.product" {
			continue
		}
		// The name of a product has no dash where its label has one, with exceptions
		// that only the selector spells out.
		for _, product := range quoted(match.DeviceSelector) {
			if !slices.Contains(label.Values, strings.ReplaceAll(product, " ", "-")) {
				continue
			}
			products++
			dra := convert.ReadDRA(all, []resourcev1.ResourceSlice{draSlice(product, "gpu")})
			if mig := convert.ReadDRA(all, []resourcev1.ResourceSlice{draSlice(product, "mig")}); len(mig) > 0 {
				t.Errorf("%s selects a MIG partition", c.Name)
			}
			out = append(out, capability.Facts{DRA: dra.On("n1", nil)})
		}
		if products != len(label.Values) {
			t.Errorf("%s: the selector names %d of the %d products of the label", c.Name, products, len(label.Values))
		}
	}
	if products == 0 {
		t.Errorf("%s has a selector and no product", c.Name)
	}
	return out
}

// quoted are the strings of a CEL expression.
func quoted(expression string) []string {
	var out []string
	for i, part := range strings.Split(expression, `"`) {
		if i%2 == 1 {
			out = append(out, part)
		}
	}
	return out
}

func draSlice(product, kind string) resourcev1.ResourceSlice {
	attribute := func(text string) resourcev1.DeviceAttribute { return resourcev1.DeviceAttribute{StringValue: &text} }
	return resourcev1.ResourceSlice{
		ObjectMeta: metav1.ObjectMeta{Name: "n1-gpus"},
		Spec: resourcev1.ResourceSliceSpec{
			Driver: "gpu.nvidia.com", Pool: resourcev1.ResourcePool{Name: "n1", ResourceSliceCount: 1}, NodeName: new("n1"),
			Devices: []resourcev1.Device{{
				Name: "gpu-0", Attributes: map[resourcev1.QualifiedName]resourcev1.DeviceAttribute{
					"type": attribute(kind), "productName": attribute(product), "uuid": attribute("GPU-0"),
				},
			}},
		},
	}
}

// The simulated machines of every provider are what the catalogue takes them for,
// by each kind of evidence that they offer.
func TestCatalogKnowsTheFleets(t *testing.T) {
	want := map[string]string{
		"HGX-H100x8":  "DeviceFacts nvidia-h100-sxm-80gb, FeatureLabels nvidia-h100-sxm-80gb, ProviderLabels nvidia-h100-sxm-80gb",
		"HGX-H200x8":  "DeviceFacts nvidia-h200-sxm-141gb, FeatureLabels nvidia-h200-sxm-141gb, ProviderLabels nvidia-h200-sxm-141gb",
		"HGX-B200x8":  "DeviceFacts nvidia-b200-sxm-180gb, FeatureLabels nvidia-b200-sxm-180gb, ProviderLabels nvidia-b200-sxm-180gb",
		"GB200-NVL72": "DeviceFacts nvidia-gb200-186gb, FeatureLabels nvidia-gb200-186gb, ProviderLabels nvidia-gb200-186gb",
		"L40S":        "DeviceFacts nvidia-l40s-48gb, FeatureLabels nvidia-l40s-48gb, ProviderLabels nvidia-l40s-48gb",
		"A100-PCIe":   "DeviceFacts nvidia-a100-pcie-80gb, FeatureLabels nvidia-a100-pcie-80gb",
		"MI300Xx8":    "DeviceFacts amd-mi300x-192gb, FeatureLabels amd-mi300x-192gb, ProviderLabels amd-mi300x-192gb",
		"CPU":         "",
	}
	profiles := convert.Profiles(catalog(t))
	got := map[string]string{}
	for _, shape := range fleet.ShapeNames() {
		found := map[string]bool{}
		for _, provider := range []fleet.Provider{fleet.ProviderGKE, fleet.ProviderDOKS, fleet.ProviderNone} {
			f := fleetOf(provider, shape)
			if f == nil {
				continue
			}
			node := f.Nodes()[0]
			for _, labels := range splitLabels(node.Labels) {
				classify(profiles, convert.NodeFacts(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Labels: labels}}, nil), found)
			}
			if reports := f.Reports(); len(reports) > 0 {
				classify(profiles, convert.NodeFacts(&corev1.Node{}, reports[0].Status.Node), found)
			}
		}
		got[shape] = strings.Join(slices.Sorted(maps.Keys(found)), ", ")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what the catalogue recognises (-want +got):\n%s", diff)
	}
}

func classify(profiles []capability.Profile, facts capability.Facts, found map[string]bool) {
	for _, d := range capability.Classify(profiles, facts) {
		if d.Evidence != capability.NoEvidence {
			found[fmt.Sprintf("%s %s%s", d.Evidence, d.Class, strings.Join(d.Ambiguous, "?"))] = true
		}
	}
}

// splitLabels are the labels of feature discovery and the others.
func splitLabels(labels map[string]string) []map[string]string {
	discovered, others := map[string]string{}, map[string]string{}
	for key, value := range labels {
		if strings.HasPrefix(key, "nvidia.com/") || strings.HasPrefix(key, "amd.com/") {
			discovered[key] = value
		} else {
			others[key] = value
		}
	}
	return []map[string]string{discovered, others}
}

// fleetOf is a fleet of one shape, nil where the provider does not have it.
func fleetOf(provider fleet.Provider, shape string) *fleet.Fleet {
	const form = "name: f\nprovider: %s\n%spools:\n- {name: p, shape: %s, %s}\n"
	for _, v := range [][2]string{
		{"", "nodes: 1"},
		{"fabric: {name: fab, linkLayer: %s}\n", "blocks: 1, leaves: 1, nodes: 1, nicGbps: 400"},
		{"fabric: {name: fab, linkLayer: %s}\n", "blocks: 1, racks: 1, nodes: 18, nicGbps: 400"},
	} {
		for _, layer := range []string{"InfiniBand", "Ethernet"} {
			fabric := v[0]
			if fabric != "" {
				fabric = fmt.Sprintf(fabric, layer)
			}
			if f, err := fleet.Parse(fmt.Appendf(nil, form, provider, fabric, shape, v[1])); err == nil {
				return f
			}
		}
	}
	return nil
}

// The samples are the same devices as those of the catalogue, and say nothing
// else of them.
func TestSamplesAgreeWithTheCatalog(t *testing.T) {
	shipped := map[string]v1alpha1.AcceleratorClass{}
	for _, c := range catalog(t) {
		for _, id := range c.Spec.Match.PCIIDs {
			shipped[id] = c
		}
	}
	for _, f := range documents(t, sampleDir) {
		if decode(t, f).GetKind() != class {
			continue
		}
		var sample v1alpha1.AcceleratorClass
		mustDecode(t, f, &sample)
		c, found := shipped[sample.Spec.Match.PCIIDs[0]]
		if !found {
			t.Errorf("%s is not in the catalogue", f.name)
			continue
		}
		if !strings.Contains(string(f.yaml), c.Name) {
			t.Errorf("%s does not name %s, which is the same device", f.name, c.Name)
		}
		for name, value := range numbers(&sample) {
			if want, known := numbers(&c)[name]; known && want != value {
				t.Errorf("%s: %s is %s, %s in the catalogue", f.name, name, value, want)
			}
		}
	}
}

// numbers are the figures of a class and its other numbers.
func numbers(c *v1alpha1.AcceleratorClass) map[string]string {
	out := map[string]string{
		"computeCapability": c.Spec.ComputeCapability, "features": strings.Join(c.Spec.Features, " "),
	}
	for _, f := range c.Spec.Figures {
		out[string(f.Name)] = f.Value.String()
	}
	if c.Spec.Memory != nil {
		out["memory"] = c.Spec.Memory.Capacity.String()
	}
	if c.Spec.Interconnect != nil {
		out["interconnect"] = fmt.Sprint(*c.Spec.Interconnect)
	}
	if c.Spec.TDPWatts > 0 {
		out["tdpWatts"] = fmt.Sprint(c.Spec.TDPWatts)
	}
	if len(c.Spec.MIGProfiles) > 0 {
		out["migProfiles"] = strings.Join(c.Spec.MIGProfiles, " ")
	}
	return out
}

// The page shows what the files say. Run with -update to write it.
func TestCatalogPage(t *testing.T) {
	const begin, end = "<!-- table -->\n", "<!-- end of table -->\n"
	data, err := os.ReadFile(catalogPage)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, hasBegin := strings.Cut(string(data), begin)
	table, after, hasEnd := strings.Cut(rest, end)
	if !hasBegin || !hasEnd {
		t.Fatalf("%s has no table between %q and %q", catalogPage, begin, end)
	}
	want := catalogTable(catalog(t))
	if *writesPage {
		if err := os.WriteFile(catalogPage, []byte(before+begin+want+end+after), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, table); diff != "" {
		t.Errorf("the table (-files +page), write it with go test ./test/api -run TestCatalogPage -update:\n%s", diff)
	}
}

// catalogTable has a row for each class, with the number of the source behind
// each figure, and the sources below.
func catalogTable(classes []v1alpha1.AcceleratorClass) string {
	columns := []v1alpha1.FigureName{
		v1alpha1.FigureBF16, v1alpha1.FigureFP16, v1alpha1.FigureFP8, v1alpha1.FigureFP4, v1alpha1.FigureFP64, v1alpha1.FigureMemoryBandwidth,
	}
	var sources []string
	cite := func(value, source string) string {
		if source == "" {
			return value
		}
		if !slices.Contains(sources, source) {
			sources = append(sources, source)
		}
		return fmt.Sprintf("%s [%d]", value, slices.Index(sources, source)+1)
	}
	var out strings.Builder
	out.WriteString("| class | memory | BF16 | FP16 | FP8 | FP4 | FP64 | memory GB/s | link GB/s | W |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n")
	for _, c := range classes {
		from := map[string]string{}
		for _, s := range c.Spec.Sources {
			from[s.Field] = s.Source
		}
		cells := []string{"`" + c.Name + "`", ""}
		if c.Spec.Memory != nil {
			cells[1] = cite(c.Spec.Memory.Capacity.String()+"B", from["memory.capacity"])
		}
		for _, name := range columns {
			cell := ""
			for _, f := range c.Spec.Figures {
				if f.Name == name {
					cell = cite(fmt.Sprint(f.Value.Value()), f.Source)
				}
			}
			cells = append(cells, cell)
		}
		link, watts := "", ""
		if l := c.Spec.Interconnect; l != nil && l.BandwidthGBps > 0 {
			link = cite(fmt.Sprint(l.BandwidthGBps), from["interconnect.bandwidthGBps"])
		}
		if c.Spec.TDPWatts > 0 {
			watts = cite(fmt.Sprint(c.Spec.TDPWatts), from["tdpWatts"])
		}
		out.WriteString("| " + strings.Join(append(cells, link, watts), " | ") + " |\n")
	}
	out.WriteString("\nSources:\n\n")
	for i, source := range sources {
		fmt.Fprintf(&out, "%d. %s\n", i+1, source)
	}
	return out.String()
}
