package cli

import (
	"fmt"
	"time"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/capability"
	"github.com/k8s4ai/k8s4ai/internal/convert"
	"github.com/k8s4ai/k8s4ai/internal/placement"
	"github.com/k8s4ai/k8s4ai/internal/planfile"
	"github.com/k8s4ai/k8s4ai/internal/queueing"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// GangVerdict is the answer about one gang, as `plan -o json` prints it. Exactly
// one of Placement and Refusal is set.
type GangVerdict struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Fits      bool   `json:"fits"`
	// Placement has the form of a gang's status.placement, without the time.
	Placement *v1alpha1.GangPlacement `json:"placement,omitempty"`
	Refusal   *Refusal                `json:"refusal,omitempty"`
}

// Refusal says why a gang does not fit, and what would change that.
type Refusal struct {
	// Reason is one of those of a gang's status.refusal.
	Reason  string `json:"reason"`
	Message string `json:"message"`
	// Proof is Exact, or None when the search gave up at its bound. Unset where
	// slots are not what is wrong, and for the same reason all below it.
	Proof placement.Proof `json:"proof,omitempty"`
	// Group is the group whose demand is not met, unset for the whole gang.
	Group string `json:"group,omitempty"`
	// Level is that of the one domain that has to hold it, unset for no demand.
	Level  string `json:"level,omitempty"`
	Domain string `json:"domain,omitempty"`
	// Needed and Found count slots, or copies of the group Unit.
	Needed   *int        `json:"needed,omitempty"`
	Found    *int        `json:"found,omitempty"`
	Unit     string      `json:"unit,omitempty"`
	Limiting string      `json:"limiting,omitempty"`
	Levels   []LevelBest `json:"levels,omitempty"`
	Excluded []Exclusion `json:"excluded,omitempty"`
	// Remedies are changes after which the gang fits, each on its own.
	Remedies []Remedy `json:"remedies,omitempty"`

	// sentence is Message without the nodes that are left out.
	sentence string
}

// LevelBest is the domain of one level that holds most of the gang.
type LevelBest struct {
	Level  string `json:"level"`
	Domain string `json:"domain,omitempty"`
	Found  int    `json:"found"`
	Needed int    `json:"needed"`
}

// Exclusion is a number of nodes that are left out for one reason.
type Exclusion struct {
	Reason string `json:"reason"`
	Nodes  int    `json:"nodes"`
}

// room is where gangs are placed one after another.
type room struct {
	profiles []capability.Profile
	now      *placement.Snapshot
	// empty is the fleet with nothing on it.
	empty *placement.Snapshot
	// holders are the gangs that hold room, at is the time at which they do.
	holders []queueing.Running
	at      time.Time
	// unblocks counts the gangs for which the holders were looked at.
	unblocks int
}

func newRoom(machines *planfile.Snapshot, now *placement.Snapshot) *room {
	out := &room{profiles: convert.Profiles(machines.AcceleratorClasses()), now: now, empty: now.Emptied()}
	if machines.Taken != nil {
		out.at = machines.Taken.Time
	}
	return out
}

// judge says where a gang goes, or why it does not fit. It takes no room.
func (r *room) judge(group *v1alpha1.GangSchedulingGroup) GangVerdict {
	out := GangVerdict{Namespace: group.Namespace, Name: group.Name}
	decision := convert.Decide(group, r.profiles, r.now, r.empty)
	if found := decision.Verdict.Placement; found != nil {
		out.Fits = true
		out.Placement = convert.GangPlacement(found, group, time.Time{})
		out.Placement.CommittedTime, out.Placement.Generation = nil, 0
		convert.GangBandwidth(out.Placement, placement.Estimate(r.now, decision.Request, found))
		return out
	}
	out.Refusal = refusalOf(decision)
	if decision.Refusal != nil {
		out.Refusal.Remedies = r.remedies(group, decision)
	}
	return out
}

// take gives a gang its place. It is among the holders from then on.
func (r *room) take(group *v1alpha1.GangSchedulingGroup, v GangVerdict) error {
	if v.Placement == nil {
		return nil
	}
	placed := *group
	placed.Status = v1alpha1.GangSchedulingGroupStatus{Placement: v.Placement}
	roles, err := convert.PlacedRoles(v.Placement)
	if err != nil {
		return fmt.Errorf("gang %s/%s: reading back its placement: %w", v.Namespace, v.Name, err)
	}
	r.now = r.now.With(convert.Uses(roles)...)
	if h, ok := holder(&placed, r.profiles); ok {
		h.Start, h.Saved = instant(r.at), instant(r.at)
		r.holders = append(r.holders, h)
	}
	return nil
}

func refusalOf(d convert.Decision) *Refusal {
	out := &Refusal{Reason: d.Reason, Message: d.Message, sentence: d.Message}
	r := d.Refusal
	if r == nil {
		return out
	}
	short := *r
	short.Excluded = nil
	out.sentence = convert.GangRefusal(d.Reason, &short).Message
	out.Proof, out.Group, out.Domain, out.Unit, out.Limiting = d.Verdict.Proof, r.Group, r.Domain, r.Unit, r.Limiting
	out.Needed, out.Found = &r.Needed, &r.Found
	if r.Level != topology.Cluster {
		out.Level = r.Level.String()
	}
	for _, l := range r.Levels {
		out.Levels = append(out.Levels, LevelBest{Level: l.Level.String(), Domain: l.Domain, Found: l.Found, Needed: l.Needed})
	}
	for _, e := range r.Excluded {
		out.Excluded = append(out.Excluded, Exclusion(e))
	}
	return out
}
