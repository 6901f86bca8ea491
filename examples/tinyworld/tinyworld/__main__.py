"""Command line: `python -m tinyworld concepts|scenes --out DIR`."""

from __future__ import annotations

import argparse
from pathlib import Path

from tinyworld.concepts import CONCEPTS
from tinyworld.folder import write_concept, write_scenes


def main() -> None:
    """Write concepts or generic scenes to a folder."""
    parser = argparse.ArgumentParser(prog="tinyworld", description=main.__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    concepts = commands.add_parser("concepts", help="tuning and held-out pictures of concepts")
    concepts.add_argument("--out", type=Path, required=True)
    concepts.add_argument("--only", nargs="+", choices=list(CONCEPTS), metavar="NAME")
    concepts.add_argument("--held-out", type=int, default=8)
    scenes = commands.add_parser("scenes", help="generic pictures with captions")
    scenes.add_argument("--out", type=Path, required=True)
    scenes.add_argument("--count", type=int, required=True)
    scenes.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.command == "scenes":
        write_scenes(options.out, options.count, options.seed)
        return
    for name in options.only or CONCEPTS:
        write_concept(name, options.out, options.held_out)


if __name__ == "__main__":
    main()
