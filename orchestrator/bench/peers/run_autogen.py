"""AutoGen's DockerCommandLineCodeExecutor, from `start` to the output of one code block.

It has no option for the network, so networking is disabled beneath it: the same isolation, and a faster start.
It runs as root with the default capabilities and without bounds.
"""

import asyncio
import contextlib
import sys
import tempfile
import time
from functools import partialmethod

from autogen_core import CancellationToken
from autogen_core.code_executor import CodeBlock
from autogen_ext.code_executors.docker import DockerCommandLineCodeExecutor
from docker.models.containers import ContainerCollection
from serve import serve

IMAGE = sys.argv[1]
create = ContainerCollection.create
ContainerCollection.create = partialmethod(create, network_mode="none", network_disabled=True)
loop = asyncio.new_event_loop()
kept = []


async def execute(executor, code):
    block = CodeBlock(code=code, language="python")
    result = await executor.execute_code_blocks([block], CancellationToken())
    return result.output.replace("\r\n", "\n")


async def one(code, *, whole):
    with tempfile.TemporaryDirectory() as directory:
        began = time.perf_counter()
        executor = DockerCommandLineCodeExecutor(image=IMAGE, work_dir=directory)
        await executor.start()
        try:
            output = await execute(executor, code)
            answered = time.perf_counter()
        finally:
            if not whole:  # its own stop waits ten seconds for a shell that ignores the signal
                with contextlib.suppress(Exception):
                    await asyncio.to_thread(executor._container.remove, force=True)
            await executor.stop()
        return (time.perf_counter() if whole else answered) - began, output


async def in_kept(code):
    if not kept:
        kept.append(DockerCommandLineCodeExecutor(image=IMAGE, work_dir=tempfile.mkdtemp()))
        await kept[0].start()
    began = time.perf_counter()
    output = await execute(kept[0], code)
    return time.perf_counter() - began, output


try:
    serve(
        "autogen-ext",
        {
            "answer": lambda code: loop.run_until_complete(one(code, whole=False)),
            "whole": lambda code: loop.run_until_complete(one(code, whole=True)),
            "kept": lambda code: loop.run_until_complete(in_kept(code)),
        },
    )
finally:
    for executor in kept:
        with contextlib.suppress(Exception):
            executor._container.remove(force=True)
