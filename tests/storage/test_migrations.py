"""Every step of the schema, up and down, over an index that has rows in it."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

import migrations
from orchestrator.storage.database import HEAD, Database, upgrade
from orchestrator.storage.executions import SqlExecutions
from orchestrator.storage.tables import metadata
from tests.storage.moved_clock import MovedClock

REVISIONS = ("0001", "0002", "0003", "0004", "0005")
TABLES_OF = {
    "0001": {"owners", "executions", "execution_inputs", "files", "sweeps"},
    "0002": {"owners", "executions", "execution_inputs", "files", "sweeps"},
    "0003": {"owners", "executions", "execution_inputs", "files", "sweeps", "attestations"},
    "0004": {"owners", "executions", "execution_inputs", "files", "sweeps", "attestations"},
    "0005": {"owners", "executions", "execution_inputs", "files", "sweeps", "attestations"},
}
MOMENT = "2026-03-01 12:00:00.000000"
ROWS = (
    f"INSERT INTO owners (id, uid, created_at) VALUES ('ann', 700000, '{MOMENT}')",
    (
        "INSERT INTO executions (execution_id, owner, state, code, created_at)"
        f" VALUES ('e1', 'ann', 'QUEUED', 'print(1)', '{MOMENT}')"
    ),
    "INSERT INTO execution_inputs VALUES ('e1', 'f1', 0, 'aa')",
    (
        "INSERT INTO files (file_id, owner, execution_id, filename, path, type, media_type, size, sha256,"
        " created_at, workspace_path)"
        f" VALUES ('f1', 'ann', 'e1', 'a.csv', 'a.csv', 'data', 'text/csv', 3, 'aa', '{MOMENT}', x'ff61')"
    ),
    f"INSERT INTO sweeps (started_at, duration, report) VALUES ('{MOMENT}', 0.5, '{{}}')",
)


def _migrate(path: Path, revision: str, *, down: bool = False) -> None:
    """Bring the index at `path` up or down to `revision`, as opening it would."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    engine = sa.create_engine(f"sqlite:///{path}", poolclass=sa.pool.NullPool)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        (command.downgrade if down else command.upgrade)(config, revision)
    engine.dispose()


def _ask(path: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def _fill(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for statement in ROWS:
            connection.execute(statement)
        connection.commit()


def _shape(path: Path) -> dict[str, Any]:
    """Columns, indexes and foreign keys of every table but Alembic's own."""
    engine = sa.create_engine(f"sqlite:///{path}", poolclass=sa.pool.NullPool)
    looking = sa.inspect(engine)
    shape = {
        name: (
            sorted((one["name"], str(one["type"]), one["nullable"]) for one in looking.get_columns(name)),
            sorted((str(one["name"]), tuple(one["column_names"])) for one in looking.get_indexes(name)),
            sorted(
                (tuple(one["constrained_columns"]), one["referred_table"], str(one["options"]))
                for one in looking.get_foreign_keys(name)
            ),
        )
        for name in looking.get_table_names()
        if name != "alembic_version"
    }
    engine.dispose()
    return shape


def test_the_steps_are_one_line_without_a_fork() -> None:
    """Every revision has one step before it, and the last one is what opening looks for."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    script = ScriptDirectory.from_config(config)
    assert tuple(reversed([one.revision for one in script.walk_revisions()])) == REVISIONS
    assert script.get_heads() == [HEAD]


@pytest.mark.parametrize("revision", REVISIONS)
def test_each_revision_has_its_tables(tmp_path: Path, revision: str) -> None:
    """A step makes what its own time knew, whatever the code of today has."""
    path = tmp_path / "index.sqlite3"
    _migrate(path, revision)
    assert set(_shape(path)) == TABLES_OF[revision]
    assert _ask(path, "SELECT version_num FROM alembic_version") == [(revision,)]


@pytest.mark.parametrize("revision", REVISIONS)
def test_rows_of_any_revision_survive_the_way_up(tmp_path: Path, revision: str) -> None:
    """Opening an older index brings it to head with every row as it was, byte for byte."""
    path = tmp_path / "index.sqlite3"
    _migrate(path, revision)
    _fill(path)
    assert upgrade(path) is (revision != HEAD)
    assert _ask(path, "SELECT version_num FROM alembic_version") == [(HEAD,)]
    assert _ask(path, "SELECT id, uid FROM owners") == [("ann", 700000)]
    assert _ask(path, "SELECT execution_id, code, kill_reason FROM executions") == [("e1", "print(1)", None)]
    assert _ask(path, "SELECT file_id, workspace_path FROM files") == [("f1", b"\xffa")]
    assert _ask(path, "SELECT * FROM execution_inputs") == [("e1", "f1", 0, "aa")]
    assert _ask(path, "SELECT count(*) FROM sweeps") == [(1,)]
    assert _ask(path, "PRAGMA foreign_key_check") == []


@pytest.mark.parametrize("revision", REVISIONS)
def test_an_index_brought_up_is_like_one_made_today(tmp_path: Path, revision: str) -> None:
    """From wherever it starts, the schema ends as the tables of the code."""
    old, new = tmp_path / "old.sqlite3", tmp_path / "new.sqlite3"
    _migrate(old, revision)
    upgrade(old)
    engine = sa.create_engine(f"sqlite:///{new}", poolclass=sa.pool.NullPool)
    metadata.create_all(engine)
    engine.dispose()
    assert _shape(old) == _shape(new)


@pytest.mark.parametrize(("above", "below"), [("0003", "0002"), ("0002", "0001")])
def test_a_step_down_keeps_what_the_step_below_knew(tmp_path: Path, above: str, below: str) -> None:
    """The rows of the older tables are still there, and the schema is that of the older revision."""
    path, other = tmp_path / "index.sqlite3", tmp_path / "other.sqlite3"
    _migrate(path, above)
    _fill(path)
    _migrate(path, below, down=True)
    _migrate(other, below)
    assert {name: shape[0] for name, shape in _shape(path).items()} == {
        name: shape[0] for name, shape in _shape(other).items()
    }
    assert _ask(path, "SELECT execution_id, owner FROM executions") == [("e1", "ann")]
    assert _ask(path, "SELECT file_id FROM files") == [("f1",)]
    assert upgrade(path) is True
    assert _ask(path, "SELECT execution_id, kill_reason FROM executions") == [("e1", None)]


def test_all_the_way_down_leaves_nothing(tmp_path: Path) -> None:
    """Before the first step there is no table, and the way up from there is open again."""
    path = tmp_path / "index.sqlite3"
    upgrade(path)
    _fill(path)
    _migrate(path, "base", down=True)
    assert _shape(path) == {}
    upgrade(path)
    assert set(_shape(path)) == TABLES_OF[HEAD]


async def test_an_execution_of_the_first_revision_is_read_today(tmp_path: Path, clock: MovedClock) -> None:
    """The code reads rows that were written before its newest columns were thought of."""
    path = tmp_path / "index.sqlite3"
    _migrate(path, "0001")
    _fill(path)
    database = await Database.open(path)
    try:
        row = await SqlExecutions(database, clock).get("e1")
    finally:
        await database.close()
    assert (row.owner, row.code, row.input_file_ids, row.result) == ("ann", "print(1)", ("f1",), None)


def test_a_step_that_fails_leaves_the_index_as_it_was(tmp_path: Path) -> None:
    """A step happens whole or not at all: the older revision goes on working."""
    path = tmp_path / "index.sqlite3"
    _migrate(path, "0002")
    _fill(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE ix_attestations_circumstances (id)")
    before = _shape(path)
    with pytest.raises(sa.exc.OperationalError):
        upgrade(path)
    assert _shape(path) == before
    assert _ask(path, "SELECT version_num FROM alembic_version") == [("0002",)]
