package machine

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
)

// schema is the part of a CRD's schema that bounds a report.
type schema struct {
	Type       string
	Properties map[string]schema
	Items      *schema
	Required   []string
	Enum       []any
	Pattern    string
	MinLength  *int
	MaxLength  *int
	MinItems   *int
	MaxItems   *int
	Minimum    *float64
	Maximum    *float64
	ListType   string   `json:"x-kubernetes-list-type"`
	MapKeys    []string `json:"x-kubernetes-list-map-keys"`
}

// statusSchema is the schema of a TopologyDomain's status, as the API server has it.
func statusSchema(t testing.TB) schema {
	t.Helper()
	text, err := os.ReadFile("../../../config/crd/bases/k8s4ai.io_topologydomains.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var crd struct {
		Spec struct {
			Versions []struct {
				Schema struct{ OpenAPIV3Schema schema }
			}
		}
	}
	if err := yaml.Unmarshal(text, &crd); err != nil {
		t.Fatal(err)
	}
	status := crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["status"]
	if len(status.Properties["node"].Properties) < 10 {
		t.Fatal("the CRD has no schema of a report")
	}
	return status
}

// check lists what the API server would refuse in a status with a report.
func (s schema) check(t testing.TB, report v1alpha1.NodeReport, conditions []metav1.Condition) []string {
	t.Helper()
	conditions = slices.Clone(conditions)
	for i := range conditions {
		conditions[i].LastTransitionTime = metav1.Unix(1, 0) // The writer's.
	}
	text, err := json.Marshal(v1alpha1.TopologyDomainStatus{Node: &report, Conditions: conditions})
	if err != nil {
		t.Fatal(err)
	}
	var value any
	if err := json.Unmarshal(text, &value); err != nil {
		t.Fatal(err)
	}
	return s.refuse("status", value)
}

func (s schema) refuse(at string, value any) []string {
	var out []string
	refuse := func(format string, args ...any) { out = append(out, at+": "+fmt.Sprintf(format, args...)) }
	if len(s.Enum) > 0 && !slices.Contains(s.Enum, value) {
		refuse("%v is not in %v", value, s.Enum)
	}
	switch v := value.(type) {
	case map[string]any:
		for _, name := range s.Required {
			if _, found := v[name]; !found {
				refuse("%s is missing", name)
			}
		}
		for name, field := range v {
			property, known := s.Properties[name]
			if !known {
				refuse("%s is unknown", name)
			}
			out = append(out, property.refuse(at+"."+name, field)...)
		}
	case []any:
		if s.MaxItems != nil && len(v) > *s.MaxItems || s.MinItems != nil && len(v) < *s.MinItems {
			refuse("%d items", len(v))
		}
		keys := map[string]bool{}
		for i, item := range v {
			out = append(out, s.Items.refuse(fmt.Sprintf("%s[%d]", at, i), item)...)
			if s.ListType != "map" {
				continue
			}
			var key strings.Builder
			for _, name := range s.MapKeys {
				fmt.Fprintf(&key, "%v ", item.(map[string]any)[name])
			}
			if keys[key.String()] {
				refuse("two items have the key %s", key.String())
			}
			keys[key.String()] = true
		}
	case string:
		if n := utf8.RuneCountInString(v); s.MaxLength != nil && n > *s.MaxLength || s.MinLength != nil && n < *s.MinLength {
			refuse("%d characters", n)
		}
		if s.Pattern != "" && !patterns(s.Pattern).MatchString(v) {
			refuse("%q does not match %s", v, s.Pattern)
		}
	case float64:
		if s.Maximum != nil && v > *s.Maximum || s.Minimum != nil && v < *s.Minimum {
			refuse("%v is out of bounds", v)
		}
	}
	return out
}

// patterns compiles each pattern once.
var patterns = func() func(string) *regexp.Regexp {
	var known sync.Map
	return func(pattern string) *regexp.Regexp {
		if compiled, found := known.Load(pattern); found {
			return compiled.(*regexp.Regexp)
		}
		compiled := regexp.MustCompile(pattern)
		known.Store(pattern, compiled)
		return compiled
	}
}()

// The checker refuses what the API server does: otherwise the tests below prove
// nothing.
func TestSchemaRefuses(t *testing.T) {
	good := func() v1alpha1.NodeReport {
		return v1alpha1.NodeReport{Accelerators: []v1alpha1.Accelerator{{UUID: "GPU-a", Index: new(int32(0)), Health: v1alpha1.DeviceHealthy}}}
	}
	cases := map[string]func(*v1alpha1.NodeReport){
		"an accelerator without health": func(r *v1alpha1.NodeReport) { r.Accelerators[0].Health = "" },
		"two with one UUID":             func(r *v1alpha1.NodeReport) { r.Accelerators = append(r.Accelerators, r.Accelerators[0]) },
		"an unknown health":             func(r *v1alpha1.NodeReport) { r.Accelerators[0].Health = "Fine" },
		"a bad address":                 func(r *v1alpha1.NodeReport) { r.Accelerators[0].PCIAddress = "0000:1B:00.0" },
		"a long name":                   func(r *v1alpha1.NodeReport) { r.Accelerators[0].ProductName = strings.Repeat("x", 129) },
		"a negative index":              func(r *v1alpha1.NodeReport) { r.Accelerators[0].Index = new(int32(-1)) },
		"many NVMes":                    func(r *v1alpha1.NodeReport) { r.NVMes = make([]v1alpha1.NVMe, 65) },
	}
	s := statusSchema(t)
	if refused := s.check(t, good(), nil); refused != nil {
		t.Errorf("a good report is refused: %v", refused)
	}
	for name, spoil := range cases {
		t.Run(name, func(t *testing.T) {
			r := good()
			spoil(&r)
			if s.check(t, r, nil) == nil {
				t.Error("accepted")
			}
		})
	}
}

// filler makes values of any type from bytes. It ends in zero values.
type filler struct {
	data []byte
	// depth is how many lists the value is in: long ones are outermost.
	depth int
}

func (f *filler) next() byte {
	if len(f.data) == 0 {
		return 0
	}
	b := f.data[0]
	f.data = f.data[1:]
	return b
}

// words are texts that mean something, or break something, in a report.
var words = []string{
	"", "GPU-a", "GPU-b", "GPU-c", "mlx5_0", "mlx5_0/2", "mlx5_10", "nvme0", "switch-0", "switch-unknown", "Active", "Down", "InfiniBand", "Ethernet",
	"Completed", "InProgress", "Unhealthy", "PIX", "NODE", "SYS", "0000:1b:00.0", "10de:2330", "0a7f:bc12:0034:5678", "9.0", "\x00\xff", "é\u202e🙂",
	"HwThermalSlowdown", "GPUReset", "2f3a4b5c-0000-4000-8000-000000000001", "0000\n", strings.Repeat("x", 300), strings.Repeat("é", 600),
}

func (f *filler) fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for _, field := range v.Fields() {
			f.fill(field)
		}
	case reflect.Slice:
		n := int(f.next())
		if n > 8 {
			n %= 4
		} else if n == 8 && f.depth == 0 {
			n = 70
		}
		f.depth++
		defer func() { f.depth-- }()
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			f.fill(v.Index(i))
		}
	case reflect.Pointer:
		if f.next()%2 == 1 {
			v.Set(reflect.New(v.Type().Elem()))
			f.fill(v.Elem())
		}
	case reflect.String:
		text := words[int(f.next())%len(words)]
		if n := f.next(); n%4 == 1 {
			text += string(rune('a' + n/4%26))
		}
		v.SetString(text)
	case reflect.Bool:
		v.SetBool(f.next()%2 == 1)
	default:
		n := int64(int8(f.next()))
		if f.next()%8 == 1 {
			n <<= 36
		}
		if v.CanInt() {
			v.SetInt(n)
		} else {
			v.SetUint(uint64(uint32(n)))
		}
	}
}

// Whatever the readers find, the API server accepts the report, and so again the
// one after it.
func FuzzReport(f *testing.F) {
	f.Add([]byte{}, uint64(0))
	f.Add([]byte(strings.Repeat("\x02\x01\x05\x07\x03", 100)), uint64(79))
	f.Add([]byte(strings.Repeat("\x08\x11\x21\x01", 2000)), uint64(48))
	s := statusSchema(f)
	f.Fuzz(func(t *testing.T, data []byte, xid uint64) {
		in := &filler{data: data}
		var first, second Facts
		in.fill(reflect.ValueOf(&first).Elem())
		in.fill(reflect.ValueOf(&second).Elem())
		report, conditions, history := Report(first, History{})
		if refused := s.check(t, report, conditions); refused != nil {
			t.Fatalf("refused: %v", refused)
		}
		if len(report.Accelerators) > 0 {
			history = history.Record(report.Accelerators[0].UUID, xid)
		}
		second.BootID = first.BootID
		again, conditions, _ := Report(second, history.Join(Restore(report)))
		if refused := s.check(t, again, conditions); refused != nil {
			t.Fatalf("refused after another look: %v", refused)
		}
		repeated, _, _ := Report(first, History{})
		if Material(report, repeated) {
			t.Fatal("the same facts make another report")
		}
	})
}
