package convert_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/k8s4ai/k8s4ai/internal/convert"
	"github.com/k8s4ai/k8s4ai/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Run(m)) }

// What TemplateRequests says before a Pod exists is what PodRequests says of the
// Pod that the API server makes of it.
func TestTemplateRequestsLikeTheAPIServer(t *testing.T) {
	server := testkit.APIServer(t)
	random := rand.New(rand.NewPCG(7, 11))
	accepted := 0
	for i := range 300 {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("p%d", i), Namespace: server.Namespace}, Spec: randomSpec(random)}
		template := &corev1.PodTemplateSpec{Spec: *pod.Spec.DeepCopy()}
		if err := server.Client.Create(t.Context(), pod, client.DryRunAll); err != nil {
			continue // A request above its limit, mostly.
		}
		accepted++
		want := convert.PodRequests(pod)
		delete(want, "pods")
		if diff := cmp.Diff(want, convert.Resources(convert.TemplateRequests(template))); diff != "" {
			t.Fatalf("requests (-API server +TemplateRequests):\n%s\nof %+v", diff, template.Spec)
		}
	}
	if accepted < 100 {
		t.Errorf("the API server accepted %d of 300 random pods: the test says little", accepted)
	}
}

func randomSpec(r *rand.Rand) corev1.PodSpec {
	var spec corev1.PodSpec
	for i := range 1 + r.IntN(2) {
		spec.Containers = append(spec.Containers, randomContainer(r, fmt.Sprintf("c%d", i)))
	}
	for i := range r.IntN(3) {
		c := randomContainer(r, fmt.Sprintf("i%d", i))
		if r.IntN(2) == 0 {
			c.RestartPolicy = new(corev1.ContainerRestartPolicyAlways)
		}
		spec.InitContainers = append(spec.InitContainers, c)
	}
	if r.IntN(3) == 0 {
		spec.Resources = &corev1.ResourceRequirements{
			Requests: randomList(r, 6, corev1.ResourceCPU, corev1.ResourceMemory),
			Limits:   randomList(r, 12, corev1.ResourceCPU, corev1.ResourceMemory),
		}
	}
	return spec
}

func randomContainer(r *rand.Rand, name string) corev1.Container {
	c := corev1.Container{Name: name, Image: "example.com/x:1", Resources: corev1.ResourceRequirements{
		Requests: randomList(r, 2, corev1.ResourceCPU, corev1.ResourceMemory),
		Limits:   randomList(r, 3, corev1.ResourceCPU, corev1.ResourceMemory),
	}}
	if r.IntN(3) == 0 {
		c.Resources.Limits["nvidia.com/gpu"] = resource.MustParse("2")
	}
	return c
}

func randomList(r *rand.Rand, most int64, names ...corev1.ResourceName) corev1.ResourceList {
	out := corev1.ResourceList{}
	for _, name := range names {
		if r.IntN(2) == 0 {
			out[name] = *resource.NewQuantity(1+r.Int64N(most), resource.DecimalSI)
		}
	}
	return out
}
