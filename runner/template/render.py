"""A template text becomes a function that fills it from a row's cells.

Jinja2, sandboxed and strict. The same cells always give the same text: what is random in Jinja2
(`lipsum`, the filter `random`) is not there, since a resumed run recognises a row by its request.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from jinja2 import StrictUndefined, TemplateSyntaxError, meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from runner.errors import FailsRow, JobError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from jinja2 import Template

_ROW = "row"  # the mapping of all columns, for names such as "my column"
_LISTED_COLUMNS = 40  # of a table with hundreds, so that the message stays readable


@dataclass(frozen=True, slots=True)
class Plain:
    """A text of which nothing varies but whole cells: literals[0], a cell, literals[1] and so on.

    Made by `compile_text`, consumed by `by_column`.
    """

    literals: tuple[str, ...]  # one more than there are columns
    columns: tuple[str, ...]  # in the order in which they stand; one may stand twice


@dataclass(frozen=True, slots=True)
class Rendering:
    """One compiled template. Made by `compile_text`, consumed by `runner.template`."""

    columns: frozenset[str]  # the dataset columns that it reads
    constant: str | None  # its text, where it reads no column
    literal: str  # what of it stands there whatever the cells hold, or may: all that is no variable
    render: Callable[[Mapping[str, Any]], str]  # raises FailsRow: "template"
    plain: Plain | None  # the same, where nothing but columns stands between fixed texts


def compile_text(text: str, *, flag: str, columns: Sequence[str]) -> Rendering:
    """The function that fills `text`, where `flag` names it in messages.

    In it a null renders as empty text, bytes as their UTF-8 text, anything else as Python writes
    it. Raises JobError for faulty syntax, for names that are no columns, and for what no row could
    fill.
    """
    _refuse_other_braces(text, flag, columns)
    environment = _environment(columns)
    try:
        text.encode()
        tree = environment.parse(text)
        names = meta.find_undeclared_variables(tree)
        template = environment.from_string(text)
    except UnicodeEncodeError:
        raise JobError(f"{flag}: the template is not valid UTF-8 text") from None
    except TemplateSyntaxError as error:
        raise JobError(_explain_syntax(error, text, flag, columns)) from None
    except (RecursionError, SyntaxError):  # Python's own bounds on nesting
        raise JobError(f"{flag}: the template is nested too deeply") from None
    needed = _columns_read(tree, names, text, flag, columns)
    render = _renderer(template, tree, flag, has_row=_ROW in names and _ROW not in columns)
    literal = "".join(data.data for data in tree.find_all(nodes.TemplateData))
    if needed:
        plain = _plain(tree, columns)
        if plain is not None:
            render = _joiner(plain, render)
        return Rendering(needed, None, literal, render, plain)
    try:
        return Rendering(needed, render({}), literal, render, None)
    except FailsRow as error:
        raise JobError(error.message) from None


def as_text(value: object) -> object:
    """What a cell is in a prompt, as something whose `str()` is the text."""
    if value is None:
        return ""
    return value.decode() if isinstance(value, bytes) else value


def list_columns(columns: Sequence[str]) -> str:
    """The dataset's columns for a message: all of them, or the first with a count of the rest."""
    listed = ", ".join(columns[:_LISTED_COLUMNS])
    rest = len(columns) - _LISTED_COLUMNS
    return f"{listed} and {rest} more" if rest > 0 else listed or "none"


def _environment(columns: Sequence[str]) -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True, finalize=as_text
    )
    # A column called `range` or `dict` is the column: data goes before Jinja2's own names.
    for name in ("lipsum", *columns):
        environment.globals.pop(name, None)
    del environment.filters["random"]
    return environment


def _renderer(
    template: Template, tree: nodes.Template, flag: str, *, has_row: bool
) -> Callable[[Mapping[str, Any]], str]:
    # Handing the cells over as they are (`shared`) spares a copy of them: 2 instead of 5 us a row.
    fill, context, concat = template.root_render_func, template.new_context, "".join
    jinja_names = template.environment.globals
    extra = {
        name.name: jinja_names[name.name]
        for name in tree.find_all(nodes.Name)
        if name.name in jinja_names
    }

    def render(cells: Mapping[str, Any]) -> str:
        seen: Any = cells
        if has_row:
            seen = {**extra, **cells, _ROW: cells}
        elif extra:
            seen = {**extra, **cells}
        try:
            return concat(fill(context(seen, True)))  # noqa: FBT003 - jinja2 takes it by position
        # A template is a program: whatever it raises is a matter of this row alone.
        except Exception as error:  # noqa: BLE001
            raise FailsRow("template", f"{flag} cannot be filled: {error}") from None

    return render


def _joiner(
    plain: Plain, render: Callable[[Mapping[str, Any]], str]
) -> Callable[[Mapping[str, Any]], str]:
    """The same texts without Jinja2, which takes 3 of the 6 us of a request's making.

    Whatever a cell raises is told in Jinja2's own words, by `render`.
    """
    pieces = tuple(zip(plain.columns, plain.literals[1:], strict=True))
    first = plain.literals[0]

    def join(cells: Mapping[str, Any]) -> str:
        text = first
        try:
            for column, literal in pieces:
                cell = cells[column]
                text += (cell if type(cell) is str else str(as_text(cell))) + literal
        # Anything, as in `render`, which raises it again.
        except Exception:  # noqa: BLE001
            return render(cells)
        return text

    return join


def _plain(tree: nodes.Template, columns: Sequence[str]) -> Plain | None:
    literals, names = [""], []
    for output in tree.body:
        if not isinstance(output, nodes.Output):
            return None
        for node in output.nodes:
            if isinstance(node, nodes.TemplateData):
                literals[-1] += node.data
            elif (name := _column_of(node, columns)) is not None:
                names.append(name)
                literals.append("")
            else:
                return None
    return Plain(tuple(literals), tuple(names))


def _column_of(node: nodes.Node, columns: Sequence[str]) -> str | None:
    """The column that an expression is, without anything done to it."""
    if isinstance(node, nodes.Name):
        return node.name if node.name in columns else None
    if not isinstance(node, nodes.Getitem) or not isinstance(node.arg, nodes.Const):
        return None
    through_row = isinstance(node.node, nodes.Name) and node.node.name == _ROW
    name = node.arg.value
    return name if through_row and isinstance(name, str) and _ROW not in columns else None


def _columns_read(
    tree: nodes.Template, names: set[str], text: str, flag: str, columns: Sequence[str]
) -> frozenset[str]:
    foreign = next(
        tree.find_all((nodes.Extends, nodes.FromImport, nodes.Import, nodes.Include)), None
    )
    if foreign is not None:
        raise JobError(
            f"{flag}, line {foreign.lineno}: a template cannot read other templates; "
            "write their text here"
        )
    if any(name.name == "self" for name in tree.find_all(nodes.Name)):
        raise JobError(f"{flag}: Jinja2 keeps the name self; a column is also {_in_row('self')}")
    through_row: frozenset[str] = frozenset()
    if _ROW in names and _ROW not in columns:
        names = names - {_ROW}
        through_row = _columns_through_row(tree, columns)
    needed = through_row | names
    for name in sorted(needed.difference(columns)):
        raise JobError(_explain_unknown(name, text, flag, columns))
    return needed


def _columns_through_row(tree: nodes.Template, columns: Sequence[str]) -> frozenset[str]:
    """The names in `row["name"]` and `row.name`; every column where a name is not written out."""
    found = set()
    mentions = [name for name in tree.find_all(nodes.Name) if name.name == _ROW]
    unexplained = len(mentions)
    for item in tree.find_all(nodes.Getitem):
        if item.node in mentions and isinstance(item.arg, nodes.Const):
            found.add(str(item.arg.value))
            unexplained -= 1
    for attribute in tree.find_all(nodes.Getattr):
        # `row.items` is the mapping's own method, whatever the columns are called
        if attribute.node in mentions and not hasattr({}, attribute.attr):
            found.add(attribute.attr)
            unexplained -= 1
    return frozenset(columns) if unexplained else frozenset(found)


def _explain_unknown(name: str, text: str, flag: str, columns: Sequence[str]) -> str:
    close = get_close_matches(name, columns, n=1)
    hint = _row_hint(text, columns) or (
        f"; did you mean {{{{ {_written(close[0])} }}}}?" if close else "."
    )
    return f"{flag}: the dataset has no column {name!r}{hint} Its columns: {list_columns(columns)}"


def _explain_syntax(
    error: TemplateSyntaxError, text: str, flag: str, columns: Sequence[str]
) -> str:
    message = (error.message or "not a template").removesuffix(".")
    lines = text.splitlines()
    line = lines[error.lineno - 1].strip() if error.lineno <= len(lines) else ""
    hint = _row_hint(line, columns) or (
        ". A column is {{ name }}; braces that belong to the text stand between {% raw %} and "
        "{% endraw %}."
    )
    return f"{flag}, line {error.lineno}: {message}{hint}\n  {line[:200]}"


def _row_hint(text: str, columns: Sequence[str]) -> str:
    """How to write the column in `text` whose name Jinja2 cannot read, if there is one."""
    odd = [name for name in columns if not name.isidentifier() and name in text]
    return f"; the column {odd[0]!r} is written {{{{ {_written(odd[0])} }}}}." if odd else ""


def _written(name: str) -> str:
    return name if name.isidentifier() else _in_row(name)


def _in_row(name: str) -> str:
    return f"{_ROW}['{name}']" if '"' in name else f'{_ROW}["{name}"]'


def _refuse_other_braces(text: str, flag: str, columns: Sequence[str]) -> None:
    """Python's own `{name}` would send the same words for every row, and cost the same."""
    if "{{" in text or "{%" in text:
        return
    for name in columns:
        if f"{{{name}}}" in text:
            raise JobError(
                f"{flag}: {{{name}}} would be sent as it stands; a column is written with two "
                f"braces, {{{{ {_written(name)} }}}}"
            )
