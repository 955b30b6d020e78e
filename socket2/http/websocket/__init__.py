"""WebSocket (RFC 6455) with compression (RFC 7692), for both sides of a connection.

This room knows messages, frames and the two handshakes. It gets a connection from a request that was upgraded, or has
the client make the request. It does not know how an HTTP server works; `serving` calls it. Masks, the syntax of
extensions and what is agreed on for compression come from the package `websockets`.

Read `closing` first, how a WebSocket ends; then `deflate` and `codec`, bytes to messages without I/O; `wire`, who
moves them; `keepalive` and `leaving`, what happens when the program does nothing; `socket`, on `terms`, what the
program sees; `upgrade`, fields without I/O; `accepting` and `opening`, the two sides.
"""
