package topology

import (
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/convert"
	"github.com/k8s4ai/k8s4ai/internal/report"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// maxClasses bounds the classes in a status.
const maxClasses = 64

// status is a stored domain with the status that it should have. Only the
// manager's fields are set.
func (r *Reconciler) status(is *v1alpha1.TopologyDomain, domain topology.DomainState, known bool) *v1alpha1.TopologyDomain {
	out := &v1alpha1.TopologyDomain{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "TopologyDomain"},
		ObjectMeta: metav1.ObjectMeta{Name: is.Name, UID: is.UID},
		Status:     v1alpha1.TopologyDomainStatus{Conditions: mine(is).Conditions},
	}
	switch {
	case is.Spec.Level == v1alpha1.LevelNode:
		r.nodeStatus(&out.Status, is)
	case known && domain.Accepted:
		out.Status.ParentName = domain.Parent
		count(&out.Status, domain.Summary)
		report.Set(&out.Status.Conditions, is.Generation, healthy(domain.Summary))
	default:
		// Nothing is known below a domain that is left out of the fabric.
		count(&out.Status, topology.Summary{})
		meta.RemoveStatusCondition(&out.Status.Conditions, v1alpha1.ConditionHealthy)
	}
	report.Set(&out.Status.Conditions, is.Generation, accepted(r.findings(is, domain, known))...)
	return out
}

// nodeStatus is the manager's part of the status of a node's own domain.
func (r *Reconciler) nodeStatus(status *v1alpha1.TopologyDomainStatus, is *v1alpha1.TopologyDomain) {
	m := r.fabric.nodes[is.Spec.NodeName]
	if m == nil {
		count(status, topology.Summary{})
	} else {
		place, _, _ := r.fabric.state.Place(is.Spec.NodeName)
		status.ParentName = place.Domain
		count(status, topology.Total(m.scene.Room()))
		for i := range status.Classes {
			for _, device := range m.scene.Devices {
				if device.Class == status.Classes[i].Name && device.Device != "" {
					status.Classes[i].UUIDs = append(status.Classes[i].UUIDs, device.Device)
				}
			}
		}
	}
	silent, patience, known := r.agents.silent(is.Spec.NodeName)
	if !known {
		meta.RemoveStatusCondition(&status.Conditions, v1alpha1.ConditionStale)
		return
	}
	report.Set(&status.Conditions, is.Generation, stale(silent, patience, is.Status.Node))
}

// stale tells how old the facts of a node are whose agent is silent. It is the
// time of the facts and not their age, which would be another one every second.
//
// The facts stay in force: an agent that is silent is a reason to look after the
// agent, and no sign that the machine is broken. Whether the machine is alive
// is for Kubernetes to say, whose own heartbeats makes the Node NotReady; then it
// takes no gangs. An agent that crashes on every machine, by a bad upgrade say,
// must not take the fleet with it.
func stale(silent bool, patience time.Duration, facts *v1alpha1.NodeReport) metav1.Condition {
	if !silent {
		return report.Condition(v1alpha1.ConditionStale, false, v1alpha1.ReasonHeartbeatSeen, "")
	}
	of := "there are no facts"
	if facts != nil {
		of = "the last facts do not say when they were read"
		if facts.ObservedTime != nil {
			of = "the last facts are of " + facts.ObservedTime.UTC().Format(time.RFC3339)
		}
	}
	return report.Condition(v1alpha1.ConditionStale, true, v1alpha1.ReasonHeartbeatLost, fmt.Sprintf("no heartbeat of the agent within %s; %s", patience, of))
}

// count writes what is below a domain.
func count(status *v1alpha1.TopologyDomainStatus, of topology.Summary) {
	status.Nodes = &v1alpha1.NodeCounts{Total: new(convert.Count(int64(of.Nodes))), Ready: new(convert.Count(int64(of.ReadyNodes)))}
	status.Accelerators = convert.DeviceCounts(of.Accelerators)
	for _, c := range of.Classes[:min(len(of.Classes), maxClasses)] {
		status.Classes = append(status.Classes, v1alpha1.DomainClass{Name: c.Class, Devices: new(convert.Count(c.Devices))})
	}
}

func healthy(summary topology.Summary) metav1.Condition {
	if summary.Healthy {
		return report.Condition(v1alpha1.ConditionHealthy, true, v1alpha1.ReasonHealthy, "")
	}
	var parts []string
	for _, r := range summary.Reasons {
		parts = append(parts, fmt.Sprintf("%d with %s", r.Nodes, r.Reason))
	}
	return report.Condition(v1alpha1.ConditionHealthy, false, v1alpha1.ReasonNodesUnhealthy, "nodes: "+strings.Join(parts, ", "))
}

// accepted are the conditions that follow from what was found.
func accepted(findings []convert.Finding) []metav1.Condition {
	stalled := report.Condition(v1alpha1.ConditionStalled, false, v1alpha1.ReasonAsExpected, "")
	ready := report.Condition(v1alpha1.ConditionReady, true, v1alpha1.ReasonAccepted, "")
	if len(findings) > 0 {
		var messages []string
		for _, f := range findings {
			messages = append(messages, f.Message)
		}
		worst, message := findings[0], convert.Message(strings.Join(messages, "; "))
		ready = report.Condition(v1alpha1.ConditionReady, !worst.Stalls, worst.Reason, message)
		if worst.Stalls {
			stalled = report.Condition(v1alpha1.ConditionStalled, true, worst.Reason, message)
		}
	}
	return []metav1.Condition{ready, report.Condition(v1alpha1.ConditionReconciling, false, v1alpha1.ReasonAsExpected, ""), stalled}
}
