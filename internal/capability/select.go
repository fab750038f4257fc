package capability

import (
	"cmp"
	"math"
	"slices"
)

// MaxNearest bounds the classes that a Refusal describes.
const MaxNearest = 5

// Demand asks for a class by name, for capabilities, or for both. An empty
// demand accepts every class.
type Demand struct {
	// Class is acceptable with everything that its fallbacks lead to.
	Class string
	Needs Needs
}

// Needs are minimums; a zero or an empty one asks for nothing.
type Needs struct {
	Vendor         string
	MinMemoryBytes int64
	MinMemoryGBps  float64
	// MinTFLOPS is indexed by Precision.
	MinTFLOPS           [len(Precisions)]float64
	MinInterconnectGBps float64
	Features            []string
}

// Lack is one need that a class does not meet.
type Lack struct {
	// Need is such as memoryBytes, BF16 TFLOPS or feature FP8.
	Need string
	// Wants and Has are the minimum and the figure, 0 for what has none.
	Wants float64
	Has   float64
	// Unknown is true when the class has no figure for the need.
	Unknown bool
}

// Shortfall is what one class lacks.
type Shortfall struct {
	Class string
	Lacks []Lack
}

// Refusal says why classes were not chosen. It is filled also when others were.
type Refusal struct {
	// Considered is how many classes were compared with the needs.
	Considered int
	// NoSuchClass names, sorted, the demanded class or fallbacks that do not
	// exist.
	NoSuchClass []string
	// Nearest are the classes that come closest, at most 5.
	Nearest []Shortfall
}

// Select lists the classes that satisfy a demand. By name they come in the order
// of the fallbacks: the class, its own fallbacks, then theirs, each once. By
// capability alone they come best fit first: the least BF16 rate that suffices,
// measured where it was, then the least memory, then the name; a class of
// unknown rate comes last.
//
// Of several profiles with one name the first counts.
func Select(d Demand, profiles []Profile) (classes []string, why Refusal) {
	byName := map[string]Profile{}
	var distinct []Profile
	for _, p := range profiles {
		if _, twice := byName[p.Name]; !twice {
			byName[p.Name] = p
			distinct = append(distinct, p)
		}
	}
	candidates := distinct
	if d.Class != "" {
		candidates, why.NoSuchClass = chain(d.Class, byName)
	} else {
		slices.SortFunc(candidates, compareFit)
	}
	why.Considered = len(candidates)
	var short []shortfall
	for _, p := range candidates {
		lacks, distance := d.Needs.lackedBy(p)
		if len(lacks) == 0 {
			classes = append(classes, p.Name)
			continue
		}
		short = append(short, shortfall{Shortfall{Class: p.Name, Lacks: lacks}, distance})
	}
	why.Nearest = nearest(short)
	return classes, why
}

// chain walks the fallbacks breadth first, so that a class's own order of
// substitutes comes before what the substitutes would accept.
func chain(class string, byName map[string]Profile) (found []Profile, missing []string) {
	seen := map[string]bool{class: true}
	for queue := []string{class}; len(queue) > 0; queue = queue[1:] {
		p, ok := byName[queue[0]]
		if !ok {
			missing = append(missing, queue[0])
			continue
		}
		found = append(found, p)
		for _, next := range p.Fallback {
			if !seen[next] {
				seen[next] = true
				queue = append(queue, next)
			}
		}
	}
	slices.Sort(missing)
	return found, missing
}

func compareFit(a, b Profile) int {
	return cmp.Or(
		cmp.Compare(rateOrLast(a), rateOrLast(b)),
		cmp.Compare(a.MemoryBytes, b.MemoryBytes),
		cmp.Compare(a.Name, b.Name),
	)
}

func rateOrLast(p Profile) float64 {
	if v, ok := p.TFLOPS[BF16].Best(); ok {
		return v
	}
	return math.Inf(1)
}

type shortfall struct {
	Shortfall
	// distance adds up the missing part of each need; an unknown or missing
	// capability counts as all of it.
	distance float64
}

// nearest keeps the classes with the fewest lacks, then the least distance.
func nearest(all []shortfall) []Shortfall {
	slices.SortStableFunc(all, func(a, b shortfall) int {
		return cmp.Or(
			cmp.Compare(len(a.Lacks), len(b.Lacks)),
			cmp.Compare(a.distance, b.distance),
			cmp.Compare(a.Class, b.Class),
		)
	})
	var out []Shortfall
	for _, s := range all[:min(len(all), MaxNearest)] {
		out = append(out, s.Shortfall)
	}
	return out
}

// lackedBy compares a profile with the needs, in the order of the fields.
func (n Needs) lackedBy(p Profile) (lacks []Lack, distance float64) {
	lack := func(l Lack, missing float64) {
		lacks = append(lacks, l)
		distance += missing
	}
	minimum := func(need string, wants float64, has float64, ok bool) {
		switch {
		case wants <= 0:
		case !ok:
			lack(Lack{Need: need, Wants: wants, Unknown: true}, 1)
		// A minimum that is no number is met by nothing.
		case has < wants || math.IsNaN(wants):
			lack(Lack{Need: need, Wants: wants, Has: has}, missingPart(has, wants))
		}
	}
	if n.Vendor != "" && p.Vendor != n.Vendor {
		lack(Lack{Need: "vendor " + n.Vendor, Unknown: p.Vendor == ""}, 1)
	}
	// Memory is compared as float64, exact below 8 PiB.
	minimum("memoryBytes", float64(n.MinMemoryBytes), float64(p.MemoryBytes), p.MemoryBytes > 0)
	bandwidth, ok := p.MemoryGBps.Best()
	minimum("memory GB/s", n.MinMemoryGBps, bandwidth, ok)
	for _, precision := range Precisions {
		rate, ok := p.TFLOPS[precision].Best()
		minimum(precision.String()+" TFLOPS", n.MinTFLOPS[precision], rate, ok)
	}
	link, ok := p.Interconnect.GBps.Best()
	minimum("interconnect GB/s", n.MinInterconnectGBps, link, ok)
	for _, feature := range n.Features {
		if !slices.Contains(p.Features, feature) {
			lack(Lack{Need: "feature " + feature}, 1)
		}
	}
	return lacks, distance
}

func missingPart(has, wants float64) float64 {
	if part := 1 - has/wants; part >= 0 && part <= 1 {
		return part
	}
	return 1
}
