"""What it costs to hand work to the team: compiles dispatch.c with templates/team.c, and runs it."""

from __future__ import annotations

import os
import subprocess
import tempfile

import rowfold


def main() -> None:
    here = os.path.dirname(os.path.abspath(__file__))
    team = os.path.join(os.path.dirname(rowfold.__file__), "templates", "team.c")
    with tempfile.TemporaryDirectory() as folder:
        program = os.path.join(folder, "dispatch")
        command = [os.environ.get("CC", "cc"), "-O2", f'-DTEAM="{team}"', os.path.join(here, "dispatch.c"), "-lpthread"]
        subprocess.run([*command, "-o", program], check=True)
        subprocess.run([program], check=True)


if __name__ == "__main__":
    main()
