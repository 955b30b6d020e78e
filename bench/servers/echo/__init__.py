"""Echo servers. They receive up to 64 KiB at a time if the stack allows it, and pause if the client does not read."""
