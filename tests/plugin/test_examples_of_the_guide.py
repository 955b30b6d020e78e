"""The tests in docs/testing.md that begin with the name of their file pass."""

from __future__ import annotations

import pytest

from ..test_guides import BLOCKS
from .conftest import Project

TESTS = {name: block["code"] for name, block in BLOCKS.items() if block["code"].startswith("# test_")}


@pytest.mark.parametrize("name", TESTS)
def test_tests_of_the_guide_pass(project: Project, name: str) -> None:
    outcomes = project(TESTS[name]).parseoutcomes()
    assert outcomes.keys() == {"passed"}
    assert outcomes["passed"] == TESTS[name].count("def test_")


def test_there_are_some() -> None:
    assert len(TESTS) >= 2
