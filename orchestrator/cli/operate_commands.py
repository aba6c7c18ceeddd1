"""The arguments of the operator's commands, added to the command line by `add_to`."""

from typing import Annotated

import typer

from orchestrator.cli.options import Json, group

Execution = Annotated[str, typer.Argument(metavar="ID", help="Its id, or an unambiguous beginning.")]

users = group("Whose workspaces there are.")


def add_to(app: typer.Typer, executions: typer.Typer) -> None:
    """Register everything here."""
    app.add_typer(users, name="users")
    app.command("ps")(_ps)
    app.command("inspect")(_inspect)
    app.command("logs")(_logs)
    app.command("kill")(_kill)
    app.command("stats")(_stats)
    executions.command("replay")(_replay)


def _ps(
    dead: Annotated[bool, typer.Option("-a", "--all", help="Dead containers too.")] = False,
    json: Json = False,
) -> int:
    """Show what runs and what waits."""
    from orchestrator.cli.operate import ps

    return ps(dead=dead, as_json=json)


def _inspect(execution_id: Execution, json: Json = False) -> int:
    """Show a container's lockdown as the engine has it, beside the one asked for; exit 3 if they differ."""
    from orchestrator.cli.operate import inspect

    return inspect(execution_id, as_json=json)


def _logs(
    execution_id: Execution,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="As it comes, until it ends.")] = False,
    json: Json = False,
) -> int:
    """Show the output that was kept of an execution, or follow one that is under way."""
    from orchestrator.cli.follow import follow as follow_it
    from orchestrator.cli.follow import is_under_way
    from orchestrator.cli.operate import logs

    if follow and not json and is_under_way(execution_id):
        return follow_it(execution_id)
    return logs(execution_id, as_json=json)


def _kill(execution_id: Execution, json: Json = False) -> int:
    """End an execution, whichever process runs it; its output and files are kept."""
    from orchestrator.cli.operate import kill

    return kill(execution_id, as_json=json)


def _stats(json: Json = False) -> int:
    """Show cpu, memory and processes of every running sandbox."""
    from orchestrator.cli.operate import stats

    return stats(as_json=json)


def _replay(execution_id: Execution, json: Json = False) -> int:
    """Run an execution again, with its code, its inputs by hash and the image of now; say what differs."""
    from orchestrator.cli.operate import replay

    return replay(execution_id, as_json=json)


@users.command("ls")
def _users_ls(json: Json = False) -> int:
    """List owners with what they use."""
    from orchestrator.cli.operate import users_ls

    return users_ls(as_json=json)


@users.command("show")
def _users_show(
    owner: Annotated[str, typer.Argument(metavar="ID", help="The owner.")], json: Json = False
) -> int:
    """Show one owner's figures."""
    from orchestrator.cli.operate import users_show

    return users_show(owner, as_json=json)


@users.command("erase")
def _users_erase(
    owner: Annotated[str, typer.Argument(metavar="ID", help="The owner.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: Json = False,
) -> int:
    """Forget an owner: files, workspace, code and output; exit 2 if a running program keeps some of it."""
    from orchestrator.cli.erase import users_erase

    return users_erase(owner, is_sure=yes, as_json=json)
