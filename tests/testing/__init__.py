"""Tests of socket2.testing."""
