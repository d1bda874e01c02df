"""Statements as lines of C: one operation each, in the words of the vocabulary."""

from __future__ import annotations

from ...records import replace
from ..ir import SMALL_FOLDS
from ..loops import ONE_OF, VECTORS, Arg, Kernel, Kind, Port, Stmt, Var, assigned, whole_row
from .text import CTYPES, ELEMENT, EXTENT, FOLDS, INFIX, RESULTS, WHOLE, WITH_COUNT, literal, suffix


class Statements:
    """Prints one kernel's statements."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.ctype = "float" if kernel.dtype == "f32" else "double"
        self.ports = {p.name: p for p in kernel.ports}
        self.mutable = assigned(whole_row(kernel))
        self.block_size = VECTORS * kernel.lanes

    def element(self, port: Port) -> str:
        """The C type of a row's buffer: integers are read as numbers of the computing dtype."""
        return {"mask": "uint8_t", "int": "int64_t" if port.output else self.ctype}.get(port.element, self.ctype)

    def stmt(self, s: Stmt) -> str:
        if s.results and s.results[0].kind in ONE_OF:
            return self._small(s)
        if s.results and s.results[0].kind is Kind.POOL:
            given = [self.arg(a, Kind.NUM) for a in s.args]
            return f"rf_pool {s.results[0].name}; rf_pool_start(&{s.results[0].name}, {', '.join(given)});"
        if s.results and s.results[0].kind is Kind.BEST:
            return f"rf_best {s.results[0].name}; rf_best_start(&{s.results[0].name}, {s.results[0].size});"
        if s.call and len(s.results) > 1:
            return self._call_many(s)
        if not s.results:
            return f"{self.effect(s)};"
        if s.word == "parts":
            return f"RF_ALIGNED {self.ctype} {s.results[0].name}[{self.block_size}];"
        var = s.results[0]
        if s.assign:
            return f"{var.name} = {self.value(s)};"
        const = "" if var.name in self.mutable else "const "
        return f"{const}{CTYPES[var.kind]} {var.name} = {self.value(s)};"

    def _small(self, s: Stmt) -> str:
        """A statement on a k-vector: the same on each of its entries."""
        size = s.results[0].size
        declared = f"{CTYPES[s.results[0].kind]} {', '.join(f'{v.name}[{size}]' for v in s.results)};"
        if s.word in WHOLE:
            source = s.args[0]
            assert isinstance(source, Var)
            return f"{declared} {WHOLE[s.word]}({self.whole(source)}, {size}, {s.results[0].name});"
        each = replace(s, results=tuple(Var(f"{v.name}[entry]", ONE_OF[v.kind]) for v in s.results))
        if s.call and len(s.results) > 1:
            text = self._call_many(each).split("; ", 1)[1]
        else:
            text = f"{each.results[0].name} = {self.number(each)};"
        return f"{declared} for (int entry = 0; entry < {size}; ++entry) {text}"

    def whole(self, var: Var) -> str:
        return f"&{var.name}" if var.kind is Kind.BEST else var.name

    def _call_many(self, s: Stmt) -> str:
        kind = s.results[0].kind
        prefix = "rf_" if kind is Kind.VEC or s.word == "fold2" else "num_"
        word = "two_sum2" if s.word == "two_sum" else s.word
        given = [self.arg(a, kind) for a in s.args] + [f"&{v.name}" for v in s.results]
        declared = ", ".join(v.name for v in s.results)
        return f"{CTYPES[kind]} {declared}; {prefix}{word}({', '.join(given)});"

    def effect(self, s: Stmt) -> str:
        port = s.args[0]
        match s.word:
            case "put":
                assert isinstance(port, Var)
                return f"rf_store({port.name} + j, {self.arg(s.args[1], Kind.VEC)})"
            case "accumulate":
                wide = 128 // self.kernel.lanes
                return f"rf_accumulate({port} + (i + j) * {wide}, {self.arg(s.args[1], Kind.VEC)})"
            case "best_take" | "best_take_where" | "pool_take" | "pool_solve" | "pool_add" | "pool_step":
                assert isinstance(port, Var)
                others = [a.name for a in s.args[1:] if isinstance(a, Var)]
                given = [f"&{port.name}", *others, *EXTENT.get(s.word, ())]
                return f"rf_{s.word}({', '.join(given)})"
            case "keep":
                value = s.args[1]
                size = value.size if isinstance(value, Var) else 0
                many = f"for (int entry = 0; entry < {size}; ++entry) " if size else ""
                return f"{many}num_keep({port} + {self.at(s)} * {port}_step, {self.arg(value, Kind.NUM)})"
            case "result" if self.ports[str(port)].entries:
                place = f"{port} + entry * {port}_step"
                word = f"num_result{suffix(self.ports[str(port)], RESULTS)}"
                size = self.ports[str(port)].entries
                return f"for (int entry = 0; entry < {size}; ++entry) {word}({place}, {self.arg(s.args[1], Kind.NUM)})"
            case "result":
                return f"num_result{suffix(self.ports[str(port)], RESULTS)}({port}, {self.arg(s.args[1], Kind.NUM)})"
            case "store_mask_tail" | "store_int_tail":
                return f"rf_{s.word}({port}_b + j, {self.arg(s.args[1], Kind.VEC)}, count - j)"
            case _:
                rest = [self.arg(a, Kind.VEC) for a in s.args[1:]]
                return f"rf_{s.word}({', '.join([f'{port}_b + j', *rest])})"

    def value(self, s: Stmt) -> str:
        kind = s.results[0].kind
        if kind in (Kind.NUM, Kind.FLAG):
            return self.number(s)
        if s.word == "copy":
            return self.arg(s.args[0], kind)
        if s.word == "get":
            assert isinstance(s.args[0], Var)
            return f"rf_load({s.args[0].name} + j)"
        if s.word in ("best_bar", "pool_bar"):
            assert isinstance(s.args[0], Var)
            return f"rf_{s.word}(&{s.args[0].name})"
        if s.word in ("set", "set_lo"):
            return f"rf_{s.word}({self.arg(s.args[0], Kind.NUM)})"
        if s.word == "at_position":
            number, *first = s.args
            place = " + ".join(["i + j", *(f"num_first({port})" for port in first)])
            return f"rf_at_position({self.arg(number, Kind.NUM)}, {place})"
        if s.word in ("positions", "vector_number", "uniform"):
            *first, key = (*s.args, "") if s.word != "uniform" else s.args
            place = " + ".join(["i + j", *(f"num_first({port})" for port in first)])
            word = f"{s.word}{'_from' if key and first else ''}"  # a part may begin anywhere
            return f"rf_{word}({place}{f', num_key({key})' if key else ''})"
        if s.word == "lookup":
            return f"rf_lookup({self.table(s)}, {self.arg(s.args[0], kind)})"
        if s.word.startswith("load"):
            rest = ["count - j"] if s.word == "load_mask_tail" else [self.arg(a, kind) for a in s.args[1:]]
            return f"rf_{s.word}({', '.join([f'{s.args[0]}_b + j', *rest])})"
        given = [self.arg(a, Kind.VEC) for a in s.args]
        if s.word in WITH_COUNT:
            given.insert(WITH_COUNT[s.word], "vectors")
        return f"rf_{s.word}({', '.join(given)})"

    def number(self, s: Stmt) -> str:
        if s.word in SMALL_FOLDS and isinstance(source := s.args[0], Var) and source.size:
            index = f"[{int(s.args[1])}]" if s.word == "pick" and isinstance(s.args[1], float) else ""
            return source.name + index if index else f"num_{s.word}({source.name}, {source.size})"
        a = [self.arg(x, Kind.NUM) for x in s.args]
        if s.word in INFIX and not s.call:
            return f"{a[0]} {INFIX[s.word]} {a[1]}"
        match s.word:
            case "pool_high" | "pool_low" | "pool_solved":
                return f"rf_{s.word}(&{a[0]})"
            case "copy" | "from_flag":
                return a[0]
            case "neg":
                return f"-{a[0]}"
            case "not":
                return f"!{a[0]}"
            case "apart":
                return f"{a[0]} != {a[1]}"
            case "any":
                return f"rf_any({a[0]})"
            case "field":
                return f"num_scalar({s.args[0]} + {self.at(s)} * {s.args[0]}_step)"
            case "scalar":
                port = self.ports[str(s.args[0])]
                return f"num_{'index' if port.element == 'index' else 'scalar'}({port.name})"
            case "lookup":
                return f"num_lookup({self.table(s)}, {a[0]})"
            case "uniform":
                return f"num_uniform({a[0]}, num_key({a[1]}))"
            case "element":
                port = self.ports[str(s.args[0])]
                return f"num_element{suffix(port, ELEMENT)}({port.name}, {port.name}_step, n, {a[1]})"
        return f"{'rf_' if s.word in FOLDS else 'num_'}{s.word}({', '.join(a)})"

    def table(self, s: Stmt) -> str:
        """A table as arguments: where it is, the step of its elements, their number."""
        port = self.ports[str(s.args[1])]
        return f"{port.name}, {port.name}_step, {f'{port.name}_length' if port.table else 'n'}"

    def at(self, s: Stmt) -> str:
        """Which double of a state a statement reads or writes."""
        place = s.args[-1]
        assert isinstance(place, float)
        value = s.results[0] if s.results else s.args[1]
        small = isinstance(value, Var) and (value.size or value.name.endswith("[entry]"))
        return f"({int(place)} + entry)" if small else str(int(place))

    def arg(self, a: Arg, kind: Kind) -> str:
        if isinstance(a, Var):
            return f"{a.name}[entry]" if a.kind in ONE_OF else a.name
        if isinstance(a, str):
            return a
        return f"rf_set({literal(a)})" if kind in (Kind.VEC, Kind.MASK, Kind.ACC) else literal(a)
