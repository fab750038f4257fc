package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPercentile(t *testing.T) {
	values := make([]float64, 200)
	for i := range values {
		values[i] = float64(200 - i)
	}
	for share, want := range map[float64]float64{0: 1, 0.5: 101, 0.99: 199, 1: 200} {
		if got := percentile(values, share); got != want {
			t.Errorf("percentile %v = %v, want %v", share, got, want)
		}
	}
	if got := percentile(nil, 0.5); got != 0 {
		t.Errorf("percentile of nothing = %v", got)
	}
}

func TestBesideIsAboveOneWhenOursIsLess(t *testing.T) {
	if row := beside("c", "racks", "racks", 5, kueueNew, 10); *row.Ratio != 2 {
		t.Errorf("ratio = %v, want 2", *row.Ratio)
	}
	if row := beside("c", "missed", "cases", 0, kueueNew, 10); row.Ratio != nil {
		t.Errorf("ratio over nothing = %v", *row.Ratio)
	}
}

func TestCaseNames(t *testing.T) {
	cases := map[string]string{
		empty:   "n640-g8-empty-single",
		scatter: "n640-g8-full-single",
		packed:  "n640-g8-full-single-packed",
	}
	for fill, want := range cases {
		if got := caseName(640, fill, Gang{8, single}); got != want {
			t.Errorf("caseName(%s) = %q, want %q", fill, got, want)
		}
	}
}

func TestTally(t *testing.T) {
	f := small([][]int{{4, 4}, {4, 4}})
	one, two, across := strings.Fields("a00 a01"), strings.Fields("a00 a10"), strings.Fields("a00 b00")
	answers := func(ours, kueue, kai []string) *result {
		return &result{
			fabric: f, gang: Gang{2, anywhere}, bound: bound{true, 1, 1}, askedKAI: true,
			ours: Answer{Nodes: ours}, kueue: Answer{Nodes: kueue}, kai: kaiAnswer{Answer: Answer{Nodes: kai}},
		}
	}
	cases := map[string]struct {
		result *result
		want   tally
	}{
		"all alike": {answers(one, one, one), tally{cases: 1, feasible: 1, kaiCases: 1}},
		"only ours": {answers(one, nil, nil), tally{cases: 1, feasible: 1, kaiCases: 1, onlyOurs: 1, kueueMissed: 1, onlyOursNotKAI: 1, kaiMissed: 1}},
		"ours finds none": {answers(nil, two, across), tally{
			cases: 1, feasible: 1, kaiCases: 1, onlyKueue: 1, onlyKAI: 1, missed: 1, kueueAbove: 1, kaiAbove: 1,
		}},
		"ours is worse": {answers(across, two, one), tally{cases: 1, feasible: 1, kaiCases: 1, oursAbove: 1, kueueAbove: 1, worse: 1}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var got tally
			got.add(c.result)
			if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(tally{})); diff != "" {
				t.Errorf("tally (-want +got):\n%s", diff)
			}
		})
	}
	late := answers(one, one, nil)
	late.kai.late = true
	var got tally
	got.add(late)
	if want := (tally{cases: 1, feasible: 1, kaiCases: 1, kaiLate: 1}); got != want {
		t.Errorf("a late answer counts as %+v", got)
	}
}
