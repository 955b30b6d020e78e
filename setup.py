"""What pyproject.toml cannot say: the native poller, for Linux, left out where it cannot be compiled."""

import glob
import sys

from setuptools import Extension, setup

native = Extension(
    "pollers._native",
    sources=sorted(glob.glob("pollers/native/*.c")),
    depends=["pollers/native/native.h"],
    extra_compile_args=["-std=c11", "-fvisibility=hidden"],
    optional=True,
)

setup(ext_modules=[native] if sys.platform == "linux" else [])
