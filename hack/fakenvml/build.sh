#!/usr/bin/env bash
# Builds the fake NVML library into a directory: libnvidia-ml.so.1, and under
# old/ the same with the functions of an R450 driver only. Needs a C compiler and
# nothing else; CC and CFLAGS may name another one and its options.
set -euo pipefail

if [ $# -ne 1 ]; then
	echo "usage: $0 DIRECTORY" >&2
	exit 2
fi
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
mkdir -p "$1/old"
out="$(cd "$1" && pwd)"

build() {
	local made=$1
	shift # then the sources
	# The name changes hands in one step: a process that runs keeps what it loaded.
	# shellcheck disable=SC2086 # CFLAGS are several words.
	"${CC:-gcc}" -std=c11 -O2 -fPIC -fvisibility=hidden -Wall -Wextra -Werror -shared \
		-Wl,-soname,libnvidia-ml.so.1 ${CFLAGS:-} -o "$made.new" \
		"$@" -lpthread -ldl
	mv "$made.new" "$made"
}
cd "$here"
build "$out/libnvidia-ml.so.1" describe.c state.c nvml.c newer.c
build "$out/old/libnvidia-ml.so.1" describe.c state.c nvml.c
