#!/usr/bin/env bash
# Writes docs/reference/api.md from the types and comments in api/v1alpha1.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
out=docs/reference/api.md
mkdir -p "$(dirname "$out")"
made=$(mktemp)
trap 'rm -f "$made"' EXIT
bin/crd-ref-docs --config=hack/crd-ref-docs.yaml --source-path=api/v1alpha1 \
	--renderer=markdown --output-path="$made" --log-level=ERROR

# Runs of blank lines, trailing blanks and the column for schema defaults, which
# the API does not have, are left out.
{
	echo '<!-- Made by `make generate` from api/v1alpha1. Change the comments there. -->'
	echo
	sed -E -e 's/^(\| Field \| Description) \| Default \|/\1 |/' \
		-e 's/^\| --- \| --- \| --- \| --- \|/| --- | --- | --- |/' \
		-e 's/^(\| `.*) \|  \| ([^|]*) \|$/\1 | \2 |/' \
		-e 's/(Optional|Required): \\\{\\\} <br \/>/\1/' \
		-e 's/[[:space:]]+$//' "$made" | cat -s
} >"$out"
