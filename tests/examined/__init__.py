"""TLS servers under the tools that judge them, and a peer that takes long to build: `make test-tls`."""
