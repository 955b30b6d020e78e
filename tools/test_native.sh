#!/usr/bin/env bash
# Tests the parts in C, built with strict warnings in a copy of the tree: the contract and the steps under
# AddressSanitizer and UBSan, some of it under valgrind, several OS threads under ThreadSanitizer, and a million
# operations that must leave nothing behind. Usage: tools/test_native.sh [PYTHON]. It takes about 3 minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$(realpath -s "${1:-.venv/bin/python}")
strict="-Wall -Wextra -Werror -g"

build() { # build DIRECTORY FLAGS: copy what the tests need, and build the parts in C there
    rm -rf "$1"
    mkdir -p "$1"
    cp -r pollers socket2 tests pyproject.toml setup.py README.md "$1"
    rm -f "$1"/{pollers,socket2}/*.so
    (cd "$1" && CFLAGS="$strict $2" "$python" setup.py --quiet build_ext --inplace)
    ls "$1"/pollers/_{native,once}*.so "$1"/socket2/_{stepping,shortcut,records,http}*.so >/dev/null # setuptools may skip them; this test may not
}

echo "== $("$python" --version), -Wall -Wextra -Werror; AddressSanitizer, UndefinedBehaviorSanitizer"
build build/native-asan "-O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined"
(
    cd build/native-asan
    # Python's own allocator would hide errors inside its blocks. What Python itself never frees is not our leak.
    LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)" \
        ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 PYTHONMALLOC=malloc SOCKET2_POLLER=native \
        "$python" -m pytest -q tests/contract tests/native tests/pollers/test_once.py tests/sockets/test_shortcut.py \
        tests/test_forgotten.py tests/threads/test_{forgotten,patience,stepping,scheduler,cancel,loop,interruptions,interruption_errors}.py \
        tests/threads/test_{sharing,sharing_end,sharing_once}.py \
        tests/tls/test_{records,given_buffers,layer,giving_up,engine,sharing,at_random,cut_short,out_of_memory}.py \
        tests/http/messages tests/http/test_server.py tests/http/hosting/test_{isolated,asgi}.py
)

echo "== ThreadSanitizer"
# It sees the GIL, which is a pthread mutex, but not the interpreter, which is not instrumented. So it needs no
# suppressions, and it finds memory that we use without the GIL while another OS thread uses it. Status 66: a race.
build build/native-tsan "-O1 -fsanitize=thread"
(
    cd build/native-tsan
    # libtsan needs memory at fixed addresses, which may be in use if the system chooses addresses at random.
    fixed=$(setarch -R true 2>/dev/null && echo setarch -R || true)
    sanitized() { $fixed env LD_PRELOAD="$(gcc -print-file-name=libtsan.so)" SOCKET2_POLLER=native "$python" "$@"; }
    for seed in 1 2 3; do
        sanitized -m tests.stress --seed $seed --members 4 --how serve --operations 10000
    done
    sanitized -m tests.stress --seed 4 --members 4 --how come-and-go --operations 10000
    sanitized -m tests.tls.at_random --seed 5 --members 4 --total 500
    sanitized -m pytest -q tests/contract/test_sharing.py tests/contract/test_sharing_attempts.py tests/tls/test_sharing.py \
        tests/threads/test_{patience,sharing_races}.py
)

build build/native-plain "-O2"
cd build/native-plain
if command -v valgrind >/dev/null; then
    echo "== valgrind"
    PYTHONMALLOC=malloc SOCKET2_POLLER=native valgrind --quiet --track-origins=yes --log-file=valgrind.log \
        "$python" -m pytest -q -o hang_limit_s=0 tests/native/test_{operations,foreign_code,attempts}.py \
        tests/pollers/test_once.py tests/threads/test_{forgotten,patience,stepping}.py tests/sockets/test_shortcut.py \
        tests/tls/test_{records,given_buffers}.py tests/http/messages/test_{heads,answers}_in_c.py tests/http/hosting/test_isolated.py \
        tests/contract/test_{recv,close,accept,awaited_once,strangers}.py \
        -k "not checked and not reused_number and not just_after and not no_descriptor_left"  # valgrind's own limits break these
    # CPython 3.11 multiplies an uninitialized digit by zero (maybe_small_long). These reports are not about our code.
    "$python" - valgrind.log <<'END'
import re, sys
reports = re.split(r"\n==\d+== \n", open(sys.argv[1]).read().strip())
ours = [report for report in reports if report and "_PyLong_New" not in report]
print(f"{len(reports)} reports, {len(reports) - len(ours)} of them about CPython's small integers")
sys.exit("\n\n".join(ours) or 0)
END
else
    echo "== valgrind is not installed: skipped"
fi

echo "== leaks"
"$python" -m tests.native.leaks
