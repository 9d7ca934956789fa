"""Substitutes variables throughout a document; casts strings to numbers where Compose does."""

from __future__ import annotations

from collections.abc import Mapping

from dockwright.compose.casts import cast_for
from dockwright.compose.interpolation import RequiredError, TemplateError, substitute
from dockwright.compose.source import DocPath, Origins, Tree
from dockwright.compose.warnings import Warnings


def interpolate(
    tree: Tree,
    variables: Mapping[str, str],
    origins: Origins,
    warnings: Warnings,
    path: DocPath = (),
) -> Tree:
    """Return `tree` with every string substituted; keys are left alone.

    Raises:
        ComposeError: a wrong reference, a required variable without a value, or a string that
            cannot become the number or truth value that its key wants.
    """
    if isinstance(tree, dict):
        return {
            key: interpolate(value, variables, origins, warnings, (*path, key))
            for key, value in tree.items()
        }
    if isinstance(tree, list):
        return [
            interpolate(value, variables, origins, warnings, (*path, index))
            for index, value in enumerate(tree)
        ]
    return _scalar(tree, variables, origins, warnings, path) if isinstance(tree, str) else tree


def _scalar(
    text: str, variables: Mapping[str, str], origins: Origins, warnings: Warnings, path: DocPath
) -> Tree:
    def unset(name: str) -> None:
        warnings.add(path, f"the variable {name} is not set; it becomes an empty string", origins)

    try:
        value = substitute(text, variables, unset) if "$" in text else text
        if value is not text:
            origins.spend(path, len(value))
        cast = cast_for(path)
        return cast(value) if cast else value
    except TemplateError as exc:
        raise origins.error(
            path,
            f"{text!r} holds a wrong variable reference",
            hint="write a literal dollar as $$",
        ) from exc
    except RequiredError as exc:
        reason = f": {exc.message}" if exc.message else ""
        raise origins.error(
            path, f"required variable {exc.name} is missing a value{reason}"
        ) from exc
    except ValueError as exc:
        raise origins.error(path, str(exc)) from exc
