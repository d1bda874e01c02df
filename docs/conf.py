"""Sphinx: `sphinx-build -W docs OUTPUT`."""

import inspect
from importlib.metadata import version as installed

from rowfold import library

project = "rowfold"
author = "The rowfold authors"
release = version = installed("rowfold")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"rowfold {release}"
autodoc_typehints = "none"
autodoc_member_order = "bysource"
nitpicky = False


def kernels() -> str:
    """A section for each ready-made kernel: its signature and its docstring."""
    made = [(name, getattr(library, name)) for name in sorted(library.__all__)]
    return "\n\n".join(f"### {name}\n\n```text\n{k!r}\n\n{inspect.getdoc(k)}\n```" for name, k in made)


def fill(app: object, page: str, source: list[str]) -> None:
    """Put the kernels where the reference leaves their place."""
    if page == "reference":
        source[0] = source[0].replace("LIBRARY\n", kernels() + "\n")


def setup(app: object) -> None:
    """Called by Sphinx."""
    app.connect("source-read", fill)
