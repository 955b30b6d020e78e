"""socket2.luasocket.ssl and LuaSec itself, as client and server of each other: the same calls have the same results."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from ..tls.certificates import Authority, versions
from .luasec import data, handshakes
from .luasec.parties import LuaSec, Ours, Party
from .luasec.scene import ALIKE, Scene

SCENARIOS = [name for name, scenario in ALIKE.items() if scenario.__module__ in (data.__name__, handshakes.__name__)]


@pytest.fixture(scope="module")
def lua() -> str:
    """A Lua interpreter that has LuaSec."""
    for name in ("lua5.4", "lua5.3", "lua5.1", "lua"):
        path = shutil.which(name)
        if path and not subprocess.run([path, "-e", 'require "ssl"'], capture_output=True, check=False).returncode:
            return path
    pytest.skip("there is no Lua with LuaSec (Debian: lua5.4 lua-sec)")


@pytest.fixture(scope="module")
def luasec(lua: str) -> Iterator[tuple[LuaSec, LuaSec]]:
    """Two Lua processes, for a client and a server."""
    both = LuaSec(lua), LuaSec(lua)
    yield both
    for one in both:
        one.end()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("luasec"))


def trace(name: str, client: Party, server: Party, authority: Authority, version: str) -> list[Any]:
    try:
        return list(ALIKE[name](Scene(client, server, authority, version)))
    finally:
        client.close()
        server.close()


@versions
@pytest.mark.parametrize("name", SCENARIOS)
def test_ours_is_as_luasecs(name: str, version: str, luasec: tuple[LuaSec, LuaSec], authority: Authority) -> None:
    its = trace(name, *luasec, authority, version)
    ours = Ours(), Ours()
    assert trace(name, *ours, authority, version) == its, "ours with ours"
    assert trace(name, ours[0], luasec[1], authority, version) == its, "our client and its server"
    assert trace(name, luasec[0], ours[1], authority, version) == its, "its client and our server"
