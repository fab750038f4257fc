package simulate

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/k8s4ai/k8s4ai/internal/queueing"
)

var sample = Report{
	Policy: "easy+preempt", Gangs: 11, Finished: 9, Devices: 4096,
	Waits: []Waits{
		{Size: "1-7", Gangs: 5, MeanSeconds: 8.24, P95Seconds: 59.97, MaxSeconds: 834},
		{Size: "8-63", Gangs: 3, MeanSeconds: 3600, P50Seconds: 0.04, P95Seconds: 86399.9, MaxSeconds: 90000},
		{Size: "512+", Gangs: 1, MeanSeconds: 1e6, P50Seconds: 1e6, P95Seconds: 1e6, MaxSeconds: 4e9},
	},
	Large:       Waits{Size: "64+", Gangs: 1, MeanSeconds: 1e6, P50Seconds: 1e6, P95Seconds: 1e6, MaxSeconds: 1e6},
	OfferedLoad: 0.95, Utilisation: 0.869, MakespanSeconds: 345678,
	WorkDeviceSeconds: 900, LostDeviceSeconds: 90, RestartDeviceSeconds: 10,
	Levels: []LevelFigures{
		{Level: "Block", MeanDomains: 1.187, InOne: 0.876, Fragmentation: 0.426},
		{Level: "Node", MeanDomains: 8.77, Fragmentation: 0.273},
	},
	Backfilled: 4283, Evictions: 12, Moves: 3,
	Refused: 2, Refusals: []Refusal{{"huge", "the fleet holds 2 of 3 at best: too little nvidia.com/gpu"}},
}

func TestWriteTable(t *testing.T) {
	const want = `POLICY easy+preempt: 9 of 11 gangs finished in 4.0d on 4096 devices

DEVICES   GANGS   MEAN WAIT    P50     P95      MAX
1-7           5        8.2s     0s   1m00s   13m54s
8-63          3       1h00m   0.0s    1.0d     1.0d
512+          1         12d    12d     12d   46296d
64+           1         12d    12d     12d      12d

LEVEL   DOMAINS PER GANG   IN ONE DOMAIN   FRAGMENTATION
Block               1.19          87.6 %          42.6 %
Node                8.77           0.0 %          27.3 %

utilisation   86.9 % (load 95.0 %)
backfilled    4283
evictions     12: 9.0 % of device time lost, 1.0 % in restarts
moves         3
refused       2
  huge: the fleet holds 2 of 3 at best: too little nvidia.com/gpu
  and 1 more
`
	var got strings.Builder
	if err := sample.WriteTable(&got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("WriteTable() (-want +got):\n%s", diff)
	}
	for line := range strings.Lines(got.String()) {
		if utf8.RuneCountInString(line) > 81 {
			t.Errorf("%q is wider than 80 columns", line)
		}
	}
	if err := sample.WriteTable(failingWriter{}); !errors.Is(err, errFull) {
		t.Errorf("WriteTable() = %v, want %v", err, errFull)
	}
}

var errFull = errors.New("no room")

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, errFull }

// The names are those that programs read: they never change.
func TestReportHasStableNames(t *testing.T) {
	const want = `{"policy":"easy+preempt","gangs":11,"finished":9,"devices":4096,` +
		`"waits":[{"size":"8-63","gangs":3,"meanSeconds":3600,"p50Seconds":0.04,"p95Seconds":86399.9,"maxSeconds":90000}],` +
		`"large":{"size":"64+","gangs":1,"meanSeconds":1000000,"p50Seconds":1000000,"p95Seconds":1000000,"maxSeconds":1000000},` +
		`"offeredLoad":0.95,"utilisation":0.869,"makespanSeconds":345678,"workDeviceSeconds":900,"lostDeviceSeconds":90,"restartDeviceSeconds":10,` +
		`"levels":[{"level":"Node","meanDomains":8.77,"inOne":0,"fragmentation":0.273}],` +
		`"backfilled":4283,"evictions":12,"moves":3,"refused":2,"refusals":[{"gang":"huge","reason":"the fleet holds 2 of 3 at best: too little nvidia.com/gpu"}]}`
	short := sample
	short.Waits, short.Levels = short.Waits[1:2], short.Levels[1:]
	got, err := json.Marshal(short)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("JSON (-want +got):\n%s", diff)
	}
}

func TestPolicyNames(t *testing.T) {
	for _, name := range policies {
		if got := PolicyName(policy(t, name)); got != name {
			t.Errorf("PolicyName(ParsePolicy(%s)) = %s", name, got)
		}
	}
	if got, want := policy(t, "easy+defrag+preempt"), (queueing.Policy{Backfill: true, Preempt: true, Defragment: true}); got != want {
		t.Errorf("ParsePolicy() = %v, want %v", got, want)
	}
	cases := map[string]string{
		"":                   `policy "": write fifo or easy, and +preempt or +defrag behind it`,
		"EASY":               `policy "EASY": write fifo or easy, and +preempt or +defrag behind it`,
		"easy+":              "",
		"easy+magic":         `policy "easy+magic": behind fifo or easy stand +preempt and +defrag, each once`,
		"fifo++defrag":       `policy "fifo++defrag": behind fifo or easy stand +preempt and +defrag, each once`,
		"fifo+defrag+defrag": `policy "fifo+defrag+defrag": behind fifo or easy stand +preempt and +defrag, each once`,
	}
	for text, want := range cases {
		got := ""
		if _, err := ParsePolicy(text); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("ParsePolicy(%q) = %q, want %q", text, got, want)
		}
	}
}
