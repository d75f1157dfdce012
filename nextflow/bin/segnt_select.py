#!/usr/bin/env python3
"""Choose the model of the package that fits an assembly best, as `--model auto` does, and print its name.

One task does it for all shards of an assembly.
"""

import argparse
import dataclasses
import sys
from pathlib import Path

from segnt_tools.commands.common import write_report
from segnt_tools.commands.predict import PredictOptions, select
from segnt_tools.errors import SegntError
from segnt_tools.logs import set_up
from segnt_tools.sequence.assembly import Assembly


def main() -> int:
    """Choose, report, print; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("assembly", type=Path, help="folder that segnt preprocess made")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, required=True)
    args = parser.parse_args()
    set_up(quiet=False, debug=False)
    try:
        options = PredictOptions(model="auto", device="cpu", precision=args.precision, threads=args.threads)
        with Assembly.open(args.assembly) as assembly:
            selection = select(options, assembly)
    except SegntError as error:
        sys.stderr.write(f"ERROR: {error}\n")
        return error.exit_code
    write_report(args.json, "select", {"model": selection.best.model, "selection": dataclasses.asdict(selection)})
    sys.stdout.write(f"{selection.best.model}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
