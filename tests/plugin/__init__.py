"""Tests of the pytest plugin. Each runs pytest on a small project of its own."""
