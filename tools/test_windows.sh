#!/usr/bin/env bash
# The tests on a Windows Python under Wine: tools/test_windows.sh PYTHON [PYTEST_ARGUMENTS]
set -euo pipefail
cd "$(dirname "$0")/.."

export PYTHON=$1
shift
tools/winpy.sh
trap '.winpy/run --stop' EXIT
unset SOCKET2_POLLER SOCKET2_CHECK
export PYTHONPATH=$PWD
what=(tests --ignore=tests/native --ignore=tests/bench)
[ $# = 0 ] || what=("$@")
WINPY_TIMEOUT=900 .winpy/run -m pytest -q -n 2 "${what[@]}"
