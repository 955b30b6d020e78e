"""Applications of other interfaces on our HTTP server: WSGI (PEP 3333) and ASGI 3.

This room knows what these interfaces promise to applications. It does not know HTTP: what is right on the wire, and
what clients may do, is decided in `messages` and `serving`.

Read `mount` first, where an application is in the space of URLs, and `sending`, how its answer is sent. For WSGI:
`environ`, what an application gets; `bridge`, a request as code in an OS thread uses it; `replying`, what an
application says of its answer; `wsgi`. For ASGI: `connectionscope`, what an application gets; `isolated`, how it is
stepped; `otherloops`, errors that say that it needs asyncio; `cycle`, one request; `lifespan`; `asgi`.
"""
