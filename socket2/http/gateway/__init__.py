"""A reverse proxy: requests that a server has received are passed on to other servers, and their responses back.

This room knows what a message becomes on its way to the next hop, which server gets it, and what a failure on one side
means for the other. It does not know how messages are framed: it uses `messages`, `serving` and `client` for that.

Read `hops` first, what becomes of a head; `lookout`, how long upstreams may make us wait; `upstream`, one server;
`balancing` and `checkups`, which of them gets a request. `sending` and `transit` are one request on its way, `relay`
what follows an upgrade. `reverse` puts them together. `tunnels` is a forward proxy.
`settings`, `routes` and `command` make a program of a file: `python -m socket2 proxy`.
"""
