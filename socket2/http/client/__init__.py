"""An HTTP/1.1 client: connections that are kept, redirects, cookies, proxies, and the bodies of responses.

This room uses connections and threads only through their public methods. What HTTP is, the room `messages` knows.

Read `failures`, `url`, `body` and `request` first: what can go wrong, where a request goes, and what it carries.
`connection` is one connection, and `exchange` is one request with its response on it. `socks5`, `proxies` and `dialing`
are the ways to a server, `pool` keeps connections. `decoding` and `response` are what the program sees. `roundtrip` is
one attempt; `cookies`, `redirects` and `client` put them together. `command` is `python -m socket2 get`.
"""
