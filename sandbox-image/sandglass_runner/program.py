"""Run the user's code as `__main__`: shown like a notebook's cell, failing like a script."""

import _ast
import builtins
import sys

from sandglass_runner import hooks

TYPE_CHECKING = False
if TYPE_CHECKING:  # what only a type checker reads is not worth its import at every start
    from types import CodeType, ModuleType, TracebackType

NAME = "<sandglass>"  # the file name in tracebacks
COROUTINE = 0x80  # inspect.CO_COROUTINE, whose import would cost more than the whole runner
INTERRUPTED = 130
OURS = __file__.rpartition("/")[0]


def run(source: str) -> object:
    """Run `source` in a fresh `__main__`; return what `sys.exit` is to be called with (None for success)."""
    module = type(sys)("__main__")
    module.__dict__["__builtins__"] = builtins
    sys.modules["__main__"] = module
    hooks.after_import("linecache", lambda cache: remember_source(cache, source))
    try:
        body, last = compile_cell(source)
        execute(body, last, module.__dict__)
    except SystemExit as leaving:
        return leaving.code
    except KeyboardInterrupt as failure:
        show_failure(failure)
        return INTERRUPTED
    # Whatever the code raised is its result, also what is no Exception: it is shown, and the exit code is 1.
    except BaseException as failure:
        show_failure(failure)
        return 1
    return None


def compile_cell(source: str) -> "tuple[CodeType, CodeType | None]":
    """Compile everything, and a last expression that is to be shown apart from the rest."""
    allowed = _ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    tree = compile(source, NAME, "exec", _ast.PyCF_ONLY_AST | allowed, dont_inherit=True)
    last = tree.body[-1] if tree.body else None
    if not isinstance(last, _ast.Expr) or is_hushed(source, last):
        return compile(tree, NAME, "exec", allowed, dont_inherit=True), None
    tree.body.pop()
    shown = _ast.Expression(last.value)
    return (
        compile(tree, NAME, "exec", allowed, dont_inherit=True),
        compile(shown, NAME, "eval", allowed, dont_inherit=True),
    )


def is_hushed(source: str, last: _ast.Expr) -> bool:
    """Tell whether the last expression ends in a semicolon, which hides its value as in a notebook."""
    lines = source.encode("utf-8", "surrogatepass").splitlines()
    if last.end_lineno is None or last.end_col_offset is None or last.end_lineno > len(lines):
        return False
    rest = lines[last.end_lineno - 1][last.end_col_offset :]
    return rest.partition(b"#")[0].rstrip().endswith(b";")


def execute(body: "CodeType", last: "CodeType | None", namespace: dict[str, object]) -> None:
    """Run both parts, in one event loop when either awaits at the top level, and show the last value."""
    if not (body.co_flags | (last.co_flags if last else 0)) & COROUTINE:
        exec(body, namespace)
        if last:
            display(eval(last, namespace))
        return
    import asyncio

    with asyncio.Runner() as loop:
        for part in (body, last):
            value = eval(part, namespace) if part else None
            if part and part.co_flags & COROUTINE:
                value = loop.run(value)  # type: ignore[arg-type]
            if part is last:
                display(value)


def display(value: object) -> None:
    """Show the last value as a notebook would, in text; an open figure is saved instead."""
    if value is None or is_figure(value):
        return
    builtins._ = value  # type: ignore[attr-defined]
    print(repr(value))


def is_figure(value: object) -> bool:
    """Tell whether `value` is a matplotlib figure, without importing matplotlib."""
    matplotlib = sys.modules.get("matplotlib.figure")
    return matplotlib is not None and isinstance(value, matplotlib.FigureBase)


def show_failure(failure: BaseException) -> None:
    """Print the failure as Python does, beginning with the user's own line."""
    failure.__traceback__ = users_part(failure.__traceback__)
    sys.excepthook(type(failure), failure, failure.__traceback__)


def users_part(trace: "TracebackType | None") -> "TracebackType | None":
    """Drop the frames above the user's first one, and those of our helpers below it."""
    while trace is not None and trace.tb_frame.f_code.co_filename != NAME:
        trace = trace.tb_next
    frame = trace
    while frame is not None:
        while frame.tb_next is not None and frame.tb_next.tb_frame.f_code.co_filename.startswith(OURS):
            frame.tb_next = frame.tb_next.tb_next
        frame = frame.tb_next
    return trace


def remember_source(linecache: "ModuleType", source: str) -> None:
    """Let tracebacks, warnings and `inspect.getsource` find the lines of the code."""
    lines = source.splitlines(keepends=True)
    linecache.cache[NAME] = (len(source), None, lines, NAME)
