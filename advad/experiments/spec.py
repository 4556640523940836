"""What a sweep is asked to do: a TOML file, or the same as a dictionary, becomes a list of runs.

Methods directly, each combination of everything that is a list:

    seed = [0, 1, 2]
    device = "auto"

    [data]                      # `advad.load`'s and the protocol's arguments
    dataset = "MNIST"
    normal = [0, 1, 8]
    contamination = [0.0, 0.05]

    [[methods]]
    method = "AE"
    epochs = 40

    [[methods]]
    method = "ARAE"
    epochs = 40
    attack_radius = [0.1, 0.2]

or the parameters of a lesson:

    lesson = "05"

    [parameters]
    profile = "lab"
    strength = [0.1, 0.25]

A list is a grid. Where a parameter is a list by nature (`widths`, `contaminants`), a list of lists is the grid.
`name` is the sweep's; without one it has the file's. All is checked before anything runs.
"""

from __future__ import annotations

import inspect
import itertools
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NoReturn

import advad
from advad.checks import brief, check_number
from advad.datasets import protocols
from advad.datasets.load import data_folder
from advad.engine.training import choose_device
from advad.experiments.run import LessonRun, MethodRun, Run
from advad.files import plain
from advad.lessons.catalogue import find_lesson
from advad.lessons.outcome import NoLessonError
from advad.lessons.parameters import ParameterError, SpecError, check_parameters, closest, read_parameters
from advad.methods import METHODS

SWEPT = [name for name in METHODS if name != "PyOD"]  # whose detector is an object, and no TOML can hold one
PROTOCOLS = protocols.__all__[1:]  # without Split
LISTS = ("contaminants", "labelled_classes")  # arguments of a protocol that are lists by nature


@dataclass(frozen=True)
class Plan:
    """A sweep: its name, the spec as given, and its runs."""

    name: str
    spec: dict[str, Any]
    trials: list[Run]

    @property
    def subject(self) -> str:
        """What is swept: "methods", or a lesson's name."""
        first = self.trials[0]
        return first.notebook.stem if isinstance(first, LessonRun) else "methods"


def read_plan(spec: str | Path | Mapping[str, Any]) -> Plan:
    """Return the runs that a spec asks for.

    Parameters
    ----------
    spec : path of a TOML file, or mapping
        See the head of this module.

    Raises
    ------
    SpecError
        Something unknown, empty, or out of range.
    """
    name, given = ("sweep", plain(spec, "spec")) if isinstance(spec, Mapping) else _read_file(Path(spec))
    name = str(given.pop("name", name))
    if not name or Path(name).name != name:
        refuse("name", "be a word fit for a folder", name)
    trials = _lesson_trials(given) if "lesson" in given else _method_trials(given)
    return Plan(name, given, list({trial.name: trial for trial in trials}.values()))  # each once


def refuse(what: str, rule: str, got: Any, remedy: str = "") -> NoReturn:
    """Raise SpecError in the house's form."""
    raise SpecError(f"sweep: {what} must {rule}; got {brief(got, 200)}. {remedy}".strip())


def _read_file(path: Path) -> tuple[str, dict[str, Any]]:
    try:
        return path.stem, tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpecError(f"sweep: {path.name} must be TOML; {str(error).splitlines()[0]}.") from None
    except OSError as error:
        raise SpecError(f"sweep: the spec must be a file that can be read; got {path} ({error.strerror}).") from None


def _lesson_trials(spec: dict[str, Any]) -> list[Run]:
    _know("a lesson's sweep", spec, ["lesson", "parameters", "timeout"])
    timeout = spec.get("timeout", 3600)
    _checked(lambda: check_number("sweep", "timeout", timeout, 1, integer=True, remedy="It is seconds, for a cell."))
    try:
        notebook = find_lesson(str(spec["lesson"]))
        declared = read_parameters(notebook)
        _know(notebook.stem, given := _table(spec, "parameters"), [name for name in declared if name != "output_dir"])
        defaults = {name: parameter.default for name, parameter in declared.items() if name != "output_dir"}
        return [
            LessonRun(
                notebook=notebook,
                parameters=defaults | check_parameters(notebook, point),
                varied=varied,
                timeout=timeout,
            )
            for point, varied in _points("parameters", given)
        ]
    except (ParameterError, NoLessonError) as error:
        raise SpecError(f"sweep: {str(error).removeprefix('sweep: ')}") from None


def _method_trials(spec: dict[str, Any]) -> list[Run]:
    _know("the spec", spec, ["seed", "device", "data", "methods", "name", "lesson"])
    methods = spec.get("methods", [])
    if not (isinstance(methods, list) and methods and all(isinstance(table, Mapping) for table in methods)):
        refuse("methods", "be one table or more", methods, 'Write [[methods]], and under it method = "AE".')
    device = spec.get("device", "auto")
    _checked(lambda: choose_device(device, "sweep"))
    around = list(_points("the spec", {"seed": spec.get("seed", 0)}))
    for point, _ in around:
        _checked(lambda seed=point["seed"]: check_number("sweep", "seed", seed, 0, 2**32 - 1, integer=True))
    data = [(full, varied) for point, varied in _points("data", _table(spec, "data"), LISTS) for full in [_data(point)]]
    trials: list[Run] = []
    for number, table in enumerate(methods, 1):
        method, settings = table.get("method"), {name: value for name, value in table.items() if name != "method"}
        if not isinstance(method, str) or method not in SWEPT:
            near = closest(str(method), SWEPT)
            refuse(f"methods[{number}].method", f"be one of {', '.join(SWEPT)}", method, near.strip())
        for (given, by_method), (where, by_data), (point, by_seed) in itertools.product(
            _points(method, settings, _lists_of(method)), data, around
        ):
            known = {name: where[name] for name in where if name not in ("source", "root")}
            trial = MethodRun(
                method=method,
                settings=_settings(method, given),
                data=known,
                seed=point["seed"],
                device=device,
                source=where["source"],
                root=where["root"],
                varied={"method": method} | by_method | by_data | by_seed,
            )
            trials.append(trial)
    for trial in {str(trial.data): trial for trial in trials if isinstance(trial, MethodRun)}.values():
        _checked(trial.split)  # classes, rates and sizes: the first seed stands for all
    return trials


def _points(
    owner: str, given: Mapping[str, Any], lists: Iterable[str] = ()
) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return each point of the grid that a table spans: all its values, and those of the names that vary."""
    sides = {}
    for name, value in given.items():
        one = not isinstance(value, list) or (name in lists and not any(isinstance(item, list) for item in value))
        sides[name] = [value] if one else value
        if not sides[name]:
            refuse(f"{owner}: {name}", "have at least one value", value)
    combinations = (dict(zip(sides, values, strict=True)) for values in itertools.product(*sides.values()))
    return [(point, {name: point[name] for name in sides if len(sides[name]) > 1}) for point in combinations]


def _data(given: dict[str, Any]) -> dict[str, Any]:
    """Return a protocol's arguments with their defaults, and where the data set lies."""
    protocol, dataset = given.get("protocol", "one_class"), given.get("dataset")
    if protocol not in PROTOCOLS:
        refuse(
            "data: protocol", f"be one of {', '.join(PROTOCOLS)}", protocol, closest(str(protocol), PROTOCOLS).strip()
        )
    if not isinstance(dataset, str):
        refuse("data: dataset", "be a name or a path", dataset, 'For example dataset = "digits".')
    arguments = dict(inspect.signature(getattr(protocols, protocol)).parameters)
    arguments = {name: argument.default for name, argument in arguments.items() if name not in ("images", "seed")}
    _know("data", given, ["dataset", "protocol", "size", "channels", *arguments])
    if missing := [
        name for name, default in arguments.items() if default is inspect.Parameter.empty and name not in given
    ]:
        raise SpecError(f"sweep: data must name {missing[0]}, which {protocol} asks for. For example {missing[0]} = 8.")
    full = {name: _like(default, given.get(name, default)) for name, default in arguments.items()}
    full = {k: v for k, v in full.items() if k not in protocols.ADDED_LATER or v != arguments[k]}  # keeps digests
    here = Path(str(dataset)).expanduser()
    return (
        {"dataset": dataset, "protocol": protocol, "size": given.get("size"), "channels": given.get("channels")}
        | full
        | {
            "source": str(here.resolve()) if here.exists() else dataset,
            "root": str(data_folder()),
        }
    )


def _settings(method: str, given: dict[str, Any]) -> dict[str, Any]:
    """Return all parameters of a method but seed and device, checked by the method itself."""
    defaults = getattr(advad, method)().get_params(deep=False)
    for name in ("seed", "device"):
        defaults.pop(name, None)  # the classical methods have no device, and few have a seed
        if name in given:
            raise SpecError(f"sweep: {method}: {name} must stand at the top of the spec, for all methods.")
    _know(method, given, defaults)
    either = {entry.name for entry in fields(getattr(advad, method)) if entry.type == "int | float"}  # 4 is not 4.0
    full = {name: given.get(name, default) for name, default in defaults.items()}
    full |= {name: _like(defaults[name], value) for name, value in full.items() if name not in either}
    _checked(getattr(advad, method)(**full).check)
    return full


def _lists_of(method: str) -> list[str]:
    """Return the parameters of a method that are lists by nature."""
    return [name for name, value in getattr(advad, method)().get_params(deep=False).items() if isinstance(value, tuple)]


def _like(default: Any, value: Any) -> Any:
    """Return a value as TOML could not write it: a tuple, or a float without its point."""
    if isinstance(default, tuple) and isinstance(value, list):
        return tuple(value)
    return float(value) if type(default) is float and type(value) is int else value


def _table(spec: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = spec.get(name, {})
    if not isinstance(table, Mapping):
        refuse(name, "be a table", table, f"Write [{name}], and its entries under it.")
    return table


def _know(owner: str, given: Iterable[str], names: Iterable[str]) -> None:
    for name in given:
        if name not in names:
            raise SpecError(f"sweep: {owner}: no parameter {name!r}.{closest(name, names)} It has {', '.join(names)}.")


def _checked(check: Any) -> None:
    """Call what checks itself; its errors are the spec's."""
    try:
        check()
    except (ValueError, TypeError, FileNotFoundError) as error:
        raise SpecError(f"sweep: {str(error).removeprefix('sweep: ')}") from None
