// Package sandbox starts a real Kubernetes control plane from the binaries that
// hack/tools.sh builds, for tests and for people. It needs no registry, and it
// never touches another cluster. Only tier 3 needs a container runtime and root.
//
//	tier 1   etcd + kube-apiserver                                  controller and API tests
//	tier 2   tier 1 + kube-controller-manager + kube-scheduler      whole stories on a
//	         + kwok, which plays the kubelets of a fleet file       simulated fleet
//	tier 3   tier 2 + real nodes: kubelet, containerd, kube-proxy   what runs on a node,
//	                                                                and a node's failures
//
// Everything a cluster has lives in one directory and in child processes that
// die with their parent:
//
//	Start ── owns ──> directory (locked file "owner")
//	  └── starts ───> etcd, kube-apiserver, … each in a process group of its own
//	Stop, SIGINT, SIGTERM: processes are killed, then the directory is removed
//	SIGKILL: the kernel kills the processes (Linux), the next Start removes the directory
//
// A real node is one process that is the first of its own namespaces for processes,
// mounts and network. Whatever ends it takes the rest along: daemons, containers,
// mounts, links and routes. What a node's Pods write to /etc, /opt, /run and /var
// stays in the cluster's directory; other host paths are those of this machine.
//
// In tier 1 nothing creates ServiceAccounts, so the ServiceAccount admission
// plugin is off and pods can be created at once. In tier 2 it is on.
//
// Pods of tier 2 run as soon as they are bound and never end by themselves.
// Annotations make them end, and make nodes fail: see AnnotationRunFor,
// AnnotationFailAfter and AnnotationNotReady.
package sandbox
