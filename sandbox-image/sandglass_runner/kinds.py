"""What `load_file` makes of a file, by its extension. Imported on the first use; each reader imports its
own needs."""

import os
import sqlite3
from collections.abc import Callable
from typing import Any

type Reader = Callable[[str], Any]


def load(path: str, category: str) -> Any:
    """Return the contents of the file at `path`; `category` decides where the extension says nothing."""
    extension = os.path.splitext(path)[1].lower().lstrip(".")
    reader = READERS.get(extension) or BY_CATEGORY.get(category) or read_bytes
    return reader(path)


def read_bytes(path: str) -> bytes:
    """Return the file as it is."""
    with open(path, "rb") as stream:
        return stream.read()


def read_text(path: str) -> str:
    """Return text, decoded by its byte order mark, else as UTF-8, else as Windows-1252, which reads
    anything."""
    raw = read_bytes(path)
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return raw.decode("utf-16", "replace")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")


def leave(path: str) -> str:
    """Return the path: this kind is opened by a library of the code's own choice."""
    return path


def read_table(path: str, **options: Any) -> Any:
    """Return delimited text as a DataFrame; a file that is not UTF-8 is read as Windows-1252."""
    import pandas as pd

    try:
        return pd.read_csv(path, **options)
    except UnicodeDecodeError:
        return pd.read_csv(path, encoding="cp1252", encoding_errors="replace", **options)


def read_tabs(path: str) -> Any:
    """Return tab-separated text as a DataFrame."""
    return read_table(path, sep="\t")


def frame_reader(name: str, **options: Any) -> Reader:
    """Return a reader that calls one of pandas' own."""

    def read(path: str) -> Any:
        import pandas as pd

        return getattr(pd, name)(path, **options)

    return read


def read_transport(path: str) -> Any:
    """Return a SAS transport file as a DataFrame; pandas' own reader knows only its oldest version."""
    import pyreadstat

    return pyreadstat.read_xport(path)[0]


def read_json(path: str) -> Any:
    """Return parsed JSON."""
    import json

    return json.loads(read_text(path))


def read_yaml(path: str) -> Any:
    """Return parsed YAML, a list when the file holds several documents."""
    import yaml

    documents = list(yaml.safe_load_all(read_text(path)))
    return documents[0] if len(documents) == 1 else documents or None


def read_toml(path: str) -> Any:
    """Return parsed TOML."""
    import tomllib

    return tomllib.loads(read_text(path))


def read_arrays(path: str) -> Any:
    """Return a NumPy array, or an NpzFile of several; pickled objects are refused, they would run code."""
    import numpy as np

    return np.load(path, allow_pickle=False)


def read_image(path: str) -> Any:
    """Return a PIL image."""
    from PIL import Image

    return Image.open(path)


def open_database(path: str) -> sqlite3.Connection:
    """Return a read-only connection.

    A database left in WAL mode cannot be opened from a read-only folder unless it is declared immutable.
    """
    from urllib.parse import quote

    frozen = "" if os.access(os.path.dirname(path), os.W_OK) else "&immutable=1"
    return sqlite3.connect(f"file:{quote(path)}?mode=ro{frozen}", uri=True)


TEXT = (
    "txt text md markdown rst log sql html htm xhtml xml svg css scss sass less js mjs cjs jsx ts tsx py pyi "
    "pyw ipy r rmd jl c h cc cpp cxx hpp hh cs java kt kts scala go rs rb php pl pm lua swift m mm dart hs "
    "ml fs clj ex exs erl sh bash zsh fish ps1 bat cmd f f90 f95 pas asm s vb vue svelte tex bib ini cfg "
    "conf env properties diff patch dockerfile makefile cmake gradle "
    "tf proto graphql gql srt vtt org adoc textile"
)
IMAGES = "png jpg jpeg jpe jfif gif bmp dib tif tiff webp ico ppm pgm pbm pnm tga pcx icns jp2 j2k avif"
LEFT_AS_PATH = (
    "h5 hdf5 hdf he5 nc zip tar gz tgz bz2 tbz2 xz txz zst lz4 7z rar jar whl cab iso deb rpm "
    "mp3 wav flac ogg oga opus m4a aac wma aif aiff mid midi amr "
    "mp4 m4v mov avi mkv webm wmv flv mpg mpeg 3gp ogv"
)
READERS: dict[str, Reader] = {
    **dict.fromkeys(TEXT.split(), read_text),
    **dict.fromkeys(IMAGES.split(), read_image),
    **dict.fromkeys(LEFT_AS_PATH.split(), leave),
    "csv": read_table,
    "tsv": read_tabs,
    "tab": read_tabs,
    "jsonl": frame_reader("read_json", lines=True),
    "ndjson": frame_reader("read_json", lines=True),
    "parquet": frame_reader("read_parquet"),
    "pq": frame_reader("read_parquet"),
    "feather": frame_reader("read_feather"),
    "dta": frame_reader("read_stata"),
    "sas7bdat": frame_reader("read_sas"),
    "xpt": read_transport,
    "sav": frame_reader("read_spss"),
    "zsav": frame_reader("read_spss"),
    **dict.fromkeys(("xlsx", "xlsm", "xls", "ods"), frame_reader("ExcelFile")),
    **dict.fromkeys(("json", "geojson", "topojson", "ipynb"), read_json),
    "yaml": read_yaml,
    "yml": read_yaml,
    "toml": read_toml,
    "npy": read_arrays,
    "npz": read_arrays,
    **dict.fromkeys(("db", "sqlite", "sqlite3", "db3", "s3db"), open_database),
}
BY_CATEGORY: dict[str, Reader] = {
    "text": read_text,
    "code": read_text,
    "image": read_image,
    "archive": leave,
    "audio": leave,
    "video": leave,
}
