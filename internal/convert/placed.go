package convert

import (
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/placement"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// maxMessage bounds a message in a status, in bytes.
const maxMessage = 1024

// GangPlacement writes a placement in the form of a status.
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
	return &v1alpha1.GangRefusal{
		Reason: reason, Message: Message(message),
		Group: r.Group, Level: apiLevel(r.Level), Domain: r.Domain,
		Needed: &needed, Found: &found, Limiting: r.Limiting,
	}
}

// Message cuts a text to what a status holds.
func Message(text string) string {
	return strings.ToValidUTF8(truncate(text, maxMessage), "")
}
