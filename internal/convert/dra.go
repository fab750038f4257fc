package convert

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/types"
	dracel "k8s.io/dynamic-resource-allocation/cel"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/capability"
)

// CheckSelector compiles a device selector. The error says what is wrong with it,
// in the words of the CEL compiler, and nil also stands for no selector.
func CheckSelector(expression string) error {
	if expression == "" {
		return nil
	}
	_, err := compiled.get(expression)
	return err
}

// compiled are the selectors that were asked for, with the rules and limits that
// the API server has for those of a DeviceClass: an expression that may cost too
// much on any device is refused, and the evaluation of one stops at the limit.
var compiled = &compiler{results: map[string]dracel.CompilationResult{}}

// maxCompiled bounds the memory of compiled. Expressions change with the
// generation of a class; what is no longer asked for goes when it is full.
const maxCompiled = 1024

// compiler remembers compiled expressions, broken ones too: compiling takes
// longer than evaluating on a thousand devices.
type compiler struct {
	mu      sync.Mutex
	results map[string]dracel.CompilationResult
}

func (c *compiler) get(expression string) (dracel.CompilationResult, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	result, found := c.results[expression]
	if !found {
		features := dracel.Features{EnableConsumableCapacity: true, EnableListTypeAttributes: true}
		result = dracel.GetCompiler(features).CompileCELExpression(expression, dracel.Options{})
		if len(c.results) >= maxCompiled {
			clear(c.results)
		}
		c.results[expression] = result
	}
	switch {
	case result.Error != nil:
		return result, fmt.Errorf("%s", result.Error.Detail)
	case result.MaxCost > resourcev1.CELSelectorExpressionMaxCost:
		return result, fmt.Errorf("too complex: it may cost %d, and %d is the limit", result.MaxCost, resourcev1.CELSelectorExpressionMaxCost)
	}
	return result, nil
}

// selection is the class selectors of one pass.
type selection struct {
	classes  []string
	programs []dracel.CompilationResult
	// key tells selections apart.
	key string
}

// selectionOf compiles the selectors of the classes. A class whose selector does
// not compile has none; CheckSelector tells why.
func selectionOf(classes []v1alpha1.AcceleratorClass) selection {
	var out selection
	var key strings.Builder
	for i := range classes {
		expression := classes[i].Spec.Match.DeviceSelector
		if expression == "" {
			continue
		}
		program, err := compiled.get(expression)
		if err != nil {
			continue
		}
		out.classes = append(out.classes, classes[i].Name)
		out.programs = append(out.programs, program)
		fmt.Fprintf(&key, "%q %q\n", classes[i].Name, expression)
	}
	out.key = key.String()
	return out
}

// of are the classes whose selector holds for a device.
func (s *selection) of(driver string, device *resourcev1.Device) []string {
	input := dracel.Device{
		Driver: driver, AllowMultipleAllocations: device.AllowMultipleAllocations,
		Attributes: device.Attributes, Capacity: device.Capacity,
	}
	var out []string
	for i := range s.programs {
		// There is no caller to stop for: the limit on the cost bounds the time. An
		// error says that the device lacks what the expression asks about.
		matches, _, err := s.programs[i].DeviceMatches(context.Background(), input) //nolint:forbidigo // See above.
		if err == nil && matches {
			out = append(out, s.classes[i])
		}
	}
	return out
}

// inSlice are the classes of each device of a slice, in the order of its devices.
func (s *selection) inSlice(slice *resourcev1.ResourceSlice) [][]string {
	out := make([][]string, len(slice.Spec.Devices))
	for i := range slice.Spec.Devices {
		out[i] = s.of(slice.Spec.Driver, &slice.Spec.Devices[i])
	}
	return out
}

// remembered are the classes of the devices of slices that have not changed since
// they were asked about. Every pass asks about all of them, and drivers write a
// slice once.
var remembered = &memory{}

// memory holds answers for one selection.
type memory struct {
	mu      sync.Mutex
	key     string
	answers map[types.UID]answer
}

type answer struct {
	resourceVersion string
	classes         [][]string
}

// ask answers for slices in their order. What is remembered of other slices is
// forgotten. Slices that are not stored have no version and are not remembered.
func (m *memory) ask(s *selection, list []*resourcev1.ResourceSlice) [][][]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	known := m.answers
	if m.key != s.key {
		known = nil
	}
	m.key, m.answers = s.key, make(map[types.UID]answer, len(list))
	out := make([][][]string, len(list))
	for i, slice := range list {
		before, found := known[slice.UID]
		// An API server that was restored from a backup gives versions again.
		isSame := found && slice.UID != "" && before.resourceVersion == slice.ResourceVersion && len(before.classes) == len(slice.Spec.Devices)
		if !isSame {
			before = answer{resourceVersion: slice.ResourceVersion, classes: s.inSlice(slice)}
		}
		m.answers[slice.UID] = before
		out[i] = before.classes
	}
	return out
}

// DRA is what DRA drivers publish and a class selects, by name of the node.
type DRA map[string][]published

// published is one device of a driver.
type published struct {
	device capability.DRADevice
	// names are its UUIDs and PCI addresses.
	names []string
}

// ReadDRA lists the devices that DRA drivers publish and a class selects.
//
// Devices of a pool count when all slices of its newest generation are there:
// while a driver rewrites its slices, half of the devices would be gone. Devices
// that are on no one node are left out.
func ReadDRA(classes []v1alpha1.AcceleratorClass, list []resourcev1.ResourceSlice) DRA {
	s := selectionOf(classes)
	if len(s.classes) == 0 || len(list) == 0 {
		return nil
	}
	current := completePools(list)
	answers := remembered.ask(&s, current)
	out := DRA{}
	for i, slice := range current {
		for j := range slice.Spec.Devices {
			device := &slice.Spec.Devices[j]
			node := nodeOf(slice, device)
			if node == "" || len(answers[i][j]) == 0 {
				continue
			}
			out[node] = append(out[node], published{
				device: capability.DRADevice{
					ID:      slice.Spec.Driver + "/" + slice.Spec.Pool.Name + "/" + device.Name,
					Classes: answers[i][j],
				},
				names: identityOf(device),
			})
		}
	}
	return out
}

// On are the devices of a node. Its report, nil for none, ties them to the devices
// that the agent sees.
func (d DRA) On(node string, report *v1alpha1.NodeReport) []capability.DRADevice {
	if len(d[node]) == 0 {
		return nil
	}
	found := nodeDevices{reported: identities(report), at: map[string]int{}}
	for _, p := range d[node] {
		p.device.Classes = slices.Clone(p.device.Classes)
		found.add(p.device, p.names)
	}
	return found.devices
}

// nodeDevices are the DRA devices of one node.
type nodeDevices struct {
	// reported are the agent's devices by what they are known by.
	reported map[string]string
	// at is where in devices one stands, by the same.
	at      map[string]int
	devices []capability.DRADevice
}

// add takes a device over. One that is known by the same UUID or PCI address as
// an earlier one is the same, such as a device that is offered in two ways.
func (n *nodeDevices) add(found capability.DRADevice, names []string) {
	for _, name := range names {
		if i, twice := n.at[name]; twice {
			for _, class := range found.Classes {
				if !slices.Contains(n.devices[i].Classes, class) {
					n.devices[i].Classes = append(n.devices[i].Classes, class)
				}
			}
			return
		}
		if found.Device == "" {
			found.Device = n.reported[name]
		}
	}
	// What has no name that an agent would know may be in its report already.
	if len(names) == 0 && len(n.reported) > 0 {
		return
	}
	for _, name := range names {
		n.at[name] = len(n.devices)
	}
	n.devices = append(n.devices, found)
}

// nodeOf is the node of a device, "" when it is on none or on several.
func nodeOf(slice *resourcev1.ResourceSlice, device *resourcev1.Device) string {
	name := slice.Spec.NodeName
	if slice.Spec.PerDeviceNodeSelection != nil && *slice.Spec.PerDeviceNodeSelection {
		name = device.NodeName
	}
	if name == nil {
		return ""
	}
	return *name
}

// completePools are the slices of the newest generation of each pool of which all
// are there, in the order of their pools' and their own names.
func completePools(list []resourcev1.ResourceSlice) []*resourcev1.ResourceSlice {
	type poolKey struct{ driver, name string }
	pools := map[poolKey][]*resourcev1.ResourceSlice{}
	for i := range list {
		slice := &list[i]
		key := poolKey{slice.Spec.Driver, slice.Spec.Pool.Name}
		if others := pools[key]; len(others) > 0 && others[0].Spec.Pool.Generation != slice.Spec.Pool.Generation {
			if others[0].Spec.Pool.Generation > slice.Spec.Pool.Generation {
				continue
			}
			pools[key] = nil
		}
		pools[key] = append(pools[key], slice)
	}
	var out []*resourcev1.ResourceSlice
	for _, pool := range pools {
		if isComplete(pool) {
			out = append(out, pool...)
		}
	}
	slices.SortFunc(out, func(a, b *resourcev1.ResourceSlice) int {
		return slices.Compare(
			[]string{a.Spec.Driver, a.Spec.Pool.Name, a.Name, string(a.UID)},
			[]string{b.Spec.Driver, b.Spec.Pool.Name, b.Name, string(b.UID)},
		)
	})
	return out
}

// isComplete is true for a pool with as many slices as each of them says, in
// which no device is named twice. Kubernetes allocates nothing from another one.
func isComplete(pool []*resourcev1.ResourceSlice) bool {
	seen := map[string]bool{}
	for _, slice := range pool {
		if slice.Spec.Pool.ResourceSliceCount != int64(len(pool)) {
			return false
		}
		for i := range slice.Spec.Devices {
			name := slice.Spec.Devices[i].Name
			if seen[name] {
				return false
			}
			seen[name] = true
		}
	}
	return true
}

// identities are the UUIDs of the reported devices by UUID and by PCI address.
func identities(report *v1alpha1.NodeReport) map[string]string {
	out := map[string]string{}
	if report == nil {
		return out
	}
	for i := range report.Accelerators {
		a := &report.Accelerators[i]
		out[a.UUID] = a.UUID
		if a.PCIAddress != "" {
			out[pciAddress(a.PCIAddress)] = a.UUID
		}
	}
	return out
}

// identityOf are the UUID and the PCI address that a driver gives a device, in
// any domain: "uuid" is the driver's own, "pciBusID" also stands in the domain of
// Kubernetes.
func identityOf(device *resourcev1.Device) []string {
	var uuids, addresses []string
	for name, attribute := range device.Attributes {
		if attribute.StringValue == nil || *attribute.StringValue == "" {
			continue
		}
		id := string(name)[strings.LastIndexByte(string(name), '/')+1:]
		switch id {
		case "uuid":
			uuids = append(uuids, *attribute.StringValue)
		case "pciBusID":
			addresses = append(addresses, pciAddress(*attribute.StringValue))
		}
	}
	slices.Sort(uuids)
	slices.Sort(addresses)
	return append(uuids, addresses...)
}

// pciAddress writes an address as the kernel does: NVML and some drivers give the
// domain eight digits, and capitals.
func pciAddress(address string) string {
	address = strings.ToLower(address)
	if domain, rest, found := strings.Cut(address, ":"); found && len(domain) == 8 {
		address = strings.TrimPrefix(domain, "0000") + ":" + rest
	}
	return address
}
