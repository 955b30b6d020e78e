"""What pyproject.toml cannot express: the optional parts in C, and the readme for a package index."""

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


def part(name: str, *sources: str) -> Extension:
    flags = ["-std=c11", "-fvisibility=hidden"]
    headers = glob.glob("pollers/**/*.h", recursive=True) + glob.glob("socket2/**/*.h", recursive=True)
    return Extension(name, sources=sorted(sources), depends=sorted(headers), extra_compile_args=flags, optional=True)


class BuildWhatCanBe(build_ext):
    """Builds the parts in C until one fails, and reports this in one line: the other parts would fail, too."""

    def build_extensions(self) -> None:
        wanted, self.extensions = self.extensions, []
        for extension in wanted:
            extension.optional = False  # otherwise setuptools would report each failure itself and continue
            try:
                self.build_extension(extension)
            except (BaseError, CCompilerError):
                compiler = self.compiler.compiler[0]
                why = "failed" if shutil.which(compiler) else "is not installed"
                print(f"socket2: built without its parts in C, so it is slower: {compiler} {why}", file=sys.stderr)
                return
            self.extensions.append(extension)


def index_readme(repository: str | None) -> str:
    """Return the readme for a package index. An index has no other files, so links into the repository are absolute.

    As long as there is no public repository, the links become the file names of the sdist.
    """

    def shown(link: re.Match[str]) -> str:
        picture, text, path = link.groups()
        if repository is None:
            return f"`{path}`" if text == path else f"{text} (`{path}`)"
        return f"{picture}[{text}]({repository}/{'raw' if picture else 'blob'}/main/{path})"

    return re.sub(r"(!?)\[([^]]+)\]\((?![a-z]+:|#)([^)\s]+)\)", shown, Path("README.md").read_text())


def repository() -> str | None:
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    url: str | None = project.get("urls", {}).get("Repository")
    return url


if __name__ == "__main__":
    parts = [
        part("pollers._native", *glob.glob("pollers/native/*.c")),
        part("pollers._once", "pollers/once.c"),
        part("socket2._stepping", *glob.glob("socket2/threads/*.c")),
        part("socket2._shortcut", "socket2/sockets/shortcut.c"),
        part("socket2._records", *glob.glob("socket2/tls/*.c")),
        part("socket2._http", *glob.glob("socket2/http/*/*.c")),
    ]
    setup(
        ext_modules=parts if sys.platform == "linux" else [],
        cmdclass={"build_ext": BuildWhatCanBe},
        long_description=index_readme(repository()),
        long_description_content_type="text/markdown",
    )
