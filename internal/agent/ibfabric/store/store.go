package store

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/k8s4ai/k8s4ai/internal/agent/ibfabric"
	"github.com/k8s4ai/k8s4ai/internal/fabricscan"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// maxAttempts bounds the writes that start again because somebody else wrote.
const maxAttempts = 4

// ConfigMaps is what the store needs of one namespace's ConfigMaps. It never
// lists and never deletes, so that the permissions can name every object.
type ConfigMaps interface {
	Get(ctx context.Context, name string, o metav1.GetOptions) (*corev1.ConfigMap, error)
	Create(ctx context.Context, m *corev1.ConfigMap, o metav1.CreateOptions) (*corev1.ConfigMap, error)
	Update(ctx context.Context, m *corev1.ConfigMap, o metav1.UpdateOptions) (*corev1.ConfigMap, error)
}

// Store reads and writes the scan.
//
// A scan of several parts cannot be written at once. The parts of the next scan
// therefore go into the set of ConfigMaps that does not hold the current one,
// and count when the last of them is there. What is left of a writer that died
// is overwritten by the next one; the scan before stays until then.
type Store struct {
	ConfigMaps ConfigMaps
	// Host is what a stored scan names as the machine that looked.
	Host string
	// Now is the clock.
	Now func() time.Time
}

// set is what one of the two sets of ConfigMaps holds.
type set struct {
	parts map[string]*corev1.ConfigMap
	scan  topology.Scan
	info  fabricscan.Info
	// last is the highest generation of any part, whole or not.
	last int64
}

// Read returns the current scan. The zero values mean that there is none, or
// none that is whole: the next one replaces it.
func (s *Store) Read(ctx context.Context) (topology.Scan, fabricscan.Info, error) {
	sets, err := s.sets(ctx)
	if err != nil {
		return topology.Scan{}, fabricscan.Info{}, err
	}
	current := sets[currentOf(sets)]
	return current.scan, current.info, nil
}

// Write stores a scan as the current one. The names of blocks and fabrics are
// those of the scan before, see ibfabric.Keep. It returns whether anything was
// written: a scan that is equal to the current one is not.
func (s *Store) Write(ctx context.Context, scan topology.Scan) (fabricscan.Info, bool, error) {
	var err error
	for range maxAttempts {
		info, isWritten, attempt := s.write(ctx, scan)
		if attempt == nil {
			return info, isWritten, nil
		}
		err = attempt
		if !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err) && !apierrors.IsNotFound(err) {
			break
		}
	}
	return fabricscan.Info{}, false, fmt.Errorf("storing the scan: %w", err)
}

func (s *Store) write(ctx context.Context, scan topology.Scan) (fabricscan.Info, bool, error) {
	sets, err := s.sets(ctx)
	if err != nil {
		return fabricscan.Info{}, false, err
	}
	at := currentOf(sets)
	current, target := sets[at], sets[1-at]
	scan = ibfabric.Keep(current.scan, scan)
	digest, err := fabricscan.Digest(scan)
	if err != nil {
		return fabricscan.Info{}, false, err
	}
	if digest == current.info.Digest {
		return current.info, false, nil
	}
	info := fabricscan.Info{Generation: max(current.last, target.last) + 1, Digest: digest, Time: s.Now(), Host: s.Host}
	parts, err := fabricscan.Parts(scan, fabricscan.Sets[1-at], info)
	if err != nil {
		return fabricscan.Info{}, false, err
	}
	for i := range parts {
		if err := s.put(ctx, target.parts[parts[i].Name], &parts[i]); err != nil {
			return fabricscan.Info{}, false, err
		}
	}
	return info, true, nil
}

// put writes one part in place of what is there.
func (s *Store) put(ctx context.Context, there, part *corev1.ConfigMap) error {
	if there == nil {
		if _, err := s.ConfigMaps.Create(ctx, part, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("creating ConfigMap %s: %w", part.Name, err)
		}
		return nil
	}
	part.ResourceVersion = there.ResourceVersion
	if _, err := s.ConfigMaps.Update(ctx, part, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("updating ConfigMap %s: %w", part.Name, err)
	}
	return nil
}

func (s *Store) sets(ctx context.Context) ([2]set, error) {
	var sets [2]set
	for i, name := range fabricscan.Sets {
		found := set{parts: map[string]*corev1.ConfigMap{}}
		var parts []corev1.ConfigMap
		for number := range fabricscan.MaxParts {
			part, err := s.ConfigMaps.Get(ctx, fabricscan.PartName(name, number), metav1.GetOptions{})
			if apierrors.IsNotFound(err) {
				continue
			}
			if err != nil {
				return sets, fmt.Errorf("reading ConfigMap %s: %w", fabricscan.PartName(name, number), err)
			}
			found.parts[part.Name] = part
			found.last = max(found.last, fabricscan.Generation(part))
			parts = append(parts, *part)
		}
		// A set that is not whole is one to write to.
		if scan, info, err := fabricscan.Read(parts); err == nil {
			found.scan, found.info = scan, info
		}
		sets[i] = found
	}
	return sets, nil
}

// currentOf returns the index of the set with the current scan.
func currentOf(sets [2]set) int {
	if sets[1].info.Generation > sets[0].info.Generation {
		return 1
	}
	return 0
}
