//go:build tools

// Package tools pins etcd, the store under the sandbox's kube-apiserver.
package tools

import _ "go.etcd.io/etcd/server/v3"
