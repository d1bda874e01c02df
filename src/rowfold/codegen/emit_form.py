"""Kernel -> C in another form than row by row: "cut", chunks of a row for threads; "tiles", rows beside each other."""

from __future__ import annotations

from collections.abc import Iterator

from .c.cut import CutText, cut_of
from .c.library import functions_of
from .c.staged import Staged
from .c.tiles import TilesText, tiles_of
from .c.words import environment, heading, words_of
from .emit_c import RowsText
from .isas import isa_of
from .loops import Kernel, statements, whole_row
from .source import Source, identifier, symbol_of


def emit_form(
    kernel: Kernel, form: str, isa_name: str, strategy: str, version: str, signature: str, types: str
) -> Source:
    """The translation unit. CompileError for a kernel whose rows cannot have this form."""
    isa, name = isa_of(isa_name), identifier(kernel.name)
    symbol = symbol_of(kernel.name, kernel.dtype, f"{strategy}_{form}", isa_name)
    functions = functions_of(kernel, statements(whole_row(kernel)), Staged(kernel, name), fused=isa.fma)
    page: CutText | TilesText = cut_of(kernel, name) if form == "cut" else tiles_of(kernel, name)
    words = words_of(isa_name, kernel.dtype, [*page.lines, *(line for f in functions for line in f.lines)])
    template = environment().get_template(f"{form}.c.j2")
    text = template.render(
        page=page,
        start=tuple(_start(kernel)),
        symbol=symbol,
        name=name,
        banner=kernel.banner,
        **heading(isa, version, words),
        functions=functions,
        lanes=kernel.lanes,
        ctype="float" if kernel.dtype == "f32" else "double",
        last=None,
        rows=RowsText("", (), (), "", ""),
    )
    header = f"void {symbol}(char **args, const intptr_t *dims, const intptr_t *steps, void *data);\n"
    return Source(symbol, text, header, isa_name, isa.flags, isa.features, signature, types)


def _start(kernel: Kernel) -> Iterator[str]:
    """Where a row's arrays are."""
    core, count = 0, len(kernel.ports)
    for k, p in enumerate(kernel.ports):
        yield f"{p.name} = args[{k}] + row * steps[{k}];"
        if p.strided:
            yield f"{p.name}_step = steps[{count + core}];"
        core += p.core
