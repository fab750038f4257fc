package simulate

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/k8s4ai/k8s4ai/internal/placement"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// tolerating is the toleration of a resource's own taint.
func tolerating(names ...string) []placement.Toleration {
	var out []placement.Toleration
	for _, name := range names {
		out = append(out, placement.Toleration{Key: name, Operator: "Exists"})
	}
	return out
}

func TestReadTrace(t *testing.T) {
	worker := func(pods int, gpus int64) placement.Request {
		return placement.Request{Root: placement.Group{Roles: []placement.Role{{
			Name: "worker", Count: pods,
			Shape: placement.Shape{Resources: placement.Resources{DefaultDevice: gpus}, Tolerations: tolerating(DefaultDevice)},
		}}}}
	}
	full := worker(64, 8)
	full.Root.Required, full.Root.Preferred = topology.Block, topology.Leaf
	full.Root.Roles[0].Shape.Resources = placement.Resources{DefaultDevice: 8, "cpu": 96000, "memory": 1 << 40, "rdma/ib": 8}
	full.Root.Roles[0].Shape.Tolerations = tolerating(DefaultDevice, "rdma/ib")
	full.Root.Roles[0].Shape.Classes = []string{"h100", "h200"}
	full.Root.Roles = append(full.Root.Roles, placement.Role{Name: "router", Count: 1, Shape: placement.Shape{
		Resources: placement.Resources{"cpu": 500}, Classes: []string{"h100", "h200"},
	}})
	amd := worker(1, 4)
	amd.Root.Roles[0].Shape.Resources = placement.Resources{"amd.com/gpu": 4}
	amd.Root.Roles[0].Shape.Tolerations = tolerating("amd.com/gpu")
	cases := map[string]struct {
		text, device string
		want         []Arrival
	}{
		"only a header": {text: "arrival,duration,roles\n"},
		"the least": {
			text: "arrival,duration,roles\n0,60,worker=2x8\n",
			want: []Arrival{{Name: "gang-0000001", Duration: time.Minute, Estimate: time.Minute, Request: worker(2, 8)}},
		},
		"decimals, units, comments, another order": {
			text: "# by hand\nroles, arrival ,duration\n worker=1x1 ,0.25, 1h30m\n\nworker=1x1;,1.5,2\n",
			want: []Arrival{
				{Name: "gang-0000001", At: 250 * time.Millisecond, Duration: 90 * time.Minute, Estimate: 90 * time.Minute, Request: worker(1, 1)},
				{Name: "gang-0000002", At: 1500 * time.Millisecond, Duration: 2 * time.Second, Estimate: 2 * time.Second, Request: worker(1, 1)},
			},
		},
		"everything": {
			text: "\ufeffname,arrival,duration,roles,priority,estimate,required,preferred,checkpoint,restart,classes\n" +
				"big,5,10,worker=64x8 cpu=96 memory=1Ti rdma/ib=8; router=1x0 cpu=500m,-3,20,Block,Leaf,2,1m,h100;h200\n" +
				"small,5,10,worker=1x1,,,,,,,\n" +
				"rough,5,10,worker=1x1,,unknown,,,,,\n",
			want: []Arrival{
				{
					Name: "big", At: 5 * time.Second, Duration: 10 * time.Second, Request: full, Priority: -3,
					Estimate: 20 * time.Second, Checkpoint: 2 * time.Second, Restart: time.Minute,
				},
				{Name: "small", At: 5 * time.Second, Duration: 10 * time.Second, Estimate: 10 * time.Second, Request: worker(1, 1)},
				{Name: "rough", At: 5 * time.Second, Duration: 10 * time.Second, Request: worker(1, 1)},
			},
		},
		"another device": {
			text: "arrival,duration,roles\n1700000000.5,1,worker=1x4\n", device: "amd.com/gpu",
			want: []Arrival{{Name: "gang-0000001", At: 1700000000*time.Second + 500*time.Millisecond, Duration: time.Second, Estimate: time.Second, Request: amd}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := ReadTrace(strings.NewReader(tc.text), tc.device)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("ReadTrace() (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReadTraceNamesLineAndColumn(t *testing.T) {
	const header = "arrival,duration,roles,name,priority,estimate,required,preferred,checkpoint,restart,classes\n"
	row := func(edit func(cells map[string]string)) string {
		cells := map[string]string{"arrival": "0", "duration": "1", "roles": "worker=1x1"}
		edit(cells)
		var out []string
		for name := range strings.SplitSeq(strings.TrimSpace(header), ",") {
			out = append(out, cells[name])
		}
		return header + strings.Join(out, ",") + "\n"
	}
	cell := func(column, text string) string {
		return row(func(cells map[string]string) { cells[column] = text })
	}
	cases := map[string]struct{ text, want string }{
		"nothing":                     {"", "line 1: no header: the first line names the columns, at least arrival,duration,roles"},
		"an unknown column":           {"arrival,gpus\n", `line 1, column 2: no column is called "gpus": write some of arrival, duration, roles, name, priority, estimate, required, preferred, checkpoint, restart, classes`},
		"a column twice":              {"arrival,arrival\n", "line 1, column 2: arrival is there twice"},
		"a column that is missing":    {"arrival,roles\n", "line 1: column duration is missing"},
		"too few cells":               {"arrival,duration,roles\n0,1\n", "line 2, column 1: wrong number of fields"},
		"an open quote":               {"arrival,duration,roles\n0,1,\"worker\n", "line 2, column 13: extraneous or missing \" in quoted-field"},
		"no arrival":                  {cell("arrival", ""), "line 2, column arrival: it is empty: write seconds such as 90 or 0.5, or a time such as 1h30m"},
		"a negative arrival":          {cell("arrival", "-1s"), "line 2, column arrival: -1s is negative"},
		"a negative number":           {cell("arrival", "-1"), `line 2, column arrival: "-1" is no time: write seconds such as 90 or 0.5, or a time such as 1h30m`},
		"not a number":                {cell("arrival", "NaN"), `line 2, column arrival: "NaN" is no time: write seconds such as 90 or 0.5, or a time such as 1h30m`},
		"two points":                  {cell("arrival", "1.2.3"), `line 2, column arrival: "1.2.3" is no time: write seconds such as 90 or 0.5, or a time such as 1h30m`},
		"a late arrival":              {cell("arrival", "4000000001"), "line 2, column arrival: 4000000001 is later than 4000000000 seconds"},
		"a very late arrival":         {cell("arrival", strings.Repeat("9", 400)), "line 2, column arrival: " + strings.Repeat("9", 60) + "... is later than 4000000000 seconds"},
		"no duration":                 {cell("duration", "0"), "line 2, column duration: 0 is not above 0"},
		"an estimate of 0":            {cell("estimate", "0s"), "line 2, column estimate: 0s is not above 0"},
		"a bad checkpoint":            {cell("checkpoint", "often"), `line 2, column checkpoint: "often" is no time: write seconds such as 90 or 0.5, or a time such as 1h30m`},
		"a bad restart":               {cell("restart", "1y"), `line 2, column restart: "1y" is no time: write seconds such as 90 or 0.5, or a time such as 1h30m`},
		"a fraction of priority":      {cell("priority", "1.5"), `line 2, column priority: "1.5" is no whole number from -2147483648 to 2147483647`},
		"a priority of 2^31":          {cell("priority", "2147483648"), `line 2, column priority: "2147483648" is no whole number from -2147483648 to 2147483647`},
		"an unknown level":            {cell("required", "Rack"), `line 2, column required: "Rack" is no level: write one of Fabric Block Leaf NVLinkDomain Node, or nothing`},
		"contradictory levels":        {row(func(c map[string]string) { c["required"], c["preferred"] = "Leaf", "Block" }), "line 2, column preferred: Block is wider than required Leaf: write a narrower level or none"},
		"a name twice":                {cell("name", "a") + "0,1,worker=1x1,a,,,,,,,\n", `line 3, column name: "a" is the gang of line 2, too`},
		"a name of another line":      {cell("name", "gang-0000002") + "0,1,worker=1x1,,,,,,,,\n", `line 3, column name: "gang-0000002" is the gang of line 2, too`},
		"a long name":                 {cell("name", strings.Repeat("a", 254)), `line 2, column name: "` + strings.Repeat("a", 60) + `..." is longer than 253 bytes`},
		"a class without a name":      {cell("classes", "a;;b"), "line 2, column classes: a class has no name"},
		"a class twice":               {cell("classes", "a;a"), `line 2, column classes: class "a" is there twice`},
		"many classes":                {cell("classes", strings.Join(strings.Split("abcdefghijklmnopq", ""), ";")), "line 2, column classes: more than 16 classes"},
		"no roles":                    {cell("roles", " "), "line 2, column roles: it is empty: write a role such as worker=64x8"},
		"an empty role":               {cell("roles", "a=1x1;;b=1x1"), "line 2, column roles: a role is empty: write a role such as worker=64x8"},
		"a role without a size":       {cell("roles", "worker"), `line 2, column roles: "worker" is no role: write NAME=PODSxDEVICES, such as worker=64x8`},
		"a role without a name":       {cell("roles", "=1x1"), `line 2, column roles: a role's name has 1 to 63 bytes, "" has 0`},
		"no pods":                     {cell("roles", "worker=0x1"), "line 2, column roles: role worker: pods: 0 is not 1 to 65536"},
		"2^31 pods":                   {cell("roles", "worker=2147483648x1"), "line 2, column roles: role worker: pods: 2147483648 is not 1 to 65536"},
		"10^30 pods":                  {cell("roles", "worker=1"+strings.Repeat("0", 30)+"x1"), "line 2, column roles: role worker: pods: 1" + strings.Repeat("0", 30) + " is not 1 to 65536"},
		"many pods in all":            {cell("roles", "a=65536x1;b=1x1"), "line 2, column roles: more than 65536 pods in one gang"},
		"devices that are no number":  {cell("roles", "worker=1xall"), `line 2, column roles: role worker: devices per pod: "all" is no whole number`},
		"many devices":                {cell("roles", "worker=1x1025"), "line 2, column roles: role worker: devices per pod: 1025 is not 0 to 1024"},
		"a role twice":                {cell("roles", "a=1x1;a=2x1"), "line 2, column roles: role a is there twice"},
		"65 roles":                    {cell("roles", manyRoles(65)), "line 2, column roles: more than 64 roles"},
		"a resource without amount":   {cell("roles", "a=1x1 cpu"), `line 2, column roles: role a: "cpu" is no resource: write NAME=AMOUNT, such as memory=1Ti`},
		"a resource twice":            {cell("roles", "a=1x1 cpu=1 cpu=2"), "line 2, column roles: role a: cpu is there twice"},
		"the devices twice":           {cell("roles", "a=1x0 nvidia.com/gpu=2"), "line 2, column roles: role a: nvidia.com/gpu is told by PODSxDEVICES already"},
		"the pods twice":              {cell("roles", "a=1x1 pods=2"), "line 2, column roles: role a: pods is told by PODSxDEVICES already"},
		"many resources":              {cell("roles", "a=1x1"+strings.Repeat(" b=1", 17)), "line 2, column roles: role a: more than 16 resources"},
		"an amount of nothing":        {cell("roles", "a=1x1 cpu="), `line 2, column roles: role a: cpu: "" is no amount: write such as 96, 500m, 1.5 or 1Ti`},
		"a negative amount":           {cell("roles", "a=1x1 cpu=-1"), `line 2, column roles: role a: cpu: "-1" is no amount: write such as 96, 500m, 1.5 or 1Ti`},
		"an amount beyond all":        {cell("roles", "a=1x1 memory=99999999Pi"), "line 2, column roles: role a: memory: 99999999Pi is too large"},
		"an amount of too much":       {cell("roles", "a=1x1 memory=9223372036854775807k"), "line 2, column roles: role a: memory: 9223372036854775807k is too large"},
		"a part of a device":          {cell("roles", "a=1x1 rdma/ib=0.5"), "line 2, column roles: role a: rdma/ib: 0.5 is not a whole number of the smallest unit"},
		"an error in a later line":    {header + "# a note\n\n0,1,worker=1x1,,,,,,,,\n0,x,worker=1x1,,,,,,,,\n", `line 5, column duration: "x" is no time: write seconds such as 90 or 0.5, or a time such as 1h30m`},
		"an error behind line breaks": {header + "0,1,\"worker=1x1;\nrouter=1x0\",,,,,,,,\n0,x,a=1x1,,,,,,,,\n", `line 4, column duration: "x" is no time: write seconds such as 90 or 0.5, or a time such as 1h30m`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := ReadTrace(strings.NewReader(tc.text), "")
			if got := fmt.Sprint(err); got != "reading the trace: "+tc.want {
				t.Errorf("ReadTrace() = %s\nwant reading the trace: %s", got, tc.want)
			}
		})
	}
}

func manyRoles(count int) string {
	var roles []string
	for i := range count {
		roles = append(roles, fmt.Sprintf("role-%d=1x1", i))
	}
	return strings.Join(roles, ";")
}

func TestParseQuantity(t *testing.T) {
	cases := map[string]struct {
		resource, text string
		want           int64
	}{
		"cores":             {"cpu", "96", 96000},
		"millicores":        {"cpu", "1500m", 1500},
		"a part of a core":  {"cpu", "0.25", 250},
		"bytes":             {"memory", "123", 123},
		"a binary unit":     {"memory", "1.5Gi", 3 << 29},
		"a decimal unit":    {"memory", "2T", 2e12},
		"the largest":       {"memory", "9223372036854775807", 9223372036854775807},
		"milli that add up": {"memory", "5000m", 5},
		"pieces":            {"rdma/ib", "1k", 1000},
		"nothing":           {"rdma/ib", "0", 0},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got, err := parseQuantity(tc.resource, tc.text); err != nil || got != tc.want {
				t.Errorf("parseQuantity(%s, %s) = %d, %v, want %d", tc.resource, tc.text, got, err, tc.want)
			}
		})
	}
}

// endless is a file without an end. Its reads stop the test should nobody stop
// reading.
type endless struct {
	header string
	read   int
}

func (e *endless) Read(p []byte) (int, error) {
	if e.header != "" {
		n := copy(p, e.header)
		e.header = e.header[n:]
		return n, nil
	}
	for i := range p {
		p[i] = 'a'
	}
	if e.read += len(p); e.read > 2*MaxTraceBytes {
		return 0, errors.New("read on past the limit")
	}
	return len(p), nil
}

func TestReadTraceBoundsWhatItReads(t *testing.T) {
	want := "reading the trace: it has more than 67108864 bytes: cut it in pieces"
	if _, err := ReadTrace(&endless{header: "arrival,duration,roles\n0,1,"}, ""); fmt.Sprint(err) != want {
		t.Errorf("ReadTrace() = %v, want %s", err, want)
	}
}

func TestReadTraceTellsThatReadingFailed(t *testing.T) {
	broken := errors.New("the disk is gone")
	if _, err := ReadTrace(io.MultiReader(strings.NewReader("arrival,duration,roles\n"), failing{broken}), ""); !errors.Is(err, broken) {
		t.Errorf("ReadTrace() = %v, want %v", err, broken)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func FuzzReadTrace(f *testing.F) {
	f.Add("arrival,duration,roles\n0,60,worker=2x8\n")
	f.Add("name,arrival,duration,roles,priority,estimate,required,preferred,checkpoint,restart,classes\nbig,5,10,worker=64x8 cpu=96 memory=1Ti rdma/ib=8; router=1x0 cpu=500m,-3,20,Block,Leaf,2,1m,h100;h200\n")
	f.Add("roles,arrival,duration,estimate\n\"a=1x1\n\",1h,0.000000001,unknown\n")
	f.Add("arrival,duration,roles\n1.5,9e9s,a=1x0 memory=8388607.999999Pi\n")
	fleet := Uniform(4, 2, 1, 8)
	f.Fuzz(func(t *testing.T, text string) {
		trace, err := ReadTrace(strings.NewReader(text), "")
		if err != nil {
			if !strings.Contains(err.Error(), "line ") {
				t.Errorf("%v names no line", err)
			}
			return
		}
		for _, a := range trace {
			if v := placement.Place(mustSnapshot(t, fleet), a.Request); v.Invalid != "" {
				t.Errorf("%+v is read but invalid: %s", a, v.Invalid)
			}
		}
		// What is read can be replayed: an error is one about the end of time.
		if _, err := run(fleet, trace, Options{}, firstComeFirstServed); err != nil && !strings.Contains(err.Error(), "292 years") {
			t.Error(err)
		}
	})
}

func mustSnapshot(t *testing.T, fleet Fleet) *placement.Snapshot {
	t.Helper()
	s, err := placement.NewSnapshot(fleet.Domains, fleet.Nodes)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
