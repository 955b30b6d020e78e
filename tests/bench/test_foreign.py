"""Programs in other languages: what is missing is said with the package that has it, and an error of a compiler is."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bench.foreign import ALL, GO, Foreign
from bench.programs import BenchError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the benchmarks need Linux")


@pytest.mark.parametrize("foreign", ALL, ids=lambda foreign: foreign.language)
def test_without_its_tools_a_peer_is_absent_and_says_what_to_install(
    foreign: Foreign, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    reason = foreign.missing()
    assert reason is not None
    assert reason.startswith("needs ")
    for package in foreign.programs.values():
        assert package in reason
    assert foreign.packages()


def test_a_missing_file_is_named_with_its_package(tmp_path: Path) -> None:
    absent = replace(GO, programs={}, files={tmp_path / "uv.h": "libuv1-dev"})
    assert absent.missing() == f"needs {tmp_path / 'uv.h'} (Debian: libuv1-dev)"


def _compile(source: Path, product: Path) -> None:
    subprocess.run(["cp", str(source), str(product)], check=True)


def test_it_is_built_once_and_again_if_its_source_is_newer(tmp_path: Path) -> None:
    source, product = tmp_path / "source", tmp_path / "product"
    source.write_text("1")
    built = []

    def build() -> None:
        built.append(source.read_text())
        _compile(source, product)
        os.utime(product, ns=(source.stat().st_mtime_ns + 1_000_000_000,) * 2)

    foreign = replace(GO, programs={}, files={}, source=source, product=product, build=build)
    assert foreign.missing() is None
    assert foreign.missing() is None
    assert built == ["1"]
    source.write_text("2")
    os.utime(source, ns=(product.stat().st_mtime_ns + 1_000_000_000,) * 2)
    assert foreign.missing() is None
    assert built == ["1", "2"]


def test_an_error_of_its_compiler_is_the_reason(tmp_path: Path) -> None:
    def build() -> None:
        raise BenchError("javac failed: NioEcho.java:1: error")

    foreign = replace(GO, programs={}, files={}, product=tmp_path / "none", build=build)
    assert foreign.missing() == "could not be built: javac failed: NioEcho.java:1: error"
