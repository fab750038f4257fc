package oracle

import "testing"

func TestTheEngineAgreesWithTryingEverything(t *testing.T) {
	cases := 20000
	if testing.Short() {
		cases = 2000
	}
	told := 0
	counts := Compare(0, cases, func(done int) { told = done })
	if counts.Missed+counts.Wrong+counts.Worse+counts.Untrue+counts.NotProven > 0 {
		t.Errorf("%+v", counts)
		for _, failure := range counts.Failures {
			t.Error(failure)
		}
	}
	if counts.Cases != cases || told != cases {
		t.Errorf("%d cases were judged and %d told, want %d", counts.Cases, told, cases)
	}
	if counts.Feasible < cases*3/10 || counts.Feasible > cases*7/10 {
		t.Errorf("%d of %d cases are feasible: they say little", counts.Feasible, cases)
	}
	if counts.GreedyMissed == 0 {
		t.Error("the greedy rule misses nothing: the cases are too easy")
	}
	t.Logf("%d cases, %d feasible, %d of them missed by the greedy rule", counts.Cases, counts.Feasible, counts.GreedyMissed)
}

func TestCompareCountsEachSeedOnce(t *testing.T) {
	whole, parts := Compare(7, 400, nil), Compare(7, 150, nil)
	parts.merge(Compare(157, 250, nil))
	if whole.Cases != parts.Cases || whole.Feasible != parts.Feasible || whole.GreedyMissed != parts.GreedyMissed {
		t.Errorf("400 cases give %+v, in two parts %+v", whole, parts)
	}
}
