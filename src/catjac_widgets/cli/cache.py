"""``catjac cache info | list | verify | clear | export | import``: what is kept, and whether it is sound."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from catjac_widgets.engine.cache.chunked.store import FileStore


@click.group("cache")
def cache_command() -> None:
    """Show, check, empty or exchange the folder where Jacobians are kept."""


@cache_command.command("info")
def cache_info() -> None:
    """Where it is, its size and its limit."""
    from catjac_widgets import cache

    click.echo(str(cache.info()))


@cache_command.command("list")
def cache_list() -> None:
    """One line an entry: key, what it is, rows, size, last use, sequence."""
    from catjac_widgets.engine.cache.chunked.upkeep import list_entries
    from catjac_widgets.engine.cache.info import readable_size

    for each in list_entries(_store()):
        used = datetime.datetime.fromtimestamp(each.used).strftime("%Y-%m-%d %H:%M")
        sequence = each.sequence if len(each.sequence) < 40 else f"{each.sequence[:37]}…"
        click.echo(
            f"{each.key[:12]}  {each.kind:13}  {each.rows:4} of {each.rows_total:4} rows  "
            f"{readable_size(each.size):>8}  {used}  {sequence}"
        )


@cache_command.command("verify")
@click.option("--repair", is_flag=True, help="Delete what is damaged; it is computed anew when asked for.")
@click.pass_context
def cache_verify(context: click.Context, repair: bool) -> None:
    """Read everything and check it against its digests."""
    from catjac_widgets.engine.cache.chunked.upkeep import list_entries, verify_entry
    from catjac_widgets.progress import with_progress

    store = _store()
    entries, wrong, checked = list_entries(store), 0, 0
    for each in with_progress(entries, "Verify", unit="entry"):
        verdict = verify_entry(store.files(each.key), repair=repair)
        checked += verdict.checked
        for problem in verdict.problems:
            wrong += 1
            click.echo(f"{each.key[:12]}: {problem}")
    click.echo(f"{len(entries)} entries, {checked} chunks read, {wrong} problems.")
    if wrong and not repair:
        context.exit(1)


@cache_command.command("clear")
@click.option("--older-than", metavar="TIME", help="Only what was not used for this long, such as 30d.")
@click.confirmation_option(prompt="Delete the Jacobians in the cache?")
def cache_clear(older_than: str | None) -> None:
    """Delete what is kept."""
    from catjac_widgets import cache

    removed = cache.clear(older_than=older_than)
    click.echo(f"{removed} removed.\n{cache.info()}")


@cache_command.command("export")
@click.argument("archive", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--key", "keys", multiple=True, help="Beginning of an entry's key; may be given several times.")
def cache_export(archive: Path, keys: tuple[str, ...]) -> None:
    """Write entries into ARCHIVE (.tar, .tar.gz, .tar.xz)."""
    from catjac_widgets.engine.cache.archives import export_entries

    click.echo(f"{export_entries(_store(), archive, keys)} entries in {archive}.")


@cache_command.command("import")
@click.argument("archive", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def cache_import(archive: Path) -> None:
    """Take the entries of ARCHIVE into the cache; import only from people whose Jacobians you believe."""
    from catjac_widgets import cache
    from catjac_widgets.engine.cache.archives import import_entries

    taken, left_out = import_entries(_store(), archive, limit=cache.most_at_once)
    for sentence in left_out:
        click.echo(f"left out: {sentence}")
    click.echo(f"{taken} entries imported.")


def _store() -> FileStore:
    from catjac_widgets import cache
    from catjac_widgets.errors import CacheError

    store = cache.file_store
    if store is None:
        raise CacheError("Nothing is kept in a folder: CATJAC_CACHE is 'off' or 'memory'.")
    return store
