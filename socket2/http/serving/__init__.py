"""An HTTP server: a handler gets requests and answers them, in the thread of their connection.

This room knows how a server behaves towards clients that are slow, broken or gone. It does not know how connections are
accepted or how a server stops: `servers` does that. What is right on the wire is decided in `messages`.

Read `silence` first, how long a client may make us wait; then `exchange`, the requests and answers of one connection as
operations, on `reading`, the data of files; `request`, on `body` and `representation`, what a handler sees of them;
`origin`, what proxies say of it; `health`; `accesslog` and `tally`, what is noted of answers; `conversation`, a
connection from its first request to its end; `metrics`; `program`, serve().
"""
