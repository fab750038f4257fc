package api

import (
	"fmt"
	"strings"
	"testing"
)

// list writes a YAML list of n elements; %d in the element is its index.
func list(n int, element string) string {
	parts := make([]string, n)
	for i := range parts {
		parts[i] = strings.ReplaceAll(element, "%d", fmt.Sprint(i))
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

const role = "{name: r%d, replicas: 1, template: {spec: {containers: [{name: c, image: i}]}}}"

const placed = "status.placement: {generation: 1, committedTime: '2026-01-01T00:00:00Z', "

const refused = "status.refusal: {reason: WaitingForRoom, generation: 1, message: why, "

// What types, enums, patterns, sizes and map keys refuse, without CEL.
func TestBounds(t *testing.T) {
	condition := "{type: Ready, status: 'True', reason: Running, message: '', lastTransitionTime: '2026-01-01T00:00:00Z'}"
	cases := map[string]struct {
		kind   string
		object []string
		status []string
		// want is a part of the error; empty means accepted.
		want string
	}{
		"null counts as unset":               {kind: domain, object: []string{"spec.nodeName: null", "spec.parentName: null"}},
		"null beside its alternative":        {kind: gang, object: []string{"spec.roles[0].accelerator: {className: null, capabilities: {features: [FP8]}}"}},
		"a null where a value is required":   {kind: gang, object: []string{"spec.roles[0].name: null"}, want: "spec.roles[0].name: Required value"},
		"a level of another spelling":        {kind: domain, object: []string{"spec.level: leaf"}, want: `spec.level: Unsupported value: "leaf": supported values: "Fabric", "Block", "Leaf", "NVLinkDomain", "Node"`},
		"a domain without a level":           {kind: domain, object: []string{"-spec.level"}, want: "spec.level: Required value"},
		"a domain without a spec":            {kind: domain, object: []string{"-spec"}, want: "spec: Required value"},
		"an empty parent name":               {kind: domain, object: []string{"spec.parentName: ''"}, want: "spec.parentName in body should be at least 1 chars long"},
		"an empty node name":                 {kind: domain, object: []string{"spec: {level: Node, nodeName: ''}"}, want: "spec.nodeName in body should be at least 1 chars long"},
		"an uplink of zero":                  {kind: domain, object: []string{"spec.uplinkGbps: 0"}, want: "greater than or equal to 1"},
		"4096 members":                       {kind: domain, object: []string{"spec.members: {nodeNames: " + list(4096, "node-%d") + "}"}},
		"4097 members":                       {kind: domain, object: []string{"spec.members: {nodeNames: " + list(4097, "node-%d") + "}"}, want: "must have at most 4096 items"},
		"a member twice":                     {kind: domain, object: []string{"spec.members: {nodeNames: [a, b, a]}"}, want: `spec.members.nodeNames[2]: Duplicate value: "a"`},
		"no members":                         {kind: domain, object: []string{"spec.members: {nodeNames: []}"}, want: "should have at least 1 items"},
		"a member without a name":            {kind: domain, object: []string{"spec.members: {nodeNames: ['']}"}, want: "should be at least 1 chars long"},
		"an empty status of a domain":        {kind: domain, status: []string{"status: {}"}, want: "in body should have at least 1 properties"},
		"a PCI address in capitals":          {kind: domain, status: []string{"status.node: {accelerators: [{uuid: u, index: 0, health: Healthy, pciAddress: '0000:1B:00.0'}]}"}, want: "should match"},
		"one UUID twice":                     {kind: domain, status: []string{"status.node: {accelerators: [{uuid: u, index: 0, health: Healthy}, {uuid: u, index: 1, health: Healthy}]}"}, want: "Duplicate value"},
		"a health of another spelling":       {kind: domain, status: []string{"status.node: {accelerators: [{uuid: u, index: 0, health: healthy}]}"}, want: "supported values"},
		"a count of less than nothing":       {kind: domain, status: []string{"status.nodes: {total: -1, ready: 0}"}, want: "greater than or equal to 0"},
		"a class without match":              {kind: class, object: []string{"-spec.match"}, want: "spec.match: Required value"},
		"a class without a vendor":           {kind: class, object: []string{"spec.vendor: ''"}, want: "should be at least 1 chars long"},
		"a PCI ID in capitals":               {kind: class, object: []string{"spec.match: {pciIDs: ['10DE:2330']}"}, want: "should match '^[0-9a-f]{4}:[0-9a-f]{4}$'"},
		"a PCI ID twice":                     {kind: class, object: []string{"spec.match: {pciIDs: ['10de:2330', '10de:2330']}"}, want: "Duplicate value"},
		"a product name twice":               {kind: class, object: []string{"spec.match: {productNames: [NVIDIA L40S, NVIDIA L40S]}"}, want: "Duplicate value"},
		"a product name of nothing":          {kind: class, object: []string{"spec.match: {productNames: ['']}"}, want: "should be at least 1 chars long"},
		"32 product names":                   {kind: class, object: []string{"spec.match: {productNames: " + list(32, "p%d") + "}"}},
		"33 product names":                   {kind: class, object: []string{"spec.match: {productNames: " + list(33, "p%d") + "}"}, want: "must have at most 32 items"},
		"a figure twice":                     {kind: class, object: []string{"spec.figures: [{name: MemoryGBps, value: 1, source: a}, {name: MemoryGBps, value: 2, source: a}]"}, want: "spec.figures[1]: Duplicate value"},
		"a figure that does not exist":       {kind: class, object: []string{"spec.figures: [{name: TF32TeraFLOPS, value: 1, source: a}]"}, want: `Unsupported value: "TF32TeraFLOPS"`},
		"a figure as long as a novel":        {kind: class, object: []string{"spec.figures: [{name: MemoryGBps, value: '" + strings.Repeat("1", 33) + "', source: a}]"}, want: "Too long: may not be more than 32 bytes"},
		"a figure from an empty source":      {kind: class, object: []string{"spec.figures: [{name: MemoryGBps, value: 1, source: ''}]"}, want: "should be at least 1 chars long"},
		"a currency in lower case":           {kind: class, object: []string{"spec.cost: {currency: usd, hourly: 1}"}, want: "should match '^[A-Z]{3}$'"},
		"a day in American notation":         {kind: class, object: []string{"spec.sources: [{field: memory, source: a, retrieved: 01/31/2026}]"}, want: "should match"},
		"8 fallbacks":                        {kind: class, object: []string{"spec.fallback: " + list(8, "c%d")}},
		"9 fallbacks":                        {kind: class, object: []string{"spec.fallback: " + list(9, "c%d")}, want: "must have at most 8 items"},
		"a measured figure twice":            {kind: class, status: []string{"status.measured: [{name: MemoryGBps, p10: 1, p50: 1, p90: 1, samples: 1}, {name: MemoryGBps, p10: 1, p50: 1, p90: 1, samples: 1}]"}, want: "Duplicate value"},
		"a method of 64 characters":          {kind: class, status: []string{"status.measured: [{name: MemoryGBps, p10: 1, p50: 1, p90: 1, samples: 1, method: " + strings.Repeat("m", 64) + "}]"}, want: "may not be more than 63 bytes"},
		"a gang without roles":               {kind: gang, object: []string{"-spec.roles"}, want: "spec.roles: Required value"},
		"a gang with an empty list of roles": {kind: gang, object: []string{"spec.roles: []"}, want: "should have at least 1 items"},
		"16 roles":                           {kind: gang, object: []string{"spec.roles: " + list(16, role)}},
		"17 roles":                           {kind: gang, object: []string{"spec.roles: " + list(17, role)}, want: "must have at most 16 items"},
		"two roles of one name":              {kind: gang, object: []string{"spec.roles: " + list(2, strings.ReplaceAll(role, "%d", ""))}, want: `spec.roles[1]: Duplicate value: {"name":"r"}`},
		"a role of 17 characters":            {kind: gang, object: []string{"spec.roles[0].name: " + strings.Repeat("r", 17)}, want: "Too long: may not be more than 16 bytes"},
		"a role in capitals":                 {kind: gang, object: []string{"spec.roles[0].name: Worker"}, want: "should match"},
		"a role with an empty name":          {kind: gang, object: []string{"spec.roles[0].name: ''"}, want: "should be at least 1 chars long"},
		"no replicas":                        {kind: gang, object: []string{"spec.roles[0].replicas: 0"}, want: "greater than or equal to 1"},
		"5000 replicas":                      {kind: gang, object: []string{"spec.roles[0].replicas: 5000"}, want: "less than or equal to 4096"},
		"two billion replicas in all":        {kind: gang, object: []string{"spec.roles[0].replicas: 2147483647", "spec.roles[0].spares: 2147483647"}, want: "less than or equal to 4096"},
		"an empty class name":                {kind: gang, object: []string{"spec.roles[0].accelerator: {className: ''}"}, want: "should be at least 1 chars long"},
		"an empty class name beside needs":   {kind: gang, object: []string{"spec.roles[0].accelerator: {className: '', capabilities: {features: [FP8]}}"}, want: "should be at least 1 chars long"},
		"capabilities with no features":      {kind: gang, object: []string{"spec.roles[0].accelerator: {capabilities: {features: []}}"}, want: "should have at least 1 items"},
		"a feature twice":                    {kind: gang, object: []string{"spec.roles[0].accelerator: {capabilities: {features: [FP8, FP8]}}"}, want: "Duplicate value"},
		"two groups of one name":             {kind: gang, object: []string{"spec.groups: [{name: dp, roleNames: [worker]}, {name: dp}]"}, want: `spec.groups[1]: Duplicate value: {"name":"dp"}`},
		"a role twice in one group":          {kind: gang, object: []string{"spec.groups: [{name: dp, roleNames: [worker, worker]}]"}, want: `Duplicate value: "worker"`},
		"an empty parent of a group":         {kind: gang, object: []string{"spec.groups: [{name: dp, parentName: '', roleNames: [worker]}]"}, want: "should be at least 1 chars long"},
		"16 groups":                          {kind: gang, object: []string{"spec.groups: " + list(16, "{name: g%d}")}},
		"17 groups":                          {kind: gang, object: []string{"spec.groups: " + list(17, "{name: g%d}")}, want: "must have at most 16 items"},
		"a slice of nothing":                 {kind: gang, object: []string{"spec.groups: [{name: dp, roleNames: [worker], sliceSize: 0}]"}, want: "greater than or equal to 1"},
		"a pattern of another spelling":      {kind: gang, object: []string{"spec.topology: {pattern: all-to-all}"}, want: `supported values: "Ring", "Tree", "AllToAll", "Pipeline", "PrefillDecode"`},
		"an unknown restart type":            {kind: gang, object: []string{"spec.restartPolicy: {type: OnFailure}"}, want: `supported values: "Never", "RecreateGang"`},
		"a restart policy without a type":    {kind: gang, object: []string{"spec.restartPolicy: {maxRestarts: 3}"}, want: "spec.restartPolicy.type: Required value"},
		"an empty queue name":                {kind: gang, object: []string{"spec.queueName: ''"}, want: "should be at least 1 chars long"},
		"a port that does not exist":         {kind: gang, object: []string{"spec.masterPort: 65536"}, want: "less than or equal to 65535"},
		"a bind timeout of two hours":        {kind: gang, object: []string{"spec.bindTimeoutSeconds: 7200"}, want: "less than or equal to 3600"},
		"a bind timeout with a unit":         {kind: gang, object: []string{"spec.bindTimeoutSeconds: 30s"}, want: "must be of type integer"},
		"a misspelt field":                   {kind: gang, object: []string{"spec.roles[0].minReplica: 2"}, want: `unknown field "spec.roles[0].minReplica"`},
		"an empty status of a gang":          {kind: gang, status: []string{"status: {}"}, want: "in body should have at least 1 properties"},
		"epoch zero":                         {kind: gang, status: []string{"status.epoch: 0"}, want: "greater than or equal to 1"},
		"one condition twice":                {kind: gang, status: []string{"status.conditions: " + list(2, condition)}, want: "Duplicate value"},
		"17 conditions":                      {kind: gang, status: []string{"status.conditions: " + list(17, strings.Replace(condition, "Ready", "Ready%d", 1))}, want: "must have at most 16 items"},
		"a placement at an unknown level":    {kind: gang, status: []string{placed + "level: Rack, roles: [{name: worker, replicas: 1, hosts: node-1}]}"}, want: `Unsupported value: "Rack"`},
		"a placement of no role":             {kind: gang, status: []string{placed + "roles: []}"}, want: "should have at least 1 items"},
		"a placement without hosts":          {kind: gang, status: []string{placed + "roles: [{name: worker, replicas: 1, hosts: ''}]}"}, want: "should be at least 1 chars long"},
		"a placement of one role twice":      {kind: gang, status: []string{placed + "roles: [{name: worker, replicas: 1, hosts: a}, {name: worker, replicas: 1, hosts: b}]}"}, want: "Duplicate value"},
		"a locality of another spelling":     {kind: gang, object: []string{"spec.roles[0].deviceLocality: island"}, want: `Unsupported value: "island": supported values: "Node", "Island"`},
		"a locality of islands":              {kind: gang, object: []string{"spec.roles[0].deviceLocality: Island"}},
		"a placement with its bandwidth":     {kind: gang, status: []string{placed + "bandwidth: {estimatedGbps: 2400, bestGbps: 3200, bottleneckLevel: Leaf, bottleneckDomain: leaf-1}, groups: [{name: tp, level: Node, estimatedGbps: 3600}], roles: [{name: worker, replicas: 1, hosts: a}]}"}},
		"a bandwidth of nothing":             {kind: gang, status: []string{placed + "bandwidth: {}, roles: [{name: worker, replicas: 1, hosts: a}]}"}, want: "in body should have at least 1 properties"},
		"a bandwidth of zero":                {kind: gang, status: []string{placed + "bandwidth: {estimatedGbps: 0}, roles: [{name: worker, replicas: 1, hosts: a}]}"}, want: "greater than or equal to 1"},
		"a refusal with all its levels":      {kind: gang, status: []string{refused + "levels: [{found: 8, needed: 8}, {level: Fabric, domain: f, found: 8, needed: 8}, {level: Block, domain: b, found: 4, needed: 8}, {level: Leaf, domain: l, found: 2, needed: 8}, {level: NVLinkDomain, found: 0, needed: 8}, {level: Node, domain: n1, found: 1, needed: 8}]}"}},
		"a refusal with seven levels":        {kind: gang, status: []string{refused + "levels: " + list(7, "{found: 1, needed: 8}") + "}"}, want: "must have at most 6 items"},
		"a level without what was found":     {kind: gang, status: []string{refused + "levels: [{level: Leaf, needed: 8}]}"}, want: "found: Required value"},
		"16 reasons to leave nodes out":      {kind: gang, status: []string{refused + "excluded: " + list(16, "{reason: r%d, nodes: 1}") + "}"}},
		"17 reasons to leave nodes out":      {kind: gang, status: []string{refused + "excluded: " + list(17, "{reason: r%d, nodes: 1}") + "}"}, want: "must have at most 16 items"},
		"a reason twice":                     {kind: gang, status: []string{refused + "excluded: [{reason: cordoned, nodes: 1}, {reason: cordoned, nodes: 2}]}"}, want: "Duplicate value"},
		"a reason without nodes":             {kind: gang, status: []string{refused + "excluded: [{reason: cordoned, nodes: 0}]}"}, want: "greater than or equal to 1"},
		"a release without a reason":         {kind: gang, status: []string{"status.release: {message: why}"}, want: "status.release.reason: Required value"},
		"a refusal as long as a novel":       {kind: gang, status: []string{"status.refusal: {reason: WaitingForRoom, generation: 1, message: " + strings.Repeat("x", 1025) + "}"}, want: "may not be more than 1024 bytes"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			u := object(t, tc.kind, tc.object...)
			err := create(t, u)
			if tc.status != nil {
				if err != nil {
					t.Fatalf("creating the object: %v", err)
				}
				err = update(t, u, tc.status...)
			}
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tc.want != "" && err == nil:
				t.Errorf("accepted, want %q", tc.want)
			case tc.want != "" && !strings.Contains(err.Error(), tc.want):
				t.Errorf("got %v\nwant %q", err, tc.want)
			}
		})
	}
}
