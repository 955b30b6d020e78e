"""Applications of other interfaces on our HTTP server: WSGI (PEP 3333).

This room knows what these interfaces promise to applications. It does not know HTTP: what is right on the wire, and
what clients may do, is decided in `messages` and `serving`.

Read `mount` first, where an application is in the space of URLs; then `environ`, what a WSGI application gets;
`bridge`, a request as code in an OS thread uses it; `replying`, what an application says of its answer; `wsgi`.
"""
