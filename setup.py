"""What pyproject.toml cannot say: the parts in C, for Linux, left out where they cannot be compiled."""

import glob
import sys

from setuptools import Extension, setup


def part(name: str, *sources: str) -> Extension:
    flags = ["-std=c11", "-fvisibility=hidden"]
    headers = ["pollers/native/native.h", "socket2/members.h"]
    return Extension(name, sources=sorted(sources), depends=headers, extra_compile_args=flags, optional=True)


parts = [
    part("pollers._native", *glob.glob("pollers/native/*.c")),
    part("socket2._stepping", "socket2/stepping.c"),
    part("socket2._shortcut", "socket2/shortcut.c"),
]
setup(ext_modules=parts if sys.platform == "linux" else [])
