"""The commands of the documents, so that what is proved is what people type."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BLOCK = r"<!-- prove: {} -->\n+```\w*\n(.*?)^```"


def commands(document: str, name: str, replaced: dict[str, str]) -> str:
    """Return the block of commands below `<!-- prove: NAME -->`, with its placeholders replaced.

    Raises LookupError if the block is missing.
    """
    text = (ROOT / "docs" / document).read_text(encoding="utf-8")
    found = re.search(BLOCK.format(re.escape(name)), text, re.DOTALL | re.MULTILINE)
    if found is None:
        raise LookupError(f"docs/{document} has no block of commands below <!-- prove: {name} -->")
    block = found[1]
    for placeholder, value in replaced.items():
        block = block.replace(placeholder, value)
    return block
