package api

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ruleRow is an object that one CEL rule accepts or refuses.
type ruleRow struct {
	kind string
	// at and rule say which rule: where it stands, and a part of its message.
	at, rule string
	refused  bool
	// object are edits of the kind's base, see edit.
	object []string
	// then are updates of the stored object, one after the other. Only the last
	// one is judged.
	then [][]string
}

const (
	domain = "TopologyDomain"
	class  = "AcceleratorClass"
	gang   = "GangSchedulingGroup"
)

// Two roles, for rules about groups.
const twoRoles = `spec.roles: [
  {name: a, replicas: 2, template: {spec: {containers: [{name: c, image: i}]}}},
  {name: b, replicas: 2, template: {spec: {containers: [{name: c, image: i}]}}}]`

var ruleRows = map[string]ruleRow{
	// TopologyDomain
	"a Node vertex names its node":                {kind: domain, at: "spec", rule: "nodeName is for level Node", object: []string{"spec: {level: Node, nodeName: node-1}"}},
	"a Leaf without nodeName":                     {kind: domain, at: "spec", rule: "nodeName is for level Node"},
	"a Node vertex without nodeName":              {kind: domain, at: "spec", rule: "nodeName is for level Node", refused: true, object: []string{"spec: {level: Node}"}},
	"a Leaf with nodeName":                        {kind: domain, at: "spec", rule: "nodeName is for level Node", refused: true, object: []string{"spec.nodeName: node-1"}},
	"a Leaf with members":                         {kind: domain, at: "spec", rule: "members is for levels", object: []string{"spec.members: {nodeNames: [node-1]}"}},
	"a Node vertex with members":                  {kind: domain, at: "spec", rule: "members is for levels", refused: true, object: []string{"spec: {level: Node, nodeName: node-1, members: {nodeNames: [node-1]}}"}},
	"a Leaf below a block":                        {kind: domain, at: "spec", rule: "a Fabric is the outermost level", object: []string{"spec.parentName: block-1"}},
	"a Fabric without a parent":                   {kind: domain, at: "spec", rule: "a Fabric is the outermost level", object: []string{"spec: {level: Fabric}"}},
	"a Fabric with a parent":                      {kind: domain, at: "spec", rule: "a Fabric is the outermost level", refused: true, object: []string{"spec: {level: Fabric, parentName: site}"}},
	"a parent is added and the level stays":       {kind: domain, at: "spec", rule: "level is immutable", then: [][]string{{"spec.parentName: block-1"}}},
	"the level changes":                           {kind: domain, at: "spec", rule: "level is immutable", refused: true, then: [][]string{{"spec.level: Block"}}},
	"the level changes to Node with a node name":  {kind: domain, at: "spec", rule: "level is immutable", refused: true, then: [][]string{{"spec: {level: Node, nodeName: node-1}"}}},
	"a Node vertex moves below another parent":    {kind: domain, at: "spec", rule: "nodeName is immutable", object: []string{"spec: {level: Node, nodeName: node-1}"}, then: [][]string{{"spec.parentName: leaf-2"}}},
	"nodeName changes":                            {kind: domain, at: "spec", rule: "nodeName is immutable", refused: true, object: []string{"spec: {level: Node, nodeName: node-1}"}, then: [][]string{{"spec.nodeName: node-2"}}},
	"nodeName disappears":                         {kind: domain, at: "spec", rule: "nodeName is immutable", refused: true, object: []string{"spec: {level: Node, nodeName: node-1}"}, then: [][]string{{"-spec.nodeName"}}},
	"nodeName appears":                            {kind: domain, at: "spec", rule: "nodeName is immutable", refused: true, then: [][]string{{"spec.nodeName: node-1"}}},
	"members by name":                             {kind: domain, at: "spec.members", rule: "members needs nodeNames", object: []string{"spec.members: {nodeNames: [node-1]}"}},
	"members by selector":                         {kind: domain, at: "spec.members", rule: "members needs nodeNames", object: []string{"spec.members: {nodeSelector: {}}"}},
	"members by name and by selector":             {kind: domain, at: "spec.members", rule: "members needs nodeNames", object: []string{"spec.members: {nodeNames: [node-1], nodeSelector: {matchLabels: {rack: '1'}}}"}},
	"members without content":                     {kind: domain, at: "spec.members", rule: "members needs nodeNames", refused: true, object: []string{"spec.members: {}"}},
	"members lose their content":                  {kind: domain, at: "spec.members", rule: "members needs nodeNames", refused: true, object: []string{"spec.members: {nodeNames: [node-1]}"}, then: [][]string{{"-spec.members.nodeNames"}}},
	"a domain below another one":                  {kind: domain, at: "", rule: "a TopologyDomain cannot be its own parent", object: []string{"metadata.name: inner", "spec.parentName: outer"}},
	"a domain without a parent":                   {kind: domain, at: "", rule: "a TopologyDomain cannot be its own parent"},
	"a domain below itself":                       {kind: domain, at: "", rule: "a TopologyDomain cannot be its own parent", refused: true, object: []string{"metadata.name: rack-1", "spec.parentName: rack-1"}},
	"a domain is put below itself by an update":   {kind: domain, at: "", rule: "a TopologyDomain cannot be its own parent", refused: true, object: []string{"metadata.name: rack-2"}, then: [][]string{{"spec.parentName: rack-2"}}},
	"a measured figure":                           {kind: domain, at: "status.measurements[].figures[].value", rule: "value must be more than 0", then: [][]string{{measured("'794.5'")}}},
	"a measured figure of zero":                   {kind: domain, at: "status.measurements[].figures[].value", rule: "value must be more than 0", refused: true, then: [][]string{{measured("0")}}},
	"a measured figure that is negative":          {kind: domain, at: "status.measurements[].figures[].value", rule: "value must be more than 0", refused: true, then: [][]string{{measured("'-1'")}}},
	"a class of 63 characters":                    {kind: class, at: "", rule: "the name becomes a node label", object: []string{"metadata.name: " + strings.Repeat("a", 63)}},
	"a class that begins with a digit":            {kind: class, at: "", rule: "the name becomes a node label", object: []string{"metadata.name: 4090-24gb"}},
	"a class of 64 characters":                    {kind: class, at: "", rule: "the name becomes a node label", refused: true, object: []string{"metadata.name: " + strings.Repeat("a", 64)}},
	"a class with a dot":                          {kind: class, at: "", rule: "the name becomes a node label", refused: true, object: []string{"metadata.name: h100.sxm"}},
	"a class with another one as fallback":        {kind: class, at: "", rule: "a class cannot be its own fallback", object: []string{"metadata.name: h200", "spec.fallback: [h100]"}},
	"a class without a fallback":                  {kind: class, at: "", rule: "a class cannot be its own fallback"},
	"a class as its own fallback":                 {kind: class, at: "", rule: "a class cannot be its own fallback", refused: true, object: []string{"metadata.name: h200", "spec.fallback: [h100, h200]"}},
	"a figure with its own source":                {kind: class, at: "spec", rule: "every figure needs a source", object: []string{"spec.figures: [{name: MemoryGBps, value: 3350, source: datasheet}]"}},
	"a figure with a source in sources":           {kind: class, at: "spec", rule: "every figure needs a source", object: []string{"spec.figures: [{name: MemoryGBps, value: 3350}]", "spec.sources: [{field: MemoryGBps, source: datasheet}]"}},
	"a figure without a source":                   {kind: class, at: "spec", rule: "every figure needs a source", refused: true, object: []string{"spec.figures: [{name: MemoryGBps, value: 3350}]"}},
	"a figure whose sources speak of another one": {kind: class, at: "spec", rule: "every figure needs a source", refused: true, object: []string{"spec.figures: [{name: MemoryGBps, value: 3350}]", "spec.sources: [{field: BF16TeraFLOPS, source: datasheet}]"}},
	"sources disappear":                           {kind: class, at: "spec", rule: "every figure needs a source", refused: true, object: []string{"spec.figures: [{name: MemoryGBps, value: 3350}]", "spec.sources: [{field: MemoryGBps, source: datasheet}]"}, then: [][]string{{"-spec.sources"}}},
	"a figure that is a fraction":                 {kind: class, at: "spec.figures[].value", rule: "value must be more than 0", object: []string{"spec.figures: [{name: MemoryGBps, value: '1307.4', source: datasheet}]"}},
	"a figure of zero":                            {kind: class, at: "spec.figures[].value", rule: "value must be more than 0", refused: true, object: []string{"spec.figures: [{name: MemoryGBps, value: 0, source: datasheet}]"}},
	"a negative figure":                           {kind: class, at: "spec.figures[].value", rule: "value must be more than 0", refused: true, object: []string{"spec.figures: [{name: MemoryGBps, value: '-3.35k', source: datasheet}]"}},
	"match by PCI ID":                             {kind: class, at: "spec.match", rule: "match needs at least one of"},
	"match by device selector":                    {kind: class, at: "spec.match", rule: "match needs at least one of", object: []string{"spec.match: {deviceSelector: 'device.driver == \"gpu.nvidia.com\"'}"}},
	"match by node label":                         {kind: class, at: "spec.match", rule: "match needs at least one of", object: []string{"spec.match: {nodeLabels: [{key: nvidia.com/gpu.product, values: [NVIDIA-H100]}]}"}},
	"match by product name":                       {kind: class, at: "spec.match", rule: "match needs at least one of", object: []string{"spec.match: {productNames: [NVIDIA L40S]}"}},
	"match without content":                       {kind: class, at: "spec.match", rule: "match needs at least one of", refused: true, object: []string{"spec.match: {}"}},
	"minMemory with PCI IDs":                      {kind: class, at: "spec.match", rule: "minMemory narrows pciIDs and productNames", object: []string{"spec.match.minMemory: 80G"}},
	"minMemory with product names":                {kind: class, at: "spec.match", rule: "minMemory narrows pciIDs and productNames", object: []string{"spec.match: {productNames: [NVIDIA GH200], minMemory: 100G}"}},
	"minMemory alone":                             {kind: class, at: "spec.match", rule: "minMemory narrows pciIDs and productNames", refused: true, object: []string{"spec.match: {minMemory: 80G}"}},
	"minMemory with node labels":                  {kind: class, at: "spec.match", rule: "minMemory narrows pciIDs and productNames", refused: true, object: []string{"spec.match: {minMemory: 80G, nodeLabels: [{key: gpu, values: [h100]}]}"}},
	"minMemory of a match":                        {kind: class, at: "spec.match.minMemory", rule: "minMemory must be more than 0", object: []string{"spec.match.minMemory: 40Gi"}},
	"minMemory of a match is zero":                {kind: class, at: "spec.match.minMemory", rule: "minMemory must be more than 0", refused: true, object: []string{"spec.match.minMemory: 0Gi"}},
	"memory of 80G":                               {kind: class, at: "spec.memory.capacity", rule: "capacity must be more than 0", object: []string{"spec.memory: {capacity: 80G}"}},
	"memory as a number of bytes":                 {kind: class, at: "spec.memory.capacity", rule: "capacity must be more than 0", object: []string{"spec.memory: {capacity: 80000000000}"}},
	"negative memory":                             {kind: class, at: "spec.memory.capacity", rule: "capacity must be more than 0", refused: true, object: []string{"spec.memory: {capacity: -80G}"}},
	"negative memory as a number":                 {kind: class, at: "spec.memory.capacity", rule: "capacity must be more than 0", refused: true, object: []string{"spec.memory: {capacity: -80}"}},
	"a cost with an hourly price":                 {kind: class, at: "spec.cost", rule: "cost needs hourly or spotHourly", object: []string{"spec.cost: {currency: USD, hourly: '3.39'}"}},
	"a cost with a spot price":                    {kind: class, at: "spec.cost", rule: "cost needs hourly or spotHourly", object: []string{"spec.cost: {currency: USD, spotHourly: '1.2'}"}},
	"a cost without a price":                      {kind: class, at: "spec.cost", rule: "cost needs hourly or spotHourly", refused: true, object: []string{"spec.cost: {currency: USD, region: tor1}"}},
	"an hourly price":                             {kind: class, at: "spec.cost.hourly", rule: "hourly must be more than 0", object: []string{"spec.cost: {currency: USD, hourly: 3}"}},
	"an hourly price of zero":                     {kind: class, at: "spec.cost.hourly", rule: "hourly must be more than 0", refused: true, object: []string{"spec.cost: {currency: USD, hourly: '0.00'}"}},
	"a spot price":                                {kind: class, at: "spec.cost.spotHourly", rule: "spotHourly must be more than 0", object: []string{"spec.cost: {currency: USD, spotHourly: 500m}"}},
	"a negative spot price":                       {kind: class, at: "spec.cost.spotHourly", rule: "spotHourly must be more than 0", refused: true, object: []string{"spec.cost: {currency: USD, spotHourly: -1}"}},

	// GangSchedulingGroup: name and status
	"a gang of 40 characters":              {kind: gang, at: "", rule: "the name becomes a Service", object: []string{"metadata.name: " + strings.Repeat("g", 40)}},
	"a gang of one letter":                 {kind: gang, at: "", rule: "the name becomes a Service", object: []string{"metadata.name: g"}},
	"a gang of 41 characters":              {kind: gang, at: "", rule: "the name becomes a Service", refused: true, object: []string{"metadata.name: " + strings.Repeat("g", 41)}},
	"a gang that begins with a digit":      {kind: gang, at: "", rule: "the name becomes a Service", refused: true, object: []string{"metadata.name: 70b"}},
	"a gang with a dot":                    {kind: gang, at: "", rule: "the name becomes a Service", refused: true, object: []string{"metadata.name: llama-3.1"}},
	"the epoch grows":                      {kind: gang, at: "", rule: "status.epoch never shrinks", then: [][]string{{"status.epoch: 4"}, {"status.epoch: 5"}}},
	"the epoch stays":                      {kind: gang, at: "", rule: "status.epoch never shrinks", then: [][]string{{"status.epoch: 4"}, {"status.startedEpoch: 4"}}},
	"the spec changes and the epoch stays": {kind: gang, at: "", rule: "status.epoch never shrinks", then: [][]string{{"status.epoch: 4"}, {"spec.suspend: true"}}},
	"the epoch shrinks":                    {kind: gang, at: "", rule: "status.epoch never shrinks", refused: true, then: [][]string{{"status.epoch: 4"}, {"status.epoch: 3"}}},
	"the epoch disappears":                 {kind: gang, at: "", rule: "status.epoch never shrinks", refused: true, then: [][]string{{"status.epoch: 4"}, {"status: {startedEpoch: 4}"}}},
	"the status disappears":                {kind: gang, at: "", rule: "status.epoch never shrinks", refused: true, then: [][]string{{"status.epoch: 4"}, {"-status"}}},

	// GangSchedulingGroup: roles
	"4096 pods in one role":                 {kind: gang, at: "spec", rule: "a gang holds at most 4096 pods", object: []string{"spec.roles[0].replicas: 4096"}},
	"4096 pods with spares":                 {kind: gang, at: "spec", rule: "a gang holds at most 4096 pods", object: []string{"spec.roles[0].replicas: 4000", "spec.roles[0].spares: 96"}},
	"4097 pods in two roles":                {kind: gang, at: "spec", rule: "a gang holds at most 4096 pods", refused: true, object: []string{twoRoles, "spec.roles[0].replicas: 4095"}},
	"4097 pods with spares":                 {kind: gang, at: "spec", rule: "a gang holds at most 4096 pods", refused: true, object: []string{"spec.roles[0].replicas: 4096", "spec.roles[0].spares: 1"}},
	"minReplicas below replicas":            {kind: gang, at: "spec.roles[]", rule: "minReplicas must not exceed replicas", object: []string{"spec.roles[0].minReplicas: 3"}},
	"minReplicas equal to replicas":         {kind: gang, at: "spec.roles[]", rule: "minReplicas must not exceed replicas", object: []string{"spec.roles[0].minReplicas: 4"}},
	"minReplicas above replicas":            {kind: gang, at: "spec.roles[]", rule: "minReplicas must not exceed replicas", refused: true, object: []string{"spec.roles[0].minReplicas: 5"}},
	"replicas shrink below minReplicas":     {kind: gang, at: "spec.roles[]", rule: "minReplicas must not exceed replicas", refused: true, object: []string{"spec.roles[0].minReplicas: 4"}, then: [][]string{{"spec.roles[0].replicas: 3"}}},
	"a template with a container":           {kind: gang, at: "spec.roles[]", rule: "template needs a container"},
	"a template without content":            {kind: gang, at: "spec.roles[]", rule: "template needs a container", refused: true, object: []string{"spec.roles[0].template: {}"}},
	"a template without containers":         {kind: gang, at: "spec.roles[]", rule: "template needs a container", refused: true, object: []string{"spec.roles[0].template: {spec: {containers: []}}"}},
	"a template with a node selector":       {kind: gang, at: "spec.roles[]", rule: "the nodes are chosen for the gang", object: []string{"spec.roles[0].template.spec.nodeSelector: {pool: gpu}"}},
	"a template with a node":                {kind: gang, at: "spec.roles[]", rule: "the nodes are chosen for the gang", refused: true, object: []string{"spec.roles[0].template.spec.nodeName: node-1"}},
	"accelerators by class":                 {kind: gang, at: "spec.roles[].accelerator", rule: "set exactly one of className and capabilities", object: []string{"spec.roles[0].accelerator: {className: h100}"}},
	"accelerators by capability":            {kind: gang, at: "spec.roles[].accelerator", rule: "set exactly one of className and capabilities", object: []string{"spec.roles[0].accelerator: {capabilities: {features: [FP8]}}"}},
	"accelerators by class and capability":  {kind: gang, at: "spec.roles[].accelerator", rule: "set exactly one of className and capabilities", refused: true, object: []string{"spec.roles[0].accelerator: {className: h100, capabilities: {features: [FP8]}}"}},
	"accelerators by nothing":               {kind: gang, at: "spec.roles[].accelerator", rule: "set exactly one of className and capabilities", refused: true, object: []string{"spec.roles[0].accelerator: {}"}},
	"the class is replaced by capabilities": {kind: gang, at: "spec.roles[].accelerator", rule: "set exactly one of className and capabilities", object: []string{"spec.roles[0].accelerator: {className: h100}"}, then: [][]string{{"spec.roles[0].accelerator: {capabilities: {features: [FP8]}}"}}},
	"capabilities with minMemory":           {kind: gang, at: "spec.roles[].accelerator.capabilities", rule: "capabilities needs at least one", object: []string{"spec.roles[0].accelerator: {capabilities: {minMemory: 80G}}"}},
	"capabilities with minFigures":          {kind: gang, at: "spec.roles[].accelerator.capabilities", rule: "capabilities needs at least one", object: []string{"spec.roles[0].accelerator: {capabilities: {minFigures: [{name: BF16TeraFLOPS, value: 900}]}}"}},
	"capabilities without content":          {kind: gang, at: "spec.roles[].accelerator.capabilities", rule: "capabilities needs at least one", refused: true, object: []string{"spec.roles[0].accelerator: {capabilities: {}}"}},
	"minMemory of a role":                   {kind: gang, at: "spec.roles[].accelerator.capabilities.minMemory", rule: "minMemory must be more than 0", object: []string{"spec.roles[0].accelerator: {capabilities: {minMemory: 80G}}"}},
	"minMemory of a role is zero":           {kind: gang, at: "spec.roles[].accelerator.capabilities.minMemory", rule: "minMemory must be more than 0", refused: true, object: []string{"spec.roles[0].accelerator: {capabilities: {minMemory: 0}}"}},
	"a least figure":                        {kind: gang, at: "spec.roles[].accelerator.capabilities.minFigures[].value", rule: "value must be more than 0", object: []string{"spec.roles[0].accelerator: {capabilities: {minFigures: [{name: BF16TeraFLOPS, value: 900}]}}"}},
	"a negative least figure":               {kind: gang, at: "spec.roles[].accelerator.capabilities.minFigures[].value", rule: "value must be more than 0", refused: true, object: []string{"spec.roles[0].accelerator: {capabilities: {minFigures: [{name: BF16TeraFLOPS, value: -900}]}}"}},

	// GangSchedulingGroup: topology, groups, restart
	"preferred as wide as required":                   {kind: gang, at: "spec.topology", rule: "preferred must not be wider", object: []string{"spec.topology: {required: Leaf, preferred: Leaf}"}},
	"preferred narrower than required":                {kind: gang, at: "spec.topology", rule: "preferred must not be wider", object: []string{"spec.topology: {required: Block, preferred: Leaf}"}},
	"preferred wider than required":                   {kind: gang, at: "spec.topology", rule: "preferred must not be wider", refused: true, object: []string{"spec.topology: {required: Leaf, preferred: Block}"}},
	"required is narrowed below preferred":            {kind: gang, at: "spec.topology", rule: "preferred must not be wider", refused: true, object: []string{"spec.topology: {required: Block, preferred: Leaf}"}, then: [][]string{{"spec.topology.required: Node"}}},
	"a group's preferred narrower than its required":  {kind: gang, at: "spec.groups[]", rule: "preferred must not be wider", object: []string{"spec.groups: [{name: tp, roleNames: [worker], required: Block, preferred: NVLinkDomain}]"}},
	"a group's preferred wider than its required":     {kind: gang, at: "spec.groups[]", rule: "preferred must not be wider", refused: true, object: []string{"spec.groups: [{name: tp, roleNames: [worker], required: NVLinkDomain, preferred: Leaf}]"}},
	"groups name roles":                               {kind: gang, at: "spec", rule: "groups[].roleNames must name roles", object: []string{twoRoles, "spec.groups: [{name: dp, roleNames: [a]}, {name: tp, roleNames: [b]}]"}},
	"a group names no role of the gang":               {kind: gang, at: "spec", rule: "groups[].roleNames must name roles", refused: true, object: []string{"spec.groups: [{name: tp, roleNames: [worker, ps]}]"}},
	"a role disappears from under its group":          {kind: gang, at: "spec", rule: "groups[].roleNames must name roles", refused: true, object: []string{twoRoles, "spec.groups: [{name: dp, roleNames: [b]}]"}, then: [][]string{{"spec.roles[1].name: c"}}},
	"two roles in one group":                          {kind: gang, at: "spec", rule: "a role belongs to at most one group", object: []string{twoRoles, "spec.groups: [{name: dp, roleNames: [a, b]}]"}},
	"a role in two groups":                            {kind: gang, at: "spec", rule: "a role belongs to at most one group", refused: true, object: []string{twoRoles, "spec.groups: [{name: dp, roleNames: [a, b]}, {name: tp, roleNames: [b]}]"}},
	"a role in a group and in the one below it":       {kind: gang, at: "spec", rule: "a role belongs to at most one group", refused: true, object: []string{"spec.groups: [{name: dp, roleNames: [worker]}, {name: tp, parentName: dp, roleNames: [worker]}]"}},
	"a group below another one":                       {kind: gang, at: "spec", rule: "groups[].parentName must name another group", object: []string{"spec.groups: [{name: dp}, {name: tp, parentName: dp, roleNames: [worker]}]"}},
	"a group below one that does not exist":           {kind: gang, at: "spec", rule: "groups[].parentName must name another group", refused: true, object: []string{"spec.groups: [{name: tp, parentName: dp, roleNames: [worker]}]"}},
	"a group below a role":                            {kind: gang, at: "spec", rule: "groups[].parentName must name another group", refused: true, object: []string{"spec.groups: [{name: tp, parentName: worker, roleNames: [worker]}]"}},
	"groups nest three deep":                          {kind: gang, at: "spec", rule: "groups nest at most three deep", object: []string{"spec.groups: [{name: dp}, {name: tp, parentName: dp}, {name: cp, parentName: tp, roleNames: [worker]}]"}},
	"many groups below one":                           {kind: gang, at: "spec", rule: "groups nest at most three deep", object: []string{twoRoles, "spec.groups: [{name: dp}, {name: tp, parentName: dp, roleNames: [a]}, {name: cp, parentName: dp, roleNames: [b]}]"}},
	"groups nest four deep":                           {kind: gang, at: "spec", rule: "groups nest at most three deep", refused: true, object: []string{"spec.groups: [{name: pp}, {name: dp, parentName: pp}, {name: tp, parentName: dp}, {name: cp, parentName: tp, roleNames: [worker]}]"}},
	"groups in a circle of two":                       {kind: gang, at: "spec", rule: "groups nest at most three deep", refused: true, object: []string{"spec.groups: [{name: dp, parentName: tp}, {name: tp, parentName: dp, roleNames: [worker]}]"}},
	"groups in a circle of three":                     {kind: gang, at: "spec", rule: "groups nest at most three deep", refused: true, object: []string{"spec.groups: [{name: dp, parentName: cp}, {name: tp, parentName: dp}, {name: cp, parentName: tp, roleNames: [worker]}]"}},
	"a group below the gang":                          {kind: gang, at: "spec.groups[]", rule: "a group cannot be its own parent", object: []string{"spec.groups: [{name: dp, roleNames: [worker]}]"}},
	"a group below itself":                            {kind: gang, at: "spec.groups[]", rule: "a group cannot be its own parent", refused: true, object: []string{"spec.groups: [{name: dp, parentName: dp, roleNames: [worker]}]"}},
	"maxRestarts with RecreateGang":                   {kind: gang, at: "spec.restartPolicy", rule: "maxRestarts is for type RecreateGang", object: []string{"spec.restartPolicy: {type: RecreateGang, maxRestarts: 5}"}},
	"Never without maxRestarts":                       {kind: gang, at: "spec.restartPolicy", rule: "maxRestarts is for type RecreateGang", object: []string{"spec.restartPolicy: {type: Never}"}},
	"maxRestarts with Never":                          {kind: gang, at: "spec.restartPolicy", rule: "maxRestarts is for type RecreateGang", refused: true, object: []string{"spec.restartPolicy: {type: Never, maxRestarts: 5}"}},
	"the type changes to Never and maxRestarts stays": {kind: gang, at: "spec.restartPolicy", rule: "maxRestarts is for type RecreateGang", refused: true, object: []string{"spec.restartPolicy: {type: RecreateGang, maxRestarts: 5}"}, then: [][]string{{"spec.restartPolicy.type: Never"}}},
}

// measured is a status with one measured figure.
func measured(value string) string {
	return "status.measurements: [{uuid: GPU-1, time: '2026-01-01T00:00:00Z', figures: [{name: BF16TeraFLOPS, value: " + value + "}]}]"
}

func TestRules(t *testing.T) {
	all := rulesOfCRDs(t)
	for name, row := range ruleRows {
		t.Run(name, func(t *testing.T) {
			r := row.of(t, name, all)
			u := object(t, row.kind, row.object...)
			err := create(t, u)
			for _, edits := range row.then {
				if err != nil {
					t.Fatalf("an early step is refused: %v", err)
				}
				err = update(t, u, edits...)
			}
			if !row.refused {
				if err != nil {
					t.Fatalf("refused: %v", err)
				}
				if !exists(u.Object, segment.FindAllString(strings.ReplaceAll(row.at, "[]", "[0]"), -1)) {
					t.Errorf("the object has nothing at %q, so that the rule did not judge it", row.at)
				}
				return
			}
			if err == nil {
				t.Fatalf("accepted, want %q", r.message)
			}
			if !causedBy(err, r) {
				t.Errorf("got %v\nwant %q at %s", err, r.message, r.field)
			}
		})
	}
}

var index = regexp.MustCompile(`\[\d+\]`)

// causedBy says whether a rule is among the causes of a refusal.
func causedBy(err error, r rule) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Details == nil {
		return false
	}
	return slices.ContainsFunc(status.Status().Details.Causes, func(cause metav1.StatusCause) bool {
		return index.ReplaceAllString(cause.Field, "[]") == r.field && strings.Contains(cause.Message, r.message)
	})
}

// exists says whether an object has a field at a path, in the first element of
// every list on the way.
func exists(at any, path []string) bool {
	if len(path) == 0 {
		return at != nil
	}
	switch parent := at.(type) {
	case map[string]any:
		return exists(parent[path[0]], path[1:])
	case []any:
		return len(parent) > 0 && exists(parent[0], path[1:])
	}
	return false
}

// The levels are ordered by hand in CEL; every pair is judged as in the order
// that topology has.
func TestPreferredAgainstRequired(t *testing.T) {
	levels := []string{"Fabric", "Block", "Leaf", "NVLinkDomain", "Node"}
	places := []string{
		"spec.topology: {required: %s, preferred: %s}",
		"spec.groups: [{name: tp, roleNames: [worker], required: %s, preferred: %s}]",
	}
	for i, required := range levels {
		for j, preferred := range levels {
			for _, place := range places {
				topology := fmt.Sprintf(place, required, preferred)
				err := create(t, object(t, gang, topology))
				if isRefused := err != nil; isRefused != (j < i) {
					t.Errorf("%s: got error %v", topology, err)
				}
			}
		}
	}
}
