#!/usr/bin/env bash
# tools/alone.sh COMMAND...: runs it in a network namespace of its own, with nothing but loopback in it; as it is, and
# saying so, where that is not allowed.
set -euo pipefail

# Not with unshare --user: who becomes root by that has not root's rights, and the tests go by who they are.
if [ "$(id -u)" = 0 ] && unshare --net true 2>/dev/null; then
    # By ioctl(2), because `ip` may not be installed.
    exec unshare --net python3 -c '
import fcntl, os, socket, struct, sys
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))
os.execvp(sys.argv[1], sys.argv[1:])' "$@"
fi
echo "no network namespace here: the tests see this machine's network" >&2
exec "$@"
