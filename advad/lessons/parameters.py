"""A lesson's parameters: what its cell declares, and whether a value fits.

They are the cell tagged `parameters`, one literal a line:

    profile: str = "smoke"  # size of everything {smoke, lab, paper}
    epochs: int = 0  # training epochs, 0 for the profile's [0, 10000]
    contamination: float | None = None  # share of anomalies in the training set, None for the profile's [0, 0.5]

The type is int, float, str or bool, or one of these `| None`. What follows `#` is the help; it may end in a
rule: `[low, high]` for numbers ("(" and ")" leave an end out), `{a, b, c}` for choices, `<folder>` for a folder that
must exist. The default is always allowed. A line holds one "=", because papermill sees no parameter on a line with
two. (Nor does it see one that may be None: such a parameter works all the same, and is missing only from papermill's
own help.)

A value may come as text from a command line, or as papermill understands it (`-p normal 1` is a number, whatever the
type). :meth:`Parameter.check` gives it the declared type where there is one reading, and refuses it otherwise.
"""

from __future__ import annotations

import ast
import difflib
import io
import math
import re
import tokenize
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
from nbformat import NotebookNode

from advad.files import expanded

KINDS = {"int": "a whole number", "float": "a number", "str": "text", "bool": "true or false"}
WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
RANGE = re.compile(r"([\[(])([^\[\](){},]+),([^\[\](){},]+)([\])])$")
CHOICES = re.compile(r"\{([^{}]+)\}$")
FOLDER = "<folder>"


class ParameterError(ValueError):
    """A parameter that the lesson does not have, or a value that it does not take."""

    def _render_traceback_(self) -> list[str]:
        """Return what Jupyter shows: the line without the calls, because what is wrong is the value."""
        return [f"{type(self).__name__}: {self}"]


class SpecError(ValueError):
    """A sweep or a board that cannot be made as asked, in one line; nothing has run."""


@dataclass(frozen=True)
class Parameter:
    """One line of the cell tagged `parameters`.

    Attributes
    ----------
    name : str
    type : type
        int, float, str or bool.
    default : object
        Of that type, or None where `optional`.
    help : str
        The comment, with its rule.
    low, high : float
        The interval that the rule gives, and in `ends` whether it is open: "[]", "(]", "[)" or "()".
    choices : tuple
        The values that the rule lists; empty where any will do.
    optional : bool
        Whether None is a value.
    is_folder : bool
        Whether it is the path of a folder that must exist.
    """

    name: str
    type: type
    default: Any
    help: str = ""
    low: float = -math.inf
    high: float = math.inf
    ends: str = "[]"
    choices: tuple[Any, ...] = ()
    optional: bool = False
    is_folder: bool = False

    def check(self, owner: str, value: Any) -> Any:
        """Return the value in the parameter's type; a folder as an absolute path.

        Parameters
        ----------
        owner : str
            The lesson; it opens the message.
        value : object
            Of the type; or a text that stands for a value of it; or, where the type is str, a whole number.

        Raises
        ------
        ParameterError
            Another type, a value that the rule does not allow, a folder that does not exist.
        """
        from advad.checks import check_choice, check_number, reject

        typed = literal(value, self.type)
        if self.optional and (typed is None or typed in ("", "none", "None")):
            return None
        if type(typed) is not self.type:
            # papermill reads 1e3, nan and True as numbers and truth values: which text was meant cannot be told
            remedy = "papermill's -r passes a text as it is." if self.type is str else ""
            reject(owner, self.name, f"be {KINDS[self.type.__name__]}", value, remedy, ParameterError)
        if typed == self.default:
            return typed
        if self.is_folder:
            return find_folder(owner, self.name, typed)
        try:
            if self.choices:
                check_choice(owner, self.name, typed, self.choices)
            elif self.type in (int, float):
                check_number(owner, self.name, typed, self.low, self.high, ends=self.ends)
        except ValueError as error:
            raise ParameterError(str(error)) from None
        return typed


def find_folder(owner: str, name: str, value: str) -> str:
    """Return the absolute path of a folder: from the working directory, else from the folder of all image sets.

    Parameters
    ----------
    owner, name : str
        The lesson and the parameter; both open the message.
    value : str
        A path; `~` is the home folder.

    Raises
    ------
    ParameterError
        There is no such folder.
    """
    from advad.checks import reject
    from advad.datasets.load import data_folder

    data = data_folder()
    try:
        path = Path(value).expanduser()
        for candidate in (path, data / path):
            if candidate.is_dir():
                return str(candidate.resolve())
    except (OSError, RuntimeError, ValueError):  # too long, no such user, a null byte
        pass
    reject(owner, name, f"be a folder in {Path.cwd()} or {data}, or its whole path", value, error=ParameterError)


def read_notebook(path: Path) -> NotebookNode:
    """Return the notebook of a file; ParameterError where it holds none, FileNotFoundError where it is missing."""
    try:
        return nbformat.read(path, as_version=4)
    except (ValueError, AttributeError, nbformat.ValidationError) as error:  # no JSON, or another JSON
        reason = (str(error).splitlines() or [""])[0][:80]
        raise ParameterError(f"{path.name}: must be a Jupyter notebook of version 4; {reason}.") from None


def read_parameters(notebook: str | Path) -> dict[str, Parameter]:
    """Return the parameters that a notebook declares, by name and in order.

    Raises
    ------
    ParameterError
        A line of its cell that does not follow the form.
    """
    path = expanded(notebook)
    cells = read_notebook(path).cells
    source = next((cell.source for cell in cells if "parameters" in cell.metadata.get("tags", [])), "")
    return parse_parameters(source, path.stem)


def parse_parameters(source: str, owner: str) -> dict[str, Parameter]:
    """Return the parameters that the source of a cell declares, by name and in order.

    Parameters
    ----------
    source : str
    owner : str
        The lesson; it opens the message.

    Raises
    ------
    ParameterError
        A line that does not follow the form.
    """
    lines = source.splitlines()
    try:
        statements = ast.parse(source).body
        tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    except SyntaxError as error:
        place = f"{owner}: line {error.lineno} of its parameters"
        raise ParameterError(f"{place} must be Python; {error.msg}.") from None
    comments = {token.start[0]: token.string.lstrip("#").strip() for token in tokens if token.type == tokenize.COMMENT}
    declared = {}
    for statement in statements:
        number = statement.lineno
        try:
            parameter = _declared(statement, lines[number - 1], comments.get(number, ""))
        except ValueError as error:
            place = f"{owner}: line {number} of its parameters"
            raise ParameterError(f"{place} {error}; got {lines[number - 1]!r}.") from None
        declared[parameter.name] = parameter
    return declared


def check_parameters(notebook: str | Path, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values in the types that the notebook declares.

    Parameters
    ----------
    notebook : path
    values : mapping of str to object
        Values, or texts as typed on a command line.

    Raises
    ------
    ParameterError
        An unknown name, a wrong type, a value out of range: one line, before anything runs.
    """
    declared, owner = read_parameters(notebook), Path(notebook).stem
    for name in values:
        if name not in declared:
            names = ", ".join(declared) or "none"
            raise ParameterError(f"{owner}: no parameter {name!r}.{closest(name, declared)} It has {names}.")
    return {name: declared[name].check(owner, value) for name, value in values.items()}


def literal(value: Any, kind: type) -> Any:
    """Return what `value` stands for where a `kind` is wanted; as it is where it stands for none."""
    if isinstance(value, str) and kind is not str:
        try:
            return WORDS.get(value.strip().lower(), value) if kind is bool else kind(value)
        except ValueError:
            return value
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool) and kind in (int, float, str):
        return kind(int(value))  # NumPy's whole numbers too; as text, the class "1" that papermill passes as 1
    return value


def closest(name: str, names: Iterable[str]) -> str:
    """Return " Did you mean …?" with the most similar of `names`, or nothing."""
    near = difflib.get_close_matches(name, list(names), n=1)
    return f" Did you mean {near[0]}?" if near else ""


def _declared(statement: ast.stmt, line: str, comment: str) -> Parameter:
    """Return the parameter that one statement declares; ValueError where it does not follow the form."""
    form = "must read `name: type = literal  # help`"
    if not (isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and statement.value):
        raise ValueError(form)
    if statement.end_lineno != statement.lineno or line.count("=") != 1:
        raise ValueError(f'{form}, with one "="')
    annotation = ast.unparse(statement.annotation)
    kind = {"int": int, "float": float, "str": str, "bool": bool}.get(annotation.removesuffix(" | None"))
    if kind is None:
        raise ValueError("must have one of the types int, float, str, bool")
    optional = annotation.endswith(" | None")
    try:
        default = ast.literal_eval(statement.value)
    except ValueError:
        raise ValueError(form) from None
    if kind is float and type(default) is int:
        default = float(default)
    if not (type(default) is kind or (optional and default is None)):
        raise ValueError(f"must have a default of its type, {annotation}")
    rule = _rule(comment, kind)
    return Parameter(statement.target.id, kind, default, comment, optional=optional, **rule)


def _rule(comment: str, kind: type) -> dict[str, Any]:
    """Return the fields of a Parameter that the rule at the end of a comment gives."""
    if comment.endswith(FOLDER) and kind is str:
        return {"is_folder": True}
    try:
        if match := RANGE.search(comment):
            low, high = float(match[2]), float(match[3])
            if kind in (int, float) and low <= high:
                return {"low": low, "high": high, "ends": match[1] + match[4]}
        elif match := CHOICES.search(comment):
            choices = tuple(literal(word.strip(), kind) for word in match[1].split(","))
            if all(type(word) is kind for word in choices):
                return {"choices": choices}
    except ValueError:
        pass
    if comment.endswith(("]", "}")):
        raise ValueError("must end in [low, high] for numbers, or {a, b, c}, where it ends in brackets")
    return {}
