"""Echo servers. Receives ask for 64 KiB where there is a choice; a client that does not read is not read from."""
