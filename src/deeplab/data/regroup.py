"""Other classes made of those of a data set or a model: kept, renamed, merged, dropped, in another order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeplab._fields import mapping_entries
from deeplab.data.dataset import DataSet, Regrouped
from deeplab.errors import SettingsError, unknown_name

__all__ = ["group_classes", "in_words", "regroup"]

Wanted = Sequence[str] | Mapping[str, str | Sequence[str]]


def group_classes(wanted: Wanted, classes: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The new classes in order, each with those of `classes` that it is made of.

    An entry is one new class: `person` keeps it, `vehicle=car` renames, `vehicle=car|bus` merges. `*` stands for all
    classes that no entry names: `background=*` merges them, `*` alone keeps each. What goes nowhere is dropped, and
    so are, with `*` among the entries, the classes of an entry without a name, `=void|unknown`.

    Args:
        wanted: The entries, or the same as a mapping: {"vehicle": ["car", "bus"], "person": "person"}.
        classes: The names there are.

    Raises:
        SettingsError: An entry that cannot be read, a class that is not there or goes to two places, or a new class
            of nothing or of a name that another one has.
    """
    entries = [_entry(entry) for entry in (mapping_entries(wanted) if isinstance(wanted, Mapping) else wanted)]
    taken = Counter(old for _, olds in entries for old in olds)
    for old, times in taken.items():
        if old != "*" and old not in classes:
            raise SettingsError(f"classes: {unknown_name('class', old, classes)}")
        if times > 1:
            raise SettingsError(f"classes takes '{old}' {times} times; each class can go to one place only")
    rest = tuple(name for name in classes if name not in taken)
    groups: list[tuple[str, tuple[str, ...]]] = []
    for name, olds in entries:
        if (name, olds) == ("*", ("*",)):
            groups += [(old, (old,)) for old in rest]
        elif name:
            groups.append((name, tuple(each for old in olds for each in (rest if old == "*" else (old,)))))
    for name, olds in groups:
        if not olds:
            raise SettingsError(f"classes has '{name}' made of all the rest, but nothing is left; leave it out")
        if [other for other, _ in groups].count(name) > 1:
            raise SettingsError(f"classes has two named '{name}'; give each another name, or join them as {name}=A|B")
    if not groups:
        raise SettingsError("classes drops every class; name at least one to keep")
    return dict(groups)


def regroup(dataset: DataSet, wanted: Wanted) -> DataSet:
    """The data set with other classes, as `group_classes` reads them; masks are mapped when they are read.

    One that was regrouped already is mapped from its files at once. Pixels of a class that is dropped are ignored. A
    class has the colour of the old one of its name, else that of the first one that it is made of.

    Raises:
        SettingsError: As `group_classes`.
    """
    groups = group_classes(wanted, dataset.classes)
    places = {name: index for index, name in enumerate(dataset.classes)}
    sources = [[places[old] for old in olds] for olds in groups.values()]
    colors = [places[name] if name in olds else places[olds[0]] for name, olds in groups.items()]
    new = replace(dataset, classes=tuple(groups), palette=dataset.palette[colors])
    dtype = np.uint8 if new.ignore_index == 255 else np.uint16
    lookup: NDArray[Any] = np.full(dataset.ignore_index + 1, new.ignore_index, dtype)
    for label, olds in enumerate(sources):
        lookup[olds] = label
    if dataset.regrouped is not None:
        lookup = lookup[dataset.regrouped.lookup]
    return replace(new, regrouped=Regrouped(dataset.origin, groups, lookup))


def in_words(groups: Mapping[str, Sequence[str]]) -> str:
    """The classes, and what they are made of where it is something else: "road, vehicle from car + bus"."""
    return ", ".join(
        name if tuple(olds) == (name,) else f"{name} from {' + '.join(olds)}" for name, olds in groups.items()
    )


def _entry(entry: str) -> tuple[str, tuple[str, ...]]:
    """The new name and the old ones, as they are written."""
    name, equals, olds = (part.strip() for part in entry.partition("="))
    parts = tuple(old.strip() for old in olds.split("|")) if equals else (name,)
    if not all(parts):
        raise SettingsError(f"classes wants entries such as person, vehicle=car|bus or background=*, got '{entry}'")
    return name, parts
