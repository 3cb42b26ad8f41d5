# SPDX-License-Identifier: MIT
"""The rules of docs/style.md and docs/architecture.md that a machine can hold.

Reads source, runs nothing. Layering is data: a new arrow is one word in a table below, and a
reviewer's question.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "askrctl"
ENGINE = PACKAGE / "engine"

# Layer -> the layers of ours it may import. `model` and `config` are everybody's.
PYTHON_LAYERS: dict[str, set[str]] = {
    "model": set(),
    "config": {"model"},
    "gate": {"model"},
    "folklore": set(),
    "signals": set(),
    "engine": {"model", "config"},
    "probes": {"model", "config", "engine"},
    "checks": {"model", "config", "gate", "folklore", "probes"},
    "tune": {"model", "config", "folklore", "signals", "probes", "checks"},
    "server": {"model", "config", "gate", "signals", "probes", "engine"},
    "bench": {"model", "config", "gate", "signals"},
    "traffic": {"model", "config", "bench"},
    "appcheck": {"model", "config", "server"},
    "cli": {
        *("model", "config", "gate", "engine", "probes", "checks", "tune", "server", "bench"),
        *("appcheck", "traffic", "signals"),
    },
    "__main__": {"cli"},
    "__init__": set(),
}
# Third-party module -> the only place that may import it.
PYTHON_PRIVATE = {
    "typer": "cli",
    "rich": "cli",
    "click": "cli",
    "cffi": "engine",
    "askrctl.engine._engine": "engine",
}
# include <- base <- { io, proto, app } <- serve; the three in braces do not see each other.
C_LAYERS: dict[str, set[str]] = {
    "include": set(),
    "base": {"include"},
    "io": {"include", "base"},
    "proto": {"include", "base"},
    "app": {"include", "base"},
    "serve": {"include", "base", "io", "proto", "app"},
    "php": {"include"},
}
# The module that runs PHP sees the ABI and nothing else of ours.
PHP_MAY_INCLUDE = {"askr/module.h"}

FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 70
PARAMETERS_MAX = 5
COLUMNS_MAX = 100
# Functions that are longer than they may be, with their length. The number may only shrink: shorten
# the function, then the number, then drop the line.
RATCHET: dict[str, int] = {}

# Functions whose parameters are a library's to decide.
CALLBACKS: dict[str, str] = {
    "on_alpn": "SSL_CTX_alpn_select_cb_func",
    "on_ticket": "SSL_CTX_set_tlsext_ticket_key_evp_cb(3)",
    "on_header": "nghttp2_on_header_callback",
    "on_invalid_header": "nghttp2_on_invalid_header_callback",
    "on_data": "nghttp2_on_data_chunk_recv_callback",
    "on_read": "nghttp2_data_source_read_callback",
    "h2_on_send_data": "nghttp2_send_data_callback",
}

C_BANNED = {
    "alloca": "a stack without a limit",
    "atoi": "cannot report an error",
    "gets": "no bound",
    "mktemp": "a race",
    "sprintf": "no bound: snprintf",
    "strcat": "no bound",
    "strcpy": "no bound: memcpy of a known size",
    "strncpy": "may leave out the NUL",
    "strtok": "keeps hidden state",
    "system": "a shell",
    "vsprintf": "no bound: vsnprintf",
}

PYTHON_OWN = sorted(PACKAGE.rglob("*.py"))
PYTHON_ALL = sorted(
    [
        *PYTHON_OWN,
        *(ROOT / "tests").rglob("*.py"),
        *(ROOT / "bench").rglob("*.py"),
        *(ROOT / "bench" / name for name in ("h2", "hello", "memory", "tls")),
    ]
)
C_ENGINE = sorted(ENGINE.rglob("*.[ch]"))
C_ALL = sorted(
    [*C_ENGINE, *(ROOT / "tests/engine").glob("*.[ch]"), *(ROOT / "fuzz").glob("*.[ch]")]
)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def each(paths: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("path", paths, ids=name)


# --- layering -------------------------------------------------------------------------------------


def python_layer(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported_modules(path: Path) -> Iterator[str]:
    """Absolute names of what a file imports, relative imports resolved."""
    package = ["askrctl", *path.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


@each(PYTHON_OWN)
def test_python_imports_only_downwards(path: Path) -> None:
    layer = python_layer(path)
    ours = [module.split(".") for module in imported_modules(path) if module.startswith("askrctl.")]
    used = {
        parts[1] for parts in ours if (PACKAGE / parts[1]).is_dir() or parts[1] in PYTHON_LAYERS
    }
    assert layer in PYTHON_LAYERS, "a new layer: add it to the table"
    assert used - {layer} <= PYTHON_LAYERS[layer]


@each(PYTHON_OWN)
def test_a_private_dependency_has_one_importer(path: Path) -> None:
    for module in imported_modules(path):
        owner = next(
            (own for key, own in PYTHON_PRIVATE.items() if f"{module}.".startswith(f"{key}.")), None
        )
        assert owner in (None, python_layer(path)) or path.name == "_build.py", module


def included_layer(path: Path, include: str) -> str | None:
    """Which of our layers an #include names; None when it is not ours."""
    if (ENGINE / include).is_file():
        return include.split("/")[0]
    if (ENGINE / "include" / include).is_file():
        return "include"
    if (path.parent / include).is_file():
        return path.relative_to(ENGINE).parts[0]
    return None


@each(C_ENGINE)
def test_c_includes_only_its_lower_layers(path: Path) -> None:
    layer = path.relative_to(ENGINE).parts[0]
    for include in re.findall(r'#\s*include "([^"]+)"', path.read_text()):
        used = included_layer(path, include)
        if layer == "php":
            assert used in (None, "php") or include in PHP_MAY_INCLUDE, include
        else:
            assert used == layer or used in C_LAYERS[layer], include


# --- size -----------------------------------------------------------------------------------------


def c_functions(path: Path) -> Iterator[tuple[str, str, int]]:
    """(name, parameters, lines) of each function: clang-format puts its braces in column one."""
    pattern = r"^[^\s#/{}][^;{}]*?\b(\w+)\(([^;{}]*)\)\s*\n\{\n(.*?)^\}$"
    for match in re.finditer(pattern, path.read_text(), flags=re.MULTILINE | re.DOTALL):
        yield match[1], match[2], match[3].count("\n") + 2


def python_functions(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield node.name, node.end_lineno - node.lineno + 1


def check_length(path: Path, function: str, lines: int) -> None:
    key = f"{name(path)}:{function}"
    allowed = RATCHET.get(key, FUNCTION_LINES_MAX)
    assert lines <= allowed, f"{key} has {lines} lines"
    assert key not in RATCHET or lines == allowed, f"{key} got shorter: lower its ratchet"


def parameter_count(parameters: str) -> int:
    depth = commas = 0
    for character in parameters:
        depth += (character == "(") - (character == ")")
        commas += character == "," and depth == 0
    return 0 if parameters.strip() in ("", "void") else commas + 1


@each(C_ALL)
def test_c_functions_fit_a_screen_and_take_few_parameters(path: Path) -> None:
    for function, parameters, lines in c_functions(path):
        check_length(path, function, lines)
        assert parameter_count(parameters) <= PARAMETERS_MAX or function in CALLBACKS, function


@each(PYTHON_ALL)
def test_python_functions_fit_a_screen(path: Path) -> None:
    for function, lines in python_functions(path):
        check_length(path, function, lines)


def test_the_ratchet_names_only_what_exists() -> None:
    c_keys = {f"{name(path)}:{found[0]}" for path in C_ALL for found in c_functions(path)}
    py_keys = {
        f"{name(path)}:{found[0]}" for path in PYTHON_ALL for found in python_functions(path)
    }
    assert set(RATCHET) <= c_keys | py_keys


@each([*C_ALL, *PYTHON_ALL])
def test_a_file_is_short_and_narrow(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert len(lines) <= FILE_LINES_MAX
    assert not [number for number, line in enumerate(lines, 1) if len(line) > COLUMNS_MAX]
    assert not [number for number, line in enumerate(lines, 1) if line != line.rstrip()]
    assert not [number for number, line in enumerate(lines, 1) if "\t" in line]


# --- headers and words ----------------------------------------------------------------------------


@each(C_ALL)
def test_a_c_file_says_what_it_is_for(path: Path) -> None:
    comment = re.match(
        r"/\* SPDX-License-Identifier: MIT\n( \* .*?)\*/\n", path.read_text(), re.DOTALL
    )
    assert comment is not None
    assert len(comment[1].split()) > 5


@each(PYTHON_ALL)
def test_a_python_file_says_what_it_is_for(path: Path) -> None:
    text = path.read_text()
    assert re.match(r"(#!.*\n)?# SPDX-License-Identifier: MIT\n", text)
    assert len((ast.get_docstring(ast.parse(text)) or "").split()) >= 3


@each([*C_ALL, *PYTHON_ALL])
def test_what_is_left_to_do_names_its_issue(path: Path) -> None:
    if path == Path(__file__):
        return
    for line in path.read_text().splitlines():
        if re.search(r"\b(TODO|FIXME|XXX|HACK)\b", line):
            assert re.search(r"#\d+", line), line


def without_comments_and_strings(source: str) -> str:
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\])*"', " ", source, flags=re.DOTALL)


@each(C_ALL)
def test_c_calls_nothing_banned(path: Path) -> None:
    code = without_comments_and_strings(path.read_text())
    found = {word for word in re.findall(r"\b(\w+)\s*\(", code) if word in C_BANNED}
    assert not found, [f"{word}: {C_BANNED[word]}" for word in sorted(found)]


def is_main_guard(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"


@each([path for path in PYTHON_OWN if python_layer(path) not in ("cli", "__main__")])
def test_only_the_command_line_prints_or_exits(path: Path) -> None:
    for statement in ast.parse(path.read_text()).body:
        if is_main_guard(statement):
            continue
        for node in ast.walk(statement):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            assert called not in ("print", "input", "exit", "quit", "sys.exit", "SystemExit"), (
                called
            )


# --- lists that must be complete ------------------------------------------------------------------


@pytest.mark.parametrize(("listing", "prefix"), [("tests/engine", "test_"), ("fuzz", "fuzz_")])
def test_every_c_test_and_fuzz_target_is_built(listing: str, prefix: str) -> None:
    there = {path.stem.removeprefix(prefix) for path in (ROOT / listing).glob(f"{prefix}*.c")}
    text = (ROOT / listing / "meson.build").read_text()
    named = re.findall(rf"^ +'(\w+)',|'{prefix}(\w+)\.c'", text, re.MULTILINE)
    assert there == {one or other for one, other in named}


def test_every_decision_is_in_the_index() -> None:
    folder = ROOT / "docs/decisions"
    index = (folder / "README.md").read_text()
    missing = [path.name for path in folder.glob("[0-9]*.md") if f"({path.name})" not in index]
    assert not missing
