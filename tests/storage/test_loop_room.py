"""What was written into an image and has not reached the disk below it is taken all the same."""

import asyncio
import os
from pathlib import Path

from orchestrator.domain.limits import GIB, MIB, Limits
from orchestrator.storage.loop import LoopImages
from tests.storage.world import open_store

PROMISED = 768 * MIB


async def test_room_that_an_image_was_promised_is_not_free(tmp_path: Path) -> None:
    """Reserved in the image and a hole below it: without this, a disk could be short and nobody ended."""
    root = tmp_path / "data"
    root.mkdir(mode=0o700)
    images = LoopImages(root / "images", root / "workspaces", Limits(), makes_new=True)
    async with open_store(root, images) as store:
        workspace = await store.workspace("alice")
        await store.workspace("bob")
        assert await asyncio.to_thread(images.pending) < 32 * MIB
        with (workspace / "reserved").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, PROMISED)
        pending = await asyncio.to_thread(images.pending)
        below = (root / "images" / "alice.ext4").stat().st_blocks * 512
        assert PROMISED <= pending + below < GIB
        # Other programs use this disk as well, but hardly half of that between two system calls.
        room, free = await store.workspaces.room(), os.statvfs(root)
        assert room.bytes < free.f_bavail * free.f_frsize - PROMISED // 2
        (workspace / "reserved").unlink()
        assert await asyncio.to_thread(images.pending) < 32 * MIB
    assert await asyncio.to_thread(images.pending) == 0
