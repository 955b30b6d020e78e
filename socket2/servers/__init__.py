"""Servers: accept connections, run a thread for each, and stop gracefully, so that no answer is cut short.

This room knows when a connection may be dropped, which side caused its end, and how processes replace each other. It
knows no protocol but TLS's handshake: a handler speaks to the client. It uses threads and sockets only through their
public methods.

Read `listeners` first, then `accepting`; `connection`, one connection and its thread; `handshaking`, for TLS;
`networks`, `proxyheader` and `behind`, for balancers in front; `server`; `current`, what a handler sees of it.
`draining`, `renewal` and `program` make serve(). `inheritance`, `staff`, `supervisor` and `workers` are for several
processes.
"""
