"""The command line, from click."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from inspect import cleandoc

import click

__all__ = ["render"]

HEAD = """\
# Command line

`ordermgmt`, `python -m ordermgmt`, or the archive `ordermgmt.pyz`; `python supervisor.py` is `ordermgmt run`, and
so is an archive of one service, for that service. Exit codes: 0 well, 1 it did not go well, and a line says why, 2
the command line makes no sense, 130 ended by a second signal.

`--config FILE` of every command is a TOML file with [settings](../config.md); without it the variable
`ORDERMGMT_CONFIG` may name one. `--guide` means the data of the replay profile, in `var/guide/`.

`make reference` writes this page from the code.
"""
COMMON = {"config_file", "guide"}
_THIS_PYTHON = f"python:{sys.version_info.major}.{sys.version_info.minor}-slim"


def render(command: click.Group) -> str:
    """Return the page, in Markdown."""
    return "\n".join([HEAD, *_commands(command, ("ordermgmt",))])


def _commands(group: click.Group, path: Sequence[str]) -> Iterator[str]:
    for name, command in group.commands.items():
        if command.hidden:
            continue
        here = (*path, name)
        if isinstance(command, click.Group):
            yield from _commands(command, here)
        else:
            yield from _command(command, here)


def _command(command: click.Command, path: Sequence[str]) -> Iterator[str]:
    context = click.Context(command, info_name=" ".join(path))
    usage = " ".join([*path, *command.collect_usage_pieces(context)])
    yield f"## `{' '.join(path)}`\n"
    yield f"```\n{usage}\n```\n"
    yield f"{_prose(command.help or '')}\n"
    options = [one for one in command.params if isinstance(one, click.Option) and one.name not in COMMON]
    if options:
        yield "| option | default | meaning |"
        yield "|---|---|---|"
        yield from (_option(one, context) for one in options)
        yield ""


def _option(option: click.Option, context: click.Context) -> str:
    written = ", ".join(f"`{name}`" for name in option.opts)
    if not option.is_flag:
        written += f" {option.make_metavar(context).replace('|', chr(92) + '|')}"
    default = option.default if option.show_default and not option.is_flag else None
    values = default if isinstance(default, tuple | list) else [default]
    shown = ", ".join(f"`{_without_version(str(value))}`" for value in values if value not in {None, ""})
    return f"| {written} | {'required' if option.required else shown} | {option.help or ''} |"


def _without_version(text: str) -> str:
    return "python:X.Y-slim of this Python" if text == _THIS_PYTHON else text


def _prose(text: str) -> str:
    return "\n\n".join(re.sub(r"\s+", " ", part) for part in cleandoc(text).split("\n\n"))
