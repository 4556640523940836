"""The spec of a sweep: a TOML file, or the same as a dictionary, becomes a list of runs.

A spec names methods, and gives a run for each combination of everything that is a list:

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

or it names a lesson and its parameters:

    lesson = "05"

    [parameters]
    profile = "lab"
    strength = [0.1, 0.25]

A list is a grid. Where a parameter is a list by nature (`widths`, `contaminants`), a list of lists is the grid.
`name` is the name of the sweep; without it, the name of the file is taken. Everything is checked before a run starts.

The specs of published tables (`data/sweeps/arae-2.toml`) use more words:

    paper = "arae"              # which published table this is for: see `advad reproduce`
    table = "2"
    seeds_first = true          # all runs with the first seed come before those with the second
    attack_radii = [0.05, 0.1]  # the trained detectors are attacked, too: see `advad.experiments.evaluate`
    last_epochs = 50            # AUROC over so many last epochs, too: its mean and its standard deviation

    [[data]]                    # several image sets, each with its own grid
    dataset = "MNIST"
    normal = [0, 1, 8]

    [[methods]]
    method = "LOF"
    seeds = 1                   # how many of the seeds; one is enough where nothing depends on it

    [[methods]]
    method = "ARAE"
    [methods.laptop]            # the settings of one budget …
    attack_steps = 2
    [methods.laptop.FashionMNIST]    # … and of one data set within it
    attack_radius = 0.05

    [[causes]]                  # why a result of ours is below the published one: the first entry that fits
    method = "ARAE"             # as printed; more columns of data/published.csv may follow
    cause = "a tenth of the epochs"

There are two budgets. "laptop" is what the spec says. "paper" begins with the published settings that the method
itself gives (`ARAE.paper_settings("MNIST")`), and `[methods.paper]` can change them. Settings that stand directly under
`[[methods]]` hold for both.
"""

from __future__ import annotations

import inspect
import itertools
import tomllib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NoReturn

import advad
from advad.checks import brief, check_choice, check_number
from advad.datasets import protocols
from advad.datasets.load import PART_OF, data_folder
from advad.engine.training import choose_device
from advad.experiments.run import LessonRun, MethodRun, Run, fingerprint_of, forget_images, with_new_names
from advad.files import expanded, plain
from advad.lessons.catalogue import find_lesson
from advad.lessons.outcome import NoLessonError
from advad.lessons.parameters import ParameterError, SpecError, check_parameters, closest, read_parameters
from advad.methods import METHODS

BUDGETS = ("laptop", "paper")
TABLE_WORDS = (
    "paper",
    "table",
    "seeds_first",
    "attack_radii",
    "last_epochs",
    "causes",
)  # what only the spec of a published table needs
MOST_RUNS = 10_000  # more are a mistake in the spec
LONGEST_NAME = 100

SWEPT = [name for name in METHODS if name != "PyOD"]  # whose detector is an object, and no TOML can hold one
PROTOCOLS = protocols.__all__[1:]  # without Split
WHERE = ("source", "root", "fingerprint")  # what a planned data set has besides the arguments of its protocol
LISTS = ("contaminants", "labelled_classes")  # arguments of a protocol that are lists by nature


@dataclass(frozen=True)
class Plan:
    """A sweep: its name, the spec as given, its runs, and its budget ("" where the spec knows no budgets)."""

    name: str
    spec: dict[str, Any]
    runs: list[Run]
    budget: str = ""

    @property
    def subject(self) -> str:
        """What is swept: "methods", or a lesson's name."""
        first = self.runs[0] if self.runs else None
        return first.notebook.stem if isinstance(first, LessonRun) else "methods"


def read_plan(spec: str | Path | Mapping[str, Any], budget: str = "") -> Plan:
    """Return the runs that a spec asks for.

    Parameters
    ----------
    spec : path of a TOML file, or mapping
        See the head of this module.
    budget : {"", "laptop", "paper"}
        Which settings to take from the spec of a published table; "" takes "laptop".

    Raises
    ------
    SpecError
        Something unknown, empty, or out of range.
    """
    name, content = ("sweep", plain(spec, "spec")) if isinstance(spec, Mapping) else read_spec(expanded(spec))
    name = content.pop("name", name)
    if not isinstance(name, (str, int)):
        refuse("name", "be a word fit for a folder", name)
    name = str(name)
    if "lesson" in content:
        budget, runs = "", _lesson_runs(content)
    else:
        budget = _budget(content, budget)
        name = f"{name}-{budget}" if budget else name
        runs = _method_runs(content, budget)
    if name in ("", ".", "..") or Path(name).name != name or not name.isprintable() or len(name) > LONGEST_NAME:
        refuse("name", "be a word fit for a folder", name)
    return Plan(name, content, list({run.name: run for run in runs}.values()), budget)  # each run once


def read_spec(path: Path) -> tuple[str, dict[str, Any]]:
    """Return the name and the content of a spec; SpecError where it is no TOML file."""
    try:
        text = path.read_text(encoding="utf-8-sig")  # Windows writes a byte-order mark
        return path.stem, tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # no UTF-8, no TOML, a number of too many digits, too deep
        raise SpecError(f"sweep: {path.name} must be TOML; {str(error).splitlines()[0]}.") from None
    except OSError as error:
        raise SpecError(f"sweep: the spec must be a file that can be read; got {path} ({error.strerror}).") from None


def refuse(what: str, rule: str, got: Any, remedy: str = "") -> NoReturn:
    """Raise SpecError in advad's form of messages."""
    raise SpecError(f"sweep: {what} must {rule}; got {brief(got, 200)}. {remedy}".strip())


def _lesson_runs(spec: dict[str, Any]) -> list[Run]:
    _know("a lesson's sweep", spec, ["lesson", "parameters", "timeout"])
    timeout = spec.get("timeout", 3600)
    _checked(lambda: check_number("sweep", "timeout", timeout, 1, integer=True, remedy="It is seconds, for a cell."))
    try:
        notebook = find_lesson(str(spec["lesson"]))
        declared = read_parameters(notebook)
        _know(
            notebook.stem, parameters := _table(spec, "parameters"), [name for name in declared if name != "output_dir"]
        )
        defaults = {name: parameter.default for name, parameter in declared.items() if name != "output_dir"}
        return [
            LessonRun(
                notebook=notebook,
                parameters=defaults | check_parameters(notebook, point),
                varied=varied,
                timeout=timeout,
            )
            for point, varied in _points("parameters", parameters)
        ]
    except (ParameterError, NoLessonError) as error:
        raise SpecError(f"sweep: {str(error).removeprefix('sweep: ')}") from None


def _budget(spec: Mapping[str, Any], budget: str) -> str:
    """Return the budget to plan for; "" where the spec knows none."""
    methods = spec.get("methods")
    tables = [table for table in methods if isinstance(table, Mapping)] if isinstance(methods, list) else []
    if "table" not in spec and not any(name in table for table in tables for name in BUDGETS):
        if budget:
            refuse("the spec", "have budgets", f"none, and budget={budget!r} was asked for")
        return ""
    budget = budget or BUDGETS[0]
    if budget not in BUDGETS:
        refuse("budget", f"be one of {', '.join(BUDGETS)}", budget)
    return budget


def _method_runs(spec: dict[str, Any], budget: str) -> list[Run]:
    _know("the spec", spec, ["seed", "device", "data", "methods", "name", "lesson", *TABLE_WORDS])
    methods = spec.get("methods", [])
    if not (isinstance(methods, list) and methods and all(isinstance(table, Mapping) for table in methods)):
        refuse("methods", "be one table or more", methods, 'Write [[methods]], and under it method = "AE".')
    causes = spec.get("causes", [])
    if not (isinstance(causes, list) and all(isinstance(entry, dict) and "cause" in entry for entry in causes)):
        refuse("causes", "be tables with a cause each", causes, 'Write [[causes]], and under it cause = "…".')
    device = spec.get("device", "auto")
    _checked(lambda: choose_device(device, "sweep"))
    seeds = list(_points("the spec", {"seed": spec.get("seed", 0)}))
    if len(seeds) > MOST_RUNS:
        refuse("the spec", f"ask for at most {MOST_RUNS:,} runs", len(seeds))
    for point, _ in seeds:
        _checked(lambda seed=point["seed"]: check_number("sweep", "seed", seed, 0, 2**32 - 1, integer=True))
    radii = spec.get("attack_radii", [])
    if not isinstance(radii, list):
        refuse("attack_radii", "be a list of radii in pixel units", radii, "For example attack_radii = [0.05, 0.1].")
    for radius in radii:
        _checked(lambda radius=radius: check_number("sweep", "attack_radii", radius, 0, 1, ends="(]"))
    last_epochs = spec.get("last_epochs", 0)
    _checked(lambda: check_number("sweep", "last_epochs", last_epochs, 0, integer=True))
    data = _data_points(spec)
    runs: list[Run] = []
    for number, table in enumerate(methods, 1):
        method = table.get("method")
        if not isinstance(method, str) or method not in SWEPT:
            near = closest(str(method), SWEPT)
            refuse(f"methods[{number}].method", f"be one of {', '.join(SWEPT)}", method, near.strip())
        _know_data_sets(method, table, {data_set["dataset"] for data_set, _ in data})
        n_seeds = table.get("seeds", len(seeds))
        _checked(lambda n=n_seeds, owner=method: check_number(owner, "seeds", n, 1, len(seeds), integer=True))
        settings_by_data = [
            _table_settings(table, budget, data_set["dataset"], str(spec.get("paper", ""))) for data_set, _ in data
        ]
        lists = _lists_of(method)
        grids = [[] if settings is None else _points(method, settings, lists) for settings in settings_by_data]
        if (n_runs := len(runs) + sum(map(len, grids)) * len(seeds)) > MOST_RUNS:
            refuse("the spec", f"ask for at most {MOST_RUNS:,} runs", n_runs)
        for place in range(max(map(len, grids))):
            points = [(grid[place], point) for grid, point in zip(grids, data, strict=True) if place < len(grid)]
            for ((settings, by_method), (data_set, by_data)), (point, by_seed) in itertools.product(
                points, seeds[:n_seeds]
            ):
                run = MethodRun(
                    method=method,
                    settings=_settings(method, settings),
                    data={name: data_set[name] for name in data_set if name not in WHERE},
                    seed=point["seed"],
                    device=device,
                    source=data_set["source"],
                    root=data_set["root"],
                    fingerprint=data_set["fingerprint"],
                    attack_radii=tuple(map(float, radii)),
                    last_epochs=int(last_epochs) if issubclass(getattr(advad, method), advad.Detector) else 0,
                    varied={"method": method} | by_method | by_data | by_seed,
                )
                runs.append(run)
    for run in {str(run.data): run for run in runs if isinstance(run, MethodRun)}.values():
        _checked(run.split)  # classes, rates and sizes: the first seed stands for all
    seeds_first = spec.get("seeds_first", False)
    _checked(lambda: check_choice("sweep", "seeds_first", seeds_first, (True, False)))
    if seeds_first:
        rank = {point["seed"]: place for place, (point, _) in reversed(list(enumerate(seeds)))}
        runs.sort(key=lambda run: rank[run.seed] if isinstance(run, MethodRun) else 0)
    return runs


def _data_points(spec: Mapping[str, Any]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return the points of the grid over the data, of one [data] table or of several [[data]]."""
    forget_images()  # a folder may have changed since this process read it
    content = spec.get("data", {})
    tables: list[Any] = content if isinstance(content, list) and content else [content]
    if not all(isinstance(table, Mapping) for table in tables):
        refuse("data", "be a table", content, "Write [data], and its entries under it.")
    points = [point for table in tables for point in _points("data", table, LISTS)]
    names = {name for name in tables[0] if len({str(table.get(name)) for table in tables}) > 1}
    return [
        (_data(point), {name: point[name] for name in point if name in varied or name in names})
        for point, varied in points
    ]


def _table_settings(table: Mapping[str, Any], budget: str, dataset: str, paper: str) -> dict[str, Any] | None:
    """Return the settings that a table of methods gives for a budget and a data set.

    None where it gives none: no settings of a trained method are published, and `[methods.paper]` has none either.
    """
    common = {name: value for name, value in table.items() if name not in ("method", "seeds", *BUDGETS)}
    if not budget:
        return common
    of_budget = table.get(budget, {})
    settings = {name: value for name, value in of_budget.items() if not isinstance(value, Mapping)}
    settings |= _tables(of_budget).get(Path(dataset).name, {})
    published = _published_settings(table["method"], dataset, paper) if budget == "paper" else {}
    if published is None and not settings and issubclass(getattr(advad, table["method"]), advad.Detector):
        return None
    return (published or {}) | common | settings


def _know_data_sets(method: str, table: Mapping[str, Any], datasets: Collection[str]) -> None:
    """Raise SpecError where a budget is no table, or has settings for a data set that the spec does not use."""
    names = sorted(Path(dataset).name for dataset in datasets)
    for budget in BUDGETS:
        of_budget = table.get(budget, {})
        if not isinstance(of_budget, Mapping):
            refuse(
                f"{method}: {budget}", "be a table", of_budget, f"Write [methods.{budget}], and its entries under it."
            )
        for name in _tables(of_budget):
            if name not in names:
                refuse(f"{method}: the table {budget}.{name}", f"name one of the data sets {', '.join(names)}", name)


def _tables(table: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {name: value for name, value in table.items() if isinstance(value, Mapping)}


def _published_settings(method: str, dataset: str, paper: str) -> dict[str, Any] | None:
    """Return the published settings of a method for a data set, as a spec would say them; None where there are none.

    Those of the paper whose table it is come first, then those of the method's own paper.
    """
    dataset = PART_OF.get(Path(dataset).stem, dataset)
    for source in ({"paper": paper}, {}):
        try:
            published = getattr(advad, method).paper_settings(dataset, **source)
        except ValueError:
            continue
        return {name: list(value) if isinstance(value, tuple) else value for name, value in published.items()}
    return None


def _points(
    owner: str, table: Mapping[str, Any], lists: Collection[str] = ()
) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return each point of the grid that a table spans: all its values, and those of the names that vary."""
    sides = {}
    for name, value in table.items():
        is_single = not isinstance(value, list) or (name in lists and not any(isinstance(item, list) for item in value))
        sides[name] = [value] if is_single else value
        if not sides[name]:
            refuse(f"{owner}: {name}", "have at least one value", value)
    combinations = (dict(zip(sides, values, strict=True)) for values in itertools.product(*sides.values()))
    return [(point, {name: point[name] for name in sides if len(sides[name]) > 1}) for point in combinations]


def _data(table: dict[str, Any]) -> dict[str, Any]:
    """Return a protocol's arguments with their defaults, and where the data set lies."""
    protocol, dataset = table.get("protocol", "one_class"), table.get("dataset")
    if protocol not in PROTOCOLS:
        refuse(
            "data: protocol", f"be one of {', '.join(PROTOCOLS)}", protocol, closest(str(protocol), PROTOCOLS).strip()
        )
    if not isinstance(dataset, str):
        refuse("data: dataset", "be a name or a path", dataset, 'For example dataset = "digits".')
    arguments = dict(inspect.signature(getattr(protocols, protocol)).parameters)
    arguments = {name: argument.default for name, argument in arguments.items() if name not in ("images", "seed")}
    _know("data", table, ["dataset", "protocol", "size", "channels", *arguments])
    if missing := [
        name for name, default in arguments.items() if default is inspect.Parameter.empty and name not in table
    ]:
        raise SpecError(f"sweep: data must name {missing[0]}, which {protocol} asks for. For example {missing[0]} = 8.")
    full = {name: _like(default, table.get(name, default)) for name, default in arguments.items()}
    full = {k: v for k, v in full.items() if k not in protocols.ADDED_LATER or v != arguments[k]}  # keeps digests
    path = _checked(lambda: expanded(dataset))
    source, root = str(path.resolve()) if path.exists() else dataset, str(data_folder())
    size, channels = table.get("size"), table.get("channels")
    fingerprint = _checked(lambda: fingerprint_of(source, root, size, channels))
    return (
        {"dataset": dataset, "protocol": protocol, "size": size, "channels": channels}
        | full
        | {"source": source, "root": root, "fingerprint": fingerprint}
    )


def _settings(method: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Return all parameters of a method but seed and device, checked by the method itself."""
    defaults = getattr(advad, method)().get_params(deep=False)
    if "precision" in defaults:
        defaults["precision"] = "float32"  # "auto" would be another one on another machine
    settings = with_new_names(method, settings)
    for name in ("seed", "device"):
        defaults.pop(name, None)  # the classical methods have no device, and few have a seed
        if name in settings:
            raise SpecError(f"sweep: {method}: {name} must stand at the top of the spec, for all methods.")
    _know(method, settings, defaults)
    either = {entry.name for entry in fields(getattr(advad, method)) if entry.type == "int | float"}  # 4 is not 4.0
    full = {name: settings.get(name, default) for name, default in defaults.items()}
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


def _know(owner: str, names: Iterable[str], known: Iterable[str]) -> None:
    for name in names:
        if name not in known:
            raise SpecError(f"sweep: {owner}: no parameter {name!r}.{closest(name, known)} It has {', '.join(known)}.")


def _checked(check: Callable[[], Any]) -> Any:
    """Return what a call returns; its errors become errors of the spec."""
    try:
        return check()
    except (ValueError, TypeError, FileNotFoundError) as error:
        raise SpecError(f"sweep: {str(error).removeprefix('sweep: ')}") from None
