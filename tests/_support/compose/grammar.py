"""Makes Compose projects at random, from the shapes that the loader itself checks files against.

Every key of the specification comes up, with values that are mostly right: several files, with
``!reset`` and ``!override``, ``extends``, ``include``, profiles, env files, anchors, merge keys,
variables in every position, short and long forms, odd scalars. One seed gives one project.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field
from pathlib import Path

from dockwright.compose.fields import PROJECT, SERVICE
from dockwright.compose.shapes import AnyOf, Anything, ListOf, MapOf, Scalar, Shape, Struct
from tests._support.compose.vocabulary import (
    ENVIRONMENT,
    EXCLUSIVE,
    NAMES,
    NEEDED,
    ODD,
    OTHER_FILES,
    texts,
)

Keys = dict[str, str]
"""The keys of one service or resource, with their values in YAML's flow style."""
Sections = dict[str, dict[str, Keys]]
"""The sections of one file: by name and name of the service or resource; others are plain keys."""

_TOP = {"services", "networks", "volumes", "secrets", "configs"}


@dataclass
class Generated:
    """One project.

    Attributes:
        seed: what made it.
        files: its Compose files by name.
        arguments: the options before ``config``.
        environment: the variables that it sees.
    """

    seed: int
    files: dict[str, Sections] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=lambda: dict(ENVIRONMENT))

    def write(self, directory: Path) -> None:
        """Write every file of the project."""
        texts = {name: render(sections) for name, sections in self.files.items()}
        for name, text in (OTHER_FILES | texts).items():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            (directory / name).write_text(text)


def render(sections: Sections) -> str:
    """Return a file's text."""
    lines = []
    for section, entries in sections.items():
        if not entries:
            continue
        if section not in _TOP:
            lines += [f"{section}: {text}" for text in entries.get("", {}).values()]
            continue
        lines.append(f"{section}:")
        for name, keys in entries.items():
            lines.append(f"  {name}:")
            lines += [f"    {key}: {text}" for key, text in keys.items()]
    return "\n".join(lines) + "\n"


def generate(seed: int) -> Generated:
    """Return the project of a seed."""
    return _Grammar(random.Random(seed)).project(seed)


class _Grammar:
    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.override = False
        self.odd = rng.choice((0, 0, 0, 0.02))

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def project(self, seed: int) -> Generated:
        overridden = self.chance(0.5)
        made = Generated(seed, {"compose.yaml": self.main(("web", "db", "job"))})
        main = made.files["compose.yaml"]
        if self.chance(0.3):
            made.files["base.yaml"] = self.file(("base", "root"))
            made.files["base.yaml"]["services"]["base"] |= self.extends("root")
            main["services"]["job"] |= self.extends("base", "base.yaml")
        elif self.chance(0.3):
            main["services"]["job"] |= self.extends("web")
        if self.chance(0.15):
            made.files["part/compose.yaml"] = self.main(("part",), owner="part-")
            main["include"] = {"": {"": self.rng.choice(_INCLUDES)}}
        if overridden:
            self.override = True
            made.files["over.yaml"] = self.file(("web", "db"))
            made.arguments += ("-f", "compose.yaml", "-f", "over.yaml")
        made.arguments += self.rng.choice(_ARGUMENTS)
        return made

    def extends(self, service: str, file: str = "") -> Keys:
        if file:
            return {"extends": f"{{service: {service}, file: {file}}}"}
        return {"extends": service if self.chance(0.5) else f"{{service: {service}}}"}

    def main(self, services: tuple[str, ...], owner: str = "") -> Sections:
        """A file that declares all that its services may name; names begin with `owner`."""
        made = self.file(services)
        for keys in made["services"].values():
            keys.setdefault("image", self.scalar(("services", "*", "image"), top=True))
            for key, text in list(keys.items()):
                if owner and any(name in text for name in _RESOURCES):
                    del keys[key]
        for section in ("networks", "volumes", "secrets", "configs"):
            made[section] = {owner + name: self.resource(section) for name in NAMES[section]}
        return made

    def resource(self, section: str) -> Keys:
        shape = PROJECT.fields[section]
        assert isinstance(shape, MapOf)
        keys = self.keys(_struct(shape.value), (section, "*"), 2)
        if section in ("secrets", "configs") and "external" not in keys:
            keys = {key: keys[key] for key in keys if key not in ("environment", "content")}
            keys.setdefault("file", "./a/file.txt")
        return keys

    def file(self, services: tuple[str, ...]) -> Sections:
        made: Sections = {}
        if self.chance(0.3):
            common = self.keys(SERVICE, ("services", "*"), 4)
            flow = {key: text for key, text in common.items() if text[0] in "[{\"'"}
            body = ", ".join(f"{key}: {text}" for key, text in flow.items() if "!" not in text)
            made["x-common"] = {"": {"": f"&common {{{body}}}"}}
            made["x-env"] = {"": {"": "&env " + self.mapping(("services", "*", "environment"))}}
        made["services"] = {name: self.service(name, made) for name in services}
        return made

    def service(self, name: str, file: Sections) -> Keys:
        keys = self.keys(SERVICE, ("services", "*"), 7)
        if name == "db":  # nothing that would wait for itself, or be missing
            keys = {key: text for key, text in keys.items() if "db" not in text}
            keys.pop("profiles", None)
        elif "x-common" in file and self.chance(0.5):
            keys = {"<<": "*common", **keys}
        if "x-env" in file and self.chance(0.3):
            keys["environment"] = self.rng.choice(("*env", "{<<: *env, A: over}"))
        return keys

    def mapping(self, path: tuple[str, ...]) -> str:
        shape = SERVICE.fields[path[2]]
        assert isinstance(shape, AnyOf)
        return self.value(shape.options[0], path)

    def keys(self, shape: Struct, path: tuple[str, ...], most: int) -> Keys:
        known = [
            key
            for key, value in shape.fields.items()
            if not isinstance(value, Anything) and (*path, key) not in _APART
        ]
        chosen = self.rng.sample(known, min(self.rng.randint(0, most), len(known)))
        for one, other in EXCLUSIVE:
            if one in chosen and other in chosen:
                chosen.remove(other)
        if "external" in chosen:
            chosen = ["external"]
        chosen += [key for key in NEEDED.find(path) or () if key not in chosen]
        made = {key: self.tagged(shape.fields[key], (*path, key)) for key in chosen}
        if self.chance(0.05) and shape.extensions != "refused":
            made["x-own"] = self.rng.choice(ODD)
        return made

    def tagged(self, shape: Shape, path: tuple[str, ...]) -> str:
        text = self.value(shape, path, top=len(path) == 3)
        if self.override and self.chance(0.08):
            return self.rng.choice(("!reset null", "!reset []", "!reset {}", f"!override {text}"))
        return text

    def value(self, shape: Shape, path: tuple[str, ...], *, top: bool = False) -> str:
        """Return one value in flow style."""
        if isinstance(shape, AnyOf):
            return self.value(self.rng.choice(shape.options), path, top=top)
        if isinstance(shape, ListOf):
            count = range(self.rng.randint(1, 3))
            entries = [self.value(shape.entry, (*path, "[]")) for _ in count]
            if shape.unique:
                entries = list({entry.strip("\"'"): entry for entry in entries}.values())
            return f"[{', '.join(entries)}]"
        if isinstance(shape, MapOf):
            names = NAMES.get(".".join(path[2:]) or path[0], NAMES["*"])
            chosen = self.rng.sample(names, self.rng.randint(0, min(3, len(names))))
            pairs = (f"{name}: {self.value(shape.value, (*path, '*'))}" for name in chosen)
            return f"{{{', '.join(pairs)}}}"
        if isinstance(shape, Struct):
            keys = self.keys(shape, path, len(shape.fields))
            for name in shape.required:
                keys.setdefault(name, self.value(shape.fields[name], (*path, name)))
            return "{" + ", ".join(f"{key}: {text}" for key, text in keys.items()) + "}"
        if isinstance(shape, Anything):
            return self.scalar(path, top=False)
        assert isinstance(shape, Scalar)
        return self.scalar(path, top=top, shape=shape)

    def scalar(self, path: tuple[str, ...], *, top: bool, shape: Scalar | None = None) -> str:
        if self.chance(self.odd):
            return self.rng.choice(ODD)
        text = self.rng.choice(texts(path, shape))
        inner = text.strip("\"'")
        if self.chance(0.06) and not re.search(r"[\"'\\$}\n]", inner) and text != "null":
            form = self.rng.choice(_FORMS).replace("@", inner)
            return form if top and self.chance(0.5) else f'"{form}"'
        return text


def _struct(shape: Shape) -> Struct:
    options = shape.options if isinstance(shape, AnyOf) else (shape,)
    return next(option for option in options if isinstance(option, Struct))


_APART = {("services", "*", "extends")}
_RESOURCES = ("front", "back", "data", "logs", "token", "key", "conf", "db", "common")
_FORMS = (
    "${UNSET:-@}",
    "${UNSET-@}",
    "${EMPTY:-@}",
    "${ONE:+@}",
    "@${EMPTY}",
    "${UNSET:-${NO:-@}}",
)
_INCLUDES = (
    "[part/compose.yaml]",
    "[{path: part/compose.yaml}]",
    "[{path: [part/compose.yaml], env_file: e1.env}]",
    "[{path: part/compose.yaml, project_directory: .}]",
    "[{path: ./part/compose.yaml, env_file: [e1.env, ./e2.env], project_directory: part}]",
)
_ARGUMENTS: tuple[tuple[str, ...], ...] = (
    (),
    (),
    (),
    ("--profile", "one"),
    ("--profile", "*"),
    ("-p", "other"),
    ("--env-file", "e1.env"),
    ("--env-file", "e1.env", "--env-file", "e2.env"),
    ("--project-directory", "part"),
)
