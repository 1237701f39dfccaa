"""Options that say how a model directory is read: the same words on every command that takes one."""

from __future__ import annotations

from typing import Annotated

import typer

from monitor.commands.completing import tasks

MaxTokens = Annotated[
    int | None,
    typer.Option(
        "--max-tokens", min=2, help="Cut longer inputs; default: the model's own limit.", show_default=False
    ),
]
Task = Annotated[
    str, typer.Option("--task", help="What the model does; auto: as its config says.", autocompletion=tasks)
]
Threads = Annotated[int, typer.Option("--threads", min=1, help="Torch threads.")]
