"""Kernel -> LLVM IR as text: vectors of the kernel's lanes, the same statements and bits as the C.

No fast-math flag and no contraction: LLVM may not reorder what the plan ordered. Pointers are opaque, as since LLVM 15.
"""

from __future__ import annotations

from ..records import replace
from .isas import isa_of
from .loops import Kernel, Port, sizes_of
from .lower.groups import group_of
from .lower.overlap import batch_of
from .source import Source, symbol_of
from .ssa.llvm_batch import Rows
from .ssa.llvm_groups import plain
from .ssa.llvm_memory import Address, LlvmMemory
from .ssa.llvm_text import PTR, WEIGHTS
from .ssa.values import FLAG, INDEX, Value
from .targets import Target

# Linux passes doubles in registers there; without this an object says that it does not, and no linker takes it.
DOUBLES = ("!llvm.module.flags = !{!1}", '!1 = !{i32 1, !"target-abi", !"lp64d"}')

ARGUMENTS = "(ptr %args, ptr %dims, ptr %steps, ptr %data)"
JUMP = (
    "@{symbol}.loop = global ptr @{symbol}.draft",
    "",
    "define void @{symbol}" + ARGUMENTS + " nounwind {{",
    "  %loop = load atomic ptr, ptr @{symbol}.loop acquire, align 8",
    "  call void %loop" + ARGUMENTS,
    "  ret void",
    "}}",
    "",
)


def emit(
    kernel: Kernel, target: Target, strategy: str, version: str, signature: str, types: str, *, grouped: int = 0,
    draft: bool = False,
) -> Source:  # fmt: skip
    """The LLVM module of a kernel; `grouped`: with rows of so many blocks side by side. Same input, same bytes.

    A draft is shorter: one row after the other, with nothing that is there for speed alone. Its function jumps
    to what `<symbol>.loop` holds, which is at first the draft.
    """
    symbol = symbol_of(kernel.name, kernel.dtype, strategy, target.name)
    body = LlvmBuilder(kernel, target).functions(grouped, draft=draft)
    banner = (symbol, "", *kernel.banner, "", f"Written by rowfold {version} for {target.name}.")
    features = ",".join(target.features)
    wide = ' "prefer-vector-width"="512" "min-legal-vector-width"="512"' if target.vocabulary == "avx512" else ""
    lines = [
        *(f"; {line}".rstrip() for line in banner),
        *(f'target triple = "{target.triple}"' for _ in range(bool(target.triple))),
        "",
        *body,
        "",
        f"define {'internal ' * draft}void @{symbol}{'.draft' * draft}{ARGUMENTS} #0 {{",
        *(f"  {line}" for line in guarded(target.arch)),
        "}",
        "",
        *(line.format(symbol=symbol) for line in JUMP * draft),
        *(f"declare i32 @fe{way}env(ptr)" for way in ("get", "set") if target.arch == "riscv64"),
        f'attributes #0 = {{ nounwind "target-features"="{features}"{wide} }}',
        *WEIGHTS,
        *(DOUBLES if target.arch == "riscv64" else ()),
        "",
    ]
    header = f"void {symbol}(char **args, const intptr_t *dims, const intptr_t *steps, void *data);\n"
    needed = isa_of(target.vocabulary).features
    return Source(symbol, "\n".join(lines), header, target.name, (), needed, signature, types, "llvm")


def guarded(arch: str) -> list[str]:
    """The call of all rows, between reading the floating-point flags and writing them back."""
    call = "call void @batch(ptr %args, ptr %dims, ptr %steps)"
    match arch:
        case "x86_64":
            read, write = ("call void @llvm.x86.sse.{}(ptr %flags)".format(w) for w in ("stmxcsr", "ldmxcsr"))  # noqa: UP032
            return ["%flags = alloca i32", read, call, write, "ret void"]
        case "aarch64":
            read = "%flags = call i64 @llvm.aarch64.get.fpsr()"
            return [read, call, "call void @llvm.aarch64.set.fpsr(i64 %flags)", "ret void"]
        case "riscv64":
            read, write = (f"call i32 @fe{way}env(ptr %flags)" for way in ("get", "set"))
            return ["%flags = alloca i64", read, call, write, "ret void"]
        case _:  # WebAssembly has no such flags
            return [call, "ret void"]


class LlvmBuilder(LlvmMemory):
    """Writes the functions of a kernel, each with a builder of its own."""

    def functions(self, grouped: int, *, draft: bool) -> list[str]:
        """All rows of a batch, and before it what it calls."""
        self.reserve("args", "dims", "steps", "from", "to")
        n = self.load_word("%dims", sizes_of(self.kernel)["n"], "n")
        self.lengths = self.lengths_of_tables()
        batch = batch_of(self.kernel)
        batch = replace(batch, steps=batch.whole, last=None) if draft else batch
        rows = Rows(self, batch, n, rounds=self.target.vocabulary == "avx2", hurried=grouped != 1 and not draft)
        lines = self.rows(rows, 0 if draft else grouped)
        last = self.last(rows) if rows.batch.last is not None else []
        shared = [line for function in self.shared.values() for line in (*function, "")]
        return [*shared, *last, *lines, "", *self.another().groups()]

    def rows(self, rows: Rows, grouped: int) -> list[str]:
        """The rows of a batch that have the same settings."""
        first, stop = Value(self, "%from", INDEX), Value(self, "%to", INDEX)
        bases = [self.base(k, port) for k, port in enumerate(self.kernel.ports)]

        def move(row: Value, step: int = 0) -> None:
            for port, a in zip(self.kernel.ports, bases, strict=True):
                near = self.const(step, INDEX) if step and plain(port) else a.step
                base = self.bytes_on(a.base, row * a.next_row, port.name)
                self.addresses[port.name] = Address(base, near, a.next_row)

        group = group_of(self.kernel, rows.batch.whole, one_block=grouped == 1) if grouped else None
        rows.all(first, stop, move, group, grouped)
        index = self.name(INDEX)
        return self.defined(f"@rows(ptr %args, ptr %dims, ptr %steps, {index} %from, {index} %to) noinline")

    def last(self, rows: Rows) -> list[str]:
        """A row's last sweep, from what the row left."""
        b = self.another()
        b.reserve("held", "dims", "steps", "n", "at", "end", "whole")
        b.lengths = b.lengths_of_tables()
        steps = {port.name: b.step_of(port) for port in self.kernel.ports if port.strided}
        rows.last_block(b, steps)
        extent = ", ".join(f"{self.name(INDEX)} %{name}" for name in ("n", "at", "end"))
        return [*b.defined(f"@last(ptr %held, ptr %dims, ptr %steps, {extent}, i1 %whole)"), ""]

    def groups(self) -> list[str]:
        """The batch in groups of rows that have the same settings: all of it, or row by row."""
        rows, one = self.load_word("%dims", 0, "rows"), self.const(1, INDEX)
        settings = [k for k, port in enumerate(self.kernel.ports) if port.setting]
        same = self.const(1, FLAG)
        for k in settings:
            same = same & self.load_word("%steps", k, "next").eq(0)
        together = self.apply("select", same, rows, one) if settings else rows
        count = self.apply("select", same & (rows > 0), one, rows) if settings else one

        def group(at: Value, _: list[Value]) -> list[Value]:
            start = at * together
            bounds = f"{self.typed(start)}, {self.typed(start + together)}"
            self.lines.append(f"call void @rows(ptr %args, ptr %dims, ptr %steps, {bounds})")
            return []

        self.loop((self.const(0, INDEX), count, 1), [], group)
        return self.defined("@batch(ptr %args, ptr %dims, ptr %steps)")

    def another(self) -> LlvmBuilder:
        """A builder for one more function of this module."""
        return LlvmBuilder(self.kernel, self.target, self.shared)

    # the arrays of a call

    def base(self, k: int, port: Port) -> Address:
        """Where the first row of a batch is, and the steps from there."""
        base = self.line(f"load ptr, ptr {self.word('%args', k, 'ptr').text}", PTR, f"{port.name}_rows")
        next_row = self.load_word("%steps", k, f"{port.name}_next")
        return Address(base, self.step_of(port) if port.strided else None, next_row)

    def lengths_of_tables(self) -> dict[str, Value]:
        sizes = sizes_of(self.kernel)
        tables = [p.name for p in self.kernel.ports if p.table]
        return {name: self.load_word("%dims", sizes[name], f"{name}_length") for name in tables}

    def step_of(self, port: Port) -> Value:
        """The bytes from one element of a row to the next, which come behind those from row to row."""
        ports = self.kernel.ports
        core = len(ports) + sum(p.core for p in ports[: ports.index(port)])
        return self.load_word("%steps", core, f"{port.name}_step")

    def word(self, array: str, k: int, element: str) -> Value:
        return self.line(f"getelementptr {element}, ptr {array}, {self.name(INDEX)} {k}", PTR, "word")

    def load_word(self, array: str, k: int, name: str) -> Value:
        index = self.name(INDEX)
        return self.line(f"load {index}, ptr {self.word(array, k, index).text}", INDEX, name)
