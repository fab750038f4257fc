package machine

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
)

// Bounds of a report, as the schema of the TopologyDomain and the manager's check
// of impossible figures have them: what is beyond would make the API server refuse
// the whole report, or the manager distrust the whole node.
const (
	maxGPUs      = 64
	maxNUMANodes = 64
	maxNICs      = 64
	maxNVMes     = 64
	maxSwitches  = 64
	maxBundles   = 1152
	maxRelations = 4096
	maxProfiles  = 16
	// maxConnections bounds the NVLinks of one GPU, in one bundle or in several.
	maxConnections = 36

	maxID      = 1023
	maxRail    = 63
	maxGbps    = 12800
	maxC2CGBps = 100000
	// maxMemory is 16 TiB.
	maxMemory = 16 << 40

	maxUUID    = 128
	maxName    = 64
	maxLabel   = 128
	maxVersion = 64
	maxWord    = 32
	maxCPUs    = 1024
)

var (
	pciAddress = regexp.MustCompile(`^[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$`)
	pciID      = regexp.MustCompile(`^[0-9a-f]{4}:[0-9a-f]{4}$`)
	guid       = regexp.MustCompile(`^[0-9a-f]{4}(:[0-9a-f]{4}){3}$`)
)

// Report turns one look at a machine into the report of its node, and into the
// conditions Healthy and Discovered without times. history is what the call before
// returned, or Restore of a stored report. The API server accepts the report
// whatever the facts are: what it would refuse is left out, and Discovered names it.
func Report(facts Facts, history History) (v1alpha1.NodeReport, []metav1.Condition, History) {
	if facts.BootID == "" {
		facts.BootID = history.BootID // Not known is no other boot.
	}
	b := &builder{facts: facts, history: history.in(facts.BootID), position: map[string]int{}, addresses: map[string]bool{}}
	for _, p := range facts.Problems {
		b.problem(p.Device, "%s", p.What)
	}
	b.host()
	b.addAccelerators()
	b.addLinks()
	b.addNICs()
	b.addNVMes()
	b.addRelations()
	b.addFabric()
	b.judgePorts()
	b.judgeAccelerators()
	b.addMissing()
	return b.report, b.conditions(), b.history
}

// Material says whether a report differs from an older one in something that
// justifies a write. The time of observation alone does not.
func Material(older, newer v1alpha1.NodeReport) bool {
	older.ObservedTime, newer.ObservedTime = nil, nil
	return !equality.Semantic.DeepEqual(older, newer)
}

// builder collects a report.
type builder struct {
	facts   Facts
	history History
	report  v1alpha1.NodeReport
	// gpus are the facts behind report.Accelerators, in the same order; position
	// finds them by UUID.
	gpus     []GPU
	position map[string]int
	// ports are the facts behind report.NICs, in the same order.
	ports []NIC
	// addresses are the PCI addresses that are taken.
	addresses map[string]bool
	problems  []string
}

// problem names something that could not be read or cannot be reported.
func (b *builder) problem(device, format string, args ...any) {
	b.problems = append(b.problems, clean(device, maxName)+": "+clean(fmt.Sprintf(format, args...), 200))
}

// head cuts a list to its bound and says so.
func head[T any](b *builder, what string, list []T, most int) []T {
	if len(list) <= most {
		return list
	}
	b.problem(what, "there are %d, the report holds %d", len(list), most)
	return list[:most]
}

// identity says whether a device can be told apart by a name. A name is cut
// nowhere: two devices could share what is left.
func (b *builder) identity(device, what, name string, most int) bool {
	switch {
	case name == "":
		b.problem(device, "it has no %s and is left out", what)
	case len(name) > most:
		b.problem(device, "its %s has %d bytes, at most %d can be: it is left out", what, len(name), most)
	case strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }):
		b.problem(device, "its %s is %q and not plain text: it is left out", what, clean(name, 32))
	default:
		return true
	}
	return false
}

// address is a PCI address, "" when it has another form.
func (b *builder) address(device, address string) string {
	if address == "" || len(address) <= 16 && pciAddress.MatchString(address) {
		return address
	}
	b.problem(device, "%q is no PCI address", clean(address, 32))
	return ""
}

// between is a figure, nil when it is Unknown or cannot be.
func (b *builder) between(device, what string, value, least, most int64) *int64 {
	if value >= least && value <= most {
		return &value
	}
	if value != Unknown {
		b.problem(device, "%s %d cannot be", what, value)
	}
	return nil
}

func (b *builder) numa(device string, node int) *int32 {
	return narrow(b.between(device, "NUMA node", int64(node), 0, maxID))
}

// positive is a figure whose zero value means that it is not known.
func (b *builder) positive(device, what string, value, most int64) int64 {
	if value == 0 {
		return 0
	}
	if figure := b.between(device, what, value, 1, most); figure != nil {
		return *figure
	}
	return 0
}

func narrow(value *int64) *int32 {
	if value == nil {
		return nil
	}
	return new(int32(*value))
}

func (b *builder) host() {
	r := &b.report
	r.BootID, r.DriverVersion = clean(b.facts.BootID, maxVersion), clean(b.facts.Driver, maxVersion)
	r.PCITopology = v1alpha1.PCITopologyPhysical
	if b.facts.Virtual {
		r.PCITopology = v1alpha1.PCITopologyVirtualized
	}
	known := map[int]bool{}
	for _, n := range head(b, "NUMA nodes", b.facts.NUMANodes, maxNUMANodes) {
		device := fmt.Sprintf("NUMA node %d", n.ID)
		if n.ID < 0 || n.ID > maxID || known[n.ID] {
			b.problem(device, "it cannot be, or is there twice, and is left out")
			continue
		}
		known[n.ID] = true
		cpus := clean(n.CPUs, len(n.CPUs))
		if len(cpus) > maxCPUs {
			b.problem(device, "its list of CPUs has %d bytes and is cut", len(cpus))
			cpus = cpus[:strings.LastIndexByte(cpus[:maxCPUs], ',')+1]
			cpus = strings.TrimSuffix(cpus, ",")
		}
		memory := max(n.MemoryBytes, 0)
		r.NUMANodes = append(r.NUMANodes, v1alpha1.NUMANode{ID: new(int32(n.ID)), CPUs: cpus, MemoryBytes: memory})
	}
}

func (b *builder) addAccelerators() {
	for i, gpu := range head(b, "GPUs", b.facts.GPUs, maxGPUs) {
		device := fmt.Sprintf("GPU %d", gpu.Index)
		if !b.identity(device, "UUID", gpu.UUID, maxUUID) {
			continue
		}
		if at, twice := b.position[gpu.UUID]; twice {
			b.problem(device, "it has the UUID of GPU %d and is left out", b.gpus[at].Index)
			continue
		}
		if gpu.Index < 0 || gpu.Index > maxID {
			b.problem(device, "there is no such index; it is reported as %d", i)
			gpu.Index = i
		}
		a := b.accelerator(device, gpu)
		if a.PCIAddress != "" && b.addresses[a.PCIAddress] {
			b.problem(device, "its PCI address %s is taken", a.PCIAddress)
			a.PCIAddress = ""
		}
		b.addresses[a.PCIAddress] = true
		b.position[gpu.UUID] = len(b.gpus)
		b.gpus = append(b.gpus, gpu)
		b.report.Accelerators = append(b.report.Accelerators, a)
	}
}

func (b *builder) accelerator(device string, gpu GPU) v1alpha1.Accelerator {
	a := v1alpha1.Accelerator{
		UUID: gpu.UUID, Index: new(int32(gpu.Index)), ProductName: clean(gpu.Name, maxLabel),
		PCIAddress: b.address(device, gpu.PCIAddress), NUMANode: b.numa(device, gpu.NUMANode),
		MemoryReservedBytes: b.between(device, "reserved memory", gpu.MemoryReserved, 0, maxMemory),
		ComputeCapability:   clean(gpu.ComputeCapability, maxWord),
		C2CGBps:             int32(b.positive(device, "chip-to-chip bandwidth", int64(gpu.C2CGBps), maxC2CGBps)),
	}
	if len(gpu.Name) > maxLabel {
		b.problem(device, "its name has %d bytes and is cut", len(gpu.Name))
	}
	if memory := b.between(device, "memory", gpu.MemoryTotal, 0, maxMemory); memory != nil {
		a.MemoryBytes = *memory
	}
	if pciID.MatchString(gpu.PCIID) {
		a.PCIID = gpu.PCIID
	} else if gpu.PCIID != "" {
		b.problem(device, "%q is no PCI ID", clean(gpu.PCIID, 32))
	}
	if gpu.MIGMode != nil {
		a.MIGMode = v1alpha1.MIGDisabled
		if *gpu.MIGMode {
			a.MIGMode = v1alpha1.MIGEnabled
		}
	}
	for _, profile := range head(b, device+" MIG instances", gpu.MIGProfiles, maxProfiles) {
		if profile = clean(profile, maxWord); profile != "" {
			a.MIGProfiles = append(a.MIGProfiles, profile)
		}
	}
	return a
}

func (b *builder) addLinks() {
	connections, switches := map[string]int{}, map[string]bool{}
	for _, l := range head(b, "NVLinks", b.facts.Links, maxBundles) {
		device := fmt.Sprintf("NVLink %s to %s", clean(l.From, 48), clean(l.To, 48))
		_, fromKnown := b.position[l.From]
		_, toKnown := b.position[l.To]
		isSwitch := strings.HasPrefix(l.To, switchPrefix) && len(l.To) <= maxLabel && clean(l.To, maxLabel) == l.To
		if isSwitch && !switches[l.To] {
			isSwitch = len(switches) < maxSwitches
			switches[l.To] = isSwitch
		}
		switch {
		case !fromKnown || !toKnown && !isSwitch || l.From == l.To:
			b.problem(device, "it ends on no device of the report and is left out")
			continue
		case l.Total < 1 || l.Active < 0 || l.Active > l.Total || connections[l.From]+l.Total > maxConnections:
			b.problem(device, "%d of %d connections cannot be: they are left out", l.Active, l.Total)
			continue
		}
		connections[l.From] += l.Total
		b.report.NVLinks = append(b.report.NVLinks, v1alpha1.NVLink{
			From: l.From, To: l.To, Links: int32(l.Total), ActiveLinks: new(int32(l.Active)),
			LinkGbps: int32(b.positive(device, "speed", int64(l.Gbps), maxGbps)), Version: clean(l.Version, 16),
		})
	}
	b.addSilentLinks(connections)
}

// addSilentLinks adds the connections between two GPUs that were there in this boot
// and that the reader does not know any more.
func (b *builder) addSilentLinks(connections map[string]int) {
	seen := map[Pair]*v1alpha1.NVLink{}
	for i := range b.report.NVLinks {
		l := &b.report.NVLinks[i]
		if _, isGPU := b.position[l.To]; isGPU && seen[Pair{l.From, l.To}] == nil {
			seen[Pair{l.From, l.To}] = l
		}
	}
	var silent []v1alpha1.NVLink
	for _, pair := range slices.SortedFunc(maps.Keys(b.history.Direct), comparePairs) {
		most := b.history.Direct[pair]
		_, hasFrom := b.position[pair.From]
		_, hasTo := b.position[pair.To]
		if !hasFrom || !hasTo || isTrue(b.gpus[b.position[pair.From]].MIGMode) {
			continue // MIG switches links off.
		}
		now := int32(0)
		if l := seen[pair]; l != nil {
			now = l.Links
		}
		missing := min(most-now, int32(maxConnections-connections[pair.From]))
		if missing < 1 {
			continue
		}
		connections[pair.From] += int(missing)
		if l := seen[pair]; l != nil {
			l.Links += missing
		} else {
			silent = append(silent, v1alpha1.NVLink{From: pair.From, To: pair.To, Links: missing, ActiveLinks: new(int32)})
		}
	}
	b.report.NVLinks = append(b.report.NVLinks, silent[:min(len(silent), maxBundles-len(b.report.NVLinks))]...)
	for pair, l := range seen {
		remember(b.history.Direct, pair, max(l.Links, b.history.Direct[pair]))
	}
}

func comparePairs(x, y Pair) int { return cmp.Or(cmp.Compare(x.From, y.From), cmp.Compare(x.To, y.To)) }

const switchPrefix = "switch-"

func (b *builder) addNVMes() {
	known := map[string]bool{}
	for _, n := range head(b, "NVMe devices", b.facts.NVMes, maxNVMes) {
		device := cmp.Or(n.Name, "an NVMe device")
		if !b.identity(device, "name", n.Name, maxName) {
			continue
		}
		if known[n.Name] {
			b.problem(device, "it is there twice, and left out once")
			continue
		}
		known[n.Name] = true
		b.report.NVMes = append(b.report.NVMes, v1alpha1.NVMe{
			Name: n.Name, Model: clean(n.Model, maxLabel), PCIAddress: b.address(device, n.PCIAddress),
			NUMANode: b.numa(device, n.NUMANode), SizeBytes: max(n.SizeBytes, 0),
		})
	}
	slices.SortFunc(b.report.NVMes, func(x, y v1alpha1.NVMe) int { return compareNatural(x.Name, y.Name) })
}

// clean is text that can be shown and stored: printable, without white space at
// its ends, and cut to a number of bytes.
func clean(text string, most int) string {
	if len(text) > 4*most+64 {
		text = text[:4*most+64] // The rest would go in any case, and may be long.
	}
	text = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
	text = strings.TrimSpace(text)
	if len(text) <= most {
		return text
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return strings.TrimSpace(text[:most])
}

// compareNatural orders names with numbers by the numbers: mlx5_2 before mlx5_10.
func compareNatural(a, b string) int {
	for a != "" && b != "" {
		x, y := leadingNumber(a), leadingNumber(b)
		if x == "" || y == "" {
			if a[0] != b[0] {
				return cmp.Compare(a[0], b[0])
			}
			a, b = a[1:], b[1:]
			continue
		}
		m, n := strings.TrimLeft(x, "0"), strings.TrimLeft(y, "0")
		if order := cmp.Or(cmp.Compare(len(m), len(n)), cmp.Compare(m, n), cmp.Compare(len(x), len(y))); order != 0 {
			return order
		}
		a, b = a[len(x):], b[len(y):]
	}
	return cmp.Compare(len(a), len(b))
}

func leadingNumber(s string) string {
	end := 0
	for end < len(s) && s[end] >= '0' && s[end] <= '9' {
		end++
	}
	return s[:end]
}
