package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/convert"
	"github.com/k8s4ai/k8s4ai/internal/fabricscan"
	"github.com/k8s4ai/k8s4ai/internal/planfile"
)

// scanNamespace is where the fabric's scan is stored. A ConfigMap elsewhere can be
// anybody's.
const scanNamespace = "k8s4ai-system"

// takeSnapshot reads everything that bears on where a gang may go. What a person
// may not list and what only refines the picture is left out with a warning; for
// the rest there is no answer without it.
func takeSnapshot(ctx context.Context, reader client.Reader, warnings io.Writer, now metav1.Time) (*planfile.Snapshot, error) {
	var nodes corev1.NodeList
	var domains v1alpha1.TopologyDomainList
	var classes v1alpha1.AcceleratorClassList
	var pods corev1.PodList
	var gangs v1alpha1.GangSchedulingGroupList
	for _, list := range []struct {
		of   client.ObjectList
		name string
	}{
		{&gangs, "GangSchedulingGroups"}, {&domains, "TopologyDomains"}, {&classes, "AcceleratorClasses"}, {&nodes, "Nodes"}, {&pods, "Pods of all namespaces"},
	} {
		if err := reader.List(ctx, list.of); err != nil {
			if meta.IsNoMatchError(err) || apierrors.IsNotFound(err) {
				err = errors.New("the cluster has none: install k8s4ai first (kubectl apply -k config/default)")
			}
			return nil, fmt.Errorf("listing %s: %w", list.name, err)
		}
	}
	world := convert.World{Nodes: nodes.Items, Domains: domains.Items, Classes: classes.Items, Pods: pods.Items}
	var published resourcev1.ResourceSliceList
	if err := optional(reader.List(ctx, &published), warnings, "ResourceSlices; devices that only DRA drivers tell of are left out"); err != nil {
		return nil, err
	}
	world.Slices = published.Items
	var parts corev1.ConfigMapList
	err := reader.List(ctx, &parts, client.InNamespace(scanNamespace), client.HasLabels{v1alpha1.LabelFabricScan})
	if err := optional(err, warnings, "ConfigMaps; the scan of the InfiniBand fabric is left out"); err != nil {
		return nil, err
	}
	if len(parts.Items) > 0 {
		scan, _, err := fabricscan.Read(parts.Items)
		if err != nil {
			_, _ = fmt.Fprintln(warnings, "warning: the scan of the InfiniBand fabric is left out:", err)
		}
		world.Scan = scan
	}
	world.Commit(gangs.Items)
	return planfile.Take(world.Scene(), classes.Items, gangs.Items, &now), nil
}

// optional turns an error of a list that one can do without into a warning.
func optional(err error, warnings io.Writer, what string) error {
	switch {
	case err == nil || meta.IsNoMatchError(err) || apierrors.IsNotFound(err):
		return nil
	case apierrors.IsForbidden(err):
		_, _ = fmt.Fprintln(warnings, "warning: you may not list", what)
		return nil
	}
	return fmt.Errorf("listing %s: %w", what, err)
}
