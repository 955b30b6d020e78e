"""TLS over any byte stream: a client's or a server's side, its contexts, and how a connection comes to it.

The `ssl` module has the cryptography; this room moves its bytes. It knows byte streams and threads, and `endpoint` also
knows sockets. It must not know the operating system, servers or protocols. `ssl` takes long to import, so only
`engine`, `ciphertext`, `failures`, `pem` and `reloading` import it. The other modules import these when TLS is used.

Read `engine` first: TLS without I/O. `lane` gives a direction to one thread. `carrier` moves the ciphertext. `layer` is
the byte stream that is made of all these; `quick.c` and `records.c` are its usual case in C. `contexts` makes contexts
with safe defaults from files that `pem` loads, and `reloading` the one that can load new certificates. `endpoint` has
connect() and listen(), and `starttls` begins TLS in the middle of a connection.
"""
