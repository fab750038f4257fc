package testkit

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/convert"
)

// GPU is the extended resource of the accelerators that builders give out.
const GPU corev1.ResourceName = "nvidia.com/gpu"

// GangBuilder builds a GangSchedulingGroup.
type GangBuilder struct {
	gang v1alpha1.GangSchedulingGroup
}

// Gang begins a gang without roles.
func Gang(name string) *GangBuilder {
	return &GangBuilder{v1alpha1.GangSchedulingGroup{ObjectMeta: metav1.ObjectMeta{Name: name}}}
}

// Obj returns the gang.
func (b *GangBuilder) Obj() *v1alpha1.GangSchedulingGroup { return b.gang.DeepCopy() }

// Namespace sets the namespace.
func (b *GangBuilder) Namespace(namespace string) *GangBuilder {
	b.gang.Namespace = namespace
	return b
}

// Stored gives the gang what the API server and the Reconciler give it: a UID, a
// generation and the finalizer. Tests without an API server need it.
func (b *GangBuilder) Stored(uid types.UID) *GangBuilder {
	b.gang.UID, b.gang.Generation = uid, max(b.gang.Generation, 1)
	b.gang.Finalizers = []string{v1alpha1.FinalizerGang}
	return b
}

// Generation sets the generation.
func (b *GangBuilder) Generation(generation int64) *GangBuilder {
	b.gang.Generation = generation
	return b
}

// Deleted marks the gang as being deleted.
func (b *GangBuilder) Deleted(at time.Time) *GangBuilder {
	b.gang.DeletionTimestamp = &metav1.Time{Time: at}
	return b
}

// Role adds a role whose Pods have one container "main" with that many GPUs.
func (b *GangBuilder) Role(name string, replicas int32, gpus int64) *GangBuilder {
	amount := corev1.ResourceList{}
	if gpus > 0 {
		amount[GPU] = *resource.NewQuantity(gpus, resource.DecimalSI)
	}
	b.gang.Spec.Roles = append(b.gang.Spec.Roles, v1alpha1.GangRole{
		Name: name, Replicas: replicas,
		Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
			Containers: []corev1.Container{{
				Name: "main", Image: "example.com/train:1",
				Resources: corev1.ResourceRequirements{Requests: amount, Limits: amount},
			}},
		}},
	})
	return b
}

// last is the role that was added last.
func (b *GangBuilder) last() *v1alpha1.GangRole { return &b.gang.Spec.Roles[len(b.gang.Spec.Roles)-1] }

// Template changes the template of the last role.
func (b *GangBuilder) Template(change func(*corev1.PodTemplateSpec)) *GangBuilder {
	change(&b.last().Template)
	return b
}

// MinReplicas sets the least number of Pods of the last role.
func (b *GangBuilder) MinReplicas(n int32) *GangBuilder {
	b.last().MinReplicas = n
	return b
}

// Spares sets the spare slots of the last role.
func (b *GangBuilder) Spares(n int32) *GangBuilder {
	b.last().Spares = n
	return b
}

// Class makes the last role ask for an AcceleratorClass.
func (b *GangBuilder) Class(name string) *GangBuilder {
	b.last().Accelerator = &v1alpha1.AcceleratorRequest{ClassName: name}
	return b
}

// Required sets the level of the domain that must hold the gang.
func (b *GangBuilder) Required(level v1alpha1.TopologyLevel) *GangBuilder {
	if b.gang.Spec.Topology == nil {
		b.gang.Spec.Topology = &v1alpha1.GangTopology{}
	}
	b.gang.Spec.Topology.Required = level
	return b
}

// Group adds a group of roles below a parent, "" for the gang itself.
func (b *GangBuilder) Group(name, parent string, required v1alpha1.TopologyLevel, roles ...string) *GangBuilder {
	b.gang.Spec.Groups = append(b.gang.Spec.Groups, v1alpha1.GangGroup{Name: name, ParentName: parent, Required: required, RoleNames: roles})
	return b
}

// Suspended sets spec.suspend.
func (b *GangBuilder) Suspended() *GangBuilder {
	b.gang.Spec.Suspend = new(true)
	return b
}

// Queue sets the LocalQueue.
func (b *GangBuilder) Queue(name string) *GangBuilder {
	b.gang.Spec.QueueName = name
	return b
}

// Priority sets the priority.
func (b *GangBuilder) Priority(priority int32) *GangBuilder {
	b.gang.Spec.Priority = new(priority)
	return b
}

// BindTimeout sets the bind timeout in seconds.
func (b *GangBuilder) BindTimeout(seconds int32) *GangBuilder {
	b.gang.Spec.BindTimeoutSeconds = seconds
	return b
}

// Recreate sets restart policy RecreateGang; maxRestarts 0 leaves it unset.
func (b *GangBuilder) Recreate(maxRestarts int32) *GangBuilder {
	b.gang.Spec.RestartPolicy = &v1alpha1.GangRestartPolicy{Type: v1alpha1.RestartRecreateGang, MaxRestarts: maxRestarts}
	return b
}

// Placed gives the gang a placement of its first role on nodes.
func (b *GangBuilder) Placed(epoch int64, nodes ...string) *GangBuilder {
	role := &b.gang.Spec.Roles[0]
	b.gang.Status.Epoch = epoch
	b.gang.Status.Placement = &v1alpha1.GangPlacement{
		Generation: max(b.gang.Generation, 1), Level: v1alpha1.LevelLeaf, Domain: "leaf-a",
		Roles: []v1alpha1.RolePlacement{{
			Name: role.Name, Replicas: int32(len(nodes)), Hosts: convert.EncodeHosts(nodes), Slot: convert.TemplateRequests(&role.Template),
		}},
	}
	return b
}

// Started marks the current epoch as started.
func (b *GangBuilder) Started() *GangBuilder {
	b.gang.Status.StartedEpoch = b.gang.Status.Epoch
	return b
}

// Releasing sets a pending release.
func (b *GangBuilder) Releasing(reason string) *GangBuilder {
	b.gang.Status.Release = &v1alpha1.GangRelease{Reason: reason, Message: "for a test"}
	return b
}

// Restarts sets how often the gang came back.
func (b *GangBuilder) Restarts(n int32) *GangBuilder {
	b.gang.Status.Restarts = new(n)
	return b
}

// Refused sets a refusal.
func (b *GangBuilder) Refused(reason string) *GangBuilder {
	b.gang.Status.Refusal = &v1alpha1.GangRefusal{Reason: reason, Generation: max(b.gang.Generation, 1), Message: "refused for a test"}
	return b
}

// BackingOff sets a backoff.
func (b *GangBuilder) BackingOff(failures int32, until time.Time) *GangBuilder {
	b.gang.Status.Backoff = &v1alpha1.GangBackoff{Failures: failures, Generation: max(b.gang.Generation, 1), NotBefore: &metav1.Time{Time: until}, Message: "BindTimeout: for a test"}
	return b
}

// Finished sets the condition Finished.
func (b *GangBuilder) Finished(reason string) *GangBuilder {
	kept := slices.DeleteFunc(b.gang.Status.Conditions, func(c metav1.Condition) bool { return c.Type == v1alpha1.ConditionFinished })
	b.gang.Status.Conditions = append(kept, metav1.Condition{
		Type: v1alpha1.ConditionFinished, Status: metav1.ConditionTrue, Reason: reason, Message: "for a test",
	})
	return b
}
