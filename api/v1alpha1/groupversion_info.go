package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var (
	// GroupVersion is the group and version of every type of this package.
	GroupVersion = schema.GroupVersion{Group: "k8s4ai.io", Version: "v1alpha1"}

	schemeBuilder = runtime.NewSchemeBuilder(addKnownTypes)

	// AddToScheme makes the types of this package known to a scheme.
	AddToScheme = schemeBuilder.AddToScheme
)

func addKnownTypes(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion,
		&AcceleratorClass{}, &AcceleratorClassList{},
		&GangSchedulingGroup{}, &GangSchedulingGroupList{},
		&TopologyDomain{}, &TopologyDomainList{},
	)
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
