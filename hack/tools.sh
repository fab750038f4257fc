#!/usr/bin/env bash
# Builds the tools of this repository from Go modules into bin/.
#
#   hack/tools.sh              everything, the sandbox's binaries first
#   hack/tools.sh kwok etcd    only these groups
#
# A group is built from one module under hack/tools; "nodes" shares the module of
# "kubernetes", so that all of Kubernetes has one version. A group is built again
# only when a binary is missing or its module's go.mod, go.sum, tools.go or build
# flags differ from the stamp bin/.stamp-<group>, so a second run costs nothing.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bin=${K8S4AI_BIN:-$root/bin}
all_groups=(etcd kubernetes kwok nodes gen lint)
export CGO_ENABLED=0

# A cold build of every group fills about this much module and build cache.
disk_needed_gib=8

die() {
	echo "tools: $*" >&2
	exit 1
}

# binaries GROUP: one "name package" line per binary of the group.
binaries() {
	case $1 in
	etcd) echo "etcd go.etcd.io/etcd/server/v3" ;;
	kubernetes)
		local name
		for name in kube-apiserver kube-controller-manager kube-scheduler kubectl; do
			echo "$name k8s.io/kubernetes/cmd/$name"
		done
		;;
	kwok) echo "kwok sigs.k8s.io/kwok/cmd/kwok" ;;
	nodes)
		echo "kubelet k8s.io/kubernetes/cmd/kubelet"
		echo "kube-proxy k8s.io/kubernetes/cmd/kube-proxy"
		;;
	gen)
		echo "controller-gen sigs.k8s.io/controller-tools/cmd/controller-gen"
		echo "crd-ref-docs github.com/elastic/crd-ref-docs"
		;;
	lint) echo "golangci-lint sigs.k8s.io/kube-api-linter/cmd/golangci-lint-kube-api-linter" ;;
	*) die "unknown group '$1'; the groups are: ${all_groups[*]}" ;;
	esac
}

# module_of GROUP: the directory of the module that the group is built from.
module_of() {
	case $1 in
	nodes) echo "$root/hack/tools/kubernetes" ;;
	*) echo "$root/hack/tools/$1" ;;
	esac
}

# version_of GROUP MODULE: the version that the group's go.mod pins.
version_of() {
	awk -v m="$2" '$1 == "require" { sub(/^require +/, "") } $1 == m { print $2; exit }' "$(module_of "$1")/go.mod"
}

# ldflags GROUP: Kubernetes reports v0.0.0 and refuses version skew checks unless
# its version is linked in.
ldflags() {
	local flags="-s -w" version minor
	if [[ $(module_of "$1") == */kubernetes ]]; then
		version=$(version_of "$1" k8s.io/kubernetes)
		minor=${version#v1.}
		minor=${minor%%.*}
		flags+=" -X k8s.io/component-base/version.gitVersion=$version"
		flags+=" -X k8s.io/component-base/version.gitMajor=1"
		flags+=" -X k8s.io/component-base/version.gitMinor=$minor"
		flags+=" -X k8s.io/client-go/pkg/version.gitVersion=$version"
	fi
	echo "$flags"
}

# hash_of GROUP: identifies everything a group's binaries are built from.
hash_of() {
	(cd "$(module_of "$1")" && { cat go.mod go.sum tools.go; ldflags "$1"; }) | git hash-object --stdin
}

# is_built GROUP: every binary is there and the stamp matches.
is_built() {
	local name package
	while read -r name package; do
		[[ -x $bin/$name ]] || return 1
	done < <(binaries "$1")
	[[ -f $bin/.stamp-$1 && $(<"$bin/.stamp-$1") == "$(hash_of "$1")" ]]
}

# check_machine: what a build needs, told before minutes have gone into it.
check_machine() {
	command -v go >/dev/null || die "the go command is missing: install Go 1.26 or newer"
	local version cache free
	version=$(cd "$root" && go env GOVERSION) || die "go cannot read $root/go.mod: install Go 1.26 or newer"
	[[ $(printf '%s\n' go1.26 "$version" | sort -V | head -n 1) == go1.26 ]] ||
		die "Go 1.26 or newer is needed, found $version"
	cache=$(go env GOCACHE)
	mkdir -p "$cache" "$bin"
	free=$(($(df -Pk "$cache" | awk 'NR == 2 { print $4 }') / 1024 / 1024))
	((free >= disk_needed_gib)) ||
		die "$cache has $free GiB free, a build needs $disk_needed_gib: free some space or set GOCACHE"
}

# build GROUP NAME PACKAGE: one binary, moved into place whole so that an
# interrupted build leaves no half-written file behind.
build() {
	local started=$SECONDS
	count=$((count + 1))
	printf '[%d/%d] %s ... ' "$count" "$total" "$2"
	if ! (cd "$(module_of "$1")" &&
		go build -trimpath -ldflags "$(ldflags "$1")" -o "$bin/.building-$2" "$3") >"$log" 2>&1; then
		echo "failed after $((SECONDS - started))s"
		cat "$log" >&2
		die "building $2 of the group $1: see above; a download error is retried by running this again"
	fi
	mv "$bin/.building-$2" "$bin/$2"
	echo "$((SECONDS - started))s"
}

groups=("$@")
((${#groups[@]})) || groups=("${all_groups[@]}")
todo=()
total=0
count=0
for group in "${groups[@]}"; do
	lines=$(binaries "$group")
	is_built "$group" && continue
	todo+=("$group")
	total=$((total + $(wc -l <<<"$lines")))
done
if ((total == 0)); then
	echo "tools: ${groups[*]}: nothing to do"
	exit 0
fi

check_machine
log=$(mktemp)
trap 'rm -f "$log" "$bin"/.building-*' EXIT
for group in "${todo[@]}"; do
	while read -r name package; do
		build "$group" "$name" "$package"
	done < <(binaries "$group")
	hash_of "$group" >"$bin/.stamp-$group"
done
