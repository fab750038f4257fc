package cli

import (
	"fmt"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/convert"
	"github.com/k8s4ai/k8s4ai/internal/placement"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// RemedyKind says who would have to do something.
type RemedyKind string

// The kinds of remedies.
const (
	// RemedyWiden asks for a wider domain.
	RemedyWiden RemedyKind = "Widen"
	// RemedyShrink asks for fewer Pods.
	RemedyShrink RemedyKind = "Shrink"
	// RemedyEnd waits for gangs to end.
	RemedyEnd RemedyKind = "End"
	// RemedyMove moves gangs elsewhere.
	RemedyMove RemedyKind = "Move"
	// RemedyEvict stops gangs of lower priority.
	RemedyEvict RemedyKind = "Evict"
)

// Remedy is one change after which a gang fits. Each was tried.
type Remedy struct {
	Kind RemedyKind `json:"kind"`
	// Text says it in words.
	Text string `json:"text"`
	// Gangs are the ones that would have to end or to move, by namespace/name.
	Gangs []string `json:"gangs,omitempty"`
}

// remedies are what other gangs could give way to, and what the person who wrote
// the gang can change. What the fleet cannot hold is tried on the empty fleet.
func (r *room) remedies(group *v1alpha1.GangSchedulingGroup, d convert.Decision) []Remedy {
	on := r.now
	if d.Reason == v1alpha1.ReasonUnsatisfiable {
		on = r.empty
	}
	var out []Remedy
	if d.Reason == v1alpha1.ReasonWaitingForRoom {
		out = r.unblocked(group, d.Request)
	}
	if text, ok := widened(on, d); ok {
		out = append(out, Remedy{Kind: RemedyWiden, Text: text})
	}
	if text, ok := shrunk(on, group, d); ok {
		out = append(out, Remedy{Kind: RemedyShrink, Text: text})
	}
	return out
}

// widened looks for the narrowest level, wider than the one that is required,
// at which the gang fits. Only the group that is refused gives way.
func widened(on *placement.Snapshot, d convert.Decision) (string, bool) {
	was := d.Refusal.Level
	for level := was - 1; level >= topology.Cluster; level-- {
		request := d.Request
		if !widen(&request.Root, d.Refusal.Group, level) {
			return "", false
		}
		if placement.Place(on, request).Placement == nil {
			continue
		}
		field := "topology.required"
		if d.Refusal.Group != "" {
			field = fmt.Sprintf("groups[%s].required", d.Refusal.Group)
		}
		if level == topology.Cluster {
			return fmt.Sprintf("%s: none instead of %s", field, was), true
		}
		return fmt.Sprintf("%s: %s instead of %s", field, level, was), true
	}
	return "", false
}

// widen changes the level of the named group in a copy of what g points to. A
// preference stays where it may.
func widen(g *placement.Group, name string, level topology.Level) bool {
	if name == "" || g.Name == name {
		g.Required = level
		return true
	}
	inner := make([]placement.Group, len(g.Groups))
	copy(inner, g.Groups)
	g.Groups = inner
	for i := range inner {
		if widen(&inner[i], name, level) {
			return true
		}
	}
	return false
}

// shrunk looks for the largest number of Pods that fit, all roles alike.
func shrunk(on *placement.Snapshot, group *v1alpha1.GangSchedulingGroup, d convert.Decision) (string, bool) {
	smaller := group.DeepCopy()
	classes := map[string][]string{}
	for i := range smaller.Spec.Roles {
		role := &smaller.Spec.Roles[i]
		role.MinReplicas = 1
		classes[role.Name] = classesOf(&d.Request.Root, role.Name)
	}
	request, err := convert.GangRequest(smaller, classes)
	if err != nil {
		return "", false
	}
	found := placement.Place(on, request).Placement
	if found == nil {
		return "", false
	}
	text := ""
	for _, role := range found.Roles {
		for i := range group.Spec.Roles {
			if asked := &group.Spec.Roles[i]; asked.Name == role.Name && len(role.Nodes) < int(asked.Replicas) {
				if text != "" {
					text += ", "
				}
				text += fmt.Sprintf("roles[%s].minReplicas: %d of %d", role.Name, len(role.Nodes), asked.Replicas)
			}
		}
	}
	return text, text != ""
}

func classesOf(g *placement.Group, role string) []string {
	for i := range g.Roles {
		if g.Roles[i].Name == role {
			return g.Roles[i].Shape.Classes
		}
	}
	for i := range g.Groups {
		if classes := classesOf(&g.Groups[i], role); classes != nil {
			return classes
		}
	}
	return nil
}
