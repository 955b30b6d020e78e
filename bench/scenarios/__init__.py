"""The scenarios, one module each: what is measured, how a sample is taken, and which columns are shown."""
