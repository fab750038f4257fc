SHELL := /usr/bin/env bash -euo pipefail
.DEFAULT_GOAL := help

FLEET ?= hgx-64
FUZZTIME ?= 30s

# Binaries that tests start. CI turns a missing one from a skip into a failure.
export K8S4AI_BIN := $(CURDIR)/bin
SANDBOX_GROUPS := etcd kubernetes kwok nodes
VERIFY_GROUPS := gen lint

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo
	@echo "  FLEET=$(FLEET)  a ready-made fleet or a file, for sandbox (docs/fleet.md)"
	@echo "  FUZZTIME=$(FUZZTIME)  the time of each target of fuzz"
	@echo "  ARGS=…  flags of bench-placement, such as ARGS='-quick -kai=false'"

# Work

.PHONY: demo
demo: sandbox-tools build ## Start a real control plane with 64 simulated GPU nodes, run gangs on it, check every claim
	go run ./test/demo

.PHONY: sandbox
sandbox: sandbox-tools ## Start a real control plane with the machines of FLEET and stay until Ctrl-C
	go run ./test/sandbox/cmd/sandbox up --fleet $(FLEET)

.PHONY: build
build: ## Build bin/manager, bin/node-agent and bin/kubectl-k8s4ai
	CGO_ENABLED=0 go build -trimpath -o bin/manager ./cmd/manager
	CGO_ENABLED=0 go build -trimpath -o bin/kubectl-k8s4ai ./cmd/kubectl-k8s4ai
	CGO_ENABLED=1 CGO_CFLAGS="-O2 -Wno-deprecated-declarations" go build -trimpath -ldflags '-extldflags=-Wl,-z,lazy' -o bin/node-agent ./cmd/node-agent

.PHONY: images
images: build ## Build the images of the manager and of the node agent as archives in out/images/
	go run ./hack/image --name k8s4ai/manager:v0.1.0 --binary bin/manager --out out/images/manager.tar
	go run ./hack/image --name k8s4ai/node-agent:v0.1.0 --binary bin/node-agent --root --tool "$$(PATH=$$PATH:/usr/sbin command -v ibnetdiscover || { echo 'images: ibnetdiscover is missing: install infiniband-diags' >&2; exit 1; })" --out out/images/node-agent.tar

.PHONY: tools
tools: ## Build everything that the other targets start into bin/, once (minutes)
	hack/tools.sh

.PHONY: clean
clean: ## Remove what was built
	rm -rf bin out

# Test

.PHONY: test
test: sandbox-tools build ## Run the unit tests, and the controller tests against a real API server
	CI=true go test -timeout 20m $$(go list ./... | grep -v '/test/e2e')

.PHONY: e2e
e2e: sandbox-tools build ## Run whole stories on simulated fleets and, as root, on real nodes
	CI=true K8S4AI_REQUIRE_SYSTEM=true go test -count=1 -p 1 -timeout 30m ./test/e2e/...

.PHONY: fuzz
fuzz: ## Run each fuzz target for FUZZTIME
	@grep -rlE '^func Fuzz' --include='*_test.go' --exclude-dir=bin --exclude-dir=bench . | sort | while read -r file; do \
		for target in $$(sed -nE 's/^func (Fuzz[A-Za-z0-9_]*)\(.*/\1/p' "$$file"); do \
			echo "== $$(dirname "$$file") $$target"; \
			go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x "$$(dirname "$$file")"; \
		done; \
	done

# Measure

.PHONY: bench-topology
bench-topology: sandbox-tools build ## Measure what a change costs at 1,000 and 10,000 nodes, and what the agent takes
	go run ./test/bench/topology

.PHONY: bench-placement
bench-placement: ## Measure placement beside the code of Kueue and of KAI-Scheduler, with brute force and the simulator
	go -C test/bench/placement run . $(ARGS)

# Check

.PHONY: verify
verify: verify-tools ## Fail unless generated files are current, the linters agree, and the build is pure
	$(MAKE) generate manifests
	@changed=$$(git status --porcelain); if [[ -n $$changed ]]; then \
		echo "verify: the tree differs from the last commit; commit what follows, or revert it:" >&2; \
		echo "$$changed" >&2; git --no-pager diff --stat >&2; exit 1; \
	fi
	$(MAKE) lint
	go test ./internal/archtest
	CGO_ENABLED=0 go build ./...
	go -C test/bench/placement vet ./...
	go mod tidy -diff
	go mod verify

.PHONY: lint
lint: lint-tools ## Run the linters
	bin/golangci-lint run --timeout 20m ./...

.PHONY: generate
generate: gen-tools ## Write deepcopy functions and docs/reference/api.md from api/
	bin/controller-gen object:headerFile=hack/boilerplate.go.txt paths=./api/v1alpha1
	hack/docs.sh

.PHONY: manifests
manifests: gen-tools ## Write config/crd and config/rbac from markers
	bin/controller-gen crd:maxDescLen=200,generateEmbeddedObjectMeta=true paths=./api/v1alpha1 output:crd:dir=config/crd/bases
	bin/controller-gen rbac:roleName=k8s4ai-manager paths=./cmd/manager paths=./internal/controller/... output:rbac:dir=config/rbac

# Each of these takes no time when its binaries are there.
.PHONY: sandbox-tools verify-tools gen-tools lint-tools
sandbox-tools:
	@hack/tools.sh $(SANDBOX_GROUPS)
verify-tools:
	@hack/tools.sh $(VERIFY_GROUPS)
gen-tools:
	@hack/tools.sh gen
lint-tools:
	@hack/tools.sh lint
