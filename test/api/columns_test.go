package api

import (
	"encoding/json"
	"net/http"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
)

const readyCondition = "{type: Ready, status: 'True', reason: Running, message: '', lastTransitionTime: '2026-01-01T00:00:00Z'}"

// What `kubectl get` shows of each kind, with and without -o wide.
func TestColumns(t *testing.T) {
	cases := map[string]struct {
		kind     string
		resource string
		object   []string
		status   string
		want     map[string]any
		wide     []string
	}{
		"a node with eight accelerators": {
			kind: domain, resource: "topologydomains",
			object: []string{"spec: {level: Node, nodeName: node-1}"},
			status: "{parentName: leaf-1, nodes: {total: 1, ready: 1}, accelerators: {total: 8, free: 3, unhealthy: 0}, conditions: [" + readyCondition +
				", {type: Healthy, status: 'False', reason: AcceleratorUnhealthy, message: '', lastTransitionTime: '2026-01-01T00:00:00Z'}" +
				", {type: Stale, status: 'True', reason: HeartbeatLost, message: '', lastTransitionTime: '2026-01-01T00:00:00Z'}]}",
			want: map[string]any{"Level": "Node", "Parent": "leaf-1", "Nodes": 1.0, "Accelerators": 8.0, "Free": 3.0, "Ready": "True", "Healthy": "False", "Stale": "True", "Observed": nil},
			wide: []string{"Stale", "Observed"},
		},
		"a class on two nodes": {
			kind: class, resource: "acceleratorclasses",
			object: []string{"spec.memory: {capacity: 80G}"},
			status: "{nodes: 2, devices: {total: 16, free: 5, unhealthy: 1}, conditions: [" + readyCondition + "]}",
			want:   map[string]any{"Model": "H100 SXM5 80GB", "Memory": "80G", "Nodes": 2.0, "Devices": 16.0, "Free": 5.0, "Ready": "True"},
		},
		"a gang that runs": {
			kind: gang, resource: "gangschedulinggroups",
			status: "{epoch: 2, pods: {desired: 4, created: 4, bound: 4, running: 3, succeeded: 0, failed: 0}, refusal: {reason: WaitingForRoom, generation: 1, message: no room}, " +
				"placement: {generation: 1, committedTime: '2026-01-01T00:00:00Z', level: Leaf, domain: leaf-1, roles: [{name: worker, replicas: 4, hosts: 'node-[1-4]'}]}, conditions: [" + readyCondition + "]}",
			want: map[string]any{"Ready": "True", "Reason": "Running", "Pods": 4.0, "Running": 3.0, "Domain": "leaf-1", "Refusal": "no room", "Epoch": 2.0},
			wide: []string{"Refusal", "Epoch"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			u := object(t, tc.kind, tc.object...)
			if err := create(t, u); err != nil {
				t.Fatal(err)
			}
			if err := update(t, u, "status: "+tc.status); err != nil {
				t.Fatal(err)
			}
			path := "/apis/" + v1alpha1.GroupVersion.String() + "/"
			if u.GetNamespace() != "" {
				path += "namespaces/" + u.GetNamespace() + "/"
			}
			table := getTable(t, path+tc.resource+"/"+u.GetName())
			if len(table.Rows) != 1 {
				t.Fatalf("got %d rows, want one", len(table.Rows))
			}
			got := map[string]any{}
			var wide []string
			for i, column := range table.ColumnDefinitions {
				got[column.Name] = table.Rows[0].Cells[i]
				if column.Priority > 0 {
					wide = append(wide, column.Name)
				}
			}
			if got["Name"] != u.GetName() || got["Age"] == nil {
				t.Errorf("got name %v and age %v", got["Name"], got["Age"])
			}
			delete(got, "Name")
			delete(got, "Age")
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("columns (-want +got):\n%s", diff)
			}
			if !slices.Equal(wide, tc.wide) {
				t.Errorf("only -o wide shows %v, want %v", wide, tc.wide)
			}
		})
	}
}

// getTable asks for an object as kubectl get does.
func getTable(t *testing.T, path string) metav1.Table {
	t.Helper()
	config := cluster(t).RESTConfig
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, config.Host+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", "application/json;as=Table;g=meta.k8s.io;v=v1")
	response, err := httpClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	table := metav1.Table{}
	if err := json.NewDecoder(response.Body).Decode(&table); err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("reading %s as a table: %s, %v", path, response.Status, err)
	}
	return table
}

// `kubectl get td`, `ac`, `gsg` and `k8s4ai` find the kinds.
func TestShortNamesAndCategory(t *testing.T) {
	c, err := discovery.NewDiscoveryClientForConfig(cluster(t).RESTConfig)
	if err != nil {
		t.Fatal(err)
	}
	served, err := c.ServerResourcesForGroupVersion(v1alpha1.GroupVersion.String())
	if err != nil {
		t.Fatal(err)
	}
	type names struct {
		ShortNames, Categories []string
		IsNamespaced           bool
	}
	got := map[string]names{}
	for _, r := range served.APIResources {
		if !slices.Contains([]string{domain, class, gang}, r.Kind) || len(r.ShortNames) == 0 {
			continue // a subresource
		}
		got[r.Kind] = names{ShortNames: r.ShortNames, Categories: r.Categories, IsNamespaced: r.Namespaced}
	}
	want := map[string]names{
		domain: {ShortNames: []string{"td"}, Categories: []string{"k8s4ai"}},
		class:  {ShortNames: []string{"ac"}, Categories: []string{"k8s4ai"}},
		gang:   {ShortNames: []string{"gsg"}, Categories: []string{"k8s4ai"}, IsNamespaced: true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}
