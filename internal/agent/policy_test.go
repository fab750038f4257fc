package agent

import (
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
)

// asClient is a client with a ServiceAccount's token.
func (w *world) asClient(t *testing.T, account, pod string) client.Client {
	t.Helper()
	c, err := client.New(w.as(t, account, pod), client.Options{Scheme: w.Client.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// enforced returns when the API server has taken up the policy, which it does a
// moment after it was created.
func (w *world) enforced(t *testing.T) {
	t.Helper()
	c := w.asClient(t, agentAccount, "")
	for {
		err := c.Create(t.Context(), &v1alpha1.TopologyDomain{
			ObjectMeta: metav1.ObjectMeta{Name: "probe"}, Spec: v1alpha1.TopologyDomainSpec{Level: v1alpha1.LevelLeaf},
		}, client.DryRunAll)
		if apierrors.IsForbidden(err) && strings.Contains(err.Error(), "ValidatingAdmissionPolicy") {
			return
		}
		if err != nil && !apierrors.IsForbidden(err) {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// text makes an object from YAML, with NODE and OTHER filled in.
func text(t *testing.T, yamlText, node, other, uid string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	filled := strings.NewReplacer("OTHER", other, "NODE", node, "UID", uid).Replace(yamlText)
	if err := yaml.Unmarshal([]byte(filled), &u.Object); err != nil {
		t.Fatal(err)
	}
	return u
}

const (
	domainYAML = `{apiVersion: k8s4ai.io/v1alpha1, kind: TopologyDomain, `
	leaseYAML  = `{apiVersion: coordination.k8s.io/v1, kind: Lease, `
)

// An agent's token writes the objects of its own node, and of no other.
func TestPolicyOnObjects(t *testing.T) {
	w := newWorld(t)
	w.enforced(t)
	other, _ := w.addNode(t)
	bound := w.asClient(t, agentAccount, w.pod)
	cases := map[string]struct {
		object string
		// token is "bound" where it is not said.
		token string
		// refused is in the answer, "" when the write is allowed.
		refused string
	}{
		"its own domain": {domainYAML + `metadata: {name: NODE}, spec: {level: Node, nodeName: NODE}}`, "", ""},
		"and its Node owns it": {
			domainYAML + `metadata: {name: NODE, ownerReferences: [{apiVersion: v1, kind: Node, name: NODE, uid: UID}]}, spec: {level: Node, nodeName: NODE}}`, "", "",
		},
		"its own Lease": {leaseYAML + `metadata: {name: NODE, namespace: k8s4ai-agent}, spec: {holderIdentity: x}}`, "", ""},
		"another node's domain": {
			domainYAML + `metadata: {name: OTHER}, spec: {level: Node, nodeName: OTHER}}`, "",
			"the node agent of node NODE may write only the TopologyDomain and the Lease of that name",
		},
		"another node's Lease": {leaseYAML + `metadata: {name: OTHER, namespace: k8s4ai-agent}}`, "", "the node agent of node NODE may write only"},
		"a domain of its name for another node": {
			domainYAML + `metadata: {name: NODE}, spec: {level: Node, nodeName: OTHER}}`, "", "whose spec.nodeName is its own node NODE",
		},
		"a domain of its name at another level": {domainYAML + `metadata: {name: NODE}, spec: {level: Leaf}}`, "", "may write only a TopologyDomain of level Node"},
		"a place in the fabric": {
			domainYAML + `metadata: {name: NODE}, spec: {level: Node, nodeName: NODE, parentName: leaf}}`, "", "may set only spec.level and spec.nodeName",
		},
		"an uplink": {domainYAML + `metadata: {name: NODE}, spec: {level: Node, nodeName: NODE, uplinkGbps: 400}}`, "", "may set only spec.level and spec.nodeName"},
		"the label of the manager": {
			domainYAML + `metadata: {name: NODE, labels: {topology.k8s4ai.io/source: reported}}, spec: {level: Node, nodeName: NODE}}`, "", "may set no labels",
		},
		"a finalizer": {
			domainYAML + `metadata: {name: NODE, finalizers: [x.io/y]}, spec: {level: Node, nodeName: NODE}}`, "", "may set no labels and no finalizers",
		},
		"another owner": {
			domainYAML + `metadata: {name: NODE, ownerReferences: [{apiVersion: v1, kind: Node, name: OTHER, uid: UID}]}, spec: {level: Node, nodeName: NODE}}`, "",
			"may name only its own Node",
		},
		"a token that no Pod has": {
			domainYAML + `metadata: {name: NODE}, spec: {level: Node, nodeName: NODE}}`, "unbound", "this token names none",
		},
		"a token of a Pod that no node has": {leaseYAML + `metadata: {name: NODE, namespace: k8s4ai-agent}}`, "unscheduled", "this token names none"},
		"somebody else's ServiceAccount":    {domainYAML + `metadata: {name: OTHER}, spec: {level: Node, nodeName: OTHER}}`, "other", ""},
		"an administrator":                  {domainYAML + `metadata: {name: OTHER}, spec: {level: Leaf}}`, "admin", ""},
	}
	w.create(t, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: agentNamespace, Name: "somebody"}})
	w.create(t, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "somebody"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "k8s4ai-node-agent"},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: agentNamespace, Name: "somebody"}},
	})
	tokens := map[string]client.Client{
		"": bound, "unbound": w.asClient(t, agentAccount, ""), "unscheduled": w.asClient(t, agentAccount, w.addPod(t, "")),
		"other": w.asClient(t, "somebody", ""), "admin": w.Client,
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			object := text(t, tc.object, w.node, other, w.uid)
			err := tokens[tc.token].Create(t.Context(), object, client.DryRunAll)
			w.expect(t, err, tc.refused)
		})
	}
}

// expect checks whether a write was refused as it should be.
func (w *world) expect(t *testing.T, err error, refused string) {
	t.Helper()
	switch refused = strings.ReplaceAll(refused, "NODE", w.node); {
	case refused == "" && err != nil:
		t.Errorf("refused: %v", err)
	case refused != "" && err == nil:
		t.Error("allowed")
	case refused != "" && (!apierrors.IsForbidden(err) || !strings.Contains(err.Error(), refused)):
		t.Errorf("refused with %v, want %q", err, refused)
	}
}

// On a stored domain, an agent changes its own part of the status and nothing else.
func TestPolicyOnStatus(t *testing.T) {
	w := newWorld(t)
	w.enforced(t)
	other, _ := w.addNode(t)
	now := metav1.Now()
	condition := func(kind string, status metav1.ConditionStatus) metav1.Condition {
		return metav1.Condition{Type: kind, Status: status, Reason: "Reason", LastTransitionTime: now}
	}
	for _, name := range []string{w.node, other} {
		domain := &v1alpha1.TopologyDomain{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"a": "b"}},
			Spec:       v1alpha1.TopologyDomainSpec{Level: v1alpha1.LevelNode, NodeName: name, ParentName: "leaf"},
		}
		w.create(t, domain)
		domain.Status = v1alpha1.TopologyDomainStatus{
			ParentName: "leaf", Nodes: &v1alpha1.NodeCounts{Total: new(int32(1)), Ready: new(int32(1))},
			Conditions: []metav1.Condition{condition("Ready", "True"), condition("Healthy", "True"), condition("Stale", "False")},
		}
		if err := w.Client.Status().Update(t.Context(), domain); err != nil {
			t.Fatal(err)
		}
	}
	bound := w.asClient(t, agentAccount, w.pod)
	cases := map[string]struct {
		node    string
		patch   string
		spec    bool
		refused string
	}{
		"its report":          {w.node, `{"status":{"node":{"bootID":"b"}}}`, false, ""},
		"its measurements":    {w.node, `{"status":{"measurements":[{"uuid":"u","time":"2026-01-01T00:00:00Z","figures":[{"name":"MemoryGBps","value":"1"}]}]}}`, false, ""},
		"another node's":      {other, `{"status":{"node":{"bootID":"b"}}}`, false, "the node agent of node NODE may write only"},
		"the parent":          {w.node, `{"status":{"parentName":"other"}}`, false, "the rest of the status is the manager's"},
		"the counts":          {w.node, `{"status":{"nodes":{"ready":0}}}`, false, "the rest of the status is the manager's"},
		"counts that are new": {w.node, `{"status":{"accelerators":{"total":8,"free":8,"unhealthy":0}}}`, false, "the rest of the status is the manager's"},
		"counts that go":      {w.node, `{"status":{"nodes":null}}`, false, "the rest of the status is the manager's"},
		"classes":             {w.node, `{"status":{"classes":[{"name":"h100","devices":8}]}}`, false, "the rest of the status is the manager's"},
		"the spec":            {w.node, `{"spec":{"parentName":"other"}}`, true, "may set only spec.level and spec.nodeName"},
		"the spec, less":      {w.node, `{"spec":{"parentName":null}}`, true, "may set only spec.level and spec.nodeName"},
		"a label":             {w.node, `{"metadata":{"labels":{"topology.k8s4ai.io/source":"reported"}}}`, true, "may set no labels"},
		"a label less":        {w.node, `{"metadata":{"labels":null}}`, true, "may set no labels"},
		"a label in a status": {w.node, `{"metadata":{"labels":{"topology.k8s4ai.io/source":"reported"}}}`, false, ""},
		"nothing":             {w.node, `{}`, true, ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			domain := &v1alpha1.TopologyDomain{ObjectMeta: metav1.ObjectMeta{Name: tc.node}}
			patch := client.RawPatch("application/merge-patch+json", []byte(tc.patch))
			var err error
			if tc.spec {
				err = bound.Patch(t.Context(), domain, patch, client.DryRunAll)
			} else {
				err = bound.Status().Patch(t.Context(), domain, patch, client.DryRunAll)
			}
			w.expect(t, err, tc.refused)
			if err == nil && domain.Labels["topology.k8s4ai.io/source"] != "" {
				t.Error("the label is set")
			}
		})
	}
	conditions := map[string]struct {
		change  func(*[]metav1.Condition)
		refused string
	}{
		"Healthy":          {func(c *[]metav1.Condition) { (*c)[1] = condition("Healthy", "False") }, ""},
		"Discovered":       {func(c *[]metav1.Condition) { *c = append(*c, condition("Discovered", "True")) }, ""},
		"Discovered first": {func(c *[]metav1.Condition) { *c = append([]metav1.Condition{condition("Discovered", "True")}, *c...) }, ""},
		"Ready":            {func(c *[]metav1.Condition) { (*c)[0].Message = "fine" }, "may write only the conditions Healthy and Discovered"},
		"Stale":            {func(c *[]metav1.Condition) { (*c)[2] = condition("Stale", "True") }, "may write only the conditions Healthy and Discovered"},
		"Stale goes":       {func(c *[]metav1.Condition) { *c = (*c)[:2] }, "may write only the conditions Healthy and Discovered"},
		"a new one":        {func(c *[]metav1.Condition) { *c = append(*c, condition("Stalled", "True")) }, "may write only the conditions Healthy and Discovered"},
	}
	for name, tc := range conditions {
		t.Run("condition "+name, func(t *testing.T) {
			is := w.domain(t)
			changed := is.DeepCopy()
			tc.change(&changed.Status.Conditions)
			w.expect(t, bound.Status().Patch(t.Context(), changed, client.MergeFrom(is), client.DryRunAll), tc.refused)
		})
	}
}

// RBAC alone keeps an agent from everything else.
func TestRoleOfAgents(t *testing.T) {
	w := newWorld(t)
	w.enforced(t)
	bound := w.asClient(t, agentAccount, w.pod)
	w.create(t, &v1alpha1.TopologyDomain{
		ObjectMeta: metav1.ObjectMeta{Name: w.node}, Spec: v1alpha1.TopologyDomainSpec{Level: v1alpha1.LevelNode, NodeName: w.node},
	})
	lease := func(namespace string) *coordinationv1.Lease {
		return &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: w.node}}
	}
	domain := &v1alpha1.TopologyDomain{ObjectMeta: metav1.ObjectMeta{Name: w.node}}
	for name, err := range map[string]error{
		"deletes its domain":             bound.Delete(t.Context(), domain, client.DryRunAll),
		"lists domains":                  bound.List(t.Context(), &v1alpha1.TopologyDomainList{}),
		"lists nodes":                    bound.List(t.Context(), &corev1.NodeList{}),
		"labels its node":                bound.Patch(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: w.node}}, client.RawPatch("application/merge-patch+json", []byte(`{}`))),
		"reads Pods":                     bound.List(t.Context(), &corev1.PodList{}, client.InNamespace(agentNamespace)),
		"writes the Lease of a kubelet":  bound.Create(t.Context(), lease("kube-node-lease"), client.DryRunAll),
		"writes a Lease of the manager":  bound.Create(t.Context(), lease("default"), client.DryRunAll),
		"reads Secrets of its namespace": bound.List(t.Context(), &corev1.SecretList{}, client.InNamespace(agentNamespace)),
	} {
		if !apierrors.IsForbidden(err) {
			t.Errorf("an agent %s: %v", name, err)
		}
	}
}
