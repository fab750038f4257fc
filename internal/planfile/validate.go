package planfile

import (
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/placement"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// Bounds of a snapshot.
const (
	maxDomains = 100000
	maxNodes   = 200000
	maxClasses = 10000
	maxGangs   = 100000
	maxName    = 253
	// maxGbps is far above any link, and low enough that sums of it fit.
	maxGbps = 1 << 40
)

// validate lists what is wrong, at most a little more than an error tells.
func (s *Snapshot) validate() field.ErrorList {
	var out field.ErrorList
	for _, list := range []struct {
		name      string
		size, max int
	}{
		{"domains", len(s.Domains), maxDomains}, {"nodes", len(s.Nodes), maxNodes}, {"classes", len(s.Classes), maxClasses}, {"gangs", len(s.Gangs), maxGangs},
	} {
		if list.size > list.max {
			return append(out, field.TooMany(field.NewPath(list.name), list.size, list.max))
		}
	}
	levels, problems := s.validateDomains()
	out = append(out, problems...)
	out = append(out, s.validateNodes(levels)...)
	out = append(out, s.validateClasses()...)
	return append(out, s.validateGangs()...)
}

// validateDomains returns the level of every domain. A parent is wider than its
// children, so that there is no circle.
func (s *Snapshot) validateDomains() (map[string]topology.Level, field.ErrorList) {
	var out field.ErrorList
	levels := map[string]topology.Level{}
	for i := range s.Domains {
		d, at := &s.Domains[i], field.NewPath("domains").Index(i)
		level, known := topology.ParseLevel(string(d.Level))
		if !known || level < topology.Fabric || level > topology.NVLinkDomain {
			out = append(out, field.NotSupported(at.Child("level"), d.Level, domainLevels))
		}
		_, twice := levels[d.Name]
		out = append(out, validName(at.Child("name"), d.Name, twice)...)
		out = append(out, within(at.Child("uplinkGbps"), d.UplinkGbps, maxGbps)...)
		levels[d.Name] = level
		if len(out) > maxProblems {
			return levels, out
		}
	}
	for i := range s.Domains {
		d, at := &s.Domains[i], field.NewPath("domains").Index(i).Child("parent")
		if d.Parent == "" {
			continue
		}
		parent, known := levels[d.Parent]
		switch {
		case !known:
			out = append(out, field.NotFound(at, d.Parent))
		case parent >= levels[d.Name]:
			out = append(out, field.Invalid(at, d.Parent, fmt.Sprintf("a %s is not wider than a %s: a parent is, so that no domain lies in itself", parent, levels[d.Name])))
		}
		if len(out) > maxProblems {
			break
		}
	}
	return levels, out
}

var domainLevels = []v1alpha1.TopologyLevel{v1alpha1.LevelFabric, v1alpha1.LevelBlock, v1alpha1.LevelLeaf, v1alpha1.LevelNVLinkDomain}

func (s *Snapshot) validateNodes(levels map[string]topology.Level) field.ErrorList {
	var out field.ErrorList
	if len(s.Nodes) == 0 {
		out = append(out, field.Required(field.NewPath("nodes"), "a fleet has at least one node"))
	}
	names := map[string]bool{}
	for i := range s.Nodes {
		n, at := &s.Nodes[i], field.NewPath("nodes").Index(i)
		out = append(out, validName(at.Child("name"), n.Name, names[n.Name])...)
		names[n.Name] = true
		if _, known := levels[n.Domain]; n.Domain != "" && !known {
			out = append(out, field.NotFound(at.Child("domain"), n.Domain))
		}
		out = append(out, amounts(at.Child("capacity"), n.Capacity)...)
		out = append(out, amounts(at.Child("used"), n.Used)...)
		out = append(out, within(at.Child("nicGbps"), n.NICGbps, maxGbps)...)
		out = append(out, within(at.Child("linkGbps"), n.LinkGbps, maxGbps)...)
		for _, name := range slices.Sorted(maps.Keys(n.Islands)) {
			out = append(out, validIslands(at.Child("islands").Key(name), n.Islands[name])...)
		}
		if len(out) > maxProblems {
			break
		}
	}
	return out
}

func validIslands(at *field.Path, islands []int64) field.ErrorList {
	if len(islands) > placement.MaxIslands {
		return field.ErrorList{field.TooMany(at, len(islands), placement.MaxIslands)}
	}
	var out field.ErrorList
	for i, devices := range islands {
		out = append(out, within(at.Index(i), devices, placement.MaxIslandDevices)...)
	}
	return out
}

func (s *Snapshot) validateClasses() field.ErrorList {
	var out field.ErrorList
	names := map[string]bool{}
	for i := range s.Classes {
		name := s.Classes[i].Name
		out = append(out, validName(field.NewPath("classes").Index(i).Child("name"), name, names[name])...)
		names[name] = true
	}
	return out
}

func (s *Snapshot) validateGangs() field.ErrorList {
	var out field.ErrorList
	names := map[string]bool{}
	for i := range s.Gangs {
		g, at := &s.Gangs[i], field.NewPath("gangs").Index(i)
		key := g.Namespace + "/" + g.Name
		if names[key] {
			out = append(out, field.Duplicate(at.Child("metadata", "name"), key))
		}
		names[key] = true
		if out = append(out, validateGang(at, g)...); len(out) > maxProblems {
			break
		}
	}
	return out
}

func validName(at *field.Path, name string, twice bool) field.ErrorList {
	switch {
	case name == "":
		return field.ErrorList{field.Required(at, "")}
	case len(name) > maxName:
		return field.ErrorList{field.TooLong(at, name, maxName)}
	case twice:
		return field.ErrorList{field.Duplicate(at, name)}
	}
	return nil
}

func amounts(at *field.Path, list map[string]int64) field.ErrorList {
	var out field.ErrorList
	for _, name := range slices.Sorted(maps.Keys(list)) {
		if list[name] < 0 {
			out = append(out, field.Invalid(at.Key(name), list[name], "must not be negative"))
		}
	}
	return out
}

func within(at *field.Path, value, most int64) field.ErrorList {
	if value < 0 || value > most {
		return field.ErrorList{field.Invalid(at, value, fmt.Sprintf("must be 0 to %d", most))}
	}
	return nil
}
