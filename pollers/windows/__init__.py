"""The poller of Windows: the kernel makes the calls, and a completion port reports that they are done.

This room knows Winsock and completion ports; no other may know cffi. It can be imported on Windows only. It uses the
handles and the engine of `pollers.readiness`, and must not know coroutines or the checking poller.
Read `overlapped` first: the calls in flight, and who owns what the kernel may write to. Then read `winhandles`, whose
operations ask for these calls, and `iocp`, which starts them and takes the packets. `winsock` has the declarations.
"""
