package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/test/harness"
)

const (
	// The labels are the provider's own, and not those that the manager writes:
	// the manager is not asked whether it did well.
	blockLabel = "cloud.google.com/gce-topology-block"
	leafLabel  = "cloud.google.com/gce-topology-subblock"

	// patience is how long a claim may take to become true.
	patience = 60 * time.Second
)

// demo tells the story and keeps score.
type demo struct {
	env     *harness.Env
	samples string
	own     string
	results []result
	current string
}

type result struct {
	chapter, claim string
	err            error
	took           time.Duration
}

func (d *demo) chapter(title string) {
	d.current = title
	say(title)
}

// check waits for a claim to become true, and notes whether it did.
func (d *demo) check(ctx context.Context, claim string, holds func(context.Context) error) {
	begin := time.Now()
	d.note(claim, harness.Wait(ctx, patience, holds), time.Since(begin))
}

func (d *demo) note(claim string, err error, took time.Duration) {
	d.results = append(d.results, result{chapter: d.current, claim: claim, err: err, took: took})
	if err != nil {
		fmt.Printf("  FAIL  %s\n        %v\n", claim, err)
		return
	}
	fmt.Printf("  ok    %s (%s)\n", claim, took.Round(100*time.Millisecond))
}

// summary prints the score, and fails when a claim did not hold.
func (d *demo) summary(took time.Duration) error {
	say("Summary")
	failed := 0
	for _, r := range d.results {
		mark := "ok  "
		if r.err != nil {
			mark, failed = "FAIL", failed+1
		}
		fmt.Printf("  %s  %6.1fs  %s\n", mark, r.took.Seconds(), r.claim)
	}
	fmt.Printf("\n%d of %d claims hold, in %s\n", len(d.results)-failed, len(d.results), took.Round(time.Second))
	if failed > 0 {
		return fmt.Errorf("%d claims do not hold", failed)
	}
	return nil
}

// apply applies every object of a file.
func (d *demo) apply(ctx context.Context, path string) { d.applyNamed(ctx, path, nil) }

// applyOnly applies the named objects of the demo's own file.
func (d *demo) applyOnly(ctx context.Context, names ...string) { d.applyNamed(ctx, d.own, names) }

func (d *demo) applyNamed(ctx context.Context, path string, names []string) {
	data, err := os.ReadFile(path)
	if err != nil {
		d.note("reading "+path, err, 0)
		return
	}
	decoder := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096)
	for {
		object := &unstructured.Unstructured{}
		if err := decoder.Decode(object); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			d.note("reading "+path, err, 0)
			return
		}
		if names != nil && !slices.Contains(names, object.GetName()) {
			continue
		}
		if err := d.env.Apply(ctx, object); err != nil {
			d.note("applying "+object.GetName(), err, 0)
		}
	}
}

func (d *demo) fabricStands(ctx context.Context) error {
	var domains v1alpha1.TopologyDomainList
	if err := d.env.Client.List(ctx, &domains); err != nil {
		return err
	}
	count, accelerators := map[v1alpha1.TopologyLevel]int{}, int32(0)
	for i := range domains.Items {
		domain := &domains.Items[i]
		if !meta.IsStatusConditionTrue(domain.Status.Conditions, v1alpha1.ConditionReady) {
			return fmt.Errorf("domain %s is not Ready", domain.Name)
		}
		count[domain.Spec.Level]++
		if domain.Spec.Level == v1alpha1.LevelBlock {
			accelerators += ptr.Deref(domain.Status.Accelerators.Total, 0)
		}
	}
	if count[v1alpha1.LevelBlock] != 2 || count[v1alpha1.LevelLeaf] != 4 || count[v1alpha1.LevelNode] != 64 || accelerators != 512 {
		return fmt.Errorf("there are %v, with %d GPUs", count, accelerators)
	}
	return nil
}

func (d *demo) classMatched(ctx context.Context) error {
	if len(d.results) == 1 {
		d.apply(ctx, d.samples+"/acceleratorclass_h100_sxm_80gb.yaml")
	}
	var class v1alpha1.AcceleratorClass
	if err := d.env.Client.Get(ctx, client.ObjectKey{Name: "h100-sxm-80gb"}, &class); err != nil {
		return err
	}
	if ptr.Deref(class.Status.Nodes, 0) != 64 || class.Status.Devices == nil || *class.Status.Devices.Free != 512 {
		return fmt.Errorf("it is on %d nodes", ptr.Deref(class.Status.Nodes, 0))
	}
	return nil
}

// drawTree prints the domains above the nodes.
func (d *demo) drawTree(ctx context.Context) {
	var domains v1alpha1.TopologyDomainList
	if err := d.env.Client.List(ctx, &domains); err != nil {
		d.note("reading the tree", err, 0)
		return
	}
	d.drawBelow(domains.Items, "", "    ")
}

func (d *demo) drawBelow(domains []v1alpha1.TopologyDomain, parent, indent string) {
	for i := range domains {
		domain := &domains[i]
		if domain.Spec.Level == v1alpha1.LevelNode || domain.Status.ParentName != parent || domain.Status.Nodes == nil {
			continue
		}
		fmt.Printf("%s%s %s: %d nodes, %d of %d GPUs free\n", indent, domain.Spec.Level, domain.Name,
			*domain.Status.Nodes.Total, *domain.Status.Accelerators.Free, *domain.Status.Accelerators.Total)
		d.drawBelow(domains, domain.Name, indent+"    ")
	}
}

// runsWithin says whether a gang is Ready with that many running pods, all on
// nodes that carry one value of a label.
func (d *demo) runsWithin(ctx context.Context, gang string, pods int, label string) error {
	group, err := d.gang(ctx, gang)
	if err != nil {
		return err
	}
	if !meta.IsStatusConditionTrue(group.Status.Conditions, v1alpha1.ConditionReady) {
		return fmt.Errorf("it is not Ready: %s", reasonOf(group))
	}
	found, err := d.env.PodsOf(ctx, client.ObjectKeyFromObject(group))
	if err != nil {
		return err
	}
	if len(found) != pods {
		return fmt.Errorf("it has %d pods", len(found))
	}
	domains := map[string]bool{}
	for i := range found {
		if found[i].Status.Phase != corev1.PodRunning {
			return fmt.Errorf("pod %s is %s", found[i].Name, found[i].Status.Phase)
		}
		var node corev1.Node
		if err := d.env.Client.Get(ctx, client.ObjectKey{Name: found[i].Spec.NodeName}, &node); err != nil {
			return err
		}
		domains[node.Labels[label]] = true
	}
	if len(domains) != 1 {
		return fmt.Errorf("its pods are in %d domains by label %s", len(domains), label)
	}
	return nil
}

func (d *demo) refused(ctx context.Context, gang, reason, message string) error {
	group, err := d.gang(ctx, gang)
	if err != nil {
		return err
	}
	if group.Status.Refusal == nil || group.Status.Refusal.Reason != reason || !strings.HasPrefix(group.Status.Refusal.Message, message) {
		return fmt.Errorf("its status says: %s", reasonOf(group))
	}
	return nil
}

func (d *demo) hasNoPods(ctx context.Context, gang string) error {
	namespace, name, _ := strings.Cut(gang, "/")
	pods, err := d.env.PodsOf(ctx, client.ObjectKey{Namespace: namespace, Name: name})
	if err == nil && len(pods) > 0 {
		err = fmt.Errorf("it has %d pods", len(pods))
	}
	return err
}

func (d *demo) condition(ctx context.Context, gang, kind, reason string) error {
	group, err := d.gang(ctx, gang)
	if err != nil {
		return err
	}
	condition := meta.FindStatusCondition(group.Status.Conditions, kind)
	if condition == nil || condition.Status != "True" || condition.Reason != reason {
		return fmt.Errorf("its status says: %s", reasonOf(group))
	}
	return nil
}

func (d *demo) messageHas(ctx context.Context, gang, text string) error {
	group, err := d.gang(ctx, gang)
	if err != nil {
		return err
	}
	if group.Status.Backoff == nil || !strings.Contains(group.Status.Backoff.Message, text) {
		return fmt.Errorf("its status says: %s", reasonOf(group))
	}
	return nil
}

func (d *demo) nothingBroken(ctx context.Context) error {
	violations, err := d.env.Violations(ctx)
	if err == nil && len(violations) > 0 {
		err = errors.New(strings.Join(violations, "; "))
	}
	return err
}

func (d *demo) gang(ctx context.Context, name string) (*v1alpha1.GangSchedulingGroup, error) {
	namespace, name, _ := strings.Cut(name, "/")
	group := &v1alpha1.GangSchedulingGroup{}
	return group, d.env.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, group)
}

// reasonOf is the Ready condition in one line.
func reasonOf(group *v1alpha1.GangSchedulingGroup) string {
	ready := meta.FindStatusCondition(group.Status.Conditions, v1alpha1.ConditionReady)
	if ready == nil {
		return "nothing yet"
	}
	return ready.Reason + ": " + ready.Message
}
