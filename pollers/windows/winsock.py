"""Winsock, completion ports and their errors: declarations, constants and calls.

A call that starts something raises nothing. It returns a code: 0 if it is done, PENDING, or the reason why it failed.
This module must not know what that means for an operation, or when memory may be freed. It uses cffi in ABI mode, so it
needs no compiler. No library exports AcceptEx, ConnectEx and TransmitFile; the provider of a socket returns them. How
to poll the AFD driver for room to send is undocumented, but libuv, mio and wepoll have relied on it for years.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import importlib
import socket
import struct
from typing import Any

import cffi

ffi = cffi.FFI()
ffi.cdef(
    """
typedef void *HANDLE; typedef uintptr_t SOCKET; typedef int BOOL; typedef unsigned long DWORD;

typedef struct { uintptr_t Internal, InternalHigh; DWORD Offset, OffsetHigh; HANDLE hEvent; } OVERLAPPED;
typedef struct { uintptr_t key; OVERLAPPED *lpOverlapped; uintptr_t Internal; DWORD count; } OVERLAPPED_ENTRY;
typedef struct { DWORD len; const void *buf; } WSABUF;
typedef struct { int64_t Timeout; DWORD Count; DWORD Exclusive; SOCKET Handle; DWORD Events; DWORD Status; } AFD_POLL;

HANDLE CreateIoCompletionPort(HANDLE, HANDLE, uintptr_t, DWORD);
BOOL GetQueuedCompletionStatusEx(HANDLE, OVERLAPPED_ENTRY *, DWORD, DWORD *, DWORD, BOOL);
BOOL PostQueuedCompletionStatus(HANDLE, DWORD, uintptr_t, OVERLAPPED *);
BOOL CancelIoEx(HANDLE, OVERLAPPED *);
BOOL CloseHandle(HANDLE);
BOOL CompareObjectHandles(HANDLE, HANDLE);
BOOL SetFileCompletionNotificationModes(HANDLE, unsigned char);

int WSARecv(SOCKET, WSABUF *, DWORD, DWORD *, DWORD *, OVERLAPPED *, void *);
int WSASend(SOCKET, WSABUF *, DWORD, DWORD *, DWORD, OVERLAPPED *, void *);
int WSAIoctl(SOCKET, DWORD, const void *, DWORD, void *, DWORD, DWORD *, OVERLAPPED *, void *);

DWORD NtDeviceIoControlFile(HANDLE, HANDLE, void *, void *, OVERLAPPED *, DWORD, void *, DWORD, void *, DWORD);
DWORD NtSetInformationFile(HANDLE, void *, void *, DWORD, int);

typedef BOOL (*AcceptEx)(SOCKET, SOCKET, void *, DWORD, DWORD, DWORD, DWORD *, OVERLAPPED *);
typedef BOOL (*ConnectEx)(SOCKET, const char *, int, void *, DWORD, DWORD *, OVERLAPPED *);
typedef void (*GetAcceptExSockaddrs)(void *, DWORD, DWORD, DWORD, char **, int *, char **, int *);
typedef BOOL (*TransmitFile)(SOCKET, HANDLE, DWORD, DWORD, OVERLAPPED *, void *, DWORD);
"""
)
NULL = ffi.NULL
_kernel32, _ws2_32, _ntdll, _kernelbase = (
    ffi.dlopen(f"{name}.dll") for name in ("kernel32", "ws2_32", "ntdll", "kernelbase")
)


def _prepare() -> None:
    """Find all functions and parse all types now.

    cffi does it at the first use, under a lock. A signal handler that interrupts it there, and wakes the poller, would
    wait for ever.
    """
    of_kernel32 = (
        "CreateIoCompletionPort GetQueuedCompletionStatusEx PostQueuedCompletionStatus CancelIoEx CloseHandle"
        " SetFileCompletionNotificationModes"
    )
    functions = {
        _kernel32: of_kernel32,
        _ws2_32: "WSARecv WSASend WSAIoctl",
        _ntdll: "NtDeviceIoControlFile NtSetInformationFile",
    }
    for library, names in functions.items():
        for name in names.split():
            getattr(library, name)
    with contextlib.suppress(AttributeError):  # before Windows 10
        _ = _kernelbase.CompareObjectHandles
    values = "HANDLE, SOCKET, uintptr_t, OVERLAPPED *, WSABUF *, AFD_POLL *, DWORD *, SOCKET *, int *, char **, void **"
    arrays = "OVERLAPPED_ENTRY[], char[], char[1], uintptr_t[2]"
    for kind in (
        *values.split(", "),
        *arrays.split(", "),
        "AcceptEx",
        "ConnectEx",
        "GetAcceptExSockaddrs",
        "TransmitFile",
    ):
        ffi.typeof(kind)


_prepare()

PENDING = 997
WAIT_TIMEOUT = 258
ASSOCIATED_ALREADY = 87
MESSAGE_TOO_LONG = 10040
SHUT_DOWN = 10058
INVALID_ARGUMENT = 10022
CONNECTED_ALREADY = 10056
NOT_CONNECTED = 10057

STATUS_PENDING = 0x00000103
STATUS_BUFFER_OVERFLOW = 0x80000005
STATUS_CANCELLED = 0xC0000120

_SIO_GET_EXTENSION_FUNCTION_POINTER = 0xC8000006
_SIO_BASE_HANDLE = 0x48000022
_IOCTL_AFD_POLL = 0x00012024
_AFD_POLL_SEND, _AFD_POLL_ABORT, _AFD_POLL_CLOSE, _AFD_POLL_CONNECT_FAIL = 0x04, 0x10, 0x20, 0x100
_SO_PROTOCOL_INFO = 0x2005
_XP1_IFS_HANDLES = 0x20000
_SO_UPDATE_ACCEPT_CONTEXT = 0x700B
_SO_UPDATE_CONNECT_CONTEXT = 0x7010
_SKIP_COMPLETION_PORT_ON_SUCCESS, _SKIP_SET_EVENT_ON_HANDLE = 1, 2
_FILE_REPLACE_COMPLETION_INFORMATION = 61
_MSG_PEEK = 2
_INHERITED = ((socket.IPPROTO_TCP, socket.TCP_NODELAY), (socket.SOL_SOCKET, socket.SO_LINGER))
_FOREVER = 0xFFFFFFFFFFFFFFFF >> 1

ADDRESSES_SIZE = 2 * (128 + 16)  # for AcceptEx: two addresses of any family, each with 16 more bytes

_EXTENSIONS = {
    "AcceptEx": "b5367df1cbac11cf95ca00805f48a192",
    "ConnectEx": "25a207b9ddf346608ee976e58c74063e",
    "GetAcceptExSockaddrs": "b5367df2cbac11cf95ca00805f48a192",
    "TransmitFile": "b5367df0cbac11cf95ca00805f48a192",
}

# How a pending call can end: the NTSTATUS, Winsock's code for it, and the errno.
_ERRORS = (
    (0x80000005, 10040, errno.EMSGSIZE),  # BUFFER_OVERFLOW
    (0x8000000A, 995, errno.ECANCELED),  # HANDLES_CLOSED: Wine's, after closesocket
    (0xC0000008, 10038, errno.EBADF),  # INVALID_HANDLE
    (0xC000000D, 10022, errno.EINVAL),  # INVALID_PARAMETER
    (0xC0000017, 10055, errno.ENOBUFS),  # NO_MEMORY
    (0xC0000022, 10013, errno.EACCES),  # ACCESS_DENIED
    (0xC0000044, 10055, errno.ENOBUFS),  # QUOTA_EXCEEDED
    (0xC000009A, 10055, errno.ENOBUFS),  # INSUFFICIENT_RESOURCES
    (0xC00000A3, 10035, errno.EAGAIN),  # DEVICE_NOT_READY: Wine's, for an accept that found no connection after all
    (0xC00000B5, 10060, errno.ETIMEDOUT),  # IO_TIMEOUT
    (0xC00000BB, 10045, errno.EOPNOTSUPP),  # NOT_SUPPORTED
    (0xC00000C9, 64, errno.ECONNRESET),  # NETWORK_NAME_DELETED: the client of an accept has left
    (0xC000011F, 10024, errno.EMFILE),  # TOO_MANY_OPENED_FILES
    (0xC0000120, 995, errno.ECANCELED),  # CANCELLED
    (0xC000013B, 10053, errno.ECONNABORTED),  # LOCAL_DISCONNECT
    (0xC000013C, 10054, errno.ECONNRESET),  # REMOTE_DISCONNECT
    (0xC0000140, 10057, errno.ENOTCONN),  # INVALID_CONNECTION
    (0xC0000207, 10049, errno.EADDRNOTAVAIL),  # INVALID_ADDRESS_COMPONENT
    (0xC000020A, 10048, errno.EADDRINUSE),  # ADDRESS_ALREADY_EXISTS
    (0xC000020C, 10054, errno.ECONNRESET),  # CONNECTION_DISCONNECTED
    (0xC000020D, 10054, errno.ECONNRESET),  # CONNECTION_RESET
    (0xC0000236, 10061, errno.ECONNREFUSED),  # CONNECTION_REFUSED
    (0xC000023C, 10051, errno.ENETUNREACH),  # NETWORK_UNREACHABLE
    (0xC000023D, 10065, errno.EHOSTUNREACH),  # HOST_UNREACHABLE
    (0xC000023E, 10065, errno.EHOSTUNREACH),  # PROTOCOL_UNREACHABLE
    (0xC000023F, 10054, errno.ECONNREFUSED),  # PORT_UNREACHABLE: for a datagram Linux says refused
    (0xC0000240, 10053, errno.ECONNABORTED),  # REQUEST_ABORTED
    (0xC0000241, 10053, errno.ECONNABORTED),  # CONNECTION_ABORTED
)
_BY_STATUS = {status: (code, number) for status, code, number in _ERRORS}


def failed(status: int) -> bool:
    """Return whether an NTSTATUS is an error. A warning is not."""
    return status >= 0xC0000000 or (status >= 0x80000000 and status != STATUS_BUFFER_OVERFLOW)


def error_of_status(status: int) -> OSError:
    """Return the error of a pending call that has failed with this NTSTATUS."""
    code, number = _BY_STATUS.get(status, (_ntstatus_to_code(status), errno.EIO))
    return OSError(number, ffi.getwinerror(code)[1])


def error_of_code(code: int) -> OSError:
    """Return the error of a call that has failed at once, with the errno that Python's sockets use for it."""
    return OSError(0, ffi.getwinerror(code)[1], None, code)


def _ntstatus_to_code(status: int) -> int:
    return status & 0xFFFF if status & 0x0FFF0000 == 0x00070000 else 317  # MR_MID_NOT_FOUND: there is no text for it


def _code(done: object) -> int:
    return 0 if done else int(ffi.getwinerror()[0])


class Fresh(socket.socket):
    """A socket that closes itself silently when it is freed, even if Ctrl-C interrupts its construction."""

    __del__ = socket.SocketType.close  # the subclass's close() uses a field that may not exist yet


# The port.


def create_port() -> Any:
    """Return a new completion port. Raises OSError if the system refuses."""
    port = _kernel32.CreateIoCompletionPort(ffi.cast("HANDLE", -1), NULL, 0, 0)
    if not port:
        raise error_of_code(_code(False))
    return port


def associate(port: Any, fd: int) -> int:
    """Make the overlapped calls on `fd` send their packets to `port` from now on. Works once. Returns a code."""
    return _code(_kernel32.CreateIoCompletionPort(ffi.cast("HANDLE", fd), port, 0, 0))


def dissociate(fd: int) -> bool:
    """Release a socket without calls in flight from its port. Returns False if Windows cannot (before 8.1)."""
    answer, nothing = ffi.new("uintptr_t[2]"), ffi.new("uintptr_t[2]")
    status = _ntdll.NtSetInformationFile(
        ffi.cast("HANDLE", fd), answer, nothing, ffi.sizeof(nothing), _FILE_REPLACE_COMPLETION_INFORMATION
    )
    return bool(status == 0)


def are_duplicates(fd: int, other: int) -> bool:
    """Return whether two sockets are the same open file. False if Windows cannot tell (before Windows 10)."""
    try:
        return bool(_kernelbase.CompareObjectHandles(ffi.cast("HANDLE", fd), ffi.cast("HANDLE", other)))
    except AttributeError:
        return False


def post(port: Any) -> None:
    """Send a packet that belongs to no call, to wake an OS thread that waits for packets."""
    _kernel32.PostQueuedCompletionStatus(port, 0, 0, NULL)


def packets(port: Any, entries: Any, most: int, count: Any, timeout_ms: int) -> None:
    """Wait for packets, and set `count` to their number: 0 after `timeout_ms`. Raises OSError if the port is broken."""
    if not _kernel32.GetQueuedCompletionStatusEx(port, entries, most, count, timeout_ms, 0):
        count[0] = 0
        code = _code(False)
        if code != WAIT_TIMEOUT:
            raise error_of_code(code)


def close(handle: Any) -> None:
    _kernel32.CloseHandle(handle)


def cancel(fd: int, overlapped: Any = NULL) -> None:
    """Ask the kernel to end one call on `fd`, or all of them. Each still sends a packet with its true outcome."""
    _kernel32.CancelIoEx(ffi.cast("HANDLE", fd), overlapped)


def skip_on_success(sock: socket.socket) -> bool:
    """Make calls that succeed at once send no packet. Returns False if a layered provider would not respect this."""
    modes = _SKIP_COMPLETION_PORT_ON_SUCCESS | _SKIP_SET_EVENT_ON_HANDLE
    return _gives_file_handles(sock.family, sock.type, sock.proto) and bool(
        _kernel32.SetFileCompletionNotificationModes(ffi.cast("HANDLE", sock.fileno()), modes)
    )


@functools.cache
def _gives_file_handles(family: int, kind: int, protocol: int) -> bool:
    with Fresh(family, kind, protocol) as sock:
        flags: int = struct.unpack("I", sock.getsockopt(socket.SOL_SOCKET, _SO_PROTOCOL_INFO, 628)[:4])[0]
    return bool(flags & _XP1_IFS_HANDLES)


# The overlapped calls.

_nothing = ffi.new("char[1]")  # an address for 0 bytes


@functools.cache
def _extension(name: str) -> Any:
    identity = bytes.fromhex(_EXTENSIONS[name])
    guid = struct.pack("<IHH", *struct.unpack(">IHH", identity[:8])) + identity[8:]
    function, count = ffi.new("void **"), ffi.new("DWORD *")
    with Fresh() as sock:
        if _ws2_32.WSAIoctl(
            sock.fileno(), _SIO_GET_EXTENSION_FUNCTION_POINTER, guid, len(guid), function, 8, count, NULL, NULL
        ):
            raise error_of_code(_code(False))
    return ffi.cast(name, function[0])


def receive_nothing(fd: int, overlapped: Any, *, peek: bool) -> int:
    """Receive 0 bytes. The call completes when there is something to receive. `peek` leaves a datagram in the queue."""
    room, flags = ffi.new("WSABUF *", (0, _nothing)), ffi.new("DWORD *", _MSG_PEEK if peek else 0)
    return _code(_ws2_32.WSARecv(fd, room, 1, NULL, flags, overlapped, NULL) == 0)


def send(fd: int, overlapped: Any, buffer: Any, size: int) -> int:
    """Send `size` bytes of `buffer`. The kernel reads the buffer until the packet arrives."""
    data = ffi.new("WSABUF *", (size, buffer))
    return _code(_ws2_32.WSASend(fd, data, 1, NULL, 0, overlapped, NULL) == 0)


def accept(listener: int, fd: int, overlapped: Any, addresses: Any) -> int:
    """Accept a connection into the fresh socket `fd`. The kernel writes ADDRESSES_SIZE bytes to `addresses`."""
    room = ADDRESSES_SIZE // 2
    return _code(_extension("AcceptEx")(listener, fd, addresses, 0, room, room, ffi.new("DWORD *"), overlapped))


def accepted(listener: socket.socket, sock: socket.socket, addresses: Any) -> Any:
    """Make `sock`, which has accepted a connection, an ordinary socket. Returns the peer's address. Raises OSError."""
    sock.setsockopt(socket.SOL_SOCKET, _SO_UPDATE_ACCEPT_CONTEXT, struct.pack("P", listener.fileno()))
    for level, option in _INHERITED:  # AcceptEx is not documented to inherit them
        with contextlib.suppress(OSError):
            sock.setsockopt(level, option, listener.getsockopt(level, option, 4))
    room = ADDRESSES_SIZE // 2
    here, there, size = ffi.new("char **"), ffi.new("char **"), ffi.new("int *")
    _extension("GetAcceptExSockaddrs")(addresses, 0, room, room, here, size, there, size)
    return _address_of(bytes(ffi.buffer(there[0], size[0])))


def connect(fd: int, overlapped: Any, address: Any, size: int) -> int:
    """Connect the bound socket `fd` to the sockaddr `address` of `size` bytes."""
    return _code(_extension("ConnectEx")(fd, address, size, NULL, 0, NULL, overlapped))


def connected(sock: socket.socket) -> None:
    """Make `sock`, which has connected, an ordinary socket. Raises OSError."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_UPDATE_CONNECT_CONTEXT, b"")
    except OSError as error:
        if error.errno != errno.ENOTCONN:  # the connection has ended; the next receive or send reports that
            raise


def transmit(fd: int, overlapped: Any, file: int, offset: int, count: int) -> int:
    """Send `count` bytes of an open file, from byte `offset` on. `file` is a descriptor of the C library.

    The file must have these bytes.
    """
    handle = ffi.cast("HANDLE", importlib.import_module("msvcrt").get_osfhandle(file))
    overlapped.Offset, overlapped.OffsetHigh = offset & 0xFFFFFFFF, offset >> 32
    return _code(_extension("TransmitFile")(fd, handle, count, 0, overlapped, NULL, 0))


def poll_writable(fd: int, overlapped: Any, poll: Any) -> int:
    """Complete when a send would not block, or would fail. The kernel writes to `poll`, an AFD_POLL, until then."""
    poll.Timeout, poll.Count, poll.Handle = _FOREVER, 1, _base(fd)
    poll.Events = _AFD_POLL_SEND | _AFD_POLL_ABORT | _AFD_POLL_CLOSE | _AFD_POLL_CONNECT_FAIL
    size = ffi.sizeof(poll[0])
    status: int = _ntdll.NtDeviceIoControlFile(
        ffi.cast("HANDLE", fd), NULL, NULL, overlapped, overlapped, _IOCTL_AFD_POLL, poll, size, poll, size
    )
    if status == STATUS_PENDING:
        return PENDING
    return _BY_STATUS.get(status, (_ntstatus_to_code(status), 0))[0] if failed(status) else 0


def _base(fd: int) -> int:
    """Return the socket that the driver knows, below all layered providers."""
    base, count = ffi.new("SOCKET *"), ffi.new("DWORD *")
    if _ws2_32.WSAIoctl(fd, _SIO_BASE_HANDLE, NULL, 0, base, ffi.sizeof("SOCKET"), count, NULL, NULL):
        return fd
    return int(base[0])


# Addresses.


def sockaddr(family: int, address: Any) -> bytes:
    """Return a numeric internet address as the kernel's sockaddr. Raises OSError if it is not numeric."""
    host, port = address[0], address[1]
    if family == socket.AF_INET:
        octets = socket.inet_pton(family, host or "0.0.0.0")
        return struct.pack("<H", family) + struct.pack(">H", port) + octets + bytes(8)
    flow, scope = (*address[2:], 0, 0)[:2]
    octets = socket.inet_pton(family, host.partition("%")[0] or "::")
    return struct.pack("<H", family) + struct.pack(">HI", port, flow) + octets + struct.pack("<I", scope)


def _address_of(sockaddr: bytes) -> Any:
    (family,), (port,) = struct.unpack("<H", sockaddr[:2]), struct.unpack(">H", sockaddr[2:4])
    if family == socket.AF_INET:
        return socket.inet_ntop(socket.AF_INET, sockaddr[4:8]), port
    (flow,), (scope,) = struct.unpack(">I", sockaddr[4:8]), struct.unpack("<I", sockaddr[24:28])
    return socket.inet_ntop(socket.AF_INET6, sockaddr[8:24]), port, flow, scope
