package convert

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/placement"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// maxMessage bounds a message in a status, in bytes.
const maxMessage = 1024

// maxExcluded bounds the reasons for which nodes are left out in a status.
const maxExcluded = 16

// maxReason bounds such a reason, in bytes.
const maxReason = 340

// GangPlacement writes a placement in the form of a status. GangBandwidth adds
// how fast it is.
func GangPlacement(p *placement.Placement, group *v1alpha1.GangSchedulingGroup, now time.Time) *v1alpha1.GangPlacement {
	out := &v1alpha1.GangPlacement{
		Generation:    group.Generation,
		CommittedTime: &metav1.Time{Time: now},
		Level:         apiLevel(p.Quality.Level),
		Domain:        p.Quality.Domain,
	}
	for _, l := range topology.Levels {
		if n := p.Quality.Domains[l]; n > 0 {
			out.Spread = append(out.Spread, v1alpha1.LevelSpread{Level: apiLevel(l), Domains: int32(n)})
		}
	}
	for _, g := range p.Quality.Groups {
		out.Groups = append(out.Groups, v1alpha1.GroupPlacement{Name: g.Name, Level: apiLevel(g.Level)})
	}
	placed := map[string]*placement.RolePlacement{}
	for i := range p.Roles {
		placed[p.Roles[i].Name] = &p.Roles[i]
	}
	for i := range group.Spec.Roles {
		role := &group.Spec.Roles[i]
		at := placed[role.Name]
		if at == nil {
			continue
		}
		out.Roles = append(out.Roles, v1alpha1.RolePlacement{
			Name: role.Name, Replicas: int32(len(at.Nodes)), ClassName: at.Class,
			Hosts: EncodeHosts(at.Nodes), SpareHosts: EncodeHosts(at.Spares),
			Slot: TemplateRequests(&role.Template),
		})
	}
	return out
}

// GangBandwidth adds an estimate to the placement in a status that it is of.
func GangBandwidth(out *v1alpha1.GangPlacement, b placement.Bandwidth) {
	out.Bandwidth = nil
	if b.Rate != (placement.Rate{}) {
		out.Bandwidth = &v1alpha1.GangBandwidth{
			EstimatedGbps: gbps(b.Rate), BottleneckLevel: apiLevel(b.Bottleneck), BottleneckDomain: b.BottleneckDomain,
			BestGbps: gbps(placement.Rate{Bus: b.Best, Known: b.Best > 0}),
		}
		if *out.Bandwidth == (v1alpha1.GangBandwidth{}) {
			out.Bandwidth = nil // What joins separate fabrics is not known, and nothing else is either.
		}
	}
	for i := range out.Groups {
		out.Groups[i].EstimatedGbps = 0
		if i < len(b.Groups) && b.Groups[i].Name == out.Groups[i].Name {
			out.Groups[i].EstimatedGbps = gbps(b.Groups[i].Rate)
		}
	}
}

// gbps is a rate in whole gigabits per second, 0 for an unknown one.
func gbps(r placement.Rate) int64 {
	if !r.Known {
		return 0
	}
	// 2^53 is far above any link, and the largest that is exact.
	return int64(min(max(r.Bus, 1), 1<<53))
}

// PlacedRole is one role of a stored placement.
type PlacedRole struct {
	Name   string
	Nodes  []string
	Spares []string
	Slot   placement.Resources
}

// PlacedRoles reads a stored placement back, roles in rank order. It returns
// an error that names the role when a host list cannot be read or does not
// match the role's count.
func PlacedRoles(p *v1alpha1.GangPlacement) ([]PlacedRole, error) {
	var out []PlacedRole
	for i := range p.Roles {
		role := &p.Roles[i]
		nodes, err := DecodeHosts(role.Hosts)
		if err != nil {
			return nil, fmt.Errorf("placement of role %s: %w", role.Name, err)
		}
		if len(nodes) != int(role.Replicas) {
			return nil, fmt.Errorf("placement of role %s: %d hosts for %d pods", role.Name, len(nodes), role.Replicas)
		}
		var spares []string
		if role.SpareHosts != "" {
			if spares, err = DecodeHosts(role.SpareHosts); err != nil {
				return nil, fmt.Errorf("spares of role %s: %w", role.Name, err)
			}
		}
		slot := Resources(role.Slot)
		slot[podSlots] = 1
		out = append(out, PlacedRole{Name: role.Name, Nodes: nodes, Spares: spares, Slot: slot})
	}
	return out, nil
}

// Uses is the room that placed roles take, pods and spares.
func Uses(roles []PlacedRole) []placement.Use {
	var out []placement.Use
	for _, role := range roles {
		for _, nodes := range [][]string{role.Nodes, role.Spares} {
			for _, node := range nodes {
				out = append(out, placement.Use{Node: node, Resources: role.Slot})
			}
		}
	}
	return out
}

// GangRefusal writes a refusal in the form of a status.
func GangRefusal(reason string, r *placement.Refusal) *v1alpha1.GangRefusal {
	message := r.String()
	if reason == v1alpha1.ReasonUnsatisfiable {
		message += "; this is what the fleet holds with nothing else on it"
	}
	needed, found := int32(r.Needed), int32(r.Found)
	out := &v1alpha1.GangRefusal{
		Reason: reason, Message: Message(message),
		Group: r.Group, Level: apiLevel(r.Level), Domain: r.Domain,
		Needed: &needed, Found: &found, Limiting: r.Limiting,
		Excluded: excluded(r.Excluded),
	}
	for _, best := range r.Levels {
		out.Levels = append(out.Levels, v1alpha1.LevelRefusal{
			Level: apiLevel(best.Level), Domain: best.Domain, Found: new(Count(int64(best.Found))), Needed: new(Count(int64(best.Needed))),
		})
	}
	return out
}

// excluded writes why nodes are left out, the most frequent reasons one by one.
func excluded(all []placement.Exclusion) []v1alpha1.ExcludedNodes {
	frequent := slices.SortedStableFunc(slices.Values(all), func(a, b placement.Exclusion) int { return cmp.Compare(b.Nodes, a.Nodes) })
	if len(frequent) > maxExcluded {
		others := placement.Exclusion{Reason: "other reasons"}
		for _, e := range frequent[maxExcluded-1:] {
			others.Nodes += e.Nodes
		}
		frequent = append(frequent[:maxExcluded-1], others)
	}
	nodes := map[string]int64{}
	for _, e := range frequent {
		// Reasons that differ only beyond the bound are one.
		nodes[strings.ToValidUTF8(truncate(e.Reason, maxReason), "")] += int64(e.Nodes)
	}
	var out []v1alpha1.ExcludedNodes
	for _, reason := range slices.Sorted(maps.Keys(nodes)) {
		if nodes[reason] < 1 {
			continue
		}
		out = append(out, v1alpha1.ExcludedNodes{Reason: reason, Nodes: Count(nodes[reason])})
	}
	return out
}

// Message cuts a text to what a status holds.
func Message(text string) string {
	return strings.ToValidUTF8(truncate(text, maxMessage), "")
}
