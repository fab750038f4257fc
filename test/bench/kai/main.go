// Command kai asks the allocate action of KAI-Scheduler to place gangs. It reads a
// fabric and gangs as one JSON document, and answers with one JSON line a gang.
// It is a module of its own, because KAI needs other versions of the Kubernetes
// libraries than the rest of the repository; the benchmark of test/bench/placement
// starts it, and its fields are those of Fabric, Gang and Answer there.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/NVIDIA/KAI-scheduler/pkg/scheduler/actions/allocate"
	"github.com/NVIDIA/KAI-scheduler/pkg/scheduler/test_utils"
)

// fabric is what the benchmark sends.
type fabric struct {
	Capacity  map[string]int64  `json:"capacity"`
	PerDevice map[string]int64  `json:"perDevice"`
	Labels    map[string]string `json:"labels"`
	Selector  map[string]string `json:"selector"`
	Taint     struct {
		Key   string `json:"key"`
		Value string `json:"value"`
	} `json:"taint"`
	BlockLabel string `json:"blockLabel"`
	RackLabel  string `json:"rackLabel"`
	HostLabel  string `json:"hostLabel"`
	Nodes      []node `json:"nodes"`
	Pods       []pod  `json:"pods"`
}

type node struct {
	Name  string `json:"name"`
	Block string `json:"block"`
	Rack  string `json:"rack"`
}

type pod struct {
	Name    string `json:"name"`
	Node    int    `json:"node"`
	Devices int    `json:"devices"`
}

type gang struct {
	Pods int    `json:"pods"`
	Kind string `json:"kind"`
}

// question is the document on standard input.
type question struct {
	Fabric    fabric `json:"fabric"`
	Gangs     []gang `json:"gangs"`
	SliceSize int    `json:"sliceSize"`
	// Devices is how many devices each pod of a gang takes.
	Devices int `json:"devices"`
}

// answer is one line on standard output. SessionMicros is what the session took,
// which KAI opens for every cycle; AllocateMicros what the decision took.
type answer struct {
	Nodes          []string `json:"nodes,omitempty"`
	Reason         string   `json:"reason,omitempty"`
	SessionMicros  float64  `json:"sessionMicros"`
	AllocateMicros float64  `json:"allocateMicros"`
	Allocs         uint64   `json:"allocs"`
}

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "kai:", err)
		os.Exit(1)
	}
}

// maxPods is the largest gang.
const maxPods = 65536

func run(in io.Reader, out io.Writer) error {
	q, err := readQuestion(in)
	if err != nil {
		return fmt.Errorf("reading the question: %w", err)
	}
	test_utils.InitTestingInfrastructure()
	for _, g := range q.Gangs {
		a, err := q.place(g)
		if err != nil {
			return fmt.Errorf("placing %d pods as %s: %w", g.Pods, g.Kind, err)
		}
		if err := json.NewEncoder(out).Encode(a); err != nil {
			return fmt.Errorf("writing the answer: %w", err)
		}
	}
	return nil
}

func readQuestion(in io.Reader) (*question, error) {
	var q question
	decoder := json.NewDecoder(in)
	// A field that one side lacks is a change that only one side has seen.
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&q); err != nil {
		return nil, err
	}
	if q.SliceSize <= 0 || q.Devices <= 0 || len(q.Fabric.Nodes) == 0 {
		return nil, errors.New("it lacks sliceSize, devices or nodes")
	}
	for i, p := range q.Fabric.Pods {
		if p.Node < 0 || p.Node >= len(q.Fabric.Nodes) {
			return nil, fmt.Errorf("pod %d is on node %d of %d", i, p.Node, len(q.Fabric.Nodes))
		}
	}
	for i, g := range q.Gangs {
		if g.Pods < 1 || g.Pods > maxPods || !slices.Contains([]string{"single", "any", "slices"}, g.Kind) || (g.Kind == "slices" && g.Pods%q.SliceSize != 0) {
			return nil, fmt.Errorf("gang %d is no gang: %d pods as %q", i, g.Pods, g.Kind)
		}
	}
	return &q, nil
}

// place opens a session, runs the allocate action in it, and reads the answer.
func (q *question) place(g gang) (answer, error) {
	runtime.GC()
	start := time.Now()
	session, err := q.open(g)
	if err != nil {
		return answer{}, err
	}
	a := answer{SessionMicros: micros(time.Since(start))}
	action := allocate.New()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start = time.Now()
	action.Execute(session)
	a.AllocateMicros = micros(time.Since(start))
	runtime.ReadMemStats(&after)
	a.Allocs = after.Mallocs - before.Mallocs
	a.Nodes, a.Reason = read(session)
	return a, nil
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }
