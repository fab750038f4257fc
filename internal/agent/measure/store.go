package measure

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/util/retry"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
)

// FieldManager owns status.measurements of a node's TopologyDomain.
const FieldManager = "k8s4ai-measure"

var domains = v1alpha1.GroupVersion.WithResource("topologydomains")

// Store keeps measurements in the TopologyDomain of a node.
type Store struct {
	Client dynamic.Interface
	// Node is the name of the Node and of its TopologyDomain.
	Node string
}

// Check is nil when the object is there and is the node's. It is asked before
// minutes go into measuring.
func (s Store) Check(ctx context.Context) error {
	_, err := s.read(ctx)
	return err
}

// Write replaces the measurements of the measured devices; those of other devices
// stay. It starts anew when somebody else has written in between.
func (s Store) Write(ctx context.Context, fresh []v1alpha1.DeviceMeasurement) error {
	if len(fresh) == 0 {
		return errors.New("storing the measurements: there are none")
	}
	return retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		domain, err := s.read(ctx)
		if err != nil {
			return err
		}
		content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&v1alpha1.TopologyDomainStatus{
			Measurements: Merge(domain.Status, fresh),
		})
		if err != nil {
			return fmt.Errorf("preparing the measurements: %w", err)
		}
		apply := &unstructured.Unstructured{Object: map[string]any{
			"metadata": map[string]any{"name": s.Node, "resourceVersion": domain.ResourceVersion}, "status": content,
		}}
		apply.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("TopologyDomain"))
		_, err = s.Client.Resource(domains).ApplyStatus(ctx, s.Node, apply, metav1.ApplyOptions{FieldManager: FieldManager, Force: true})
		if err != nil {
			return fmt.Errorf("storing the measurements in TopologyDomain %s: %w", s.Node, err)
		}
		return nil
	})
}

func (s Store) read(ctx context.Context) (*v1alpha1.TopologyDomain, error) {
	object, err := s.Client.Resource(domains).Get(ctx, s.Node, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("there is no TopologyDomain %s: the node agent of the node makes it, so start that first: %w", s.Node, err)
	}
	if err != nil {
		return nil, fmt.Errorf("reading TopologyDomain %s: %w", s.Node, err)
	}
	var domain v1alpha1.TopologyDomain
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &domain); err != nil {
		return nil, fmt.Errorf("reading TopologyDomain %s: %w", s.Node, err)
	}
	if domain.Spec.Level != v1alpha1.LevelNode || domain.Spec.NodeName != s.Node {
		return nil, fmt.Errorf("TopologyDomain %s is not the one of node %s: rename it, a node's own has the node's name", s.Node, s.Node)
	}
	return &domain, nil
}
