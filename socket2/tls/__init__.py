"""TLS over any byte stream: a client's or a server's side, its contexts, and how a connection comes to it.

The `ssl` module has the cryptography; this room moves its bytes. It knows byte streams and threads, and `endpoint` also
knows sockets. It must not know the operating system, servers or protocols. `ssl` takes long to import, so only
`engine` and `reloading` import it, and the other modules import these two when TLS is used.

Read `engine` first: TLS without I/O. `lane` lets a thread do the other direction's work. `layer` is the byte stream
that is made of both. `contexts` makes contexts with safe defaults, and `reloading` the one that can load new
certificates. `endpoint` has connect(), listen() and starttls().
"""
