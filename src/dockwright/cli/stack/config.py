"""``dockwright stack config``: print a Compose project in its canonical form."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from dockwright.cli.options import load_options, print_warnings
from dockwright.compose import LoadOptions, load, service_hashes, to_json, to_yaml
from dockwright.errors import UnknownServiceError
from dockwright.model import StackSpec


@click.command(
    epilog="""\b
Examples:
  dockwright stack config                         the project in this directory, as YAML
  dockwright stack config --format json -o a.json
  dockwright stack config -f compose.yaml -f compose.ci.yaml --profile debug
  dockwright stack config --services              the services in start order
  dockwright stack config -q && echo valid
"""
)
@load_options
@click.option(
    "--format",
    "form",
    type=click.Choice(["yaml", "json"]),
    default="yaml",
    show_default=True,
    help="Format of the output.",
)
@click.option("--services", "show", flag_value="services", help="Print only the service names.")
@click.option("--volumes", "show", flag_value="volumes", help="Print only the volume names.")
@click.option("--images", "show", flag_value="images", help="Print only the image names.")
@click.option("--profiles", "show", flag_value="profiles", help="Print only the profile names.")
@click.option(
    "--hash",
    "hashed",
    metavar="SERVICES",
    help="Print the configuration hashes of services: comma-separated names, or '*' for all.",
)
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write to a file."
)
@click.option("-q", "--quiet", is_flag=True, help="Only check the project; print nothing.")
def config(
    options: LoadOptions,
    *,
    form: str,
    show: str | None,
    hashed: str | None,
    output: Path | None,
    quiet: bool,
) -> None:
    """Print the Compose project: merged, with variables and defaults filled in.

    The output is the same as that of `docker compose config`, which need not be installed. Warnings
    go to standard error.
    """
    options = replace(options, runnable=False)
    spec = load(options)
    print_warnings(spec.warnings)
    if quiet:
        return
    if hashed:
        text = _hashes(options, hashed)
    elif show:
        text = "".join(f"{line}\n" for line in _LISTS[show](options, spec))
    else:
        text = to_json(spec) if form == "json" else to_yaml(spec)
    if output:
        output.write_text(text, encoding="utf-8")
    else:
        click.echo(text, nl=False)


def _hashes(options: LoadOptions, wanted: str) -> str:
    found = service_hashes(options)
    names = sorted(found) if wanted == "*" else sorted(filter(None, wanted.split(",")))
    for name in names:
        if name not in found:
            raise UnknownServiceError(
                f"the project has no service {name!r}",
                hint=f"its services are: {', '.join(sorted(found))}",
            )
    return "".join(f"{name} {found[name]}\n" for name in names)


def _services(options: LoadOptions, spec: StackSpec) -> list[str]:
    """Return the services, dependencies before what depends on them."""
    del options
    ordered: dict[str, None] = {}

    def add(name: str) -> None:
        for dependency in spec.services[name].depends_on:
            if dependency.service in spec.services:
                add(dependency.service)
        ordered[name] = None

    for name in sorted(spec.services):
        add(name)
    return list(ordered)


def _volumes(options: LoadOptions, spec: StackSpec) -> list[str]:
    del options
    volumes = spec.document.get("volumes")
    return sorted(volumes) if isinstance(volumes, dict) else []


def _images(options: LoadOptions, spec: StackSpec) -> list[str]:
    del options
    return [spec.services[name].image or f"{spec.name}-{name}" for name in sorted(spec.services)]


def _profiles(options: LoadOptions, spec: StackSpec) -> list[str]:
    """Return every profile that a service names, active or not."""
    del spec
    everything = load(replace(options, profiles=("*",)))
    found: set[str] = set()
    for service in everything.services.values():
        profiles = service.config.get("profiles")
        found |= set(map(str, profiles)) if isinstance(profiles, list) else set()
    return sorted(found)


_LISTS = {"services": _services, "volumes": _volumes, "images": _images, "profiles": _profiles}
