"""The servers of examples/ that speak a protocol of the internet, each against a real client."""
