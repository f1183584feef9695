"""The published OpenAPI document that scripts rely on; `python -m tests.support.openapi_snapshot` updates it."""

import json
from pathlib import Path
from typing import Any

from bookshop import create_app
from bookshop.web.openapi import document
from tests.support.settings import settings_for

SNAPSHOT = Path(__file__).with_name("openapi-v1.json")
WORDS = {"description", "summary", "example", "examples", "tags", "title", "links", "info"}


def published() -> Any:
    return json.loads(SNAPSHOT.read_text(encoding="utf-8"))


def without_words(value: Any, *, named: bool = False) -> Any:
    """Remove all text for people; with `named` the keys are names of members or components and are kept."""
    if isinstance(value, list):
        return [without_words(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        name: without_words(member, named=name in {"properties", "schemas", "headers", "responses"} and not named)
        for name, member in value.items()
        if named or name not in WORDS
    }


def write() -> None:
    app = create_app(settings_for("sqlite:////nowhere/shop.db"))
    with app.app_context():
        contract = without_words(document())
    SNAPSHOT.write_text(_formatted(contract, 3) + "\n", encoding="utf-8")


def _formatted(value: Any, levels: int) -> str:
    """Format JSON with one line per operation and per schema."""
    if levels == 0 or not isinstance(value, dict):
        return json.dumps(value, sort_keys=True)
    return (
        "{\n"
        + ",\n".join(f"{json.dumps(name)}: {_formatted(value[name], levels - 1)}" for name in sorted(value))
        + "\n}"
    )


if __name__ == "__main__":
    write()
