PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ADDRESS ?= 127.0.0.1:8000
SCENARIOS ?= echo connections idle scale share bulk bulk-send udp spawn switch timers lookup import micro tls
# Options for all scenarios, for instance: make bench BENCH="--rounds 3 --share-core"
BENCH ?=
# Tests that are not repeated in pure Python: `make test` covers all pollers, or they test only the parts in C.
ONCE := tests/contract tests/native tests/files tests/processes tests/tls tests/interop/test_thousand.py \
	tests/http/messages tests/http/test_clients.py \
	tests/threads/test_stepping.py tests/sockets/test_shortcut.py \
	tests/test_package.py tests/test_parts_in_c.py tests/test_rooms.py tests/test_tidy.py
# Tests that are repeated over a simulated kqueue.
KQUEUE := tests/sockets/test_tcp.py tests/sockets/test_tcp_connect.py tests/sockets/test_tcp_transfer.py \
	tests/sockets/test_tcp_lifetime.py tests/sockets/test_udp.py tests/sockets/test_udp_many.py \
	tests/sockets/test_udp_unix.py
# pip hides the message of setup.py about a build without a C compiler.
SAY_WHAT_IS_MISSING := $(BIN)/python -m socket2 | grep -E '^native: (no|yes,)' || true
CODE := pollers socket2 pytest_socket2 tests bench examples docs

# Many tests wait for a timeout or another process, so two workers share a core.
export PYTEST_XDIST_AUTO_NUM_WORKERS ?= $(shell $(PYTHON) -c 'import os; print(2 * (os.cpu_count() or 1))')

.PHONY: run test test-pure test-native test-tls test-http test-bench test-headers test-windows stress lint bench docs docs-check clean

run: $(VENV)/installed
	@$(BIN)/python -m socket2 echo $(ADDRESS)

test: $(VENV)/installed-test
	$(BIN)/python -m pytest -q -n auto
	SOCKET2_POLLER=kqueue $(BIN)/python -m pytest -q -n auto $(KQUEUE)

test-pure: $(VENV)/installed-test
	SOCKET2_CHECK=1 SOCKET2_NATIVE=0 $(BIN)/python -m pytest -q -n auto $(ONCE:%=--ignore=%)

test-native: $(VENV)/installed-test
	tools/test_native.sh $(BIN)/python

# testssl.sh and the compiler of Go may take longer than other tests.
test-tls: $(VENV)/installed-test $(VENV)/installed-examiners
	$(BIN)/python -m pytest -q -n auto -o hang_limit_s=1000 tests/examined

# All cases of the Autobahn test suite take an hour.
test-http: $(VENV)/installed-test
	$(BIN)/python -m pytest -q -o hang_limit_s=8000 tests/http/examined

# Builds the peers in other languages, if their compilers are there.
test-bench: $(VENV)/installed-test $(VENV)/installed-bench
	$(BIN)/python -m pytest -q -o hang_limit_s=1000 tests/bench tests/bench/examined

test-headers: $(VENV)/installed-headers
	$(BIN)/python -m tests.kqueue.headers

test-windows: $(VENV)/installed-test
	tools/test_windows.sh $(BIN)/python

stress: $(VENV)/installed-test
	$(BIN)/python -m tests.stress --poller all
	EACH_ERROR=1 $(BIN)/python -m pytest -q -n auto tests/threads tests/http -k test_raising
	SOCKET2_NATIVE=0 EACH_ERROR=1 $(BIN)/python -m pytest -q -n auto tests/threads tests/http -k test_raising
	$(BIN)/python -m tests.tls.at_random --total 100000
	$(BIN)/python -m tests.tls.at_random --total 20000 --members 4
	$(BIN)/python -m tests.http.at_random --total 1000000
	$(BIN)/python -m tests.http.heads_at_random --total 1000000
	$(BIN)/python -m tests.http.scale
	$(BIN)/python -m tests.tls.each_byte
	$(BIN)/python -m bench tls-soak --only socket2-native-async,socket2-generator

lint: $(VENV)/installed-test
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy

bench: $(VENV)/installed-bench
	for scenario in $(SCENARIOS); do $(BIN)/python -m bench $$scenario $(BENCH) || exit; done

docs: $(VENV)/installed-docs
	$(BIN)/sphinx-build --quiet --fresh-env --fail-on-warning --keep-going docs build/docs

docs-check: docs
	$(BIN)/python docs/making/check.py build/docs

clean:
	rm -rf $(VENV) .winpy build bench/build *.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(VENV)/bin/python pyproject.toml setup.py
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@$(SAY_WHAT_IS_MISSING)
	touch $@

$(VENV)/installed-%: $(VENV)/bin/python pyproject.toml setup.py
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	@$(SAY_WHAT_IS_MISSING)
	touch $@
