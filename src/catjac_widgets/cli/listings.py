"""``catjac models | examples | cache | doctor``: what there is."""

from __future__ import annotations

import click


@click.command("models")
def models_command() -> None:
    """List the models by name."""
    from catjac_widgets import models

    click.echo(str(models()))


@click.command("examples")
def examples_command() -> None:
    """List the proteins that come with the package."""
    from catjac_widgets import examples

    click.echo(str(examples()))


@click.group("cache")
def cache_command() -> None:
    """Show or empty the folder where Jacobians are kept."""


@cache_command.command("info")
def cache_info() -> None:
    """Where it is, its size and its limit."""
    from catjac_widgets import cache

    click.echo(str(cache.info()))


@cache_command.command("clear")
@click.option("--older-than", metavar="TIME", help="Only what was not used for this long, such as 30d.")
@click.confirmation_option(prompt="Delete the Jacobians in the cache?")
def cache_clear(older_than: str | None) -> None:
    """Delete what is kept."""
    from catjac_widgets import cache

    removed = cache.clear(older_than=older_than)
    click.echo(f"{removed} removed.\n{cache.info()}")


@click.command("doctor")
@click.pass_context
def doctor_command(context: click.Context) -> None:
    """Look for what is wrong with this installation."""
    from catjac_widgets.installation import examine

    report = examine()
    click.echo(str(report))
    if report.problems:
        context.exit(1)
    click.echo("\nNothing is wrong.")
