"""How commands tell of errors: one line, a hint, an exit code; never a trace."""

from __future__ import annotations

from typing import Any

import typer
from mos_protocol.errors import EDGES, MosError
from rich.console import Console
from rich.markup import escape
from typer.core import TyperGroup

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False, soft_wrap=True)


class ErrorEdge(TyperGroup):
    """A command group that ends with the exit code of the error table."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except MosError as error:
            errors.print(f"[bold red]error:[/] {escape(error.message)}")
            if error.hint:
                errors.print(f"[bold]hint:[/] {escape(error.hint)}")
            raise typer.Exit(EDGES.get(error.code, EDGES[MosError.code]).exit_code) from None
