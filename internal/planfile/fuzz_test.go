package planfile

import (
	"testing"

	"github.com/k8s4ai/k8s4ai/internal/convert"
	"github.com/k8s4ai/k8s4ai/internal/placement"
)

// What can be read can be worked with: it never panics, and a snapshot is one
// that placement takes.
func FuzzParseFleet(f *testing.F) {
	f.Add([]byte(head + "domains: [{name: a, level: Leaf}]\nnodes: [{name: m, domain: a, capacity: {nvidia.com/gpu: 8}, islands: {nvidia.com/gpu: [4, 4]}}]\n"))
	f.Add([]byte(head + "nodes: [{name: m}]\ngangs: [{metadata: {name: g}, spec: {roles: [{name: w, replicas: 1, template: {spec: {containers: [{name: c}]}}}]}}]\n"))
	f.Add([]byte("name: a\nprovider: none\npools: [{name: p, shape: CPU, nodes: 3}]\n"))
	f.Add([]byte(`{"apiVersion":"plan.k8s4ai.io/v1","kind":"Snapshot","nodes":[{"name":"n","used":{"cpu":9223372036854775807}}]}`))
	f.Add([]byte("a: &a [*a]"))
	f.Add([]byte("nodes: .nan\n...\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		fleet, err := ParseFleet("f", data, nil)
		if err != nil {
			return
		}
		if _, err := fleet.Placement(); err != nil {
			t.Errorf("a file that was read is none that placement takes: %v", err)
		}
	})
}

// A gang that can be read gets a verdict.
func FuzzParseGangs(f *testing.F) {
	f.Add([]byte(gang("a", pair)))
	f.Add([]byte(gang("a", pair+"  topology: {required: Leaf}\n  groups: [{name: g, roleNames: [w], sliceSize: 1, required: Node}]\n")))
	f.Add([]byte("apiVersion: v1\nkind: List\nitems: [{}]\n---\n"))
	f.Add([]byte(`{"kind":"GangSchedulingGroup"}{}`))
	snapshot, err := placement.NewSnapshot(nil, []placement.Node{{Name: "n", Capacity: placement.Resources{"nvidia.com/gpu": 8}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		gangs, err := ParseGangs("f", data, "default")
		if err != nil {
			return
		}
		for i := range gangs {
			d := convert.Decide(&gangs[i], nil, snapshot, snapshot)
			if (d.Reason == "") != (d.Verdict.Placement != nil) {
				t.Errorf("reason %q with placement %v", d.Reason, d.Verdict.Placement)
			}
			trimmed := Trim(&gangs[i])
			if again := convert.Decide(&trimmed, nil, snapshot, snapshot); again.Message != d.Message {
				t.Errorf("the trimmed gang gets another answer: %q, not %q", again.Message, d.Message)
			}
		}
	})
}
