"""The category and media type of every extension of the table, and what happens when the bytes disagree."""

import gzip
import io
import re
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.storage.filetypes import CATEGORIES, UNKNOWN, classify, extensions, lookup, sniff

TEXT = b"name,value\nalpha,1\nbeta,2\n"
ELF = Path("/proc/self/exe").resolve()
EXPECTED = {
    "image": "png jpg jpeg gif bmp webp tif tiff ico svg avif heic",
    "data": "csv tsv jsonl ndjson xlsx xls ods parquet feather arrow orc avro dta sas7bdat sav",
    "text": "txt md rst log srt vtt diff",
    "structured": "json yaml yml toml xml ini msgpack",
    "html": "html htm xhtml",
    "pdf": "pdf",
    "code": "py js ts css sql sh c cpp java go rs rb r jl tex",
    "archive": "zip tar gz tgz bz2 xz zst 7z rar tar.gz",
    "database": "db sqlite sqlite3 duckdb mdb",
    "scientific": "h5 hdf5 nc npy npz mat fits nii nii.gz pdb fasta",
    "document": "doc docx odt rtf ppt pptx epub",
    "notebook": "ipynb rmd qmd",
    "audio": "mp3 wav flac ogg m4a aac mid",
    "video": "mp4 avi mov mkv webm mpg",
    "geo": "geojson shp kml kmz gpx gpkg",
    "model": "pkl joblib pt onnx safetensors keras stl obj glb",
    "font": "ttf otf woff woff2",
    "file": "bin exe so",
}
MEDIA_TYPES = {
    "csv": "text/csv",
    "json": "application/json",
    "png": "image/png",
    "svg": "image/svg+xml",
    "pdf": "application/pdf",
    "html": "text/html",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "md": "text/markdown",
    "mp4": "video/mp4",
    "wav": "audio/wav",
    "zip": "application/zip",
    "tar.gz": "application/gzip",
    "parquet": "application/vnd.apache.parquet",
    "ipynb": "application/x-ipynb+json",
    "geojson": "application/geo+json",
    "woff2": "font/woff2",
    "py": "text/x-python",
    "jsonl": "application/x-ndjson",
    "sqlite": "application/vnd.sqlite3",
}
EVERY = sorted(extensions())


def _plausible(extension: str) -> bytes:
    """First bytes such as a real file of this extension has, as far as the table knows them."""
    known = extensions()[extension]
    if known.signature:
        return known.signature + b"\x03\x04" + bytes(64)
    return TEXT if known.shape == "text" else b"\x9c\x00\x81\xfe" * 32


def test_the_table_is_large_and_has_every_category() -> None:
    """At least 120 extensions, every category of the design among them and no other."""
    assert len(EVERY) >= 250
    assert {known.type for known in extensions().values()} == CATEGORIES


@pytest.mark.parametrize("extension", EVERY)
def test_every_extension_is_believed(extension: str) -> None:
    """A file with plausible bytes gets the category and media type of its extension, in any case."""
    known = extensions()[extension]
    for name in (f"a.{extension}", f"My File.{extension.upper()}"):
        found = classify(name, _plausible(extension))
        assert (found.type, found.media_type, found.mismatch) == (known.type, known.media_type, False)
    assert known.type in CATEGORIES
    assert re.fullmatch(r"[a-z]+/[A-Za-z0-9.+-]+", known.media_type)


@pytest.mark.parametrize("extension", EVERY)
def test_an_empty_file_is_what_its_name_says(extension: str) -> None:
    """Nothing contradicts nothing."""
    assert not classify(f"a.{extension}", b"").mismatch


@pytest.mark.parametrize(
    ("category", "extension"),
    [(category, extension) for category, names in EXPECTED.items() for extension in names.split()],
)
def test_extensions_people_know_are_in_their_category(category: str, extension: str) -> None:
    """The table says of common files what a person would."""
    assert extensions()[extension].type == category


@pytest.mark.parametrize(("extension", "media_type"), MEDIA_TYPES.items())
def test_media_types_are_the_registered_ones(extension: str, media_type: str) -> None:
    """A browser is told the type that it knows."""
    assert extensions()[extension].media_type == media_type


@pytest.mark.parametrize(
    "extension",
    [name for name in EVERY if extensions()[name].shape != "any" and name not in {"exe", "dll", "so", "o"}],
)
def test_a_program_is_never_what_its_name_says(extension: str) -> None:
    """An ELF under any other extension is flagged, and told for what it is."""
    with ELF.open("rb") as program:
        found = classify(f"sales.{extension}", program.read(4096))
    assert found.mismatch
    assert found.type == "file"
    assert re.search(r"executable|sharedlib", found.media_type)


def _zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.txt", "hello")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "head", "category"),
    [
        ("a.png", b"<!DOCTYPE html><html><body>hi</body></html>", "html"),
        (
            "a.csv",
            b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x02\x00\x00\x00",
            "image",
        ),
        ("a.txt", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "pdf"),
        ("a.json", _zip(), "archive"),
        ("a.jpg", gzip.compress(b"hello", mtime=0), "archive"),
        ("a.xlsx", TEXT, "data"),
        ("a.pdf", b"just some words of text\n" * 10, "pdf"),
    ],
)
def test_a_lie_is_flagged_and_told(name: str, head: bytes, category: str) -> None:
    """Where the bytes clearly are another format, that is what the file is; bare words keep the name's."""
    found = classify(name, head)
    assert (found.mismatch, found.type) == (True, category)


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("a.csv", "naïve,日本\n".encode()),
        ("a.csv", "a,b\n1,2\n".encode("utf-16")),
        ("a.csv", "prix,été\n1,2\n".encode("latin-1")),
        ("a.txt", ("x" * 4095 + "é").encode()[:4096]),
        ("a.log", b"\x1b[31mred\x1b[0m\n"),
        ("a.svg", b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>'),
        ("a.json", b'{"a": 1}'),
        ("a.py", b"#!/usr/bin/env python3\nprint(1)\n"),
        ("a.npz", _zip()),
        ("a.docx", _zip()),
        ("a.pt", _zip()),
        ("a.pkl", b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00}\x94\x8c\x01a\x94K\x01s."),
    ],
)
def test_honest_files_are_not_accused(name: str, head: bytes) -> None:
    """Encodings, terminals' colours and containers of other formats are no lies."""
    assert not classify(name, head).mismatch


@pytest.mark.parametrize(
    ("name", "head", "category"),
    [
        ("noextension", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "pdf"),
        ("data.unknownext", TEXT, "data"),
        ("words.unknownext", b"just some words of text\n", "text"),
        ("blob.unknownext", b"\x9c\x00\x81\xfe" * 32, "file"),
        ("empty.unknownext", b"", "file"),
        ("Makefile", b"all:\n\techo\n", "code"),
        ("script", b"#!/usr/bin/env python3\nprint(1)\n", "code"),
        (".hidden", b"just some words of text\n", "text"),
        ("song", b"RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00" + bytes(20), "audio"),
    ],
)
def test_libmagic_knows_the_rest(name: str, head: bytes, category: str) -> None:
    """A name that says nothing is decided by the content."""
    found = classify(name, head)
    assert (found.type, found.mismatch) == (category, False)


def test_nothing_known_is_octets() -> None:
    """An empty file with an unknown name has the type that claims nothing."""
    assert classify("x.unknownext", b"").media_type == UNKNOWN


def test_the_last_extension_counts_unless_two_make_one() -> None:
    """`.tar.gz` is one, `.csv.exe` is not."""
    assert lookup("a.b.tar.gz").media_type == "application/gzip"  # type: ignore[union-attr]
    assert lookup("a.csv.exe").type == "file"  # type: ignore[union-attr]
    assert lookup("csv") is None


def test_libmagic_is_asked_from_many_threads() -> None:
    """One cookie serves all threads without mixing up their answers."""
    heads = [b"%PDF-1.7\n", TEXT, b'{"a": 1}', _zip()] * 100
    alone = [sniff(head) for head in heads]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(sniff, heads)) == alone


@given(st.text(max_size=40), st.binary(max_size=200))
def test_classify_never_raises(name: str, head: bytes) -> None:
    """Whatever the name and the bytes, there is a category of the design."""
    assert classify(name, head).type in CATEGORIES
