// Package v1alpha1 holds the kinds of the API group k8s4ai.io: their types,
// condition types, reasons, label and annotation keys, and no logic.
//
// A field that is unset has the meaning that its comment gives; the schema
// holds no defaults, so that a default can change without rewriting stored
// objects. Bandwidths are in gigabits per second where the name ends in Gbps
// and in gigabytes per second where it ends in GBps.
//
// +kubebuilder:object:generate=true
// +groupName=k8s4ai.io
package v1alpha1
