#!/usr/bin/env bash
# tools/alone.sh COMMAND...: runs the command in a network namespace of its own that has only loopback. If that is not
# allowed, it says so and runs the command in the machine's network.
set -euo pipefail

# This does not use unshare --user. That would make the user root without root's rights, and some tests depend on these.
if [ "$(id -u)" = 0 ] && unshare --net true 2>/dev/null; then
    # Bring loopback up by ioctl(2), since `ip` may not be installed.
    exec unshare --net python3 -c '
import fcntl, os, socket, struct, sys
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))
os.execvp(sys.argv[1], sys.argv[1:])' "$@"
fi
echo "no network namespace here: the tests see this machine's network" >&2
exec "$@"
