# Bare `make` lists the targets. Everything that a target needs and Go cannot fetch is installed by scripts/deps.

GO          ?= go
BIN         ?= bin/millrace
VERSION     ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS     := -X github.com/millrace-mq/millrace.Version=$(VERSION)
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
# How long each fuzz target runs, and how long all of them may take together.
FUZZTIME    ?= 60s
FUZZBUDGET  ?= 780s

.DEFAULT_GOAL := help
.PHONY: help build run deps test test-short race lint fuzz docs cover bench-ratio bench-peers profile ci clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build the one binary, bin/millrace
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/millrace

run: ## start a broker from the source: MQTT on :1883, admin on 127.0.0.1:18083
	$(GO) run ./cmd/millrace serve

deps: ## install what the tests need beside Go (Debian packages; quick when they are there)
	@scripts/deps

test: deps ## vet and test everything
	$(GO) vet ./...
	$(GO) test ./...

test-short: ## only the quick tests, nothing to install
	$(GO) test -short ./...

race: ## the tests under the race detector
	$(GO) test -race -short ./...

lint: ## gofmt, vet, staticcheck, the house rules; golangci-lint where it is installed
	@scripts/lint $(STATICCHECK)

fuzz: ## every fuzz target for FUZZTIME, all within FUZZBUDGET
	@scripts/fuzz $(FUZZTIME) $(FUZZBUDGET)

docs: ## write the generated pages again (configuration, metrics, ...)
	$(GO) generate ./...

cover: ## statement coverage per package
	$(GO) test -short -coverprofile=cover.out ./... && $(GO) tool cover -func=cover.out | tail -n 1

bench-ratio: ## cost of Millrace and Mosquitto as multiples of a bare epoll loop (ARGS="-only fanout -rounds 5")
	$(GO) run ./test/ratio $(ARGS)

bench-peers: ## the same with every peer, into docs/benchmarks (an hour; ARGS="-rounds 3 -seconds 3")
	test/peers/deps
	$(GO) run ./test/ratio -brokers floor,millrace,mosquitto,nats,mochi,rabbitmq -report docs/benchmarks $(ARGS)

SCENARIO ?= fanout
profile: ## profiles of the broker under SCENARIO and a summary, into profiles/SCENARIO
	$(GO) run ./test/profile -scenario $(SCENARIO) $(ARGS)

ci: ## what continuous integration runs
	bash .ci/run

clean: ## remove what the targets above made
	rm -rf bin cover.out
