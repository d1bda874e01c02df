"""Runs the tests marked `kill` on wrong generators, one after another, and lists those that nothing noticed.

python tools/mutate.py [--only FIRST:LAST] [--json FILE]    (2 to 12 s of one core each; 30 s where none fails)
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "kill"))

from mutants import read  # noqa: E402 - the data is beside the tests

SECONDS = 300  # of a busy machine; half a minute of a processor is what a run takes
COMPILED = ("tests/kill/test_kill.py", "tests/kill/test_kill_further.py")
FORMULAS = ("tests/kill/test_at_once.py", "tests/property/test_programs.py")
FUNCTIONS = ("tests/unit/test_mathlib.py",)
C_ALONE = ("templates", "codegen/c/", "codegen/emit_c")


def in_order(file: str) -> tuple[str, ...]:
    """The files of tests, first those that most likely notice something wrong there."""
    if file.startswith(C_ALONE):
        return COMPILED
    if file.startswith("codegen/mathlib/"):
        return (*FUNCTIONS, *COMPILED, *FORMULAS)
    if file.startswith(("codegen/rewriting/", "codegen/planner")):
        return (*FORMULAS, *COMPILED, *FUNCTIONS)
    return (*COMPILED, *FORMULAS, *FUNCTIONS)


def processor() -> float:
    """What the processes that ended took of a processor, in seconds."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def killed(number: int | None, cache: str) -> tuple[bool, float, str]:
    """Whether a test failed (or crashed, or hung), after how many seconds, and which. None: the right generator."""
    start, files = processor(), in_order("" if number is None else read()[number].file)
    options = ["-x", "-q", "-m", "kill", "-p", "no:cacheprovider", "-p", "no:xdist", "--tb=line", "-ra"]
    if number is not None:
        options += ["--mutate", str(number)]
        if files == COMPILED:
            options += ["-k", "not without_a_compiler and not walks"]
    command = [sys.executable, "-m", "pytest", *options, "--kernel-cache", cache, *files]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return True, processor() - start, "did not end"
    said = next((x for x in done.stdout.splitlines() if x.startswith(("FAILED", "ERROR"))), "")
    if done.returncode > 1 and not said:
        raise SystemExit(f"pytest could not run: {done.stdout[-500:]}{done.stderr[-500:]}")
    crash = f"crashed by signal {-done.returncode}" if done.returncode < 0 else ""
    return done.returncode != 0, processor() - start, said[:150] or crash


def main() -> int:
    """Prints a line for each mutant, and how many were killed; 1 if fewer than 95 of 100."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=":", metavar="FIRST:LAST")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--cache", help="where kernels are kept from run to run (default: for this run alone)")
    arguments = parser.parse_args()
    first, last = (int(x) if x else None for x in arguments.only.split(":"))
    rows = []
    with tempfile.TemporaryDirectory(prefix="rowfold-mutants-") as folder:
        cache = arguments.cache or folder
        if not arguments.cache and killed(None, cache)[0]:
            print("the right generator fails")
            return 1
        for number, mutant in list(enumerate(read()))[first:last]:
            if not mutant.fits:
                print(f"{number:4} passed over: {mutant.file} has changed", flush=True)
                continue
            dead, seconds, said = killed(number, cache)
            rows.append({"number": number, "file": mutant.file, "killed": dead, "seconds": seconds, "by": said})
            what = said if dead else f"SURVIVES{' (' + mutant.reason + ')' if mutant.reason else ''}: {mutant.old[:60]}"
            print(f"{number:4} {seconds:5.1f} s {mutant.file}: {what}", flush=True)
    dead = sum(bool(row["killed"]) for row in rows)
    print(f"{dead} of {len(rows)} killed, {100 * dead / max(len(rows), 1):.1f} %")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    return 0 if dead >= 0.95 * len(rows) else 1


if __name__ == "__main__":
    sys.exit(main())
