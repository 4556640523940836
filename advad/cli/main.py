"""The command `advad`: doctor, data, lab, tour, run, hand-in, class, guide, site, sweep, reproduce, board, app.

Nothing heavy is imported before a command needs it, so that `advad --help` answers at once.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import advad
from advad.environment import NO_CACHE
from advad.files import expanded

if TYPE_CHECKING:
    from advad.lessons.outcome import LessonResult

PROFILES = click.Choice(["smoke", "lab", "paper"])
DEVICES = click.Choice(["auto", "cpu", "cuda", "mps"])
TIMEOUT = click.option(
    "--timeout", type=click.IntRange(1), default=3600, show_default=True, help="Seconds that one cell may take."
)
BAD_ARGUMENT, INTERRUPTED = 2, 130


def _without_cache(context: click.Context, option: click.Parameter, use: bool) -> None:
    """Tell the kernels that this command starts, by their environment, to take no training from an earlier one."""
    if not use:
        os.environ[NO_CACHE] = "1"
        context.call_on_close(lambda: os.environ.pop(NO_CACHE, None))


CACHE = click.option(
    "--cache/--no-cache",
    default=True,
    show_default=True,
    expose_value=False,
    callback=_without_cache,
    help="Whether to take a training that was done before, with the same images and settings, from OUT/cache.",
)


class UserPath(click.Path):
    """A path as typed; a leading ~ is the home folder, also where the shell has left it, as in --out=~/runs."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Path:
        """Return the path; fail in one line where ~somebody is nobody."""
        try:
            return expanded(str(super().convert(value, param, ctx)))
        except FileNotFoundError as error:
            self.fail(str(error), param, ctx)


PATH = UserPath(path_type=Path)


class OneLine(click.ClickException):
    """An error shown in one line on stderr; `exit_code` is the exit code of the process."""

    def __init__(self, message: str, exit_code: int = 1):
        super().__init__(message.strip().replace("\n", " "))
        self.exit_code = exit_code  # pyright: ignore[reportAttributeAccessIssue] (click allows it)

    def show(self, file: Any = None) -> None:
        """Print the message and nothing else."""
        click.echo(f"advad: {self.message}", err=True)


@contextlib.contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn what a user can cause into one line and an exit code."""
    from advad.cli.app import AppError
    from advad.lessons.outcome import HandInError, LessonError, NoLessonError
    from advad.lessons.parameters import ParameterError, SpecError

    try:
        yield
    except KeyboardInterrupt:
        raise OneLine("interrupted", INTERRUPTED) from None
    except (HandInError, ParameterError, NoLessonError, SpecError) as error:
        raise OneLine(str(error), BAD_ARGUMENT) from None
    except (LessonError, AppError, OSError) as error:
        raise OneLine(str(error)) from None


class AnyTerminal(click.Group):
    """A group of commands that shows "?" for a sign that the terminal's encoding lacks ("α", "─"), in help as well."""

    def main(self, *arguments: Any, **settings: Any) -> Any:
        """Run the command line."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")
        return super().main(*arguments, **settings)


@click.group(cls=AnyTerminal, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(advad.__version__, prog_name="advad", message="%(prog)s %(version)s")
def main() -> None:
    """Image anomaly detection, for teaching and reproducible evaluation.

    \b
    Start with:  advad doctor   is everything here?
                 advad lab      work through the lessons
                 advad tour     run them all and look at what they found
                 advad sweep    many runs, each done once
                 advad board    our results beside the published values
                 advad reproduce   one published table again
    """


@main.command()
@click.option("--root", type=PATH, help="Folder of image sets  [default: $ADVAD_DATA, else data/]")
def doctor(root: Path | None) -> None:
    """Check versions, device, data, the kernel and the widgets.

    One line each: ok, warn (works with less) or fail. The exit code is 1 if anything failed.
    """
    from advad.cli import doctor as checks

    worst = "ok"
    for name, check in checks.CHECKS.items():
        state, text = checks.examine(check, root)
        click.echo(f"{click.style(f'{state:<4}', fg=checks.COLOURS[state])}  {name:<8}  {text}")
        worst = "fail" if "fail" in (state, worst) else worst
    sys.exit(worst == "fail")


def _one_per_core() -> int:
    """Return how many processes to start where nobody says: one per core, 4 at most, for each takes memory."""
    from joblib import cpu_count

    return min(cpu_count(), 4)


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[FOLDER] [ARGUMENTS]...")
def lab(arguments: Sequence[str]) -> None:
    """Open your own copy of the lessons in JupyterLab.

    They are copied to FOLDER, which opens with a map of the course.

    FOLDER is advad-course by default, or the working folder where that is a course folder. What you have changed in it
    is never written over. Further ARGUMENTS go to JupyterLab, such as --no-browser or --port 8890.
    """
    import os

    from advad.cli.servers import orderly_end, running
    from advad.lessons.course import WELCOME, open_course
    from advad.lessons.kernel import waiting_threads

    place, options = (arguments[0], arguments[1:]) if arguments and arguments[0][:1] != "-" else (None, arguments)
    with one_line_errors():
        folder, outdated = open_course(place)
    click.echo(f"Your course: {folder}")
    for name in outdated:
        click.echo(f"{name}: there is a newer version. Yours is kept; rename it, and start again to get the new one.")
    settings = [f"--ServerApp.root_dir={folder}", f"--LabApp.default_url=/lab/tree/{WELCOME}"]
    settings += ["--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    environment = os.environ | {"JUPYTER_PREFER_ENV_PATH": "1"} | waiting_threads()  # our kernel before a user's
    with orderly_end(), running("jupyterlab", [*settings, *options], environment) as server:
        while server.poll() is None:
            with contextlib.suppress(KeyboardInterrupt):  # JupyterLab asks by itself whether to stop
                server.wait()
    sys.exit(server.returncode)


@main.command()
@click.argument("names", nargs=-1, metavar="[LESSON]...")
@click.option("--profile", type=PROFILES, default="lab", show_default=True, help="Size of everything.")
@click.option("--device", type=DEVICES, default="auto", show_default=True, help="Where to compute.")
@click.option("--seed", type=click.IntRange(0, 1_000_000), default=0, show_default=True, help="Of all that is random.")
@click.option("--out", type=PATH, default=Path("runs/tour"), show_default=True, help="Where to write.")
@TIMEOUT
@CACHE
@click.option("--workers", type=click.IntRange(1), help="Lessons at a time  [default: one per core, 4 at most]")
def tour(
    names: Sequence[str], profile: str, device: str, seed: int, out: Path, timeout: int, workers: int | None
) -> None:
    """Run all lessons and write an overview of their findings.

    Where LESSONs are named, only these run.

    The profiles lab and smoke need no network: their images come with advad. The numbers of smoke mean nothing: it only
    shows that everything runs. A lesson that fails is reported, the others go on, and the exit code is 1.
    """
    from advad.lessons.catalogue import find_lesson, lessons
    from advad.lessons.image_sets import check_image_set
    from advad.lessons.pages import write_overview
    from advad.lessons.parameters import check_parameters, read_parameters
    from advad.lessons.run_all import run_lessons

    with one_line_errors():
        settings = {"profile": profile, "device": device, "seed": seed}
        parameters = {}
        for notebook in map(find_lesson, names) if names else lessons():  # all are checked before the first one runs
            declared = read_parameters(notebook)
            chosen = {name: value for name, value in settings.items() if name in declared}
            parameters[notebook] = check_parameters(notebook, chosen)
            check_image_set(notebook, parameters[notebook])
        rows = run_lessons(parameters, folder=out, timeout=timeout, workers=workers or _one_per_core())
        index = write_overview(out, rows)
    click.echo(table(rows))
    failed = [row.lesson for row in rows if row.error]
    click.echo(f"\nOverview: {index.resolve()}")
    if failed:
        raise OneLine(f"{len(failed)} of {len(rows)} lessons failed: {', '.join(failed)}")


@main.command()
@click.argument("lesson")
@click.option("-p", "--parameter", "pairs", multiple=True, metavar="NAME=VALUE", help="A parameter; repeat for more.")
@click.option("--profile", type=PROFILES, help="The same as -p profile=….")
@click.option("--out", type=PATH, default=Path("runs"), show_default=True, help="Where to write.")
@TIMEOUT
@CACHE
@click.option("--list", "listing", is_flag=True, help="Only list the lesson's parameters.")
def run(lesson: str, pairs: Sequence[str], profile: str | None, out: Path, timeout: int, listing: bool) -> None:
    """Run one LESSON with checked parameters.

    LESSON is its number, its name, or the path of a notebook.

    \b
    advad run 01 --list
    advad run 01_identity_collapse --profile lab -p seed=3 -p device=cuda
    """
    from advad.lessons.catalogue import find_lesson
    from advad.lessons.parameters import read_parameters
    from advad.lessons.run import run_lesson, shown

    with one_line_errors():
        notebook = find_lesson(lesson)
        if listing:
            declared = read_parameters(notebook).values()
            settings = [f"{parameter.name} = {parameter.default!r}" for parameter in declared]
            for setting, parameter in zip(settings, declared, strict=True):
                click.echo(f"{setting:<{max(map(len, settings))}}  {parameter.help}")
            return
        parameters = dict(pair_of(pair) for pair in pairs)
        if profile is not None:
            parameters["profile"] = profile
        outcome = run_lesson(notebook, parameters=parameters, folder=out, timeout=timeout)
    click.echo(f"{outcome.finding}\n{outcome.seconds:.1f} s on {outcome.device}: {shown(outcome.page)}")


@main.command("data")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--root", type=PATH, help="Folder of image sets  [default: $ADVAD_DATA, else data/]")
def download(names: Sequence[str], root: Path | None) -> None:
    """Download image sets by NAME.

    Without a name, they are listed, with those that are there.

    The lessons need no download. The full sets are for the profile paper, for sweeps and for your own experiments.

    \b
    advad data MNIST FashionMNIST
    """
    from advad.cli import data

    with one_line_errors():
        if not names:
            click.echo(data.listing(root))
            return
        try:
            data.check_names(names)
            for name in names:
                click.echo(data.fetched(name, root))
        except ValueError as error:  # an unknown image set, a damaged file
            raise OneLine(str(error), BAD_ARGUMENT) from None


@main.command("hand-in")
@click.argument("folder", required=False, type=PATH)
@click.option("--name", prompt="Your name", help="Your name, as the instructor knows it.")
@click.option("--out", type=PATH, help="The zip file  [default: hand-in-NAME.zip in the course folder]")
def hand_in(folder: Path | None, name: str, out: Path | None) -> None:
    """Pack your work into one zip file for your instructor.

    It holds your answers, predictions and results.

    FOLDER is that of `advad lab`. What is saved is listed; nothing else is, and nothing is sent anywhere.
    """
    from advad.lessons import hand_in as hand_ins
    from advad.lessons.course import find_course
    from advad.lessons.run import shown

    with one_line_errors():
        course = find_course(folder)
        content = hand_ins.collect(course, name)
        path = hand_ins.write(content, out or course / hand_ins.file_name(name))
    click.echo(f"{hand_ins.contents_text(content)}\n\n{shown(path.resolve())} ({path.stat().st_size / 1024:.0f} KB)")


@main.command("class")
@click.argument("folder", type=PATH)
@click.option("--rerun", is_flag=True, help="Run the lessons again with the answers. This executes students' code.")
@click.option("--out", type=PATH, default=Path("runs/class"), show_default=True, help="Where to write.")
@TIMEOUT
def class_(folder: Path, rerun: bool, out: Path, timeout: int) -> None:
    """Show in one table what a class handed in.

    It says who predicted what, who solved what, and what was found.

    FOLDER holds the zip files of `advad hand-in`, also in folders inside. They are read and checked, and nothing of
    them is executed, unless --rerun asks for it: then each lesson runs with each student's answers, on this machine
    and with your rights. A file that is no hand-in is refused in one line.
    """
    from advad.lessons import class_table
    from advad.lessons.run import shown

    with one_line_errors():
        table = class_table.collect(folder)
        if rerun:
            class_table.rerun(table, out / "rerun", timeout=timeout)
        page = class_table.write(table, out, "run again here" if rerun else class_table.TRUSTED)
    click.echo(f"{class_table.text(table)}\n\nPage: {shown(page.resolve())}")


@main.command()
@click.option("--out", type=PATH, default=Path("runs/guide.html"), show_default=True, help="The page.")
@click.option("--from", "tours", multiple=True, type=PATH, help="Renew the expected findings from a tour; repeat it.")
def guide(out: Path, tours: Sequence[Path]) -> None:
    """Write the instructor's guide as a page.

    It has plans, checklists, expected findings, common wrong answers and a glossary.

    \b
    advad tour --seed 1 --out runs/tour-seed-1
    advad guide --from runs/tour --from runs/tour-seed-1    in a checkout
    """
    from advad.lessons import guide as guides
    from advad.lessons.run import shown

    with one_line_errors():
        if tours:
            click.echo(f"Expected findings: {shown(guides.renew(tours))}")
        page = guides.write_page(out)
    click.echo(f"Page: {shown(page.resolve())}")


@main.command()
@click.option("--out", type=PATH, default=Path("runs/site"), show_default=True, help="Where to write.")
@click.option("--from", "folder", type=PATH, default=Path("runs/tour"), show_default=True, help="Executed lessons.")
@click.option("--run/--no-run", default=True, show_default=True, help="Execute lessons that are missing there.")
@TIMEOUT
def site(out: Path, folder: Path, run: bool, timeout: int) -> None:
    """Build the course's site, which opens without a network.

    It has the lessons as they were executed, the guide, a page for each method, the scoreboard, and the reference.

    The lessons are those that `advad tour` has written. What is missing there, or is of another version, is executed
    first, in the profile lab; with --no-run it is shown as it ships. Needs pip install "advad[site]".
    """
    from joblib import cpu_count

    from advad.lessons.parameters import check_parameters
    from advad.lessons.run import shown
    from advad.lessons.run_all import run_lessons
    from advad.site.build import SiteError, build
    from advad.site.lessons import collect

    with one_line_errors():
        lessons = collect(folder)
        missing = [lesson.path for lesson in lessons if lesson.executed is None]
        if run and missing:
            parameters = {path: check_parameters(path, {}) for path in missing}
            rows = run_lessons(parameters, folder=folder, timeout=timeout, workers=min(cpu_count(), 4))
            if failed := [f"{row.lesson}: {row.error}" for row in rows if row.error]:
                raise OneLine(f"site: each lesson must run; {'; '.join(failed)}")
            lessons = collect(folder)
        try:
            index = build(out, lessons)
        except SiteError as error:
            raise OneLine(str(error)) from None
    click.echo(f"Site: {shown(index)}")


@main.command()
@click.argument("path", type=PATH)
@click.option("--explorer", type=click.Choice(["latent", "brush"]), default="latent", show_default=True)
@click.option("--data", help="Image set, by name or path  [default: the digits or MNIST, by shape]")
@click.option("--images", type=click.IntRange(4), default=500, show_default=True, help="Test images, at most.")
@click.option("--port", type=click.IntRange(1, 65535), default=8866, show_default=True, help="On loopback.")
@click.option("--browser/--no-browser", default=True, show_default=True, help="Open the page.")
def app(path: Path, explorer: str, data: str | None, images: int, port: int, browser: bool) -> None:
    """Serve an explorer of the saved detector PATH as a page.

    Only this machine can reach the page, and only with the token in the address that is printed.
    """
    from advad.cli.app import serve

    with one_line_errors():
        try:
            serve(path, explorer, data, images, port, browser)
        except ValueError as error:  # a damaged file, an unknown image set
            raise OneLine(str(error), BAD_ARGUMENT) from None


@main.command()
@click.argument("spec", type=PATH)
@click.option("--out", type=PATH, help="Where to write  [default: runs/sweeps/NAME]")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Processes on this machine.")
@click.option("--dask", metavar="ADDRESS", help="Use the workers of a running scheduler, tcp://HOST:PORT.")
@click.option("--dry-run", is_flag=True, help="Only list the runs, and how long they may take.")
def sweep(spec: Path, out: Path | None, workers: int, dask: str | None, dry_run: bool) -> None:
    """Do the runs that a SPEC (a TOML file) asks for.

    A SPEC is a grid over methods, or over a lesson's parameters. A run that is finished is not done again: start a
    sweep that was stopped once more, and it goes on. A run that fails is reported, the others go on, and the exit code
    is 1.

    \b
    advad sweep spec.toml --dry-run
    advad sweep spec.toml --workers 2
    """
    from advad.experiments import sweep as sweeps
    from advad.experiments import time_estimate
    from advad.lessons.run import shown

    with one_line_errors():
        plan = sweeps.read_plan(spec)
        folder = sweeps.folder_of(plan, out)
        if dry_run:
            click.echo(time_estimate.listing(plan, folder, workers))
            return
        outcomes = sweeps.sweep(plan, folder=folder, workers=workers, dask=dask)
    fresh, failed = sum(outcome.fresh for outcome in outcomes), [outcome for outcome in outcomes if outcome.error]
    for outcome in failed:
        click.echo(f"failed: {outcome.run.name}: {outcome.error}", err=True)
    click.echo(f"{len(outcomes)} runs, {len(outcomes) - fresh} of them finished before: {shown(folder)}")
    if failed:
        raise OneLine(f"{len(failed)} of {len(outcomes)} runs failed; error.txt in their folders says why")


@main.command()
@click.argument("paper")
@click.argument("table", required=False)
@click.option("--budget", type=click.Choice(["laptop", "paper"]), default="laptop", show_default=True, help="Settings.")
@click.option("--normal", multiple=True, metavar="CLASS", help="Only this class, 8 or 0+1; repeat for more.")
@click.option("--dataset", "datasets", multiple=True, metavar="NAME", help="Only this data set; repeat for more.")
@click.option("--method", "methods", multiple=True, metavar="NAME", help="Only this method; repeat for more.")
@click.option("--seeds", type=click.IntRange(1), help="Number of seeds  [default: 1 with --normal, else all]")
@click.option("--precision", type=click.Choice(["float32", "bfloat16"]), help="In place of that of the recipes.")
@click.option("--missing", is_flag=True, help="Only runs whose results are not in data/results.")
@click.option("--out", type=PATH, default=Path("runs/reproduce"), show_default=True, help="Where to write the tables.")
@click.option("--workers", type=click.IntRange(1), help="Processes on this machine  [default: one per core, 4 at most]")
@click.option("--dry-run", is_flag=True, help="Only list the runs, and how long they may take.")
@click.option("--show", is_flag=True, help="Only show the table with what has been run before.")
def reproduce(
    paper: str,
    table: str | None,
    budget: str,
    normal: Sequence[str],
    datasets: Sequence[str],
    methods: Sequence[str],
    seeds: int | None,
    precision: str | None,
    missing: bool,
    out: Path,
    workers: int | None,
    dry_run: bool,
    show: bool,
) -> None:
    """Run a published TABLE of a PAPER again.

    Without a TABLE, all tables of the paper. Our result stands beside each published cell.

    PAPER is arae, alcn, itsr, berg, agad, or all; the specs are data/sweeps/PAPER-TABLE.toml. The runs are those of a
    sweep: stop at any time and start again. The table is also written as CSV and as a page.

    \b
    advad reproduce arae 2 --dry-run
    advad reproduce arae 2 --normal 8
    advad reproduce arae 2 --normal 8 --method ARAE --seeds 3
    advad reproduce all --show
    """
    from advad.experiments import time_estimate
    from advad.experiments.sweep import folder_of
    from advad.lessons.run import shown
    from advad.scoreboard import reproduce as tables

    workers = workers or _one_per_core()
    seeds = seeds or (1 if normal else None)  # a class alone is asked for by somebody who wants to see it soon
    asked = [*(f"--normal {name}" for name in normal), *(f"--dataset {name}" for name in datasets)]
    asked += [f"--method {name}" for name in methods] + ([f"--seeds {seeds}"] if seeds else [])
    asked += [f"--precision {precision}"] if precision else []
    failed, results = [], []
    with one_line_errors():
        pairs = [pair for pair in tables.tables() if paper in ("all", pair[0]) and table in (None, pair[1])]
        for name, number in pairs or [(paper, table or "")]:  # what is unknown is refused below
            if show:
                plan = tables.outline_of(name, number, budget)
            else:
                plan = tables.plan_of(name, number, budget, precision)
                names = tables.chosen(plan, normal, datasets, seeds, methods, missing)
                if slow := tables.emulated(plan, names):
                    remedy = "--precision float32 takes about a tenth of the time, and the rows say so."
                    click.echo(f"{', '.join(slow)}: this processor emulates bfloat16. {remedy}", err=True)
                if dry_run:
                    click.echo(time_estimate.listing(plan, folder_of(plan, None), workers, names))
                    continue
                failed += [outcome for outcome in tables.run(plan, names, workers=workers) if outcome.error]
            result = tables.table_of(plan)
            results.append(result)
            page = tables.write(result, out.resolve(), " ".join([tables.command_of(plan), *asked]))
            click.echo(f"{tables.text(result)}\n\nPage: {shown(page)}\n")
        if len(results) > 1:
            click.echo(f"All tables: {tables.summary(*results)}")
    for outcome in failed:
        click.echo(f"failed: {outcome.run.name}: {outcome.error}", err=True)
    if failed:
        raise OneLine(f"{len(failed)} runs failed; error.txt in their folders says why")


@main.command()
@click.argument("sweeps", nargs=-1, type=PATH)
@click.option("--out", type=PATH, default=Path("runs/board"), show_default=True, help="Where to write.")
@click.option(
    "--keep", "update", is_flag=True, help="Write the results of SWEEPS, whose specs ship, to data/measured.csv."
)
def board(sweeps: Sequence[Path], out: Path, update: bool) -> None:
    """Show our results beside the published values.

    They come as a table, as board.csv, and as a page. Ours are those of data/measured.csv and of the folders of
    SWEEPS; without any, of all in runs/sweeps.
    """
    from advad.lessons.run import shown
    from advad.scoreboard import measured
    from advad.scoreboard import table as boards

    with one_line_errors():
        lines = measured.update_measured(sweeps) if update else []
        rows = boards.rows(sweeps or None)
        if not rows:
            remedy = "advad sweep SPEC.toml makes some; data/measured.csv comes with the repository."
            raise OneLine(f"board: there must be results to show; got none. {remedy}", BAD_ARGUMENT)
        if update:
            click.echo(f"{len(lines)} rows: {shown(measured.MEASURED)}\n")
        page = boards.write(rows, out.resolve())
    click.echo(f"{boards.text(rows)}\n\nPage: {shown(page)}")


def pair_of(text: str) -> tuple[str, str]:
    """Return the name and the value of "name=value"."""
    name, equals, value = text.partition("=")
    if not (equals and name.strip()):
        raise OneLine(f"-p must be name=value; got {text!r}.", BAD_ARGUMENT)
    return name.strip(), value


def table(rows: Sequence[LessonResult]) -> str:
    """Return the outcomes as a table that fits the terminal; the finding takes what the other columns leave."""
    from advad.lessons.run import shown

    lines: list[tuple[str, ...]] = [("lesson", "finding", "seconds", "device", "path")]
    for row in rows:
        text = f"FAILED: {row.error}" if row.error else row.finding
        lines.append((row.lesson, text, f"{row.seconds:.1f}", row.device, shown(row.page)))
    lesson, finding, seconds, device, path = (max(map(len, column)) for column in zip(*lines, strict=True))
    room = shutil.get_terminal_size((120, 24)).columns - (lesson + seconds + device + path + 4 * 2)
    finding = max(30, min(finding, room))
    lines.insert(1, tuple("─" * width for width in (lesson, finding, seconds, device, path)))
    shaped = []
    for name, text, took, where, file in lines:
        first, *more = textwrap.wrap(text, finding) or [""]
        shaped.append(f"{name:<{lesson}}  {first:<{finding}}  {took:>{seconds}}  {where:<{device}}  {file}")
        shaped += [f"{'':<{lesson}}  {part}" for part in more]
    return "\n".join(shaped)
