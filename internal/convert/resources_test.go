package convert

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/k8s4ai/k8s4ai/internal/placement"
)

// list makes a resource list from names and quantities in turn.
func list(pairs ...string) corev1.ResourceList {
	out := corev1.ResourceList{}
	for i := 0; i+1 < len(pairs); i += 2 {
		out[corev1.ResourceName(pairs[i])] = resource.MustParse(pairs[i+1])
	}
	return out
}

func container(requests, limits corev1.ResourceList) corev1.Container {
	return corev1.Container{Resources: corev1.ResourceRequirements{Requests: requests, Limits: limits}}
}

func sidecar(requests corev1.ResourceList) corev1.Container {
	always := corev1.ContainerRestartPolicyAlways
	return corev1.Container{RestartPolicy: &always, Resources: corev1.ResourceRequirements{Requests: requests}}
}

func TestTemplateRequests(t *testing.T) {
	cases := map[string]struct {
		spec corev1.PodSpec
		want placement.Resources
	}{
		"nothing": {want: placement.Resources{}},
		"containers add up, cpu in millicores": {
			spec: corev1.PodSpec{Containers: []corev1.Container{container(list("cpu", "1500m", "memory", "1Gi"), nil), container(list("cpu", "1"), nil)}},
			want: placement.Resources{"cpu": 2500, "memory": 1 << 30},
		},
		"a limit without a request is the request": {
			spec: corev1.PodSpec{Containers: []corev1.Container{container(list("cpu", "1"), list("cpu", "2", "nvidia.com/gpu", "8"))}},
			want: placement.Resources{"cpu": 1000, "nvidia.com/gpu": 8},
		},
		"the largest init container counts when it is larger": {
			spec: corev1.PodSpec{
				InitContainers: []corev1.Container{container(list("cpu", "4"), nil), container(nil, list("memory", "1Ki"))},
				Containers:     []corev1.Container{container(list("cpu", "1"), nil)},
			},
			want: placement.Resources{"cpu": 4000, "memory": 1024},
		},
		"a sidecar runs beside the containers": {
			spec: corev1.PodSpec{
				InitContainers: []corev1.Container{sidecar(list("cpu", "1")), container(list("cpu", "4"), nil)},
				Containers:     []corev1.Container{container(list("cpu", "2"), nil)},
			},
			want: placement.Resources{"cpu": 5000},
		},
		"overhead comes on top": {
			spec: corev1.PodSpec{Containers: []corev1.Container{container(list("cpu", "1"), nil)}, Overhead: list("cpu", "250m", "memory", "64")},
			want: placement.Resources{"cpu": 1250, "memory": 64},
		},
		"requests of the pod replace those of its containers": {
			spec: corev1.PodSpec{
				Resources:  &corev1.ResourceRequirements{Requests: list("cpu", "8")},
				Containers: []corev1.Container{container(list("cpu", "1", "memory", "16"), list("nvidia.com/gpu", "2"))},
			},
			want: placement.Resources{"cpu": 8000, "memory": 16, "nvidia.com/gpu": 2},
		},
		"a limit of the pod counts where no container requests": {
			spec: corev1.PodSpec{
				Resources:  &corev1.ResourceRequirements{Limits: list("cpu", "8", "memory", "64")},
				Containers: []corev1.Container{container(list("cpu", "1"), nil), container(list("cpu", "2"), nil)},
			},
			want: placement.Resources{"cpu": 3000, "memory": 64},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			template := &corev1.PodTemplateSpec{Spec: tc.spec}
			before := template.DeepCopy()
			if diff := cmp.Diff(tc.want, Resources(TemplateRequests(template))); diff != "" {
				t.Errorf("TemplateRequests() (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(before, template); diff != "" {
				t.Errorf("the template was changed (-want +got):\n%s", diff)
			}
		})
	}
}

// No quantity wraps around: what is too large for an integer becomes the
// largest.
func TestResourcesOfAbsurdSize(t *testing.T) {
	const most = "9223372036854775807"
	twice := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{
		container(list("cpu", most, "nvidia.com/gpu", most), nil), container(list("cpu", most, "nvidia.com/gpu", most), nil),
	}}}
	want := placement.Resources{"cpu": math.MaxInt64, "nvidia.com/gpu": math.MaxInt64, podSlots: 1}
	if diff := cmp.Diff(want, PodRequests(twice)); diff != "" {
		t.Errorf("PodRequests() (-want +got):\n%s", diff)
	}
	want = placement.Resources{"cpu": math.MaxInt64, "memory": math.MaxInt64, "pods": 1}
	if diff := cmp.Diff(want, Resources(list("cpu", "1E", "memory", "1e30", "pods", "1"))); diff != "" {
		t.Errorf("Resources() (-want +got):\n%s", diff)
	}
	want = placement.Resources{"cpu": math.MaxInt64 - 7, "memory": math.MaxInt64 - 1}
	if diff := cmp.Diff(want, Resources(list("cpu", "9223372036854775.8", "memory", "9223372036854775806"))); diff != "" {
		t.Errorf("Resources() at the edge (-want +got):\n%s", diff)
	}
}

func TestSum(t *testing.T) {
	cases := map[string]struct{ a, b, want int64 }{
		"small":             {1, 2, 3},
		"at the edge":       {math.MaxInt64 - 1, 1, math.MaxInt64},
		"beyond the edge":   {math.MaxInt64, 1, math.MaxInt64},
		"both at the edge":  {math.MaxInt64, math.MaxInt64, math.MaxInt64},
		"room that is back": {3, -1, 2},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := Sum(tc.a, tc.b); got != tc.want {
				t.Errorf("Sum(%d, %d) = %d, want %d", tc.a, tc.b, got, tc.want)
			}
		})
	}
}

func TestCount(t *testing.T) {
	for n, want := range map[int64]int32{-1: 0, 0: 0, 8: 8, math.MaxInt32: math.MaxInt32, math.MaxInt32 + 1: math.MaxInt32, math.MaxInt64: math.MaxInt32} {
		if got := Count(n); got != want {
			t.Errorf("Count(%d) = %d, want %d", n, got, want)
		}
	}
}
