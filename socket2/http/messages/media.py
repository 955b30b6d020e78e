"""Media types of files by their names, from a fixed table: the answer does not depend on the machine."""

from __future__ import annotations

_TYPES = """
application/gzip gz tgz
application/java-archive jar
application/json json map
application/ld+json jsonld
application/manifest+json webmanifest
application/msword doc
application/octet-stream bin dmg exe iso img msi
application/pdf pdf
application/postscript ps eps ai
application/rtf rtf
application/sql sql
application/toml toml
application/vnd.apple.mpegurl m3u8
application/vnd.debian.binary-package deb
application/vnd.ms-excel xls
application/vnd.ms-fontobject eot
application/vnd.ms-powerpoint ppt
application/vnd.oasis.opendocument.presentation odp
application/vnd.oasis.opendocument.spreadsheet ods
application/vnd.oasis.opendocument.text odt
application/vnd.openxmlformats-officedocument.presentationml.presentation pptx
application/vnd.openxmlformats-officedocument.spreadsheetml.sheet xlsx
application/vnd.openxmlformats-officedocument.wordprocessingml.document docx
application/vnd.sqlite3 sqlite
application/wasm wasm
application/x-7z-compressed 7z
application/x-bzip2 bz2
application/x-ndjson ndjson jsonl
application/x-rpm rpm
application/x-tar tar
application/x-xz xz
application/xhtml+xml xhtml
application/xml xml xsl xsd
application/atom+xml atom
application/rss+xml rss
application/yaml yaml yml
application/zip zip whl
application/zstd zst
application/epub+zip epub
audio/aac aac
audio/flac flac
audio/midi mid midi
audio/mp4 m4a
audio/mpeg mp3
audio/ogg oga ogg opus
audio/wav wav
audio/webm weba
font/collection ttc
font/otf otf
font/ttf ttf
font/woff woff
font/woff2 woff2
image/apng apng
image/avif avif
image/bmp bmp
image/gif gif
image/heic heic
image/jpeg jpg jpeg jpe
image/jxl jxl
image/png png
image/svg+xml svg
image/tiff tif tiff
image/vnd.microsoft.icon ico
image/webp webp
model/gltf+json gltf
model/gltf-binary glb
text/calendar ics
text/css css
text/csv csv
text/html html htm
text/javascript js mjs
text/markdown md markdown
text/plain txt text log conf ini cfg c h cc cpp hpp py pyi rs go java sh diff patch asc
text/tab-separated-values tsv
text/vcard vcf
text/vtt vtt
video/mp2t ts
video/mp4 mp4 m4v
video/mpeg mpg mpeg
video/ogg ogv
video/quicktime mov
video/webm webm
video/x-matroska mkv
video/x-msvideo avi
"""

TYPES = {ending: kind for kind, *endings in map(str.split, _TYPES.strip().splitlines()) for ending in endings}
"""Media types by the endings of names, in lower case and without the dot."""

UNKNOWN = "application/octet-stream"


def media_type(name: str, charset: str | None = "utf-8") -> str:
    """Return the value of Content-Type for a file with this name; application/octet-stream if the ending is unknown.

    `charset`: of texts, None to leave it open. Only the last ending counts, because what is behind it, as in
    "a.tar.gz", is what the file contains.
    """
    _, dot, ending = name.rpartition(".")
    kind = TYPES.get(ending.lower(), UNKNOWN) if dot else UNKNOWN
    return f"{kind}; charset={charset}" if charset is not None and kind.startswith("text/") else kind
