// Package cli is the kubectl plugin: kubectl k8s4ai. Its commands read the
// cluster, and print what they found for people or, with -o, for programs. They
// write nothing to the cluster.
package cli
