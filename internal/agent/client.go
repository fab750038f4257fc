package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
)

const (
	// FieldManager owns what the agent applies.
	FieldManager = "k8s4ai-node-agent"

	domainsPath = "/apis/k8s4ai.io/v1alpha1/topologydomains"
	leasesPath  = "/apis/coordination.k8s.io/v1/namespaces"
	nodesPath   = "/api/v1/nodes"
	// nodeLeases is the namespace in which every kubelet has a Lease.
	nodeLeases = "kube-node-lease"

	// callTimeout bounds one call to the API server.
	callTimeout = 10 * time.Second
	// metadataOnly asks for an object without its content.
	metadataOnly = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
)

// apiClient makes the few calls of an agent. The typed clients hold every kind of
// Kubernetes in memory, which is more than all else that the agent needs.
type apiClient struct {
	rest      rest.Interface
	namespace string
	node      string
	pod       string
	// timeout bounds one call.
	timeout time.Duration
}

func newClient(config *rest.Config, namespace, node, pod string) (*apiClient, error) {
	scheme := runtime.NewScheme()
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"}) // Errors are of these.
	config = rest.CopyConfig(config)
	config.GroupVersion, config.APIPath = &schema.GroupVersion{}, "/"
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	config.QPS = -1 // pace holds the agent back.
	config.UserAgent = FieldManager
	c, err := rest.UnversionedRESTClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("making a client of the API server: %w", err)
	}
	return &apiClient{rest: c, namespace: namespace, node: node, pod: pod, timeout: callTimeout}, nil
}

// do makes a call and decodes what it answers.
func (c *apiClient) do(ctx context.Context, request *rest.Request, into any) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	body, err := request.Do(ctx).Raw()
	if err != nil || into == nil {
		return err
	}
	return json.Unmarshal(body, into)
}

// agents counts the Leases of a namespace, one for each agent, without reading
// them: the API server says how many follow the first.
func (c *apiClient) agents(ctx context.Context, namespace string) (int, error) {
	var list struct {
		Metadata metav1.ListMeta   `json:"metadata"`
		Items    []json.RawMessage `json:"items"`
	}
	err := c.do(ctx, c.rest.Get().AbsPath(leasesPath, namespace, "leases").Param("limit", "1"), &list)
	if err != nil {
		return 0, fmt.Errorf("counting the Leases of %s: %w", namespace, err)
	}
	count := int64(len(list.Items))
	if more := list.Metadata.RemainingItemCount; more != nil {
		count += *more
	}
	return int(min(count, maxAgents)), nil
}

// domain reads the node's TopologyDomain, nil when there is none.
func (c *apiClient) domain(ctx context.Context) (*v1alpha1.TopologyDomain, error) {
	var domain v1alpha1.TopologyDomain
	err := c.do(ctx, c.rest.Get().AbsPath(domainsPath, c.node), &domain)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading TopologyDomain %s: %w", c.node, err)
	}
	return &domain, nil
}

// owner is the reference that makes an object go with the Node.
func (c *apiClient) owner(ctx context.Context) ([]metav1.OwnerReference, error) {
	var node metav1.PartialObjectMetadata
	if err := c.do(ctx, c.rest.Get().AbsPath(nodesPath, c.node).SetHeader("Accept", metadataOnly), &node); err != nil {
		return nil, fmt.Errorf("reading Node %s: %w", c.node, err)
	}
	return []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: c.node, UID: node.UID}}, nil
}

// applyDomain makes the node's TopologyDomain, and returns its generation.
func (c *apiClient) applyDomain(ctx context.Context) (int64, error) {
	owner, err := c.owner(ctx)
	if err != nil {
		return 0, err
	}
	var made v1alpha1.TopologyDomain
	err = c.apply(ctx, map[string]any{
		"metadata": map[string]any{"name": c.node, "ownerReferences": owner},
		"spec":     v1alpha1.TopologyDomainSpec{Level: v1alpha1.LevelNode, NodeName: c.node},
	}, "", &made)
	return made.Generation, err
}

// applyStatus stores the agent's part of the status, and returns the object as it
// is then. The fields of others stay.
func (c *apiClient) applyStatus(ctx context.Context, report *v1alpha1.NodeReport, conditions []metav1.Condition) (*v1alpha1.TopologyDomain, error) {
	var stored v1alpha1.TopologyDomain
	err := c.apply(ctx, map[string]any{
		"metadata": map[string]any{"name": c.node},
		"status":   v1alpha1.TopologyDomainStatus{Node: report, Conditions: conditions},
	}, "status", &stored)
	return &stored, err
}

// apply applies a part of the TopologyDomain. Fields that somebody else has set are
// taken over: nobody else may write these.
func (c *apiClient) apply(ctx context.Context, object map[string]any, subresource string, into any) error {
	object["apiVersion"], object["kind"] = v1alpha1.GroupVersion.String(), "TopologyDomain"
	body, err := json.Marshal(object)
	if err != nil {
		return fmt.Errorf("encoding TopologyDomain %s: %w", c.node, err)
	}
	path := []string{domainsPath, c.node}
	if subresource != "" {
		path = append(path, subresource)
	}
	request := c.rest.Patch(types.ApplyYAMLPatchType).AbsPath(path...).Param("fieldManager", FieldManager).Param("force", "true").Body(body)
	if err := c.do(ctx, request, into); err != nil {
		return fmt.Errorf("applying TopologyDomain %s: %w", c.node, err)
	}
	return nil
}

// renew renews the agent's Lease, and makes it when there is none.
func (c *apiClient) renew(ctx context.Context, now time.Time, lasts time.Duration) error {
	spec := map[string]any{
		"holderIdentity": c.pod, "leaseDurationSeconds": int32(lasts.Seconds()), "renewTime": metav1.NewMicroTime(now),
	}
	err := c.writeLease(ctx, c.rest.Patch(types.MergePatchType).AbsPath(leasesPath, c.namespace, "leases", c.node), map[string]any{"spec": spec})
	if !apierrors.IsNotFound(err) {
		return err
	}
	owner, err := c.owner(ctx)
	if err != nil {
		return err
	}
	return c.writeLease(ctx, c.rest.Post().AbsPath(leasesPath, c.namespace, "leases"), map[string]any{
		"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
		"metadata": map[string]any{"name": c.node, "namespace": c.namespace, "ownerReferences": owner},
		"spec":     spec,
	})
}

func (c *apiClient) writeLease(ctx context.Context, request *rest.Request, content map[string]any) error {
	body, err := json.Marshal(content)
	if err != nil {
		return fmt.Errorf("encoding Lease %s: %w", c.node, err)
	}
	request = request.Param("fieldManager", FieldManager).Body(body)
	if err := c.do(ctx, request, nil); err != nil {
		return fmt.Errorf("renewing Lease %s/%s: %w", c.namespace, c.node, err)
	}
	return nil
}
