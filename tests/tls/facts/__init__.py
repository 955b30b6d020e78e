"""Facts about TLS that the test suites of CPython's `ssl` module and of trio's SSLStream check, on our streams.

The tests are written anew. Each docstring names the cases of these suites (`Lib/test/test_ssl.py` of CPython 3.11 to
3.14, `trio/_tests/test_ssl.py`) that check the same fact.
"""
