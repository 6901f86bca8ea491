"""Generate the gRPC code from the .proto files and docs/errors.md from the catalogue of errors.

Or check that what is committed is up to date.
"""

from __future__ import annotations

import argparse
import filecmp
import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc
from mos_protocol.error_catalogue import errors_page

ROOT = Path(__file__).resolve().parent
ERRORS = ROOT.parent / "docs/errors.md"
WIRE = Path("mos_protocol/wire/v1")
PLUGINS = ("protoc-gen-mypy", "protoc-gen-mypy_grpc")


def generate(out: Path) -> None:
    """Write the generated modules of every .proto below `out`."""
    sources = sorted(str(path) for path in (ROOT / WIRE).glob("*.proto"))
    flags = [f"--{kind}_out={out}" for kind in ("python", "grpc_python", "mypy", "mypy_grpc")]
    # protoc looks for plugins on PATH only, where an environment that is not activated isn't.
    flags += [f"--plugin={Path(sys.executable).with_name(name)}" for name in PLUGINS]
    if protoc.main(["protoc", f"-I{ROOT}", *flags, *sources]) != 0:
        sys.exit("protoc failed")


def stale_modules() -> list[str]:
    """The generated modules whose committed text differs from a fresh run."""
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder))
        fresh = sorted((Path(folder) / WIRE).iterdir())
        return [
            path.name
            for path in fresh
            if not (ROOT / WIRE / path.name).exists()
            or not filecmp.cmp(path, ROOT / WIRE / path.name, shallow=False)
        ]


def stale_files() -> list[str]:
    """Everything generated whose committed text differs from a fresh run."""
    current = ERRORS.exists() and ERRORS.read_text() == errors_page()
    return stale_modules() + ([] if current else [ERRORS.name])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail when stale")
    if not parser.parse_args().check:
        generate(ROOT)
        ERRORS.write_text(errors_page())
    elif stale := stale_files():
        sys.exit(f"What is generated is out of date ({', '.join(stale)}): run `make proto`.")


if __name__ == "__main__":
    main()
