"""The `sandglass` command: its arguments and nothing else. Work is imported when its command is called."""

import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from orchestrator.cli import errors
from orchestrator.cli.files_commands import files
from orchestrator.cli.operate_commands import add_to
from orchestrator.cli.options import DryRun, Json, Owner, group
from orchestrator.cli.session import DEFAULT_OWNER

app = group(
    "Run untrusted Python, one locked-down container per execution, and get every file back.\n\n"
    "Exit codes: 0 done, 1 the program failed, 2 the request was refused, 3 a fault of ours or the engine's."
)
executions = group("What was run.")
image = group("The image that code runs in.")
db = group("The index.")
app.add_typer(files, name="files")
app.add_typer(executions, name="executions")
app.add_typer(image, name="image")
app.add_typer(db, name="db")
add_to(app, executions)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"sandglass {version('sandglass')}")
        raise typer.Exit


@app.callback()
def _sandglass(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Hold the options that come before any command."""


@app.command("run")
def _run(  # typer passes options by name
    script: Annotated[str | None, typer.Argument(metavar="[SCRIPT|-]", help="A script; - is stdin.")] = None,
    code: Annotated[str | None, typer.Option("-c", metavar="CODE", help="The code itself.")] = None,
    owner: Owner = DEFAULT_OWNER,
    file: Annotated[
        list[str] | None,
        typer.Option("--file", metavar="REF", help="A stored file to be visible; default: all."),
    ] = None,
    upload: Annotated[
        list[Path] | None,
        typer.Option("--upload", metavar="PATH", help="A file to store first, visible too."),
    ] = None,
    timeout: Annotated[float | None, typer.Option("--timeout", metavar="S", help="Wall seconds.")] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Copy the files that it makes to here."),
    ] = None,
    json: Json = False,
) -> int:
    """Run Python in a fresh container; its output comes as it is printed, its files are stored."""
    from orchestrator.cli.run import RunArguments, run

    return run(
        RunArguments(
            script=script,
            code=code,
            owner=owner,
            files=file or (),
            uploads=upload or (),
            timeout=timeout,
            out=out,
            as_json=json,
        )
    )


@executions.command("ls")
def _executions_ls(
    owner: Annotated[str | None, typer.Option("--owner", metavar="ID", help="Only this owner's.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000)] = 50,
    json: Json = False,
) -> int:
    """List executions, newest first."""
    from orchestrator.cli.executions import ls

    return ls(owner, limit, as_json=json)


@executions.command("show")
def _executions_show(
    execution_id: Annotated[str, typer.Argument(metavar="ID", help="Its id, or an unambiguous beginning.")],
    json: Json = False,
) -> int:
    """Show one execution: its code, its output, its files."""
    from orchestrator.cli.executions import show_one

    return show_one(execution_id, as_json=json)


@app.command("status")
def _status(json: Json = False) -> int:
    """Show the figures of this installation."""
    from orchestrator.cli.upkeep import status

    return status(as_json=json)


@app.command("sweep")
def _sweep(dry_run: DryRun = False, json: Json = False) -> int:
    """Delete what has expired, and reconcile the index with the disk."""
    from orchestrator.cli.upkeep import sweep

    return sweep(dry_run=dry_run, as_json=json)


@app.command("reap")
def _reap(dry_run: DryRun = False, json: Json = False) -> int:
    """End lost executions, and remove containers that nobody needs."""
    from orchestrator.cli.upkeep import reap

    return reap(dry_run=dry_run, as_json=json)


@db.command("upgrade")
def _db_upgrade(json: Json = False) -> int:
    """Bring the index to the newest schema."""
    from orchestrator.cli.upkeep import db_upgrade

    return db_upgrade(as_json=json)


@image.command("ls")
def _image_ls(json: Json = False) -> int:
    """Show the pinned image and its packages."""
    from orchestrator.cli.image import ls

    return ls(as_json=json)


@image.command("verify")
def _image_verify(json: Json = False) -> int:
    """Import every package of the image, and draw, under the full lockdown."""
    from orchestrator.cli.image import verify

    return verify(as_json=json)


@image.command("promote")
def _image_promote(json: Json = False) -> int:
    """Verify the image tagged candidate, then let executions use it; the one of now is kept as previous."""
    from orchestrator.cli.promote import promote

    return promote(as_json=json)


@image.command("rollback")
def _image_rollback(json: Json = False) -> int:
    """Go back to the image tagged previous; the one of now becomes the candidate again."""
    from orchestrator.cli.promote import rollback

    return rollback(as_json=json)


@app.command("doctor")
def _doctor(json: Json = False) -> int:
    """Check everything that Sandglass stands on, with the remedy of what is broken."""
    from orchestrator.cli.doctor import doctor

    return doctor(as_json=json)


@app.command("bench")
def _bench(
    runs: Annotated[
        int | None,
        typer.Option("--runs", min=3, max=1000, help="Repetitions of each figure; 30, or 9 with --check."),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="SCENARIO", help="This scenario alone; repeatable.")
    ] = None,
    peers: Annotated[
        bool, typer.Option("--peers", help="Beside llm-sandbox, AutoGen and epicbox; fetches them.")
    ] = False,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE", help="Draw the figures as a PNG, in a sandbox.")
    ] = None,
    markdown: Annotated[
        Path | None,
        typer.Option("--markdown", metavar="FILE", help="Write the tables there, between its marks if any."),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Exit 3 where a ratio is clearly worse than the committed one.")
    ] = False,
    json: Json = False,
) -> int:
    """Measure speed on this machine, as ratios to plain `docker run`, the bare engine and others."""
    from orchestrator.cli.bench import bench

    return bench(
        runs=runs, only=only or (), peers=peers, plot=plot, markdown=markdown, check=check, as_json=json
    )


@app.command("serve")
def _serve(
    host: Annotated[str, typer.Option("--host", help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0: any that is free.")] = 8730,
    socket: Annotated[
        Path | None,
        typer.Option("--socket", metavar="PATH", help="A unix socket, for this user alone, in their place."),
    ] = None,
) -> int:
    """Serve the whole interface over HTTP, and signed links; needs SANDGLASS_HTTP_TOKEN or --socket."""
    from orchestrator.cli.serve import serve

    return serve(host, port, socket)


@app.command("demo")
def _demo(
    keep: Annotated[
        Path | None, typer.Option("--keep", metavar="DIR", help="Work in this directory and leave it behind.")
    ] = None,
) -> int:
    """Watch files be made, loaded again, exported and expire; fails if anything is not as promised."""
    from orchestrator.cli.demo import demo

    return demo(keep)


def main() -> NoReturn:
    """Run the command line and exit with its code."""
    sys.exit(_main(sys.argv[1:]))


def _main(arguments: list[str]) -> int:
    from orchestrator.errors import SandglassError

    as_json = "--json" in arguments
    try:
        code = app(arguments, prog_name="sandglass", standalone_mode=False)
    except SandglassError as error:
        return errors.report(str(error), error.exit_code, as_json=as_json)
    except (typer.TyperException, typer.Abort) as error:
        return errors.report(_complaint(error), errors.REFUSED, as_json=as_json)
    except BrokenPipeError:
        return _nobody_reads()
    except Exception as error:  # noqa: BLE001  # the last stop: whatever nobody foresaw still leaves as one sentence
        return errors.report(errors.defect(error), errors.FAULT, as_json=as_json)
    if code not in (None, errors.DONE, errors.PROGRAM_FAILED, errors.REFUSED, errors.FAULT):
        return errors.report("Interrupted.", errors.PROGRAM_FAILED, as_json=as_json)
    return code or errors.DONE


def _complaint(error: Exception) -> str:
    context = getattr(error, "ctx", None)
    message = error.format_message() if isinstance(error, typer.TyperException) else "Interrupted"
    return errors.usage(message, context.command_path if context else "sandglass")


def _nobody_reads() -> int:
    import os

    # The interpreter flushes stdout once more as it ends; there is nobody to complain to.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return errors.PROGRAM_FAILED


if __name__ == "__main__":
    main()
