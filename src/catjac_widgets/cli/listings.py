"""``catjac models | examples | doctor``: what there is."""

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
