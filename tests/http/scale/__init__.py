"""HTTP servers at scale: `python -m tests.http.scale`. Each server is a process, whose memory is looked at."""
