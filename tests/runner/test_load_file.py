"""`load_file`, `get_file_path` and `list_files` in a real container, over every kind that the design
lists."""

# ruff: noqa: E501  (the programs in strings run inside the container, as they are)

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.runner.support import Box, Ran, record, run_here, run_in

MAKE = r"""
import io, json, sqlite3, struct, tarfile, wave, zipfile
import numpy as np, pandas as pd, pyreadstat, h5py, soundfile
from PIL import Image
df = pd.DataFrame({"n": [1, 2, 3], "s": ["a", "b", "ü"]})
df.to_csv("t.csv", index=False); df.to_csv("t.tsv", index=False, sep="\t"); df.to_csv("t.tab", index=False, sep="\t")
df.to_csv("latin.csv", index=False, encoding="cp1252")
df.to_json("t.jsonl", orient="records", lines=True); df.to_json("t.ndjson", orient="records", lines=True)
df.to_parquet("t.parquet"); df.to_feather("t.feather"); df.to_stata("t.dta", write_index=False, version=118)
pyreadstat.write_sav(df, "t.sav"); pyreadstat.write_xport(df[["n"]], "t.xpt")
open("t.sas7bdat", "wb").write(b"\0" * 400)
for name in ("t.xlsx", "t.ods"):
    with pd.ExcelWriter(name) as book:
        df.to_excel(book, sheet_name="one", index=False); df.to_excel(book, sheet_name="two", index=False)
# The oldest workbook there is, by hand: nothing of today writes one. BOF, the integer 42 in A1, EOF.
open("t.xls", "wb").write(bytes.fromhex("0900040007001000" "02000900" "00000000" "000000" "2a00" "0a000000"))
json.dump({"a": [1, 2]}, open("t.json", "w")); json.dump({"cells": []}, open("t.ipynb", "w"))
json.dump({"type": "Point"}, open("t.geojson", "w"))
open("t.yaml", "w").write("a: [1, 2]\n"); open("t.yml", "w").write("a: 1\n---\nb: 2\n")
open("t.toml", "w").write("[a]\nb = 1\n")
np.save("t.npy", np.arange(3)); np.savez("t.npz", x=np.arange(3))
np.save("pickled.npy", np.array([{"a": 1}], dtype=object))
for name in ("t.db", "t.sqlite", "t.sqlite3"):
    base = sqlite3.connect(name); base.execute("pragma journal_mode=wal")
    base.execute("create table t(n)"); base.execute("insert into t values (7)"); base.commit(); base.close()
for name in ("t.png", "t.jpg", "t.jpeg", "t.gif", "t.bmp", "t.webp", "t.tif", "t.tiff", "t.ico"):
    Image.new("RGB", (16, 16), "red").save(name)
for name in ("t.txt", "t.md", "t.log", "t.sql", "t.py", "t.js", "t.html", "t.xml", "t.svg", "t.css", "t.c", "t.rs"):
    open(name, "w").write("wörds")
open("wide.txt", "w", encoding="utf-16").write("wörds"); open("bom.txt", "w", encoding="utf-8-sig").write("wörds")
open("cp1252.txt", "w", encoding="cp1252").write("wörds")
h5py.File("t.h5", "w").close(); h5py.File("t.hdf5", "w").close()
zipfile.ZipFile("t.zip", "w").close(); tarfile.open("t.tar.gz", "w:gz").close(); open("t.7z", "wb").write(b"7z")
soundfile.write("t.wav", np.zeros(10), 8000); open("t.mp3", "wb").write(b"ID3"); open("t.mp4", "wb").write(b"ftyp")
open("t.bin", "wb").write(b"\0\1"); open("t.pdf", "wb").write(b"%PDF-"); open("noextension", "wb").write(b"raw")
open("T.CSV", "w").write("n,s\n1,a\n"); open("a b ü.csv", "w").write("n,s\n1,a\n"); open("odd.code", "w").write("wörds")
"""

LOOK = r"""
import pandas, sqlite3
def describe(ref):
    try:
        value = load_file(ref)
    except Exception as failure:
        return f"raises {type(failure).__name__}"
    kind = type(value).__module__.split(".")[0] + "." + type(value).__name__
    if kind == "pandas.DataFrame":
        return f"DataFrame {value.shape[0]}x{value.shape[1]} {str(value.iloc[-1, -1])}"
    if kind == "pandas.ExcelFile":
        return f"ExcelFile {len(value.sheet_names)} sheets, A1 {pandas.read_excel(value, header=None).iat[0, 0]}"
    if kind == "sqlite3.Connection":
        rows = value.execute("select n from t").fetchall()
        try:
            value.execute("insert into t values (8)")
        except sqlite3.OperationalError as failure:
            return f"Connection {rows} {failure}"
    if kind.startswith("PIL"):
        return f"image {value.size} {value.convert('RGB').getpixel((8, 8))[0] > 240}"
    if kind == "numpy.ndarray":
        return f"array {value.tolist()}"
    if kind == "numpy.NpzFile":
        return f"arrays {value['x'].tolist()}"
    if isinstance(value, str) and value.startswith("/inputs/"):
        return "path " + str(value == get_file_path(ref))
    return repr(value)
import json
print(json.dumps({one["file_id"]: [describe(one["file_id"]), describe(one["filename"])] for one in list_files()}))
"""

TABLE, BOOK, TEXT = "DataFrame 3x2 ü", "ExcelFile 2 sheets, A1 n", "'wörds'"
BASE = "Connection [(7,)] attempt to write a readonly database"
EXPECTED = {
    **dict.fromkeys(("t.csv", "t.tsv", "t.tab", "latin.csv", "t.jsonl", "t.ndjson"), TABLE),
    **dict.fromkeys(("t.parquet", "t.feather", "t.dta", "t.sav"), TABLE),
    "t.xpt": "DataFrame 3x1 3.0",
    "t.sas7bdat": "raises ValueError",  # nothing writes this format: that the right reader refuses is what can be seen
    **dict.fromkeys(("t.xlsx", "t.ods"), BOOK),
    "t.xls": "ExcelFile 1 sheets, A1 42",
    "t.json": "{'a': [1, 2]}",
    "t.ipynb": "{'cells': []}",
    "t.geojson": "{'type': 'Point'}",
    "t.yaml": "{'a': [1, 2]}",
    "t.yml": "[{'a': 1}, {'b': 2}]",
    "t.toml": "{'a': {'b': 1}}",
    "t.npy": "array [0, 1, 2]",
    "t.npz": "arrays [0, 1, 2]",
    "pickled.npy": "raises ValueError",
    **dict.fromkeys(("t.db", "t.sqlite", "t.sqlite3"), BASE),
    **dict.fromkeys(
        ("t.png", "t.jpg", "t.jpeg", "t.gif", "t.bmp", "t.webp", "t.tif", "t.tiff", "t.ico"),
        "image (16, 16) True",
    ),
    **dict.fromkeys(
        ("t.txt", "t.md", "t.log", "t.sql", "t.py", "t.js", "t.html", "t.xml", "t.svg", "t.css"), TEXT
    ),
    **dict.fromkeys(("t.c", "t.rs", "wide.txt", "bom.txt", "cp1252.txt", "odd.code"), TEXT),
    **dict.fromkeys(("t.h5", "t.hdf5", "t.zip", "t.tar.gz", "t.7z", "t.wav", "t.mp3", "t.mp4"), "path True"),
    "t.bin": "b'\\x00\\x01'",
    "t.pdf": "b'%PDF-'",
    "noextension": "b'raw'",
    "T.CSV": "DataFrame 1x2 a",
    "a b ü.csv": "DataFrame 1x2 a",
}


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """Everything made in one container and looked at in another."""

    made: Ran
    looked: Ran
    seen: dict[str, list[str]]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    """Make a file of every kind in one container, stage each read-only by its id, load all in a second
    container."""
    folder = tmp_path_factory.mktemp("kinds")
    workspace, elsewhere, inputs = folder / "made", folder / "elsewhere", folder / "inputs"
    for path in (workspace, elsewhere, inputs):
        path.mkdir()
        path.chmod(0o777)
    made = run_in(Box(workspace=workspace), MAKE)
    records = []
    for number, path in enumerate(sorted(workspace.iterdir())):
        file_id = f"7_1700000000_{number:08x}"
        (inputs / file_id).mkdir()
        shutil.copyfile(path, inputs / file_id / path.name)
        kind = "code" if path.name == "odd.code" else "data"
        records.append(record(file_id, path.name, type=kind, created_at="2026-01-01T00:00:00Z"))
    looked = run_in(Box(workspace=elsewhere, inputs=inputs), LOOK, inputs=records)
    names = {str(one["file_id"]): str(one["filename"]) for one in records}
    seen = {names[key]: value for key, value in json.loads(looked.out or "{}").items()}
    return Loaded(made=made, looked=looked, seen=seen)


def test_every_fixture_was_made_and_looked_at(loaded: Loaded) -> None:
    """Both containers end well, and the table below names exactly the files that were made."""
    assert (loaded.made.code, loaded.made.err) == (0, "")
    assert (loaded.looked.code, loaded.looked.err) == (0, "")
    assert set(loaded.seen) == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_kind_loads_as_documented_by_id_and_by_name(loaded: Loaded, name: str) -> None:
    """load_file gives what the design says for this kind, whether the id or the name is asked for."""
    assert loaded.seen[name] == [EXPECTED[name]] * 2


@pytest.fixture
def staged(tmp_path: Path, box: Box) -> Box:
    """Two versions of one name and one file in a subdirectory."""
    inputs = tmp_path / "inputs"
    for file_id, name, content in (
        ("1_1_a", "d.txt", "old"),
        ("1_2_b", "d.txt", "new"),
        ("1_3_c", "r.txt", "sub"),
    ):
        (inputs / file_id).mkdir(parents=True)
        (inputs / file_id / name).write_text(content)
    return Box(workspace=box.workspace, inputs=inputs)


RECORDS = [
    record("1_2_b", "d.txt", created_at="2026-01-02T00:00:00Z"),
    record("1_1_a", "d.txt", created_at="2026-01-01T00:00:00Z"),
    record("1_3_c", "r.txt", created_at="2026-01-01T00:00:00Z", path="out/r.txt"),
]


def test_how_a_reference_is_resolved(staged: Box) -> None:
    """An id comes first, then a name (the newest wins), then the path it was made under, then a path on
    disk."""
    code = (
        "open('here.txt', 'w').write('local')\n"
        "[load_file(r) for r in ('1_1_a', 'd.txt', 'out/r.txt', 'here.txt', '/workspace/here.txt')]"
    )
    ran = run_in(staged, code, inputs=RECORDS)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == "['old', 'new', 'sub', 'local', 'local']\n"


def test_helpers_need_no_import_and_cannot_spoil_each_other(staged: Box) -> None:
    """The helpers are builtins also in functions and modules, and what list_files gives is the code's own
    copy."""
    code = (
        "open('m.py', 'w').write('def f():\\n    return get_file_path(\"d.txt\")\\n')\n"
        "import m\nlist_files()[0].clear()\n"
        "print(m.f(), len(list_files()), sorted(list_files()[0]))\nload_file.__doc__ is None"
    )
    ran = run_in(staged, code, inputs=RECORDS)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == ("/inputs/1_2_b/d.txt 3 ['created_at', 'file_id', 'filename', 'path', 'type']\nFalse\n")


@pytest.mark.parametrize(
    "ref", ["gone.csv", "2_9_foreign", "", "../1_1_a/d.txt", "1_1_a/d.txt", "/inputs", "a\0b"]
)
@pytest.mark.parametrize("helper", ["load_file", "get_file_path"])
def test_what_is_not_there_is_not_found_and_the_available_is_named(
    tmp_path: Path, helper: str, ref: str
) -> None:
    """Unknown, expired and foreign references raise the documented error with what may be loaded instead."""
    ran = run_here(f"{helper}({ref!r})", cwd=tmp_path, inputs=RECORDS)
    assert ran.code == 1
    last = ran.err.rstrip().splitlines()[-1]
    assert last == (
        f"FileNotFoundError: File not found or expired: {ref!r}. "
        "Available: d.txt (1_2_b), d.txt (1_1_a), r.txt (1_3_c)."
    )


def test_a_long_list_of_the_available_is_cut(tmp_path: Path) -> None:
    """The error stays readable when there are many files."""
    many = [record(f"1_1_{number}", f"{number}.txt") for number in range(50)]
    ran = run_here("load_file('x')", cwd=tmp_path, inputs=many)
    assert ran.err.rstrip().endswith("19.txt (1_1_19), and 30 more.")
