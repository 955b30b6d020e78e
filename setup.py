"""What pyproject.toml cannot say: the parts in C, which may be left out, and the readme, as an index shows it."""

from __future__ import annotations

import glob
import re
import shutil
import sys
import tomllib
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import BaseError, CCompilerError

PICTURES = (".png", ".svg")


def part(name: str, *sources: str) -> Extension:
    flags = ["-std=c11", "-fvisibility=hidden"]
    headers = ["pollers/native/native.h", "socket2/members.h"]
    return Extension(name, sources=sorted(sources), depends=headers, extra_compile_args=flags, optional=True)


class BuildWhatCanBe(build_ext):
    """Builds the parts in C until one fails, and says so in one line: what fails one of them fails all."""

    def build_extensions(self) -> None:
        wanted, self.extensions = self.extensions, []
        for extension in wanted:
            extension.optional = False  # setuptools would tell each failure itself, and go on
            try:
                self.build_extension(extension)
            except (BaseError, CCompilerError):
                compiler = self.compiler.compiler[0]
                why = "failed" if shutil.which(compiler) else "is not installed"
                print(f"socket2: built without its parts in C, so it is slower: {compiler} {why}", file=sys.stderr)
                return
            self.extensions.append(extension)


def index_readme() -> str:
    """The readme with its links into the repository made absolute: an index has no files beside it."""
    repository = tomllib.loads(Path("pyproject.toml").read_text())["project"]["urls"]["Repository"]

    def absolute(link: re.Match[str]) -> str:
        kind = "raw" if link[1].endswith(PICTURES) else "blob"
        return f"]({repository}/{kind}/main/{link[1]})"

    return re.sub(r"\]\((?![a-z]+:|#)([^)\s]+)\)", absolute, Path("README.md").read_text())


if __name__ == "__main__":
    parts = [
        part("pollers._native", *glob.glob("pollers/native/*.c")),
        part("pollers._once", "pollers/once.c"),
        part("socket2._stepping", "socket2/stepping.c"),
        part("socket2._shortcut", "socket2/shortcut.c"),
    ]
    setup(
        ext_modules=parts if sys.platform == "linux" else [],
        cmdclass={"build_ext": BuildWhatCanBe},
        long_description=index_readme(),
        long_description_content_type="text/markdown",
    )
