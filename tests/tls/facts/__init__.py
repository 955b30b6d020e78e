"""Facts about TLS that the test suites of CPython's `ssl` module and of trio's SSLStream check, on our streams.

The tests are written anew. Each docstring names the cases of these suites that check the same fact: 97 of CPython's
`Lib/test/test_ssl.py`, 25 of `trio/_tests/test_ssl.py`. These are 92 tests, which run 279 times with their parameters.
Not here: cases about the `ssl` module alone (parsing of certificates, enumerations, `get_server_certificate`), and
those that another test of `tests/tls` has already, such as renegotiation with openssl and TLS in TLS.
"""
