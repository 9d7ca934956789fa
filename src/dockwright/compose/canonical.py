"""The canonical form: what ``docker compose config`` prints, key by key and in its order."""

from __future__ import annotations

from typing import Any

from dockwright.compose.canonical_values import ABSENT, ARGV, ordered, plain
from dockwright.compose.fields import PROJECT
from dockwright.compose.shapes import AnyOf, ListOf, MapOf, Shape, Struct
from dockwright.compose.source import Form, Origins, Place, Tree


def canonical(project: Tree, origins: Origins, form: Form) -> dict[str, Any]:
    """Return a normalised project as ``docker compose config --format {form}`` prints it.

    Only a literal dollar differs: it is ``$`` here, and doubled when the form is written out.

    Raises:
        ComposeError: a duration, size, number or command line that cannot be read.
    """
    document: dict[str, Any] = _write(project, PROJECT, Place((), origins, form))
    document = {"name": project["name"], "services": {}} | document
    return dict(sorted(document.items())) if form == "json" else document


def _write(value: Tree, shape: Shape, place: Place) -> Any:
    if shape.write:
        return shape.write(value, place)
    if isinstance(shape, AnyOf):
        return _write(value, shape.option_for(value), place)
    if isinstance(shape, Struct):
        return _struct(value or {}, shape, place)
    if isinstance(shape, ListOf):
        return [_write(e, shape.entry, place.at(i)) for i, e in enumerate(value)] or ABSENT
    if isinstance(shape, MapOf):
        return {
            name: None if value[name] is None else _write(value[name], shape.value, place.at(name))
            for name in ordered(value, place.form)
        } or ABSENT
    raise TypeError(f"nothing says how to write {place.path}")


def _struct(value: dict[str, Tree], shape: Struct, place: Place) -> Any:
    result: dict[str, Any] = {}
    for key, child in shape.fields.items():
        inline = isinstance(child, Struct) and child.inline
        if value.get(key) is not None or inline or shape.complete:
            written = _write(value.get(key), child, place.at(key))
            if written is not ABSENT:
                titled = shape.titled_in_json and place.form == "json"
                result[key.title() if titled else key] = written
        elif child.write is ARGV and place.form == "json":
            result[key] = None
    if shape.extensions == "both" or (shape.extensions == "yaml" and place.form == "yaml"):
        names = ordered((name for name in value if name.startswith("x-")), place.form)
        result |= {name: plain(value[name], place.form) for name in names}
    return ABSENT if shape.inline and not result and place.form == "yaml" else result
