package machine

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
)

// Reasons of an accelerator's health, in one word. A driver's error has the reason
// "Xid" with its number, and a recovery that the driver asks for its own word, such
// as "GPUReset".
const (
	reasonLost    = "Lost"
	reasonRemap   = "RowRemapFailure"
	reasonNVLink  = v1alpha1.ReasonNVLinkDown
	reasonPeer    = "PeerAccessDead"
	reasonNIC     = v1alpha1.ReasonNICDown
	reasonThermal = "ThermalSlowdown"

	hotClocks = "HwThermalSlowdown"
)

// maxMessage bounds the message of a condition in bytes.
const maxMessage = 1024

// judgeAccelerators sets the health of every accelerator. Of several faults the
// one that says most about the cause is told.
func (b *builder) judgeAccelerators() {
	linkDown, peerDead, cutOff := b.linksDown(), b.peersDead(), b.cutOff()
	for i := range b.gpus {
		gpu, a := &b.gpus[i], &b.report.Accelerators[i]
		// Always felt, so that heat is counted behind another fault as well.
		hot := b.history.feel(gpu.UUID, slices.ContainsFunc(gpu.Throttle, func(s string) bool { return strings.EqualFold(s, hotClocks) }))
		xid, hasXid := b.history.Xids[gpu.UUID]
		switch {
		case hasXid:
			a.HealthReason = xidPrefix + strconv.FormatUint(xid, 10)
		case gpu.Lost:
			a.HealthReason = reasonLost
		case gpu.RemapFailure:
			a.HealthReason = reasonRemap
		case gpu.Recovery != "":
			a.HealthReason = cmp.Or(clean(strings.ReplaceAll(gpu.Recovery, " ", ""), maxWord), "Recovery")
		case linkDown[i]:
			a.HealthReason = reasonNVLink
		case peerDead[i]:
			a.HealthReason = reasonPeer
		case cutOff[i]:
			a.HealthReason = reasonNIC
		case hot:
			a.HealthReason = reasonThermal
		}
		switch {
		case a.HealthReason != "":
			a.Health = v1alpha1.DeviceUnhealthy
		case a.PCIID != "" && !strings.HasPrefix(a.PCIID, nvidia):
			a.Health = v1alpha1.DeviceUnknown // No driver interface tells.
		default:
			a.Health = v1alpha1.DeviceHealthy
		}
		remember(b.history.Seen, a.UUID, *a)
	}
}

// nvidia begins the PCI IDs of the devices whose driver tells their health.
const nvidia = "10de:"

// linksDown tells which GPUs have an NVLink down. A GPU that had no active one in
// this boot, and has none now, is not connected: a PCIe card without a bridge.
func (b *builder) linksDown() []bool {
	out := make([]bool, len(b.gpus))
	for _, l := range b.report.NVLinks {
		if *l.ActiveLinks > 0 {
			remember(b.history.Linked, l.From, true)
		}
	}
	for _, l := range b.report.NVLinks {
		if *l.ActiveLinks < l.Links && b.history.Linked[l.From] {
			out[b.position[l.From]] = true
		}
	}
	return out
}

// peersDead tells which GPUs cannot be reached although NVLinks to them are
// active. The GPUs with the most dead pairs are to blame: one broken GPU of eight
// must not take the other seven with it.
func (b *builder) peersDead() []bool {
	out := make([]bool, len(b.gpus))
	dead := b.deadPairs()
	for {
		most, degree := 0, make([]int, len(b.gpus))
		for pair := range dead {
			degree[pair[0]]++
			degree[pair[1]]++
			most = max(most, degree[pair[0]], degree[pair[1]])
		}
		if most == 0 {
			return out
		}
		for i := range degree {
			out[i] = out[i] || degree[i] == most
		}
		for pair := range dead {
			if degree[pair[0]] == most || degree[pair[1]] == most {
				delete(dead, pair)
			}
		}
	}
}

// deadPairs are the pairs of GPUs with active NVLinks between them, directly or
// through switches, and no access to each other. Under MIG there never is any.
func (b *builder) deadPairs() map[[2]int]bool {
	ends := b.activeEnds()
	isWhole := func(gpu GPU) bool { return !isTrue(gpu.MIGMode) && !gpu.Lost }
	out := map[[2]int]bool{}
	for i, x := range b.gpus {
		for j := i + 1; j < len(b.gpus); j++ {
			y := b.gpus[j]
			isLinked := ends[i][y.UUID] || ends[j][x.UUID] || shareSwitch(ends[i], ends[j])
			if isLinked && isWhole(x) && isWhole(y) && (isDenied(b.peer(i, j)) || isDenied(b.peer(j, i))) {
				out[[2]int{i, j}] = true
			}
		}
	}
	return out
}

func isDenied(p Peer) bool { return isFalse(p.Access) || isFalse(p.NVLinkAccess) }

// activeEnds are where the active NVLinks of each GPU lead.
func (b *builder) activeEnds() []map[string]bool {
	ends := make([]map[string]bool, len(b.gpus))
	for i := range ends {
		ends[i] = map[string]bool{}
	}
	for _, l := range b.report.NVLinks {
		if *l.ActiveLinks > 0 {
			ends[b.position[l.From]][l.To] = true
		}
	}
	return ends
}

func shareSwitch(x, y map[string]bool) bool {
	for end := range x {
		if y[end] && strings.HasPrefix(end, switchPrefix) {
			return true
		}
	}
	return false
}

// cutOff tells which GPUs have lost all of their nearest RDMA ports.
func (b *builder) cutOff() []bool {
	out := make([]bool, len(b.gpus))
	for i, ports := range b.nearestPorts() {
		out[i] = len(ports) > 0 && !slices.ContainsFunc(ports, func(at int) bool {
			return b.report.NICs[at].Health != v1alpha1.DeviceUnhealthy
		})
	}
	return out
}

// addMissing reports accelerators that were there in this boot, and of which the
// driver, which still answers, no longer knows.
func (b *builder) addMissing() {
	if b.facts.Driver == "" {
		return
	}
	for _, uuid := range sortedKeys(b.history.Seen) {
		if _, found := b.position[uuid]; found || len(b.report.Accelerators) >= maxGPUs {
			continue
		}
		seen := b.history.Seen[uuid]
		a := *seen.DeepCopy()
		a.Health, a.HealthReason = v1alpha1.DeviceUnhealthy, reasonLost
		if xid, hasXid := b.history.Xids[uuid]; hasXid {
			a.HealthReason = xidPrefix + strconv.FormatUint(xid, 10)
		}
		b.report.Accelerators = append(b.report.Accelerators, a)
	}
	slices.SortStableFunc(b.report.Accelerators, func(x, y v1alpha1.Accelerator) int { return cmp.Compare(*x.Index, *y.Index) })
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// conditions are Healthy and Discovered.
func (b *builder) conditions() []metav1.Condition {
	return []metav1.Condition{b.healthy(), b.discovered()}
}

func (b *builder) healthy() metav1.Condition {
	reasons := map[string]bool{}
	var broken []string
	for i := range b.report.Accelerators {
		a := &b.report.Accelerators[i]
		if a.Health != v1alpha1.DeviceUnhealthy {
			continue
		}
		broken = append(broken, fmt.Sprintf("GPU %d (%s): %s", *a.Index, a.UUID, a.HealthReason))
		switch a.HealthReason {
		case reasonNVLink, reasonNIC:
			reasons[a.HealthReason] = true
		default:
			reasons[v1alpha1.ReasonAcceleratorUnhealthy] = true
		}
	}
	if f := b.report.NVLinkFabric; f != nil && f.Health == v1alpha1.DeviceUnhealthy {
		reasons[v1alpha1.ReasonFabricUnhealthy] = true
		broken = append(broken, fmt.Sprintf("NVLink fabric %s clique %d: the driver calls it unhealthy", f.ClusterUUID, *f.CliqueID))
	}
	for i := range b.report.NICs {
		if b.report.NICs[i].Health == v1alpha1.DeviceUnhealthy {
			reasons[v1alpha1.ReasonNICDown] = true
			broken = append(broken, b.report.NICs[i].Name+": down, was up in this boot")
		}
	}
	for _, reason := range []string{
		v1alpha1.ReasonAcceleratorUnhealthy, v1alpha1.ReasonFabricUnhealthy, v1alpha1.ReasonNVLinkDown, v1alpha1.ReasonNICDown,
	} {
		if reasons[reason] {
			return condition(v1alpha1.ConditionHealthy, false, reason, broken)
		}
	}
	return condition(v1alpha1.ConditionHealthy, true, v1alpha1.ReasonHealthy, nil)
}

func (b *builder) discovered() metav1.Condition {
	slices.SortFunc(b.problems, compareNatural)
	problems := slices.Compact(b.problems)
	switch {
	case len(problems) > 0:
		return condition(v1alpha1.ConditionDiscovered, false, v1alpha1.ReasonIncomplete, problems)
	case len(b.report.Accelerators) == 0:
		return condition(v1alpha1.ConditionDiscovered, true, v1alpha1.ReasonNoAccelerator, nil)
	}
	return condition(v1alpha1.ConditionDiscovered, true, v1alpha1.ReasonComplete, nil)
}

// condition joins what there is to say, as much as a message holds.
func condition(kind string, status bool, reason string, parts []string) metav1.Condition {
	c := metav1.Condition{Type: kind, Status: metav1.ConditionFalse, Reason: reason}
	if status {
		c.Status = metav1.ConditionTrue
	}
	const room = maxMessage - len("; and 1000000 more")
	for i, part := range parts {
		if i > 0 {
			part = "; " + part
		}
		if len(c.Message)+len(part) > room {
			c.Message += fmt.Sprintf("; and %d more", len(parts)-i)
			break
		}
		c.Message += part
	}
	return c
}
