"""Every stage of a kernel as text, made when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from ..codegen.plan import Plan, describe
from ..codegen.planning.reasons import reasons
from ..codegen.source import Source
from ..codegen.targets import host
from ..config import Config
from ..errors import CompileError
from ..runtime import compiler as compilers
from ..runtime import cpu, load_llvm

KEYS = ("program", "plan", "c", "llvm", "mlir", "asm")


class Stages(Mapping[str, str]):
    """program, plan, c, llvm, mlir and asm of one plan. Access never raises: a stage that is not there says why."""

    def __init__(self, plan: Plan, config: Config) -> None:
        self._plan = plan
        self._config = config
        self._made: dict[str, str] = {}
        self._makers: dict[str, Callable[[], str]] = {
            "program": lambda: str(plan.program),
            "plan": lambda: plan_text(plan),
            "c": lambda: self._source().text,
            "llvm": lambda: self._llvm().text,
            "mlir": self._mlir,
            "asm": self._assembly,
        }

    def __getitem__(self, key: str) -> str:
        if key not in self._made:
            self._made[key] = _said(key, self._makers[key])
        return self._made[key]

    def __iter__(self) -> Iterator[str]:
        return iter(KEYS)

    def __len__(self) -> int:
        return len(KEYS)

    def __repr__(self) -> str:
        return f"<stages of {self._plan.name}: {', '.join(KEYS)}>"

    def _source(self) -> Source:
        from ..codegen.generate import source_of

        return source_of(self._plan)

    def _llvm(self) -> Source:
        from ..codegen.generate import llvm_of

        return llvm_of(self._plan, host(self._plan.isa, cpu.arch()))

    def _mlir(self) -> str:
        from ..codegen.generate import mlir_of

        return mlir_of(self._plan)

    def _assembly(self) -> str:
        """The assembly of the backend that runs: from C, unless another was asked for or there is no compiler."""
        c = self._config.backend != "llvm" and (self._config.backend == "c" or compilers.find(self._config.cc))
        return assembly_of(self._source() if c else self._llvm(), self._config)[0]


def plan_text(plan: Plan) -> str:
    """The plan in full: its sweeps, however wide their lines are, its price, and every other candidate."""
    lines = [*describe(plan), f"  price: {plan.ns:.3f} ns an element", f"  {walks(plan)}"]
    return "\n".join(lines + [f"  rejected {name}: {reason}" for name, reason in plan.rejected])


def walks(plan: Plan) -> str:
    """How the sweeps of a plan compare with the fewest."""
    why = "; ".join(reasons(plan.program))
    tail = f" ({why})" if why else ""
    if plan.walks == len(plan.sweeps):
        return f"walks: {plan.walks}, the fewest that fusion allows{tail}"
    return f"walks: fusion allows {plan.walks}{tail}; this plan makes {len(plan.sweeps)}"


def assembly_of(source: Source, config: Config) -> tuple[str, str]:
    """The assembly of a source by the compiler that would compile it, and what that compiler printed."""
    if source.language == "llvm":
        return load_llvm.assembly(source.text), ""
    compiler = compilers.find(config.cc)
    if compiler is None:
        tried = "; ".join(f"{place.found_by}: {place.reason}" for place in compilers.survey(config.cc))
        raise CompileError(f"no C compiler was found ({tried})")
    return compilers.assembly(source.text, source.flags, compiler)


def _said(key: str, make: Callable[[], str]) -> str:
    try:
        return make()
    except Exception as error:  # noqa: BLE001 - somebody who looks around must not be stopped by one stage
        reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".:")
        return f"There is no {key} text: {reason}."
