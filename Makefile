# Works with GNU make and with bmake. `make help` lists the targets.

CONFIG =
OUT = dist
IMAGE =
FORMATS =
DEPLOYMENTS =
TESTS ?= test/unit
CLI = node lib/build/main.js

# To recipes as they are, whatever is in them: make would put them into the shell's text. Both makes know this line.
export ISO_CONFIG=$(CONFIG)
export ISO_OUT=$(OUT)
export ISO_IMAGE=$(IMAGE)
export ISO_FORMATS=$(FORMATS)
export ISO_DEPLOYMENTS=$(DEPLOYMENTS)
export ISO_TESTS=$(TESTS)

SOURCES != find build scripts -name '*.ts'

all: help

help: ## list the targets
	@echo 'Targets:'
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1	\2/p' Makefile | expand -t 16
	@echo 'Variables:'
	@echo '  CONFIG=build.cfg   configuration of the deployment (none: the sample image)'
	@echo '  FORMATS="iso …"    images to build: iso img qcow2 vmdk vhd'
	@echo '  IMAGE=file         image that `make boot` starts'
	@echo '  DEPLOYMENTS=dir    a file for each deployment of a fleet'
	@echo '  TESTS=test/unit    tests that `make unit` and `make nodes` run'
	@echo '  OUT=dist           folder for the image, its record and its checksum'

iso: lib/.built ## build the image; installs what is missing
	@set -- iso --install-tools --out "$$ISO_OUT"; \
	[ -z "$$ISO_CONFIG" ] || set -- "$$@" --config "$$ISO_CONFIG"; \
	[ -z "$$ISO_FORMATS" ] || set -- "$$@" --set "FORMATS=$$ISO_FORMATS"; \
	exec $(CLI) "$$@"

img: lib/.built ## build the disk image, by running the installer in QEMU
	@set -- img --install-tools --out "$$ISO_OUT"; \
	[ -z "$$ISO_CONFIG" ] || set -- "$$@" --config "$$ISO_CONFIG"; \
	[ -z "$$ISO_FORMATS" ] || set -- "$$@" --set "FORMATS=$$ISO_FORMATS"; \
	exec $(CLI) "$$@"

plan: lib/.built ## print what `make iso` would do
	@set -- iso --dry-run --out "$$ISO_OUT"; \
	[ -z "$$ISO_CONFIG" ] || set -- "$$@" --config "$$ISO_CONFIG"; \
	[ -z "$$ISO_FORMATS" ] || set -- "$$@" --set "FORMATS=$$ISO_FORMATS"; \
	exec $(CLI) "$$@"

config: lib/.built ## print the configuration, and where each value came from
	@set -- config; \
	[ -z "$$ISO_CONFIG" ] || set -- "$$@" --config "$$ISO_CONFIG"; \
	[ -z "$$ISO_FORMATS" ] || set -- "$$@" --set "FORMATS=$$ISO_FORMATS"; \
	exec $(CLI) "$$@"

fleet: lib/.built ## build one image for each file of DEPLOYMENTS=folder
	@[ -n "$$ISO_DEPLOYMENTS" ] || { echo 'Say which deployments: make fleet DEPLOYMENTS=deployments/' >&2; exit 2; }
	@exec $(CLI) fleet "$$ISO_DEPLOYMENTS" --install-tools --out "$$ISO_OUT"

lock: lib/.built ## resolve and verify packages, and write clawdie.lock.json
	@set -- lock; \
	[ -z "$$ISO_CONFIG" ] || set -- "$$@" --config "$$ISO_CONFIG"; \
	[ -z "$$ISO_DEPLOYMENTS" ] || set -- "$$@" "$$ISO_DEPLOYMENTS"; \
	exec $(CLI) "$$@"

audit: lib/.built ## compare the lock with the vulnerabilities that FreeBSD knows of
	@set -- audit --save; \
	[ -z "$$ISO_CONFIG" ] || set -- "$$@" "$$(dirname "$$ISO_CONFIG")"; \
	[ -z "$$ISO_DEPLOYMENTS" ] || set -- "$$@" "$$ISO_DEPLOYMENTS"; \
	exec $(CLI) "$$@"

boot: lib/.built ## start IMAGE=… in QEMU in four ways, and attack it from outside
	@[ -n "$$ISO_IMAGE" ] || { echo 'Say which image: make boot IMAGE=dist/….iso' >&2; exit 2; }
	@$(CLI) doctor --install test
	@exec $(CLI) boot "$$ISO_IMAGE" --out "$$ISO_OUT/boot"

doctor: lib/.built ## say which host tools are there
	@$(CLI) doctor

test: lib/.built ## run all tests; installs what they need
	@$(CLI) doctor --install test
	@npx --no-install vitest run

unit: lib/.built ## run the tests that need no host tools; TESTS=files
	@exec npx --no-install vitest run --project project $$ISO_TESTS

nodes: lib/.built ## run these tests with Node.js 20.19, 22 and 24
	@exec scripts/test-nodes $$ISO_TESTS

lint: node_modules/.package-lock.json ## check style, types and shell scripts
	@npx --no-install tsc -p tsconfig.check.json
	@npx --no-install eslint .
	@npx --no-install prettier --check --log-level warn .
	@sh scripts/lint-shell

bench: lib/.built ## measure time and memory against reference steps
	@$(CLI) doctor --install build
	@$(CLI) doctor --install disk
	@$(CLI) doctor --install bench
	@node lib/scripts/bench/main.js --plot docs/fleet.svg

example: lib/.built ## write build.cfg.example anew from the schema
	@node lib/scripts/example.js

format: node_modules/.package-lock.json ## put the sources into shape
	@npx --no-install prettier --write --log-level warn .

clean: ## remove what was built here; the cache stays
	rm -rf lib dist

node_modules/.package-lock.json: package.json package-lock.json
	npm ci --no-audit --no-fund
	@touch node_modules/.package-lock.json

lib/.built: node_modules/.package-lock.json tsconfig.json $(SOURCES)
	@npx --no-install tsc -p tsconfig.json
	@touch lib/.built

.PHONY: all help iso img fleet plan lock audit config boot doctor test unit nodes lint bench example format clean
