# SPDX-License-Identifier: MIT
"""Writes what is made from the program: completions/ and docs/checks/. `./dev generate` runs it."""

from pathlib import Path

ROOT = Path(__file__).parent.parent
NAMES = {"bash": "askrctl.bash", "zsh": "_askrctl", "fish": "askrctl.fish"}
START = "<!-- generated: the list of checks -->\n"
END = "<!-- end of the list -->\n"


def index(text: str) -> str:
    """docs/checks/README.md with a new list of checks."""
    from askrctl.checks import ALL

    rows = [f"| [{c.id}]({c.id}.md) | {c.title} | {'yes' if c.tunable else ''} |" for c in ALL]
    table = "\n".join(["| check | | tune |", "|---|---|---|", *rows]) + "\n"
    head, rest = text.split(START)
    return f"{head}{START}\n{len(ALL)} checks.\n\n{table}\n{END}{rest.split(END)[1]}"


def generated() -> dict[Path, str]:
    """Every file by its path, with what it should hold."""
    from askrctl.checks import ALL, pages
    from askrctl.cli import completions

    found = {
        ROOT / "completions" / name: completions.script(shell) for shell, name in NAMES.items()
    }
    texts = pages.load()
    folder = ROOT / "docs/checks"
    found |= {folder / f"{c.id}.md": pages.markdown(c, texts[c.id]) for c in ALL}
    readme = folder / "README.md"
    found[readme] = index(readme.read_text())
    return found


def main() -> None:
    """Write what differs, and take away pages of checks that are gone."""
    wanted = generated()
    for path, text in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
    for path in (ROOT / "docs/checks").glob("*.md"):
        if path not in wanted:
            path.unlink()


if __name__ == "__main__":
    main()
