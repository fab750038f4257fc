//go:build tools

// Package tools pins golangci-lint with the Kubernetes API linter compiled in.
package tools

import _ "sigs.k8s.io/kube-api-linter/cmd/golangci-lint-kube-api-linter"
