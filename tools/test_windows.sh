#!/usr/bin/env bash
# Runs the tests on a Windows Python under Wine: tools/test_windows.sh PYTHON [PYTEST_ARGUMENTS]
# tests/windows.py lists the tests that are expected to fail there, and why.
set -euo pipefail
cd "$(dirname "$0")/.."

export PYTHON=$1
shift
tools/winpy.sh
trap '.winpy/run --stop' EXIT
# The package that makes certificates does not load under Wine.
rm -rf .winpy/certificates
"$PYTHON" -m tests.tls.certificates .winpy/certificates
export PREPARED_CERTIFICATES=$PWD/.winpy/certificates
unset SOCKET2_POLLER SOCKET2_CHECK
export PYTHONPATH=$PWD
# The contract over each poller that Windows has (select bare only, since its other variants run the same code on other
# systems), the modules that wait, and the examples.
what=(tests/contract tests/iocp -k 'not select-checked and not select-shared')
what+=(tests/test_{examples,examples_proxy,examples_ping,main}.py
      tests/test_{forgotten,log_handlers,logging}.py
      tests/pollers/test_{checking,checking_steps,checking_alone,choosing,lock,options}.py)
what+=(tests/threads/test_{group,group_end,interruptions,interruption_errors,osthreads,osthreads_lost}.py
      tests/threads/test_{scheduler,cancel,loop,sleeping,sync,queues,timers}.py
      tests/threads/test_{channels,channel_ends,conditions,limited_calls,mutexes,priority_queues,signals}.py
      tests/threads/test_{allowed,allowed_in_handlers,first,forgotten,gathering,group_leaving,groups_at_random}.py
      tests/threads/test_{portal,portal_end,portal_raising,raising_while_held,signals_elsewhere}.py
      tests/scopes)
what+=(tests/threads/test_{sharing,sharing_end,sharing_once,sharing_races,sharing_stress}.py)
what+=(tests/sockets/test_{hostnames,multicast,multicast_by_ipv6,nameinfo,pairs}.py
      tests/sockets/test_{addr,lookups,nodelay,tcp,tcp_connect,tcp_transfer,tcp_lifetime,udp,udp_many,udp_unix}.py
      tests/streams/test_{buffer,stream,stream_pieces,stream_sending}.py
      tests/servers/test_{server,handlers,stopping,between_requests,inherited_listeners,long_connections}.py
      tests/tls/test_{at_random,contexts,endpoint,engine,engine_at_the_end,giving_up,handshakes,layer}.py
      tests/tls/test_{arguments,cut_short,failing_together,pem,server,sharing,starttls,stream_contract}.py
      tests/tls/facts/test_{data,ends}.py
      tests/http/{client,files}
      tests/http/test_{clients,cut_short,draining,failing_handlers,server,slow_clients}.py
      tests/console/test_rates.py tests/debug/test_backlog.py)
[ $# = 0 ] || what=("$@")
# A test that hangs ends its worker, and pytest names it. The other tests continue.
hang=(-o hang_limit_s=240)
run() { WINPY_TIMEOUT=${WINPY_TIMEOUT:-1800} .winpy/run -m pytest -q -n "$(nproc)" "${hang[@]}" "${what[@]}"; }
status=0
run || status=$?
if [ $status = 75 ]; then # Wine's server has ended by an assertion of its own; no test is at fault
    echo "once more" >&2
    status=0
    run || status=$?
fi
exit $status
