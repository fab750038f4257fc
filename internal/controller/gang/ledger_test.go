package gang

import (
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/testkit"
)

// Rows are sequences of what the ledger hears of one gang, and end in the epoch
// whose room it holds, 0 for none. It must never hold less than what is stored,
// and always forget in the end.
func TestLedger(t *testing.T) {
	const uid = types.UID("a")
	base := func() *testkit.GangBuilder { return testkit.Gang("a").Stored(uid).Role("worker", 2, 8) }
	placed := func(epoch int64) *v1alpha1.GangSchedulingGroup { return base().Placed(epoch, "n1", "n2").Obj() }
	empty := func(epoch int64) *v1alpha1.GangSchedulingGroup {
		group := placed(epoch)
		group.Status.Placement = nil
		return group
	}
	observe := func(groups ...*v1alpha1.GangSchedulingGroup) func(ledger) {
		return func(l ledger) {
			list := []v1alpha1.GangSchedulingGroup{}
			for _, group := range groups {
				list = append(list, *group)
			}
			l.observe(list)
		}
	}
	commit := func(epoch int64) func(ledger) { return func(l ledger) { l.commit(placed(epoch)) } }
	at := func(version string, group *v1alpha1.GangSchedulingGroup) *v1alpha1.GangSchedulingGroup {
		group.ResourceVersion = version
		return group
	}
	finished := base().Placed(3, "n1", "n2").Finished(v1alpha1.ReasonSucceeded).Obj()
	garbage := placed(3)
	garbage.Status.Placement.Roles[0].Hosts = "["

	cases := map[string]struct {
		heard []func(ledger)
		want  int64
	}{
		"a new process learns of a placement":              {[]func(ledger){observe(placed(3))}, 3},
		"a gang without placement holds nothing":           {[]func(ledger){observe(empty(3))}, 0},
		"a finished gang holds nothing":                    {[]func(ledger){observe(finished)}, 0},
		"an unreadable placement holds nothing":            {[]func(ledger){observe(garbage)}, 0},
		"a commit holds although the cache is older":       {[]func(ledger){commit(3), observe(empty(2))}, 3},
		"a commit holds although the cache has the last":   {[]func(ledger){commit(3), observe(placed(2))}, 3},
		"a commit holds when the cache has it":             {[]func(ledger){commit(3), observe(placed(3))}, 3},
		"a newer epoch in the cache replaces an older one": {[]func(ledger){commit(3), observe(placed(4))}, 4},
		"a cache that shows the end of an epoch is right":  {[]func(ledger){commit(3), observe(empty(3))}, 0},
		"a cache that shows the gang finished is right":    {[]func(ledger){commit(3), observe(finished)}, 0},
		"and an older cache after it is wrong":             {[]func(ledger){commit(3), observe(empty(3)), observe(placed(3))}, 0},
		"an end of which a cache hears twice":              {[]func(ledger){observe(at("1", placed(3))), observe(at("2", empty(3))), observe(at("2", empty(3)))}, 0},
		"a cache that falls back and catches up":           {[]func(ledger){observe(at("1", placed(3))), observe(at("2", empty(3))), observe(at("1", placed(3))), observe(at("2", empty(3)))}, 0},
		"a commit between two looks at an old version":     {[]func(ledger){observe(at("1", empty(2))), commit(3), observe(at("1", empty(2)))}, 3},
		"a gang that comes again is another":               {[]func(ledger){observe(at("1", placed(3))), observe(), observe(at("1", placed(3)))}, 3},
		"a gang that is gone holds nothing":                {[]func(ledger){commit(3), observe()}, 0},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			l := ledger{}
			for _, hear := range tc.heard {
				hear(l)
			}
			if got := l.holds(uid); got != (tc.want > 0) {
				t.Errorf("holds() = %v, want %v", got, tc.want > 0)
			}
			held := l.holdings()[uid]
			switch {
			case held == nil:
				if tc.want > 0 {
					t.Error("it holds nothing")
				}
			case held.Epoch != tc.want || len(held.Uses) != 2:
				t.Errorf("it holds %d uses of epoch %d, want 2 of %d", len(held.Uses), held.Epoch, tc.want)
			}
		})
	}
}

func TestBackoff(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	release := &v1alpha1.GangRelease{Reason: v1alpha1.ReleaseBindTimeout, Message: "pod x is not bound"}
	var last *v1alpha1.GangBackoff
	var got []time.Duration
	for range 11 {
		last = backoff(last, 1, release, now)
		got = append(got, last.NotBefore.Sub(now))
	}
	want := []time.Duration{2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300}
	for i := range want {
		want[i] *= time.Second
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("waits (-want +got):\n%s", diff)
	}
	if last.Failures != 11 || last.Message != "BindTimeout: pod x is not bound" {
		t.Errorf("got %d failures, %q", last.Failures, last.Message)
	}
	last.Failures = 1<<31 - 1
	if next := backoff(last, 1, release, now); next.Failures <= 0 || next.NotBefore.Sub(now) != longestBackoff {
		t.Errorf("after very many failures: %+v", next)
	}
	if next := backoff(last, 2, release, now); next.Failures != 1 || next.NotBefore.Sub(now) != firstBackoff || next.Generation != 2 {
		t.Errorf("after the first failure of another spec: %+v", next)
	}
}

func TestPatience(t *testing.T) {
	c := &clock{at: time.Unix(1000, 0)}
	p := newPatience(c.now)
	want := func(step string, got, want time.Duration) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %s, want %s", step, got, want)
		}
	}
	want("incomplete", p.waited("a", 1, false), 0)
	c.advance(time.Minute)
	want("first seen complete", p.waited("a", 1, true), 0)
	c.advance(time.Minute)
	want("a minute later", p.waited("a", 1, true), time.Minute)
	want("another gang", p.waited("b", 1, true), 0)
	want("the next epoch", p.waited("a", 2, true), 0)
	c.advance(time.Minute)
	want("a pod went missing", p.waited("a", 2, false), 0)
	want("and came back", p.waited("a", 2, true), 0)

	want("the first write", p.mayWriteCounts("a"), 0)
	p.wrote("a")
	want("right after a write", p.mayWriteCounts("a"), time.Second)
	c.advance(400 * time.Millisecond)
	want("a little later", p.mayWriteCounts("a"), 600*time.Millisecond)
	c.advance(time.Hour)
	want("much later", p.mayWriteCounts("a"), 0)
	p.wrote("a")
	p.forget("a")
	want("forgotten", p.mayWriteCounts("a"), 0)
}
