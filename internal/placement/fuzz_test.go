package placement

import (
	"math/rand"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Whatever the fleet and the gang: a gang is placed whole or not at all, no
// node gives more than it has, every group is inside one domain of its required
// level, and an exact refusal means that no placement exists.
func FuzzPlace(f *testing.F) {
	for seed := range int64(50) {
		f.Add(seed)
	}
	f.Fuzz(checkSeed)
}

func TestPlaceAgreesWithTryingEverything(t *testing.T) {
	yes, no := 0, 0
	for seed := range int64(4000) {
		if checkSeed(t, seed); t.Failed() {
			return
		}
		r := rand.New(rand.NewSource(seed))
		w, request := randomWorld(r), randomRequest(r)
		switch placed := Place(w.snapshot(), request).Placement != nil; {
		case !isSmall(request):
		case placed:
			yes++
		default:
			no++
		}
	}
	if min(yes, no) < 800 {
		t.Errorf("%d gangs are placed and %d refused: the cases say little", yes, no)
	}
}

// A gang that may shrink is placed at the largest uniform size that fits.
func TestPlaceShrinksNoFurtherThanItMust(t *testing.T) {
	shrunk := 0
	for seed := range int64(4000) {
		r := rand.New(rand.NewSource(seed))
		w, full := randomWorld(r), randomRequest(r)
		root := &full.Root
		root.Roles = append(root.Roles, Role{Name: "elastic", Count: 3, MinCount: 1, Shape: Shape{Resources: Resources{"x/gpu": 1}}})
		if len(root.Groups) > 0 {
			root.Groups[0].Copies, root.Groups[0].MinCopies = 3, 1
		}
		if !isSmall(full) {
			continue
		}
		want := 0
		for size := 1; size <= 3; size++ {
			fixed := full
			fixed.Root.Roles = append(root.Roles[:0:0], root.Roles...)
			fixed.Root.Roles[len(root.Roles)-1].Count = size
			fixed.Root.Groups = append(root.Groups[:0:0], root.Groups...)
			if len(root.Groups) > 0 {
				fixed.Root.Groups[0].Copies = size
			}
			if newOracle(w).fits(fixed) {
				want = size
			}
		}
		got := 0
		if v := Place(w.snapshot(), full); v.Placement != nil {
			got = len(v.Placement.Roles[len(root.Roles)-1].Nodes)
			if problem := validate(w, full, v.Placement); problem != "" {
				t.Fatalf("seed %d: %s", seed, problem)
			}
		}
		if got != want {
			t.Fatalf("seed %d: placed at size %d, want %d\n%+v\n%+v", seed, got, want, w, full)
		}
		if 0 < want && want < 3 {
			shrunk++
		}
	}
	if shrunk < 50 {
		t.Errorf("only %d gangs had to shrink: the cases say little", shrunk)
	}
}

func checkSeed(t *testing.T, seed int64) {
	r := rand.New(rand.NewSource(seed))
	w, request := randomWorld(r), randomRequest(r)
	if !isSmall(request) {
		return
	}
	verdict := Place(w.snapshot(), request)
	exists := newOracle(w).fits(request)
	checkVerdict(t, seed, w, request, verdict, exists)
	if verdict.Proof != Exact {
		t.Errorf("seed %d: a small request is answered without proof", seed)
	}
	if (verdict.Placement != nil) != exists {
		t.Errorf("seed %d: placed is %v, a placement exists is %v\n%+v\n%+v", seed, verdict.Placement != nil, exists, w, request)
	}

	shuffled := world{domains: append(w.domains[:0:0], w.domains...), nodes: append(w.nodes[:0:0], w.nodes...)}
	r.Shuffle(len(w.nodes), func(i, j int) {
		shuffled.nodes[i], shuffled.nodes[j] = shuffled.nodes[j], shuffled.nodes[i]
	})
	r.Shuffle(len(w.domains), func(i, j int) {
		shuffled.domains[i], shuffled.domains[j] = shuffled.domains[j], shuffled.domains[i]
	})
	if diff := cmp.Diff(verdict, Place(shuffled.snapshot(), request)); diff != "" {
		t.Errorf("seed %d: the order of the input changes the verdict (-first +shuffled):\n%s", seed, diff)
	}

	p := planner{
		snapshot: w.snapshot(), request: &request, classes: classChoices(&request.Root),
		effort: &effort{left: -1}, visits: 10000,
	}
	searched := p.placeLargest()
	checkVerdict(t, seed, w, request, searched, exists)
	if searched.Refusal != nil && searched.Proof == Exact && exists {
		t.Errorf("seed %d: a search claims a proof although a placement exists", seed)
	}
}

func checkVerdict(t *testing.T, seed int64, w world, r Request, v Verdict, exists bool) {
	t.Helper()
	if v.Invalid != "" || (v.Placement == nil) == (v.Refusal == nil) {
		t.Fatalf("seed %d: not one of placement and refusal: %+v\n%+v", seed, v, r)
	}
	if v.Placement != nil {
		if problem := validate(w, r, v.Placement); problem != "" {
			t.Errorf("seed %d: %s\n%+v\n%+v\n%+v", seed, problem, w, r, v.Placement)
		}
		return
	}
	if v.Refusal.Found >= v.Refusal.Needed {
		t.Errorf("seed %d: a refusal with enough room: %s", seed, v.Refusal)
	}
	if (v.Refusal.Found == 0) != (v.Refusal.Domain == "") && v.Refusal.Level > 0 {
		t.Errorf("seed %d: a refusal with a domain that has nothing: %+v", seed, v.Refusal)
	}
}
