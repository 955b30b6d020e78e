"""The scenarios, one module each. It says what is measured, how a sample is taken, and which columns are shown."""
