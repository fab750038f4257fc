// Package controller adds every controller to a manager.
package controller

import (
	"context"
	"fmt"

	ctrl "sigs.k8s.io/controller-runtime"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/k8s4ai/k8s4ai/internal/controller/acceleratorclass"
	"github.com/k8s4ai/k8s4ai/internal/controller/gang"
	"github.com/k8s4ai/k8s4ai/internal/controller/topology"
	"github.com/k8s4ai/k8s4ai/internal/metrics"
)

// Setup adds every controller to a manager. agentNamespace is where node agents
// keep their Leases.
func Setup(ctx context.Context, mgr ctrl.Manager, agentNamespace string) error {
	if err := topology.Setup(ctx, mgr, agentNamespace); err != nil {
		return fmt.Errorf("adding the topology controller: %w", err)
	}
	if err := acceleratorclass.Setup(mgr); err != nil {
		return fmt.Errorf("adding the acceleratorclass controller: %w", err)
	}
	if err := gang.Setup(ctx, mgr); err != nil {
		return fmt.Errorf("adding the gang controllers: %w", err)
	}
	if err := metrics.Register(ctrlmetrics.Registry, mgr.GetCache()); err != nil {
		return fmt.Errorf("registering metrics: %w", err)
	}
	return nil
}
