package placement

// maxClassChoices is the largest number of ways to settle the classes of the
// roles that Place tries.
const maxClassChoices = 16

// Place gives every pod of the request a node, or says why it cannot.
//
// The gang gets the tightest domain that holds it, and nested groups get their
// preferred level where that costs nobody a required one. A request that allows
// less than everything gets the largest uniform size that fits.
//
// A refusal is Exact unless the sets of what domains can hold outgrow a fixed
// bound of work, or the request offers more class combinations than are tried.
// On 10,000 nodes, one role of any size, two of some thousand pods and three of
// some dozen each stay inside that bound.
func Place(s *Snapshot, r Request) Verdict {
	if problem := invalid(r); problem != "" {
		return Verdict{Invalid: problem, Proof: Exact}
	}
	p := planner{
		snapshot: s.indexing(&r),
		request:  &r,
		classes:  classChoices(&r.Root),
		effort:   &effort{left: maxFrontierSteps},
		visits:   maxVisits,
	}
	return p.placeLargest()
}

// planner is one call of Place.
type planner struct {
	snapshot *Snapshot
	request  *Request
	classes  [][]string
	// effort and visits bound the whole call, however many sizes it tries.
	effort *effort
	visits int
}

// placeLargest places the whole request, or the largest size that it allows.
func (p *planner) placeLargest() Verdict {
	all := steps(&p.request.Root)
	full := p.place(scale{all, all})
	if full.Placement != nil || all == 0 {
		return full
	}
	best := p.place(scale{0, all})
	if best.Placement == nil {
		return best
	}
	// A smaller gang fits wherever a larger one does, so halving finds the size.
	for low, high := 0, all; high-low > 1; {
		middle := low + (high-low)/2
		if v := p.place(scale{middle, all}); v.Placement != nil {
			low, best = middle, v
		} else {
			high = middle
		}
	}
	return best
}

// place tries the classes in order of preference at one size of the gang. Of
// several refusals it returns the one that comes nearest.
func (p *planner) place(size scale) Verdict {
	var nearest *Refusal
	proof := Exact
	choice, counts := make([]string, len(p.classes)), make([]int, len(p.classes))
	for i := range p.classes {
		counts[i] = len(p.classes[i])
	}
	for at, tried := make([]int, len(counts)), 0; ; tried++ {
		if tried == maxClassChoices {
			proof = None
			break
		}
		for i := range at {
			choice[i] = p.classes[i][at[i]]
		}
		v := p.placeClasses(newGang(p.request, size, choice))
		if v.Placement != nil {
			return v
		}
		if nearest == nil || v.Refusal.Found > nearest.Found {
			nearest = v.Refusal
		}
		if v.Proof == None {
			proof = None
		}
		if next(at, counts); isZero(at) {
			break
		}
	}
	return Verdict{Refusal: nearest, Proof: proof}
}

// placeClasses places a gang whose sizes and classes are settled.
func (p *planner) placeClasses(g *gang) Verdict {
	if len(g.roles) == 1 {
		return p.placeUniform(g)
	}
	return p.placeMixed(g)
}

func isZero(x []int) bool {
	for _, n := range x {
		if n != 0 {
			return false
		}
	}
	return true
}
