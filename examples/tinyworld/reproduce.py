"""Everything that docs/evaluation.md states, measured again by one command.

    python reproduce.py                      all studies on all 19 concepts: some hours on two cores
    python reproduce.py --only table         one study
    python reproduce.py --profile full       the protocol's 50 seeds: for a GPU
    python reproduce.py --concepts 3 --profile quick --document /tmp/evaluation.md    minutes

It goes on where it was stopped; several processes on one `--work` folder share the tuning, and
`--shard 2/4` takes the second of four parts on a machine of its own.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from reproduction.document import write_document
from reproduction.order import ORDER
from reproduction.profiles import PROFILES
from reproduction.results import Results
from reproduction.studies import STUDIES
from reproduction.workspace import HERE, Shard, Workspace

DOCUMENT = HERE.parents[1] / "docs" / "evaluation.md"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, default=HERE / ".reproduction")
    parser.add_argument("--only", choices=list(STUDIES), action="append", help="one study")
    parser.add_argument("--profile", choices=list(PROFILES), default="cpu")
    parser.add_argument("--concepts", type=int, default=len(ORDER), help="the first so many")
    parser.add_argument("--shard", type=_shard, default=Shard(), metavar="K/N")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, help="of arithmetic (torch's own choice)")
    parser.add_argument(
        "--document", type=Path, default=DOCUMENT, help="whose generated parts are replaced"
    )
    options = parser.parse_args()
    if not 2 <= options.concepts <= len(ORDER):
        parser.error(f"--concepts must be from 2 to {len(ORDER)}")
    if options.threads:
        torch.set_num_threads(options.threads)
    concepts, profile = ORDER[: options.concepts], PROFILES[options.profile]
    space = Workspace(options.work.resolve(), profile, options.device)
    results = Results()
    for name in options.only or STUDIES:
        STUDIES[name](space, concepts, options.shard, results)
    if options.shard != Shard():
        sys.exit("A shard is done; without --shard, the same command writes the document.")
    print(f"  document │ {write_document(results, options.document)}")


def _shard(text: str) -> Shard:
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise argparse.ArgumentTypeError(f"{text!r} is no K/N with K from 1 to N")
    return Shard(int(number), int(count))


if __name__ == "__main__":
    main()
