#!/usr/bin/env bash
# Run a program with the Windows Python beside this script: ARGUMENTS of python.exe, or --stop to end its Wine.
# WINPY_TIMEOUT: seconds after which it is ended, with status 124. Status 75: Wine's own server has ended under it.
set -o pipefail
here=$(dirname "$(readlink -f "$0")")
wine=/usr/lib/wine/wine64
wineserver=/usr/lib/wine/wineserver64
export WINESERVER=$wineserver WINEPREFIX=$here/prefix WINEDEBUG=${WINEDEBUG--all}
export WINEDLLOVERRIDES='mscoree,mshtml=;winemenubuilder.exe=d'
export PYTHONPYCACHEPREFIX="Z:${here//\//\\}\\pycache" # and no __pycache__ in the tested tree
unset DISPLAY WAYLAND_DISPLAY PYTHONHOME PYTHONSTARTUP PYTHONDONTWRITEBYTECODE VIRTUAL_ENV

if [ "${1:-}" = --stop ]; then
    "$wineserver" -k 2>/dev/null
    "$wineserver" -w 2>/dev/null
    exit 0
fi
if [ -n "${PYTHONPATH:-}" ]; then # Windows finds every Unix folder under drive Z:
    IFS=: read -ra folders <<<"$PYTHONPATH"
    windows=
    for folder in "${folders[@]}"; do
        folder=$(realpath -ms "$folder")
        windows+="${windows:+;}Z:${folder//\//\\}"
    done
    export PYTHONPATH=$windows
fi
# Wine's services inherit the files of whoever starts them first, and would hold our pipes: start them here, with none.
# They end by themselves 10 s after the last program.
"$wineserver" -p10 </dev/null >/dev/null 2>&1
"$wine" cmd /c exit </dev/null >/dev/null 2>&1
of_this_prefix() { # those of the processes that are named
    local pid
    for pid in "$@"; do
        if grep -qzxF "WINEPREFIX=$WINEPREFIX" "/proc/$pid/environ" 2>/dev/null; then echo "$pid"; fi
    done
}
server=$(of_this_prefix $(pgrep -x wineserver64) | head -1)
# With a regular file as stdin, stdout or stderr this Python does not start; with a pipe it does.
[ -f /dev/stdin ] && exec < <(cat)
trap '"$wineserver" -k 2>/dev/null' INT TERM
program=("$wine" "$here/python.exe" "$@")
[ -z "${WINPY_TIMEOUT:-}" ] || program=(timeout -k 10 "$WINPY_TIMEOUT" "${program[@]}")
{ { "${program[@]}" 2>&1 >&3 3>&- | cat >&2 3>&-; } 3>&1 | cat; } <&0 &
running=$!
while kill -0 $running 2>/dev/null; do
    if [ -n "$server" ] && ! kill -0 "$server" 2>/dev/null; then
        echo "Wine's server has ended" >&2
        of_this_prefix $(ps -e -o pid=) | xargs -r kill -9 2>/dev/null # they would hang
        wait $running
        exit 75
    fi
    sleep 0.2
done
wait $running
status=$?
if [ $status = 124 ] || [ $status = 137 ]; then "$wineserver" -k 2>/dev/null; fi
exit $status
