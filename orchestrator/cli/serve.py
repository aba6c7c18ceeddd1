"""`sandglass serve`: the HTTP service in this process, until it is told to stop."""

from pathlib import Path

from orchestrator.cli import errors, show
from orchestrator.cli.session import log_to_stderr, wait_for


def serve(host: str, port: int, path: Path | None) -> int:
    """Attack this host, then serve; SIGTERM and SIGINT end it with 0."""
    from orchestrator import Settings
    from orchestrator.http.serve import serve as serve_http

    log_to_stderr()
    wait_for(serve_http(Settings.load(), host=host, port=port, path=path, ready=_say))
    return errors.DONE


def _say(address: str) -> None:
    console = show.console()
    console.print(show.cell(f"Serving on {address}"), soft_wrap=True)
    console.file.flush()
