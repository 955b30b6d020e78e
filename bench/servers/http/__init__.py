"""HTTP servers: each answers GET / with status 200 and the text "Hello, world!", with its own date, and keeps the
connection. Access logs are off. Limits and checks are those that a server has by default.
"""
