package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/k8s4ai/k8s4ai/internal/placement"
)

// The engines of this process agree with the lower bound on what fits, and give
// answers that pass the check.
func TestEnginesAnswer(t *testing.T) {
	for _, fill := range []string{empty, scatter, packed} {
		f := newFabric(640, fill)
		s, err := newSite(t.Context(), f, quick)
		if err != nil {
			t.Fatal(err)
		}
		queue, err := s.kueue.snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range allGangs() {
			t.Run(caseName(640, fill, g), func(t *testing.T) {
				ours, err := answerOf(placement.Place(s.planner.state.Snapshot(), f.ask(g, 0)))
				if err != nil {
					t.Fatal(err)
				}
				theirs := kueueAnswer(s.kueue.ask(g).find(t.Context(), queue))
				want := f.lowerBound(g)
				for engine, a := range map[string]Answer{"ours": ours, "kueue": theirs} {
					if err := f.check(g, a); err != nil {
						t.Errorf("%s: %v", engine, err)
					}
					if a.placed() != want.feasible {
						t.Errorf("%s: placed is %v, want %v: %s", engine, a.placed(), want.feasible, a.Reason)
					}
				}
				if racks, blocks := f.spread(ours); ours.placed() && (racks != want.racks || blocks != want.blocks) {
					t.Errorf("%d racks in %d blocks, want %+v", racks, blocks, want)
				}
			})
		}
	}
}

// Kueue sees what runs: a pod on every node leaves no node for a gang.
func TestKueueSeesRunningPods(t *testing.T) {
	f := newFabric(64, empty)
	for i := range f.Nodes {
		f.Pods = append(f.Pods, Pod{Name: fmt.Sprintf("pod-%d", i), Node: i, Devices: 1})
	}
	k, err := newKueue(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	queue, err := k.snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if a := kueueAnswer(k.ask(Gang{8, anywhere}).find(t.Context(), queue)); a.placed() || a.Reason == "" {
		t.Errorf("Kueue answers %+v", a)
	}
}

// Every second round of churn takes the one before back.
func TestChurnTakesItselfBack(t *testing.T) {
	for _, fill := range []string{empty, scatter, packed} {
		t.Run(fill, func(t *testing.T) {
			p, err := newPlanner(newFabric(640, fill))
			if err != nil {
				t.Fatal(err)
			}
			used := func() (out []placement.Resources) {
				snapshot := p.state.Snapshot()
				for _, n := range p.fabric.Nodes {
					node, _ := snapshot.Node(n.Name)
					out = append(out, node.Used)
				}
				return out
			}
			before := used()
			if uses := p.churn(churnChanges); len(uses) != churnChanges {
				t.Fatalf("%d changes, want %d", len(uses), churnChanges)
			} else {
				p.state.Take(uses...)
			}
			if fill != empty && cmp.Equal(before, used()) {
				t.Error("churn changes nothing")
			}
			for i, free := range p.free {
				if free < 0 || free > devicesPerNode {
					t.Errorf("node %d has %d free", i, free)
				}
			}
			p.state.Take(p.churn(churnChanges)...)
			if diff := cmp.Diff(before, used()); diff != "" {
				t.Errorf("after the way back:\n%s", diff)
			}
		})
	}
}

// readKAI gets each answer, notices when one takes too long, and what is no answer.
func TestReadKAI(t *testing.T) {
	gangs := []Gang{{8, single}, {64, single}}
	cases := map[string]struct {
		text string
		done int
		want string
	}{
		"both":            {`{"nodes":["a"],"allocateMicros":1}` + "\n" + `{"reason":"full"}` + "\n", 2, ""},
		"one, and no end": {`{"nodes":["a"]}` + "\n", 1, "KAI ended before the answer to 64 pods as single"},
		"no answer":       {"panic: out of luck\n", 0, `reading KAI's answer "panic: out of luck"`},
		"nothing":         {"", 0, "KAI ended before the answer to 8 pods as single"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			done, err := readKAI(t.Context(), strings.NewReader(c.text), gangs, time.Minute, func(Gang, kaiAnswer) error { return nil })
			got := ""
			if err != nil {
				got = err.Error()
			}
			if done != c.done || (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
				t.Errorf("readKAI = %d, %q, want %d, %q", done, got, c.done, c.want)
			}
		})
	}
}

// never is a process that says nothing until it ends.
type never chan struct{}

func (n never) Read([]byte) (int, error) { <-n; return 0, io.EOF }

func TestReadKAIThatIsLate(t *testing.T) {
	silent := make(never)
	defer close(silent)
	done, err := readKAI(t.Context(), silent, []Gang{{8, single}}, time.Millisecond, func(Gang, kaiAnswer) error { return nil })
	if done != 0 || !errors.Is(err, errLate) {
		t.Errorf("readKAI = %d, %v, want it to be late", done, err)
	}
}

func FuzzReadKAI(f *testing.F) {
	f.Add([]byte(`{"nodes":["a","b"],"sessionMicros":1.5,"allocateMicros":2,"allocs":3}` + "\n"))
	f.Add([]byte("\n\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		gangs := []Gang{{8, single}, {8, sliced}}
		answers := 0
		done, err := readKAI(t.Context(), strings.NewReader(string(text)), gangs, time.Minute, func(Gang, kaiAnswer) error { answers++; return nil })
		if done != answers || (err == nil) != (done == len(gangs)) {
			t.Errorf("%d answers, readKAI = %d, %v", answers, done, err)
		}
	})
}
