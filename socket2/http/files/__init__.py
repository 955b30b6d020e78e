"""The files of a directory over HTTP: which one a path means, and that it never means one outside.

This room knows paths, links and listings. It does not know how a file is sent: `serving` does that.

Read `names` first, from a path of a URL to names of files; `beneath`, from names to an open file; then `listing` and
`directory`, the handler.
"""
