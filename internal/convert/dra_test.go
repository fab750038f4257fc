package convert

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/capability"
)

const gpuDriver = "gpu.example.com"

// classSelecting is a class with a selector.
func classSelecting(name, expression string) v1alpha1.AcceleratorClass {
	return v1alpha1.AcceleratorClass{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       v1alpha1.AcceleratorClassSpec{Match: v1alpha1.AcceleratorMatch{DeviceSelector: expression}},
	}
}

func byModel(model string) v1alpha1.AcceleratorClass {
	return classSelecting(model, fmt.Sprintf(`device.driver == %q && device.attributes[%q].model == %q`, gpuDriver, gpuDriver, model))
}

// draDevice has attributes as "name=value".
func draDevice(name string, attributes ...string) resourcev1.Device {
	out := resourcev1.Device{Name: name, Attributes: map[resourcev1.QualifiedName]resourcev1.DeviceAttribute{}}
	for _, a := range attributes {
		key, value, _ := strings.Cut(a, "=")
		out.Attributes[resourcev1.QualifiedName(key)] = resourcev1.DeviceAttribute{StringValue: &value}
	}
	return out
}

// slice is the only slice of the pool of a node.
func slice(node string, devices ...resourcev1.Device) resourcev1.ResourceSlice {
	return resourcev1.ResourceSlice{
		ObjectMeta: metav1.ObjectMeta{Name: node + "-slice"},
		Spec: resourcev1.ResourceSliceSpec{
			Driver: gpuDriver, NodeName: &node, Pool: resourcev1.ResourcePool{Name: node, Generation: 1, ResourceSliceCount: 1}, Devices: devices,
		},
	}
}

// pool changes the generation and the number of slices that a slice tells.
func pool(s resourcev1.ResourceSlice, name string, generation, count int64) resourcev1.ResourceSlice {
	s.Name = name
	s.Spec.Pool.Generation, s.Spec.Pool.ResourceSliceCount = generation, count
	return s
}

// draDevices are the devices of all nodes.
func draDevices(classes []v1alpha1.AcceleratorClass, list []resourcev1.ResourceSlice, reports map[string]*v1alpha1.NodeReport) map[string][]capability.DRADevice {
	dra := ReadDRA(classes, list)
	out := map[string][]capability.DRADevice{}
	for node := range dra {
		if found := dra.On(node, reports[node]); len(found) > 0 {
			out[node] = found
		}
	}
	return out
}

func TestDRADevices(t *testing.T) {
	h100 := func(name string, more ...string) resourcev1.Device {
		return draDevice(name, append([]string{"model=h100"}, more...)...)
	}
	found := func(id, device string, classes ...string) capability.DRADevice {
		return capability.DRADevice{ID: gpuDriver + "/" + id, Device: device, Classes: classes}
	}
	report := &v1alpha1.NodeReport{Accelerators: []v1alpha1.Accelerator{
		{UUID: "GPU-0", PCIAddress: "0000:1b:00.0"}, {UUID: "GPU-1", PCIAddress: "0000:43:00.0"},
	}}
	network := slice("n1", draDevice("nic0", "model=h100"))
	network.Spec.Driver = "nic.example.com"
	perDevice := slice("n1", h100("a"), h100("b"), h100("c"))
	perDevice.Spec.NodeName, perDevice.Spec.PerDeviceNodeSelection = nil, new(true)
	perDevice.Spec.Devices[0].NodeName, perDevice.Spec.Devices[1].NodeName = new("n1"), new("n2")
	everywhere := slice("n1", h100("a"))
	everywhere.Spec.NodeName, everywhere.Spec.AllNodes = nil, new(true)

	cases := map[string]struct {
		classes []v1alpha1.AcceleratorClass
		slices  []resourcev1.ResourceSlice
		reports map[string]*v1alpha1.NodeReport
		want    map[string][]capability.DRADevice
	}{
		"devices that a class selects, and no others": {
			slices: []resourcev1.ResourceSlice{slice("n1", h100("a"), draDevice("b", "model=other"), draDevice("c")), network},
			want:   map[string][]capability.DRADevice{"n1": {found("n1/a", "", "h100")}},
		},
		"a device of two classes has both": {
			classes: []v1alpha1.AcceleratorClass{byModel("h100"), classSelecting("any", "true")},
			slices:  []resourcev1.ResourceSlice{slice("n1", h100("a"), draDevice("b"))},
			want:    map[string][]capability.DRADevice{"n1": {found("n1/a", "", "h100", "any"), found("n1/b", "", "any")}},
		},
		"a broken selector selects nothing and harms no other": {
			classes: []v1alpha1.AcceleratorClass{classSelecting("broken", "device.drivr =="), byModel("h100")},
			slices:  []resourcev1.ResourceSlice{slice("n1", h100("a"))},
			want:    map[string][]capability.DRADevice{"n1": {found("n1/a", "", "h100")}},
		},
		"no selectors": {
			classes: []v1alpha1.AcceleratorClass{{ObjectMeta: metav1.ObjectMeta{Name: "by-id"}}},
			slices:  []resourcev1.ResourceSlice{slice("n1", h100("a"))},
			want:    map[string][]capability.DRADevice{},
		},
		"an agent's device is known again by its UUID or its PCI address": {
			slices: []resourcev1.ResourceSlice{slice("n1",
				h100("a", "uuid=GPU-1"),
				h100("b", "resource.kubernetes.io/pciBusID=00000000:1B:00.0"),
				h100("c", gpuDriver+"/uuid=GPU-2"),
				h100("d"),
			)},
			reports: map[string]*v1alpha1.NodeReport{"n1": report},
			want: map[string][]capability.DRADevice{"n1": {
				found("n1/a", "GPU-1", "h100"), found("n1/b", "GPU-0", "h100"), found("n1/c", "", "h100"),
			}},
		},
		"an agent on another node knows nothing of it": {
			slices:  []resourcev1.ResourceSlice{slice("n2", h100("a", "uuid=GPU-1"))},
			reports: map[string]*v1alpha1.NodeReport{"n1": report},
			want:    map[string][]capability.DRADevice{"n2": {found("n2/a", "", "h100")}},
		},
		"a device that is offered in two ways is one": {
			slices: []resourcev1.ResourceSlice{slice("n1",
				h100("gpu", "uuid=GPU-9", "pciBusID=0000:1b:00.0"), h100("vfio", "pciBusID=0000:1B:00.0"), h100("other", "pciBusID=0000:1c:00.0"))},
			want: map[string][]capability.DRADevice{"n1": {found("n1/gpu", "", "h100"), found("n1/other", "", "h100")}},
		},
		"a device that is offered in two ways has the classes of both": {
			classes: []v1alpha1.AcceleratorClass{byModel("h100"), byModel("pass")},
			slices:  []resourcev1.ResourceSlice{slice("n1", h100("gpu", "uuid=GPU-9"), draDevice("vfio", "uuid=GPU-9", "model=pass"), draDevice("again", "uuid=GPU-9", "model=pass"))},
			want:    map[string][]capability.DRADevice{"n1": {found("n1/gpu", "", "h100", "pass")}},
		},
		"only the newest generation counts": {
			slices: []resourcev1.ResourceSlice{
				pool(slice("n1", h100("new")), "s2", 7, 1), pool(slice("n1", h100("a"), h100("b")), "s1", 6, 1), pool(slice("n1", h100("c")), "s0", 5, 1),
			},
			want: map[string][]capability.DRADevice{"n1": {found("n1/new", "", "h100")}},
		},
		"a pool of which a slice is missing does not count, nor does its older generation": {
			slices: []resourcev1.ResourceSlice{pool(slice("n1", h100("a")), "s1", 6, 1), pool(slice("n1", h100("b")), "s2", 7, 2)},
			want:   map[string][]capability.DRADevice{},
		},
		"a pool of two slices": {
			slices: []resourcev1.ResourceSlice{pool(slice("n1", h100("b")), "s2", 7, 2), pool(slice("n1", h100("a")), "s1", 7, 2)},
			want:   map[string][]capability.DRADevice{"n1": {found("n1/a", "", "h100"), found("n1/b", "", "h100")}},
		},
		"slices that disagree on their number": {
			slices: []resourcev1.ResourceSlice{pool(slice("n1", h100("b")), "s2", 7, 2), pool(slice("n1", h100("a")), "s1", 7, 1)},
			want:   map[string][]capability.DRADevice{},
		},
		"a name twice in one pool": {
			slices: []resourcev1.ResourceSlice{slice("n1", h100("a"), h100("a"))},
			want:   map[string][]capability.DRADevice{},
		},
		"each device on its own node, and those of no one node on none": {
			slices: []resourcev1.ResourceSlice{perDevice},
			want:   map[string][]capability.DRADevice{"n1": {found("n1/a", "", "h100")}, "n2": {found("n1/b", "", "h100")}},
		},
		"a device of all nodes is on none": {slices: []resourcev1.ResourceSlice{everywhere}, want: map[string][]capability.DRADevice{}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			classes := tc.classes
			if classes == nil {
				classes = []v1alpha1.AcceleratorClass{byModel("h100")}
			}
			if diff := cmp.Diff(tc.want, draDevices(classes, tc.slices, tc.reports)); diff != "" {
				t.Errorf("devices (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCheckSelector(t *testing.T) {
	cases := map[string]struct {
		expression string
		// want is a part of the error; empty means none.
		want string
	}{
		"none":                    {"", ""},
		"a driver":                {`device.driver == "gpu.nvidia.com"`, ""},
		"a version and memory":    {`device.attributes["gpu.nvidia.com"].cudaComputeCapability.isGreaterThan(semver("8.9.0")) && device.capacity["gpu.nvidia.com"].memory.compareTo(quantity("80Gi")) >= 0`, ""},
		"an unknown field":        {`device.vendor == "x"`, "undefined field 'vendor'"},
		"no expression":           {`device.driver ==`, "Syntax error"},
		"no boolean":              {`device.driver`, "must evaluate to bool"},
		"more than it may cost":   {`device.attributes.all(a, device.attributes.all(b, device.attributes.all(c, device.attributes.all(d, a + b + c + d != ""))))`, "too complex"},
		"brackets without an end": {strings.Repeat("(", 300), "compilation failed"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			for range 2 { // The second answer is remembered.
				err := CheckSelector(tc.expression)
				if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
					t.Errorf("CheckSelector() = %v, want %q", err, tc.want)
				}
			}
		})
	}
}

// Answers are remembered as long as nothing changes, and no longer.
func TestSelectionIsRemembered(t *testing.T) {
	stored := slice("n1", draDevice("a", "model=h100"))
	stored.UID, stored.ResourceVersion = types.UID("remembered"), "1"
	ask := func(classes ...v1alpha1.AcceleratorClass) string {
		var out []string
		for _, d := range draDevices(classes, []resourcev1.ResourceSlice{stored}, nil)["n1"] {
			out = append(out, d.ID+" "+strings.Join(d.Classes, ","))
		}
		return strings.Join(out, "; ")
	}
	want := func(want, got string) {
		t.Helper()
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	want(gpuDriver+"/n1/a h100", ask(byModel("h100")))
	stored.Spec.Devices = []resourcev1.Device{draDevice("a", "model=h200")}
	want(gpuDriver+"/n1/a h100", ask(byModel("h100"))) // Nothing says that it has changed.
	want(gpuDriver+"/n1/a h200", ask(byModel("h200"))) // The selectors have.
	want("", ask(byModel("h100")))
	stored.Spec.Devices, stored.ResourceVersion = []resourcev1.Device{draDevice("a", "model=h100")}, "2"
	want(gpuDriver+"/n1/a h100", ask(byModel("h100")))
	stored.Spec.Devices = append(stored.Spec.Devices, draDevice("b", "model=h100")) // A backup was restored.
	want(gpuDriver+"/n1/a h100; "+gpuDriver+"/n1/b h100", ask(byModel("h100")))
	stored.Spec.Devices = stored.Spec.Devices[:1]
	renamed := byModel("h100")
	renamed.Name = "other"
	want(gpuDriver+"/n1/a other", ask(renamed))
}

// Nothing that a driver writes makes the conversion fail, make up devices, or
// count one twice.
func FuzzDRADevices(f *testing.F) {
	f.Add("n1", "n1", int64(1), int64(1), "model", "h100", "uuid", "GPU-0", "1.2.3", []byte{0, 1, 2})
	f.Add("", "n2", int64(-1), int64(1<<62), "a/b/c", "", "/uuid", "\x00", "v", []byte{255})
	f.Add("n1", "p", int64(0), int64(2), "x/pciBusID", ":::", "pciBusID", "00000000:", "99999999999999999999.0.0", []byte{3, 3, 3, 3})
	classes := []v1alpha1.AcceleratorClass{
		byModel("h100"), classSelecting("any", "true"), classSelecting("error", `device.attributes["a"].b == 1`),
		classSelecting("version", `device.attributes["gpu.example.com"].version.isGreaterThan(semver("1.0.0"))`),
		classSelecting("memory", `device.capacity["gpu.example.com"].memory.compareTo(quantity("1Gi")) > 0`),
		classSelecting("all", `device.attributes.all(d, device.attributes[d].all(n, n != "zz"))`),
	}
	f.Fuzz(func(t *testing.T, node, poolName string, generation, count int64, key1, value1, key2, value2, version string, shape []byte) {
		var list []resourcev1.ResourceSlice
		devices := map[string]int{}
		for i, b := range shape[:min(len(shape), 16)] {
			s := slice(node)
			s.UID, s.ResourceVersion = types.UID(fmt.Sprint("u", b%4)), fmt.Sprint(i)
			s.Spec.Pool = resourcev1.ResourcePool{Name: poolName, Generation: generation + int64(b%2), ResourceSliceCount: count}
			for j := range int(b % 5) {
				d := draDevice(fmt.Sprint("d", i, "-", j), key1+"="+value1, key2+"="+value2)
				d.Attributes["version"] = resourcev1.DeviceAttribute{VersionValue: &version}
				d.Attributes["empty"] = resourcev1.DeviceAttribute{}
				if b%3 == 0 {
					delete(d.Attributes, "empty")
				}
				d.Capacity = map[resourcev1.QualifiedName]resourcev1.DeviceCapacity{"memory": {Value: *resource.NewQuantity(generation, resource.BinarySI)}}
				s.Spec.Devices = append(s.Spec.Devices, d)
				devices[gpuDriver+"/"+poolName+"/"+d.Name]++
			}
			list = append(list, s)
		}
		report := &v1alpha1.NodeReport{Accelerators: []v1alpha1.Accelerator{{UUID: value1, PCIAddress: value2}}}
		for name, found := range draDevices(classes, list, map[string]*v1alpha1.NodeReport{node: report}) {
			if name == "" || name != node {
				t.Errorf("devices on node %q", name)
			}
			seen := map[string]bool{}
			for _, d := range found {
				if devices[d.ID] != 1 || seen[d.ID] || len(d.Classes) == 0 || len(d.Classes) > len(classes) || d.Device != "" && d.Device != value1 {
					t.Errorf("device %+v of %d", d, len(devices))
				}
				seen[d.ID] = true
			}
		}
	})
}

// Any text may stand in a selector.
func FuzzCheckSelector(f *testing.F) {
	f.Add(`device.driver == "x"`)
	f.Add(`device.attributes["a"].b.matches("(a+)+$")`)
	f.Add("((((")
	device := []resourcev1.ResourceSlice{slice("n1", draDevice("a", "model="+strings.Repeat("a", 64)))}
	f.Fuzz(func(t *testing.T, expression string) {
		if len(expression) > 4096 {
			return // The API server refuses it.
		}
		err := CheckSelector(expression)
		if found := draDevices([]v1alpha1.AcceleratorClass{classSelecting("c", expression)}, device, nil); err != nil && len(found) > 0 {
			t.Errorf("%q selects, and is refused: %v", expression, err)
		}
	})
}
