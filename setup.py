"""What pyproject.toml cannot say: the parts in C, for Linux, left out where they cannot be compiled."""

import glob
import sys

from setuptools import Extension, setup

poller = Extension(
    "pollers._native",
    sources=sorted(glob.glob("pollers/native/*.c")),
    depends=["pollers/native/native.h"],
    extra_compile_args=["-std=c11", "-fvisibility=hidden"],
    optional=True,
)
stepping = Extension(
    "socket2._stepping",
    sources=["socket2/stepping.c"],
    extra_compile_args=["-std=c11", "-fvisibility=hidden"],
    optional=True,
)

setup(ext_modules=[poller, stepping] if sys.platform == "linux" else [])
