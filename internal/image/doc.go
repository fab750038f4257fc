// Package image builds container images without a container runtime and without
// a registry: one layer of files from this machine, written as an archive that
// `ctr images import`, `docker load` and `skopeo copy` read.
//
//	program ──> static:   the file alone
//	        └─> dynamic:  the file, its loader and the libraries that ldd names
//
// The same input gives the same bytes: times are fixed, entries are sorted and
// everything belongs to root.
package image
