"""Where Discord's published OpenAPI document lies when it is there: beside the repository."""

from pathlib import Path

DOCUMENT = Path(__file__).resolve().parents[3] / "shared" / "discord-openapi.json"
