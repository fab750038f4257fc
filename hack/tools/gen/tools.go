//go:build tools

// Package tools pins the generators of CRDs, RBAC, deepcopy and the API reference.
package tools

import (
	_ "github.com/elastic/crd-ref-docs"
	_ "sigs.k8s.io/controller-tools/cmd/controller-gen"
)
