"""The keys that the token service signs with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import click

from ordermgmt.clock import rfc3339
from ordermgmt.commands.invocation import call_with, config_option, guide_option, read_config
from ordermgmt.config import Config
from ordermgmt.placement import data_folder
from ordermgmt.sts.key_rotation import KeyState
from ordermgmt.sts.main import open_keys
from ordermgmt.sts.signing_key import SigningKeys

__all__ = ["keys"]

T = TypeVar("T")

BREAKS = """\
All other keys are forgotten at once. Until services have fetched the new key, and for at most 5 minutes:
- tokens that the old keys signed are still accepted where they are known; after that they are refused with 401;
- a service that has asked less than 5 seconds ago refuses tokens of the new key with 401 until it may ask again.
Clients' own (opaque) tokens stay good. JWTs that scripts hold do not: they have to ask for new ones."""


@click.group()
def keys() -> None:
    """The keys that the token service signs with, also while the suite is running."""


@keys.command("list")
@config_option
@guide_option
def keys_list(config_file: Path | None, *, guide: bool) -> None:
    """List them, the oldest first: next (published), active (signs), retiring (verifies what it signed)."""

    async def verb(opened: SigningKeys) -> list[str]:
        return [
            f"{key.kid}  {key.algorithm:<6}{key.state:<9}since {rfc3339(key.since)}"
            + (f", signs from {rfc3339(opened.signs_at(key))}" if key.state is KeyState.NEXT else "")
            for key in opened.stored
        ]

    for line in _with_keys(read_config(config_file), guide=guide, verb=verb):
        click.echo(line)


@keys.command("rotate")
@config_option
@guide_option
@click.option("--now", "at_once", is_flag=True, help="Have a new key sign at once and forget all others: an emergency.")
def keys_rotate(config_file: Path | None, *, guide: bool, at_once: bool) -> None:
    """Publish a new key; the running suite signs with it as soon as every service surely knows it."""

    async def rotate(opened: SigningKeys) -> str:
        key = await opened.rotate()
        return f"{key.kid} is published, and signs from {rfc3339(opened.signs_at(key))}"

    async def replace(opened: SigningKeys) -> str:
        key = await opened.replace()
        return f"{key.kid} signs now. {BREAKS}"

    click.echo(_with_keys(read_config(config_file), guide=guide, verb=replace if at_once else rotate))


def _with_keys(config: Config, *, guide: bool, verb: Callable[[SigningKeys], Awaitable[T]]) -> T:
    opener = partial(open_keys, config=config.sts, data=data_folder(config, guide=guide))
    return call_with(opener, "sts", config, guide=guide, verb=verb)
