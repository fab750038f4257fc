package observe

import (
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"

	"github.com/k8s4ai/k8s4ai/internal/fabricscan"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// lastScan is shared by all controllers of the process: a scan is large, changes
// rarely, and has to be the same one for who places gangs and for who shows the
// fabric.
var lastScan scanMemory

// scanMemory keeps the last scan that could be read.
type scanMemory struct {
	mu sync.Mutex
	// versions are the ConfigMaps that scan and problem come from.
	versions []string
	// namespace is theirs. What was read in another one is of another cluster.
	namespace string
	scan      topology.Scan
	problem   string
}

// read returns the scan that ConfigMaps hold. Where none of theirs is whole, the
// last one stays in force: a fabric does not fall apart because a ConfigMap does.
func (m *scanMemory) read(parts []corev1.ConfigMap) (scan topology.Scan, problem string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var versions []string
	for i := range parts {
		versions = append(versions, strings.Join([]string{parts[i].Namespace, parts[i].Name, string(parts[i].UID), parts[i].ResourceVersion}, "/"))
	}
	slices.Sort(versions)
	if len(parts) > 0 && slices.Equal(versions, m.versions) {
		return m.scan, m.problem
	}
	read, info, err := fabricscan.Read(parts)
	if len(parts) == 0 || parts[0].Namespace != m.namespace {
		m.scan, m.namespace = topology.Scan{}, ""
	}
	if len(parts) > 0 {
		m.namespace = parts[0].Namespace
	}
	m.versions, m.problem = versions, info.PassedOver
	if err != nil {
		m.problem = err.Error()
	} else {
		m.scan = read
	}
	return m.scan, m.problem
}
