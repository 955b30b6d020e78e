#!/usr/bin/env bash
# Runs the Windows Python beside this script with the given arguments; --stop ends its Wine processes.
# WINPY_TIMEOUT: the seconds after which the program is ended, with status 124. Status 75: Wine's server has crashed.
set -o pipefail
here=$(dirname "$(readlink -f "$0")")
wine=/usr/lib/wine/wine64
wineserver=/usr/lib/wine/wineserver64
export WINESERVER=$wineserver WINEPREFIX=$here/prefix WINEDEBUG=${WINEDEBUG--all}
export WINEDLLOVERRIDES='mscoree,mshtml=;winemenubuilder.exe=d'
export PYTHONPYCACHEPREFIX="Z:${here//\//\\}\\pycache" # not __pycache__ in the tested tree
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
# Wine's services inherit the files of the program that starts them, and would keep our pipes open. So they are started
# here, without files. They end by themselves 10 s after the last program.
"$wineserver" -p10 </dev/null >/dev/null 2>&1
"$wine" cmd /c exit </dev/null >/dev/null 2>&1
of_this_prefix() { # print those of the given processes that belong to our Wine prefix
    local pid
    for pid in "$@"; do
        if grep -qzxF "WINEPREFIX=$WINEPREFIX" "/proc/$pid/environ" 2>/dev/null; then echo "$pid"; fi
    done
}
server=$(of_this_prefix $(pgrep -x wineserver64) | head -1)
# This Python does not start if stdin, stdout or stderr is a regular file. With pipes it does.
[ -f /dev/stdin ] && exec < <(cat)
trap '"$wineserver" -k 2>/dev/null' INT TERM
program=("$wine" "$here/python.exe" "$@")
[ -z "${WINPY_TIMEOUT:-}" ] || program=(timeout -k 10 "$WINPY_TIMEOUT" "${program[@]}")
{ { "${program[@]}" 2>&1 >&3 3>&- | cat >&2 3>&-; } 3>&1 | cat; } <&0 &
running=$!
while kill -0 $running 2>/dev/null; do
    if [ -n "$server" ] && ! kill -0 "$server" 2>/dev/null; then
        echo "Wine's server has ended" >&2
        of_this_prefix $(ps -e -o pid=) | xargs -r kill -9 2>/dev/null # otherwise they would hang
        wait $running
        exit 75
    fi
    sleep 0.2
done
wait $running
status=$?
if [ $status = 124 ] || [ $status = 137 ]; then "$wineserver" -k 2>/dev/null; fi
exit $status
