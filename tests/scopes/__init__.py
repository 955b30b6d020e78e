"""Scopes: what trio's and anyio's suites say about theirs, and what is special about ours."""
