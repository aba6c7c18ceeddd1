"""What is known of the sandbox image: its digest and its labels, read from the engine without starting it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.domain.sandbox import (
    IMAGE_LABEL_CONTRACT,
    IMAGE_LABEL_LOCK,
    IMAGE_LABEL_PACKAGES,
    RUNNER_CONTRACT,
    ImageInfo,
)
from orchestrator.errors import ImageMismatch, ImageMissing


@dataclass(frozen=True, kw_only=True, slots=True)
class PinnedImage:
    """An image by digest, with the `Config` that its containers must show."""

    info: ImageInfo
    config: Mapping[str, Any]


def pin(client: Any, name: str) -> PinnedImage:
    """Ask the engine about `name`, a tag or a digest; it is never pulled."""
    from docker.errors import ImageNotFound, NotFound

    try:
        inspected = client.inspect_image(name)
    except (ImageNotFound, NotFound) as error:
        raise ImageMissing(
            f"The engine has no image {name}: build it with `make image`, or correct SANDGLASS_IMAGE."
        ) from error
    config = inspected.get("Config") or {}
    labels = config.get("Labels") or {}
    contract = labels.get(IMAGE_LABEL_CONTRACT)
    if contract != str(RUNNER_CONTRACT):
        raise ImageMismatch(
            f"The image {name} speaks runner contract {contract or 'none'}, and {RUNNER_CONTRACT} is wanted: "
            "rebuild it with `make image-rebuild`."
        )
    info = ImageInfo(
        digest=inspected["Id"],
        contract=RUNNER_CONTRACT,
        lock=labels.get(IMAGE_LABEL_LOCK, ""),
        packages=_packages(name, labels.get(IMAGE_LABEL_PACKAGES, "[]")),
        created_at=inspected.get("Created", ""),
        size=int(inspected.get("Size", 0)),
    )
    return PinnedImage(info=info, config=config)


def _packages(name: str, label: str) -> tuple[Mapping[str, object], ...]:
    try:
        packages = json.loads(label)
    except ValueError as error:
        raise ImageMismatch(
            f"The image {name} lists its packages illegibly: rebuild it with `make image-rebuild`."
        ) from error
    if not isinstance(packages, list) or not all(isinstance(package, dict) for package in packages):
        raise ImageMismatch(f"The image {name} lists no packages: rebuild it with `make image-rebuild`.")
    return tuple(packages)
