"""The Windows poller: the kernel makes the calls, and a completion port reports that they are done.

This package knows Winsock and completion ports. No other package may know cffi. It can be imported on Windows only. It
uses the handles and the engine of `pollers.readiness`, and must not know coroutines or the checking poller.
Read `overlapped` first: the calls in flight, and who owns the memory that the kernel may write to. Then read
`winhandles`, whose operations request these calls, and `iocp`, which starts them and takes the completion packets.
`winsock` has the declarations.
"""
