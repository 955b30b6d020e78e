"""HTTP/1.1 messages without I/O: bytes in, events out, and what may be sent in which state (RFC 9110, RFC 9112).

This room knows no socket, thread or clock but the wall clock of the Date field. Whoever uses it moves the bytes.

Read `bounds` and `errors` first; `status`, `dates`, `fields` and `target` are the parts of a head; `forwarded`, what
proxies say in it. `syntax` decides which heads are well-formed; `compiled` and `llhttp` decide the same faster.
`heads` makes objects of them, `framing` says where a body ends, `chunks` decodes and encodes chunked bodies. `incoming`
and `outgoing` are the two directions of any connection; `serverside` and `clientside` put them together. `media`,
`codings`, `preconditions` and `ranges` are about representations: their types, and which version and parts of one a
client wants.
"""
