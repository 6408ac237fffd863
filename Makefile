# SPDX-License-Identifier: GPL-2.0
# Every command for people; `make help` lists them. The kernel's build reads Kbuild instead.

KERNEL ?= stock
vm := scripts/vm --kernel $(KERNEL) --module rfou

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: ## from nothing: build rfou.ko, boot Debian's kernel in QEMU, send traffic through FOU and GUE tunnels
	@scripts/guest/demo

.PHONY: check
check: ## the quick loop: formatting, lints, codec tests (under 3 minutes)
	@scripts/test/check

.PHONY: guest
guest: ## the guest tests whose name holds T=name (KERNEL=stock or debug)
	@scripts/test/guest '$(T)' $(KERNEL)

.PHONY: test
test: ## from nothing: host tests, KUnit in QEMU, guest tests on Debian's kernel and the debug kernel
	@scripts/test/all

.PHONY: test-kernels
test-kernels: ## build, boot and carry traffic on every kernel of trixie-backports (hours; or KERNELS="RELEASE ...")
	@scripts/test/kernels $(or $(KERNELS),all)

.PHONY: soak
soak: ## hostile packets, timing and failing memory at length (hours; or PARTS=memory; PACKETS=10000000)
	@scripts/test/soak $(if $(PACKETS),--packets $(PACKETS)) $(PARTS)

.PHONY: mutants
mutants: ## prove that the tests can fail: builds with a fault on purpose
	@scripts/test/mutants

.PHONY: bench
bench: ## measure rfou against Linux's fou: build/bench/results.json, a report and plots
	@scripts/test/bench

.PHONY: fuzz
fuzz: ## fuzz the wire codec on this machine (SECONDS=600 for each target)
	@scripts/test/fuzz $(or $(SECONDS),600)

.PHONY: shell
shell: ## an interactive guest with rfou loaded (KERNEL=stock or debug)
	@$(vm) --interactive

.PHONY: modules
modules: ## build the modules for the running kernel, or for the prepared kernel tree KDIR=..., and ip's plug-in
	@scripts/build/module "$(if $(KDIR),$(abspath $(KDIR)),$$(uname -r))"
	@scripts/build/ip-link-gue >/dev/null

.PHONY: tool
tool: ## build the command rfou, its manual pages and completions: build/rfou
	@scripts/build/tool

.PHONY: install
install: ## install what `make modules` and `make tool` built, for the running kernel (root)
	@scripts/build/install-module
	@[ ! -x build/rfou/rfou ] || scripts/build/install-tool

.PHONY: uninstall
uninstall: ## remove what `make install` installed, for every kernel (root)
	@scripts/build/uninstall-module

.PHONY: deb
deb: ## build Debian packages: build/deb (KERNELS="7.3.4+deb13-amd64 ..."; default: the newest stock kernel)
	@scripts/build/deb $(KERNELS)

.PHONY: repo
repo: ## make a signed apt repository of the packages in build/deb: build/repo
	@scripts/build/repo

.PHONY: lint
lint: ## rustfmt, clippy, shellcheck, ruff, C style
	@scripts/test/lint

.PHONY: doc
doc: ## rustdoc of the crates net and gue, and their examples: build/doc
	@scripts/build/doc

.PHONY: rust-analyzer
rust-analyzer: ## write rust-project.json, for editors
	@scripts/build/rust-analyzer

.PHONY: clean
clean: ## remove what was built here (the cache stays)
	rm -rf build rust-project.json rust/gue/target tools/*/target
	find tools -name __pycache__ -prune -exec rm -rf {} +

.PHONY: clean-cache
clean-cache: ## remove all that set-up downloaded and built, of every version
	@scripts/setup/clean-cache
