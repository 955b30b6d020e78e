#!/usr/bin/env bash
# The tests on a Windows Python under Wine: tools/test_windows.sh PYTHON [PYTEST_ARGUMENTS]
# What is expected to fail there, and why, is in tests/windows.py.
set -euo pipefail
cd "$(dirname "$0")/.."

export PYTHON=$1
shift
tools/winpy.sh
trap '.winpy/run --stop' EXIT
unset SOCKET2_POLLER SOCKET2_CHECK
export PYTHONPATH=$PWD
# The contract over each poller there, the modules that wait, the examples.
what=(tests/contract tests/iocp)
what+=(tests/test_{addr,checking,examples,interruptions,main,osthreads,pollers,scheduler}.py)
what+=(tests/test_{sync,tcp,threadset,timers,udp,waiting}.py)
[ $# = 0 ] || what=("$@")
WINPY_TIMEOUT=${WINPY_TIMEOUT:-900} .winpy/run -m pytest -q -n "$(nproc)" "${what[@]}"
