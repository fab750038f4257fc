package sandbox

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/fleet"
)

const (
	// writers is how many objects are written at once: enough to keep the API
	// server busy, few enough to leave kwok its share.
	writers = 32
	// readyPerNode is the time that a node may take on a slow machine.
	readyPerNode = 50 * time.Millisecond
)

// LoadFleet creates the fleet's nodes, its declared TopologyDomains and the
// reports that node agents would write, and returns when every node is Ready.
// The TopologyDomain CRD must be installed. Thousands of nodes belong in
// Options.Fleet, which also slows their heartbeats down.
func (c *Cluster) LoadFleet(ctx context.Context, f *fleet.Fleet) error {
	begin := time.Now()
	wait, err := c.createNodes(ctx, f)
	if err != nil {
		return err
	}
	// kwok works on the nodes meanwhile.
	if err := c.LoadTopology(ctx, f); err != nil {
		return err
	}
	if err := wait(); err != nil {
		return err
	}
	c.options.Logf("%s: loaded, all nodes Ready after %s", f.Name, time.Since(begin).Round(10*time.Millisecond))
	return nil
}

// LoadNodes creates the fleet's nodes and returns when each is Ready and
// schedulable.
func (c *Cluster) LoadNodes(ctx context.Context, f *fleet.Fleet) error {
	wait, err := c.createNodes(ctx, f)
	if err != nil {
		return err
	}
	return wait()
}

// createNodes creates the fleet's nodes and returns how to wait until they are
// usable.
func (c *Cluster) createNodes(ctx context.Context, f *fleet.Fleet) (wait func() error, err error) {
	if !c.options.Nodes {
		return nil, fmt.Errorf("loading the nodes of %s: nobody makes them Ready in tier 1, set Options.Nodes", f.Name)
	}
	begin := time.Now()
	// Protocol buffers halve the work of thousands of nodes for both sides.
	config := rest.CopyConfig(c.RESTConfig)
	config.ContentType, config.AcceptContentTypes = "application/vnd.kubernetes.protobuf", "application/vnd.kubernetes.protobuf,application/json"
	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("creating a client of the sandbox: %w", err)
	}
	nodes := f.Nodes()
	err = parallel(ctx, nodes, func(ctx context.Context, node *corev1.Node) error {
		for i := range node.Status.Conditions {
			node.Status.Conditions[i].LastHeartbeatTime, node.Status.Conditions[i].LastTransitionTime = metav1.Now(), metav1.Now()
		}
		if _, err := clients.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("creating node %s: %w", node.Name, err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	c.options.Logf("%s: %d nodes created in %s", f.Name, len(nodes), time.Since(begin).Round(10*time.Millisecond))
	return func() error { return c.waitNodes(ctx, clients, nodes) }, nil
}

// LoadTopology creates the fleet's declared TopologyDomains and its node reports.
func (c *Cluster) LoadTopology(ctx context.Context, f *fleet.Fleet) error {
	begin := time.Now()
	declared, reports := f.Domains(), f.Reports()
	all := slices.Concat(declared, reports)
	// The API server drops status at creation, so reports take a second write. It
	// comes after all creations: an update that follows at once is done twice, for
	// the server first tries it on what its cache still holds.
	statuses := map[string]v1alpha1.TopologyDomainStatus{}
	for i := range reports {
		statuses[reports[i].Name] = reports[i].Status
	}
	err := parallel(ctx, all, func(ctx context.Context, domain *v1alpha1.TopologyDomain) error {
		err := c.Client.Create(ctx, domain)
		if meta.IsNoMatchError(err) || apierrors.IsNotFound(err) {
			return fmt.Errorf("creating TopologyDomain %s: the CRD is not installed, name its file in Options.CRDs: %w", domain.Name, err)
		}
		if err != nil {
			return fmt.Errorf("creating TopologyDomain %s: %w", domain.Name, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = parallel(ctx, all[len(declared):], func(ctx context.Context, domain *v1alpha1.TopologyDomain) error {
		domain.Status = statuses[domain.Name]
		domain.Status.Node.ObservedTime = new(metav1.Now())
		meta.SetStatusCondition(&domain.Status.Conditions, metav1.Condition{
			Type: v1alpha1.ConditionHealthy, Status: metav1.ConditionTrue,
			Reason: v1alpha1.ReasonHealthy, Message: "everything works",
		})
		if err := c.Client.Status().Update(ctx, domain, client.FieldOwner(fieldManager)); err != nil {
			return fmt.Errorf("writing the report of node %s: %w", domain.Name, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	c.options.Logf("%s: %d declared domains and %d node reports in %s", f.Name, len(declared), len(reports), time.Since(begin).Round(10*time.Millisecond))
	return nil
}

// waitNodes waits until the nodes are Ready and without the taint that keeps pods
// away from a node that is not.
func (c *Cluster) waitNodes(ctx context.Context, clients kubernetes.Interface, nodes []corev1.Node) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout+time.Duration(len(nodes))*readyPerNode)
	defer cancel()
	waiting := make(map[string]bool, len(nodes))
	for i := range nodes {
		waiting[nodes[i].Name] = true
	}
	pause := 100*time.Millisecond + time.Duration(len(nodes))*time.Millisecond/4
	return poll(ctx, "waiting for nodes to be Ready", func(ctx context.Context) (bool, error) {
		// Version 0 is answered from the API server's memory.
		list, err := clients.CoreV1().Nodes().List(ctx, metav1.ListOptions{ResourceVersion: "0"})
		if err != nil {
			return false, fmt.Errorf("listing nodes: %w", err)
		}
		for i := range list.Items {
			if isUsable(&list.Items[i]) {
				delete(waiting, list.Items[i].Name)
			}
		}
		if len(waiting) == 0 {
			return true, nil
		}
		select {
		case <-ctx.Done():
			return false, fmt.Errorf("%d of %d are not, see %s/logs/kwok.log: %w", len(waiting), len(nodes), c.Dir, context.Cause(ctx))
		case <-time.After(pause):
			return false, nil
		}
	})
}

func isUsable(node *corev1.Node) bool {
	for _, taint := range node.Spec.Taints {
		if taint.Key == corev1.TaintNodeNotReady {
			return false
		}
	}
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

// parallel calls do for every item until one fails, and returns the first error.
func parallel[T any](ctx context.Context, items []T, do func(context.Context, *T) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	done := make(chan struct{})
	for range writers {
		go func() {
			defer func() { done <- struct{}{} }()
			for ctx.Err() == nil {
				i := next.Add(1) - 1
				if i >= int64(len(items)) {
					return
				}
				if err := do(ctx, &items[i]); err != nil {
					cancel(err)
				}
			}
		}()
	}
	for range writers {
		<-done
	}
	return context.Cause(ctx)
}
