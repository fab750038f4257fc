package convert

import (
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/placement"
)

// Commitment is the room that one gang holds by its status, and the epoch of
// it. A gang without a placement, or one that has finished, holds none.
func Commitment(group *v1alpha1.GangSchedulingGroup) (uses []placement.Use, held bool) {
	if group.Status.Placement == nil || meta.IsStatusConditionTrue(group.Status.Conditions, v1alpha1.ConditionFinished) {
		return nil, false
	}
	roles, err := PlacedRoles(group.Status.Placement)
	if err != nil {
		// A placement that cannot be read takes no room: its gang is released, and
		// its Pods count as what they are.
		return nil, false
	}
	return Uses(roles), true
}

// Commit adds to a world the room that gangs hold by their status.
func (w *World) Commit(groups []v1alpha1.GangSchedulingGroup) {
	epochs := map[types.UID]int64{}
	for i := range groups {
		if uses, held := Commitment(&groups[i]); held {
			epochs[groups[i].UID] = groups[i].Status.Epoch
			w.Committed = append(w.Committed, uses...)
		}
	}
	w.IsCommitted = func(pod *corev1.Pod) bool {
		uid, epoch := GangOf(pod)
		held, ok := epochs[uid]
		return ok && held == epoch
	}
}

// GangOf is the gang that controls a Pod and the epoch that the Pod was created
// for. uid is empty for a Pod of no gang, epoch 0 for one that does not say.
func GangOf(pod *corev1.Pod) (uid types.UID, epoch int64) {
	owner := metav1.GetControllerOfNoCopy(pod)
	if owner == nil || owner.Kind != "GangSchedulingGroup" || owner.APIVersion != v1alpha1.GroupVersion.String() {
		return "", 0
	}
	epoch, err := strconv.ParseInt(pod.Labels[v1alpha1.LabelEpoch], 10, 64)
	if err != nil {
		epoch = 0
	}
	return owner.UID, epoch
}
