"""How large emitted softmax is: lines of its C, and bytes of code at -O2 and -Os. The table of docs/embedding.md."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

FORMS = {
    "one plan": {"shape": (64, 32000)},
    "every plan": {},
    "every plan and parts of rows": {"states": True},
}

HERE = {"avx512", "avx2", "sse2", "portable"}  # what a compiler for x86-64 makes code of


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--isas", default="avx512,avx2", help="comma separated (default: %(default)s)")
    options = parser.parse_args()
    from rowfold.library import softmax

    print(f"{'':44}{'lines':>7}{'-O2':>9}{'-Os':>9}")
    for form, asked in FORMS.items():
        for isa in options.isas.split(","):
            with tempfile.TemporaryDirectory() as folder:
                source = Path(softmax.emit(folder, isas=[isa], **asked)[0])
                lines = len(source.read_text().splitlines())
                sizes = [f"{code(source, level):,}" if isa in HERE else "-" for level in ("-O2", "-Os")]
            print(f"{f'{form}, {isa}':44}{lines:7,}{sizes[0]:>9}{sizes[1]:>9}")


def code(source: Path, level: str) -> int:
    """The bytes of a compiled file's sections of code."""
    made = source.with_suffix(".o")
    subprocess.run([os.environ.get("CC", "cc"), level, "-c", source, "-o", made], check=True)
    listed = subprocess.run(["size", "-A", made], check=True, capture_output=True, text=True).stdout
    return sum(int(size) for size in re.findall(r"^\.text\S*\s+(\d+)", listed, re.MULTILINE))


if __name__ == "__main__":
    sys.exit(main())
