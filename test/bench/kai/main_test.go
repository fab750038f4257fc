package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// ask is a question about two blocks of two racks of two nodes, and one pod.
func ask(gangs ...gang) question {
	q := question{Gangs: gangs, SliceSize: 2, Devices: 8}
	q.Fabric.Capacity = map[string]int64{"cpu": 64_000, "memory": 64 << 30, "nvidia.com/gpu": 8, "rdma/ib": 8, "pods": 10}
	q.Fabric.PerDevice = map[string]int64{"cpu": 8000, "memory": 8 << 30, "nvidia.com/gpu": 1, "rdma/ib": 1}
	q.Fabric.Labels = map[string]string{"pool": "hgx"}
	q.Fabric.Selector = map[string]string{"pool": "hgx"}
	q.Fabric.Taint.Key, q.Fabric.Taint.Value = "nvidia.com/gpu", "present"
	q.Fabric.BlockLabel, q.Fabric.RackLabel, q.Fabric.HostLabel = "block", "rack", "kubernetes.io/hostname"
	for i := range 8 {
		q.Fabric.Nodes = append(q.Fabric.Nodes, node{
			Name: fmt.Sprintf("node-%d", i), Block: fmt.Sprintf("block-%d", i/4), Rack: fmt.Sprintf("rack-%d", i/2),
		})
	}
	q.Fabric.Pods = []pod{{Name: "busy", Node: 0, Devices: 1}}
	return q
}

func answers(t *testing.T, q question) []answer {
	t.Helper()
	text, err := json.Marshal(q)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := run(bytes.NewReader(text), &out); err != nil {
		t.Fatal(err)
	}
	var all []answer
	for decoder := json.NewDecoder(&out); decoder.More(); {
		var a answer
		if err := decoder.Decode(&a); err != nil {
			t.Fatal(err)
		}
		all = append(all, a)
	}
	return all
}

// KAI sees what runs, the levels, selectors and taints: what it answers is what
// the fabric leaves it.
func TestPlace(t *testing.T) {
	cases := map[string]struct {
		gang   gang
		change func(*question)
		// blocks is how many blocks the answer may use, 0 for a refusal.
		blocks int
	}{
		"one block":           {gang: gang{4, "single"}, blocks: 1},
		"more than a block":   {gang: gang{5, "single"}},
		"two blocks":          {gang: gang{5, "any"}, blocks: 2},
		"everything free":     {gang: gang{7, "any"}, blocks: 2},
		"more than is free":   {gang: gang{8, "any"}},
		"slices":              {gang: gang{4, "slices"}, blocks: 1},
		"too many slices":     {gang: gang{6, "slices"}},
		"another pool":        {gang: gang{1, "any"}, change: func(q *question) { q.Fabric.Labels = map[string]string{"pool": "cpu"} }},
		"no adapters left":    {gang: gang{1, "any"}, change: func(q *question) { q.Fabric.Capacity["rdma/ib"] = 7 }},
		"a pod on every node": {gang: gang{1, "any"}, change: occupy},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			q := ask(c.gang)
			if c.change != nil {
				c.change(&q)
			}
			a := answers(t, q)[0]
			blocks, nodes := map[string]bool{}, map[string]bool{}
			for _, name := range a.Nodes {
				nodes[name] = true
				for _, n := range q.Fabric.Nodes {
					if n.Name == name {
						blocks[n.Block] = true
					}
				}
			}
			switch {
			case c.blocks == 0 && (len(a.Nodes) > 0 || a.Reason == ""):
				t.Errorf("placed on %v, reason %q, want a refusal", a.Nodes, a.Reason)
			case c.blocks > 0 && (len(nodes) != c.gang.Pods || nodes["node-0"] || len(blocks) != c.blocks):
				t.Errorf("placed on %v in %d blocks, want %d nodes without node-0 in %d blocks: %s", a.Nodes, len(blocks), c.gang.Pods, c.blocks, a.Reason)
			}
			if a.SessionMicros <= 0 || a.AllocateMicros <= 0 || a.Allocs == 0 {
				t.Errorf("figures are missing: %+v", a)
			}
		})
	}
}

func occupy(q *question) {
	q.Fabric.Pods = nil
	for i := range q.Fabric.Nodes {
		q.Fabric.Pods = append(q.Fabric.Pods, pod{Name: fmt.Sprintf("busy-%d", i), Node: i, Devices: 1})
	}
}

// Every gang has a session of its own: the first takes nothing from the second.
func TestGangsDoNotMeet(t *testing.T) {
	for i, a := range answers(t, ask(gang{7, "any"}, gang{7, "any"})) {
		if len(a.Nodes) != 7 {
			t.Errorf("gang %d: %s", i, a.Reason)
		}
	}
}

func TestRunRefuses(t *testing.T) {
	cases := map[string]struct{ text, want string }{
		"no JSON":            {"gangs", "reading the question"},
		"an unknown field":   {`{"racks": 3}`, `unknown field "racks"`},
		"nothing":            {`{}`, "it lacks sliceSize, devices or nodes"},
		"a pod on no node":   {`{"sliceSize":1,"devices":1,"fabric":{"nodes":[{"name":"a"}],"pods":[{"node":1}]}}`, "pod 0"},
		"a gang of no pods":  {`{"sliceSize":1,"devices":1,"fabric":{"nodes":[{"name":"a"}]},"gangs":[{"kind":"any"}]}`, "gang 0"},
		"a gang of no kind":  {`{"sliceSize":1,"devices":1,"fabric":{"nodes":[{"name":"a"}]},"gangs":[{"pods":1}]}`, "gang 0"},
		"slices in no order": {`{"sliceSize":4,"devices":1,"fabric":{"nodes":[{"name":"a"}]},"gangs":[{"pods":6,"kind":"slices"}]}`, "gang 0"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			err := run(strings.NewReader(c.text), &bytes.Buffer{})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("run = %v, want %q", err, c.want)
			}
		})
	}
}

// Whatever arrives, a sound question or an error comes out of it.
func FuzzRead(f *testing.F) {
	text, err := json.Marshal(ask(gang{4, "slices"}))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"sliceSize":-1,"devices":1}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		q, err := readQuestion(bytes.NewReader(text))
		if err != nil {
			return
		}
		for _, p := range q.Fabric.Pods {
			if p.Node < 0 || p.Node >= len(q.Fabric.Nodes) {
				t.Errorf("pod %s is on node %d of %d", p.Name, p.Node, len(q.Fabric.Nodes))
			}
		}
		for _, g := range q.Gangs {
			if g.Pods < 1 || (g.Kind == "slices" && g.Pods%q.SliceSize != 0) {
				t.Errorf("a gang of %d pods as %q in slices of %d", g.Pods, g.Kind, q.SliceSize)
			}
		}
	})
}
