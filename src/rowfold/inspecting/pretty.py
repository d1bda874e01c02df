"""Text in colours, where rich is installed and somebody looks at a terminal."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.text import Text

_STYLES = {
    r"^(?:price|walks|rejected|what would change it):": "bold",
    r"^\S+: \S+,": "bold green",  # the kernel and its strategy
    r"^  (?:sweep \d+|[a-z_]+):": "cyan",
    r"(?<![\w.])\d+(?:\.\d+)?(?: ns| bytes?)": "magenta",
}


def styled(text: str) -> Text:
    """An explanation as rich's text; its characters stay the same."""
    from rich.text import Text

    made = Text(text, no_wrap=True)
    for pattern, style in _STYLES.items():
        made.highlight_regex(f"(?m){pattern}", style)
    return made


def show(text: str) -> None:
    """Prints an explanation, in colours if a terminal shows it and rich is there to draw them."""
    if not (sys.stdout.isatty() and find_spec("rich")):
        sys.stdout.write(text + "\n")
        return
    from rich.console import Console

    Console(soft_wrap=True).print(styled(text))
