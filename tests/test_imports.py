"""Who may import whom. A new module or package is entered in LAYERS."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent

# A module or package imports only from layers above its own line, so no station imports another.
# Inside a package the modules may import each other, one way; outside only its face is known.
LAYERS: dict[str, tuple[frozenset[str], ...]] = {
    "runner": tuple(
        frozenset(line.split())
        for line in (
            (
                "records event_loop together notation counted simulated_clock hashed_file matching "
                "checksum"
            ),
            "errors account damage wrong_settings",
            "job tally durable stake",
            "providers sizing bill budget part_files lock seal_record chat_completion",
            (
                "dataset template tokens prices pacing limits share retry verdict client health "
                "simulator intake journal output seals progress summary asked_again throttling "
                "lease deadline crew binding"
            ),
            "row_ids sealed_bills",
            "folder blocks pilot worst_case sealing endpoint_prices sink",
            "drift kept reading room job_checks",
            "soundness",
            "earlier losses side_by_side preflight conclusion for_excel",
            "export shown checked status compared budget_limits filling",
            "last_word dry_run estimate plan rebuilding budget_history",
            "switch",
            "setbacks sending keeping connection sharing spending control lanes expected",
            "asking feeding budget_notes",
            "run",
            "unkept rehearsed rehearsal_answers",
            "rehearsal_watch",
            "controlled",
            "beats so_far stopping",
            "handing running rehearsal",
            "begin going_on",
            "__init__",
        )
    ),
    "jobs": tuple(
        frozenset(line.split())
        for line in (
            "words options default_output as_given __init__",
            "screen dry_run estimate_words rehearsal_words next_command",
            "opening going",
            "consent",
            "pilot",
            "estimate generate resume plan simulate status show export check control",
            "cli",
        )
    ),
}

# What `from runner import ...` offers, in the order of runner.__all__.
PUBLIC_NAMES: list[str] = [
    "BudgetReached",
    "Checked",
    "DatasetError",
    "DoubleIds",
    "DryRun",
    "Estimate",
    "Exported",
    "Interrupted",
    "Job",
    "JobError",
    "LimitSettings",
    "MachineFault",
    "Measured",
    "ModelEstimate",
    "PenstockError",
    "Plan",
    "Preflight",
    "ProviderStopped",
    "Range",
    "Refused",
    "Rehearsal",
    "Reply",
    "Request",
    "Result",
    "Row",
    "Run",
    "RunFile",
    "RunFolder",
    "RunFolderError",
    "Shown",
    "ShownRows",
    "SimulatorSettings",
    "StopsRun",
    "Summary",
    "Usage",
    "begin",
    "budget_notes",
    "chat_completion",
    "check_endpoint",
    "counted",
    "dry_run",
    "estimate",
    "export",
    "first_look",
    "go_on",
    "in_usd",
    "keep_estimate",
    "pace_of",
    "parse_wanted",
    "plan",
    "prepare",
    "read_job_file",
    "read_value",
    "rehearse",
    "run",
    "run_folder_of",
    "run_sync",
    "run_to_end",
    "runs_below",
    "send_order",
    "simulator",
    "stream",
    "summary_of",
    "wait_until_taken",
]


class Import(NamedTuple):
    package: str  # "runner" or "jobs"
    module: str  # the one imported; "" for the package's public face
    names: tuple[str, ...]
    line: int


def list_modules(package: str) -> dict[str, ast.Module]:
    """Every module by its dotted name below the package; a package's face by the package's name."""
    found = {}
    for path in sorted((ROOT / package).glob("**/*.py")):
        parts = path.relative_to(ROOT / package).with_suffix("").parts
        if len(parts) > 1 and parts[-1] == "__init__":
            parts = parts[:-1]
        found[".".join(parts)] = ast.parse(path.read_text("utf-8"), str(path))
    return found


def find_imports(tree: ast.Module) -> list[Import]:
    """Every import of our own, wherever it stands, those for types included."""
    found = []
    for node in ast.walk(tree):
        targets: list[tuple[str, tuple[str, ...]]]
        if isinstance(node, ast.Import):
            targets = [(alias.name, ()) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            targets = [(node.module or "", tuple(alias.name for alias in node.names))]
        else:
            continue
        for target, names in targets:
            package, _, module = target.partition(".")
            if package in LAYERS:
                found.append(Import(package, module, names, node.lineno))
    return found


def station_of(module: str) -> str:
    return module.partition(".")[0]


def find_flaws(package: str, imports: dict[str, set[str]]) -> list[str]:
    """What is wrong with who imports whom inside one package."""
    level = {name: at for at, layer in enumerate(LAYERS[package]) for name in layer}
    flaws = [
        f"{package}/{name} is new: enter it in LAYERS of tests/test_imports.py"
        for name in sorted({station_of(module) for module in imports})
        if name not in level
    ]
    for module, targets in imports.items():
        station = station_of(module)
        for target in sorted(targets):
            above = station_of(target)
            if station not in level or above not in level:
                continue  # told above, in the module's own line
            if station == above:
                if target == station and module != station:
                    flaws.append(f"{module} imports the face of its own package")
            elif "." in target:
                flaws.append(f"{module} imports {target}, which only {above} itself may import")
            elif level[above] >= level[station]:
                flaws.append(f"{module} imports {target}, which does not stand above it in LAYERS")
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        flaws.append(f"imports go round in a circle: {' -> '.join(error.args[1])}")
    return flaws


def offered_by(face: ast.Module) -> set[str]:
    """What a face names in `__all__`: a function may be called like the module it comes from."""
    for node in face.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            names: list[str] = ast.literal_eval(node.value)
            return set(names)
    return set()


def read_imports(package: str) -> dict[str, set[str]]:
    modules = list_modules(package)
    imports: dict[str, set[str]] = {}
    for name, tree in modules.items():
        found = [entry for entry in find_imports(tree) if entry.package == package]
        imports[name] = {entry.module for entry in found if entry.module}
        # `from runner import errors` imports a module too
        for entry in found:
            face = modules.get(entry.module or "__init__")
            offered = offered_by(face) if face is not None else set()
            inside = {
                f"{entry.module}.{one}".lstrip(".") for one in entry.names if one not in offered
            }
            imports[name] |= inside & modules.keys() - {"__init__"}
    return imports


@pytest.mark.parametrize("package", ["runner", "jobs"])
def test_imports_point_one_way(package: str) -> None:
    flaws = find_flaws(package, read_imports(package))
    assert not flaws, "\n".join(flaws)


def test_no_runner_module_hides_an_import_in_a_function() -> None:
    hidden = [
        f"runner/{name}.py:{inner.lineno}"
        for name, tree in list_modules("runner").items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for inner in ast.walk(node)
        if isinstance(inner, ast.Import | ast.ImportFrom)
    ]
    assert not hidden, f"function-level imports: {', '.join(hidden)}"


def test_runner_knows_nothing_of_the_commands() -> None:
    knowing = [
        f"runner/{name}.py:{entry.line}"
        for name, tree in list_modules("runner").items()
        for entry in find_imports(tree)
        if entry.package == "jobs"
    ]
    assert not knowing, f"these import jobs: {', '.join(knowing)}"


def test_commands_import_only_the_public_names_of_runner() -> None:
    private = [
        f"jobs/{name}.py:{entry.line}: runner.{entry.module or ', '.join(entry.names)}"
        for name, tree in list_modules("jobs").items()
        for entry in find_imports(tree)
        if entry.package == "runner" and (entry.module or set(entry.names).difference(PUBLIC_NAMES))
    ]
    assert not private, "not in PUBLIC_NAMES:\n" + "\n".join(private)


def test_the_public_names_are_these_and_each_exists() -> None:
    runner = import_module("runner")
    assert list(getattr(runner, "__all__", [])) == PUBLIC_NAMES
    for name in PUBLIC_NAMES:
        assert hasattr(runner, name)


@pytest.mark.parametrize("path", sorted((ROOT / "runner").glob("**/__init__.py")))
def test_a_face_holds_imports_and_names_only(path: Path) -> None:
    for node in ast.parse(path.read_text("utf-8")).body:
        is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        is_names = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        assert isinstance(node, ast.Import | ast.ImportFrom) or is_docstring or is_names, (
            f"{path}:{node.lineno}"
        )


@pytest.mark.parametrize(
    ("imports", "told"),
    [
        ({"template": {"template.render"}, "template.render": {"template.messages"}}, ""),
        ({"run": {"template", "limits"}, "template.render": {"errors"}}, ""),
        ({"template": {"limits"}}, "template imports limits, which does not stand above"),
        ({"errors": {"job"}}, "errors imports job, which does not stand above"),
        ({"limits": {"run"}}, "limits imports run, which does not stand above"),
        ({"run": {"template.render"}}, "which only template itself may import"),
        ({"template.render": {"template"}}, "imports the face of its own package"),
        ({"template.render": {"limits"}}, "imports limits, which does not stand above"),
        ({"client.a": {"client.b"}, "client.b": {"client.a"}}, "round in a circle: client.a"),
        ({"novelty": set()}, "runner/novelty is new: enter it in LAYERS"),
    ],
)
def test_the_check_finds_what_it_is_for(imports: dict[str, set[str]], told: str) -> None:
    flaws = find_flaws("runner", imports)
    assert bool(flaws) == bool(told)
    assert told in "\n".join(flaws)


def test_no_module_is_entered_twice() -> None:
    for layers in LAYERS.values():
        entered = [name for layer in layers for name in layer]
        assert len(entered) == len(set(entered))


def test_every_entry_of_the_table_exists() -> None:
    for package, layers in LAYERS.items():
        there = {station_of(module) for module in list_modules(package)}
        assert {name for layer in layers for name in layer} <= there
