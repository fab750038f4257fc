//go:build cgo

package nvml

import (
	gonvml "github.com/NVIDIA/go-nvml/pkg/nvml"

	"github.com/k8s4ai/k8s4ai/internal/agent/machine"
)

// relate fills in how each GPU sees the others. Access is asked for at every look
// and in both directions: links can be active while access is dead.
func (l *look) relate() {
	for _, from := range l.gpus {
		from.facts.Peers = nil
		for _, to := range l.gpus {
			if from == to {
				continue
			}
			from.facts.Peers = append(from.facts.Peers, machine.Peer{
				UUID:         to.facts.UUID,
				Path:         l.path(from, to),
				Access:       access(from, to, gonvml.P2P_CAPS_INDEX_READ),
				NVLinkAccess: access(from, to, gonvml.P2P_CAPS_INDEX_NVLINK),
			})
		}
	}
}

// path is the same in both directions, and for the life of the machine.
func (l *look) path(a, b *gpu) string {
	pair := [2]string{min(a.facts.UUID, b.facts.UUID), max(a.facts.UUID, b.facts.UUID)}
	paths := l.driver.memory.paths
	if path, ok := paths[pair]; ok || a.isLost || b.isLost {
		return path
	}
	level, ret := a.device.GetTopologyCommonAncestor(b.device)
	if ret != gonvml.SUCCESS {
		return ""
	}
	paths[pair] = ancestors[level]
	return paths[pair]
}

func access(from, to *gpu, capability gonvml.GpuP2PCapsIndex) *bool {
	if from.isLost || to.isLost {
		return nil
	}
	status, ret := from.device.GetP2PStatus(to.device, capability)
	if ret != gonvml.SUCCESS || status == gonvml.P2P_STATUS_UNKNOWN {
		return nil
	}
	works := status == gonvml.P2P_STATUS_OK
	return &works
}
