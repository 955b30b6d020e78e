"""WebSocket servers: each echoes binary messages. Limits, pings and checks are those that a server has by default."""
