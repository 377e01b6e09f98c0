//! Sentences made from `templates/names.txt` and the lists.

use std::collections::HashMap;

use anyhow::{Result, bail};

use super::example::{Example, Gold};
use crate::data::{Listed, list};
use crate::random::Random;

const TEMPLATES: &str = include_str!("../../templates/names.txt");
const COMPANIES: &str = include_str!("../../templates/companies.txt");

/// Sentences made of each template, in the language with the most templates and in the others.
const COPIES: usize = 22;
const COPIES_OTHER: usize = 45;
/// Every so many copies of an English sentence, names and places of another language fill it.
const FOREIGN_EACH: usize = 3;
/// Copies of a sentence without gaps.
const COPIES_PLAIN: usize = 8;

/// Gaps that names fill.
const SLOTS: [&str; 9] = [
    "{P}", "{G}", "{F}", "{L}", "{C}", "{O}", "{p}", "{g}", "{l}",
];

struct Language {
    given: Vec<String>,
    family: Vec<String>,
    place: Vec<String>,
    country: Vec<String>,
    copies: usize,
}

const KINDS: &[&str] = &[
    "Systems",
    "Solutions",
    "Consulting",
    "Industries",
    "Technologies",
    "Software",
    "Logistics",
    "Holdings",
    "Energy",
    "Partners",
    "Capital",
    "Insurance",
    "Foods",
    "Motors",
    "Media",
    "Airlines",
    "Pharmaceuticals",
    "Labs",
    "Networks",
    "Records",
    "Studios",
    "Publishing",
    "Analytics",
    "Security",
    "Construction",
    "Electronics",
    "Foundation",
    "Trust",
    "Telecom",
    "Robotics",
    "Health",
    "Properties",
    "Financial",
    "Investments",
    "Marketing",
    "Design",
    "Bank",
    "Hotels",
    "Associates",
    "Enterprises",
    "International",
    "Global",
    "Services",
    "Medical Group",
    "Law Firm",
    "Bakery",
    "Orchestra",
];
const FORMS: &[&str] = &[
    "Inc",
    "Inc.",
    "Ltd",
    "Ltd.",
    "LLC",
    "Corp",
    "Corp.",
    "plc",
    "GmbH",
    "AG",
    "S.A.",
    "SARL",
    "S.p.A.",
    "B.V.",
    "AB",
    "Oy",
    "A/S",
    "Pty Ltd",
    "& Co",
    "Group",
    "SE",
    "KG",
    "SL",
    "Ltda",
    "Sp. z o.o.",
    "s.r.o.",
    "Company",
    "Co.",
];
const WORDS: &[&str] = &[
    "Blue", "North", "Bright", "Summit", "Green", "Red", "Silver", "Pioneer", "Global", "United",
    "First", "Data", "Cloud", "Quantum", "Apex", "Nova", "Star", "Sun", "River", "Stone", "Iron",
    "Smart", "Open", "Next", "Prime", "Vertex", "Horizon", "Eagle", "Falcon", "Phoenix", "Atlas",
    "Orion", "Delta", "Omega", "Alpha", "Nordic", "Pacific", "Atlantic", "Golden", "Crystal",
    "Rapid", "True", "Core", "Tech", "Bio", "Cyber", "Aero", "Solar", "Urban", "Fresh",
];
const INSTITUTIONS: &[&str] = &[
    "University of {}",
    "{} University",
    "{} Hospital",
    "{} General Hospital",
    "Bank of {}",
    "{} High School",
    "{} City Council",
    "Universität {}",
    "Université de {}",
    "Universidad de {}",
    "Università di {}",
    "{} Police Department",
    "{} Medical Center",
    "Museum of {}",
    "FC {}",
    "{} United",
    "Klinikum {}",
    "Stadtwerke {}",
    "Hôpital de {}",
    "{} Symphony Orchestra",
    "{} Chamber of Commerce",
    "Hospital de {}",
    "Sparkasse {}",
    "{} Times",
    "{} Airport Authority",
    "{} Health Services",
];

/// Makes the sentences.
pub(super) struct Maker {
    companies: Vec<String>,
    languages: Vec<(Language, Vec<String>)>,
}

impl Maker {
    pub(super) fn new() -> Result<Self> {
        let (given, family, place) = (list("given")?, list("family")?, list("place")?);
        let mut languages: Vec<(Language, Vec<String>)> = Vec::new();
        for line in TEMPLATES
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
        {
            if let Some(header) = line
                .strip_prefix('[')
                .filter(|header| header.ends_with(']'))
            {
                let mut fields = header.trim_end_matches(']').split(": ");
                let (_, names, places) = (
                    fields.next(),
                    fields.next().unwrap_or_default(),
                    fields.next().unwrap_or_default(),
                );
                let language = Language {
                    given: of(&given, names),
                    family: of(&family, names),
                    place: of(
                        &place,
                        &places
                            .to_uppercase()
                            .split(' ')
                            .filter(|code| places.contains(*code))
                            .collect::<Vec<_>>()
                            .join(" "),
                    ),
                    country: of(
                        &place,
                        &places
                            .split(' ')
                            .filter(|code| code.chars().all(char::is_lowercase))
                            .collect::<Vec<_>>()
                            .join(" "),
                    ),
                    copies: if languages.is_empty() {
                        COPIES
                    } else {
                        COPIES_OTHER
                    },
                };
                if language.given.is_empty()
                    || language.family.is_empty()
                    || language.country.is_empty()
                {
                    bail!("no names or places for {header}");
                }
                languages.push((language, vec![]));
            } else if let Some((_, templates)) = languages.last_mut() {
                templates.push(line.replace("\\n", "\n"));
            }
        }
        let companies = COMPANIES
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(str::to_owned)
            .collect();
        Ok(Self {
            companies,
            languages,
        })
    }

    /// All sentences.
    pub(super) fn examples(&self, random: &mut Random) -> Vec<Example> {
        let mut examples = Vec::new();
        for (language, templates) in &self.languages {
            for template in templates {
                let has_gaps = SLOTS.iter().any(|slot| template.contains(slot));
                let copies = if has_gaps {
                    language.copies
                } else {
                    COPIES_PLAIN
                };
                examples.extend((0..copies).map(|copy| {
                    // People and places of the whole world stand in English texts.
                    let is_foreign = examples_are_english(language) && copy % FOREIGN_EACH == 0;
                    let other = &random.pick(&self.languages).0;
                    let of = if is_foreign { other } else { language };
                    self.fill(template, of, random)
                }));
            }
        }
        examples
    }

    fn fill(&self, template: &str, language: &Language, random: &mut Random) -> Example {
        let mut text = String::new();
        let mut spans = Vec::new();
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('{') {
            text.push_str(before);
            // Other braces are braces: `{"name": "{P}"}`.
            let slot = after.get(..1).filter(|_| after[1..].starts_with('}'));
            let Some(slot) = slot else {
                text.push('{');
                rest = after;
                continue;
            };
            let after = &after[2..];
            let from = text.len();
            let (value, gold) = self.value(slot, language, random);
            text.push_str(&value);
            if let Some(gold) = gold {
                spans.push((from..text.len(), gold));
            }
            rest = after;
        }
        text.push_str(rest);
        Example {
            text,
            spans,
            template: None,
            silver: false,
        }
    }

    fn value(
        &self,
        slot: &str,
        language: &Language,
        random: &mut Random,
    ) -> (String, Option<Gold>) {
        let lower = slot.chars().all(char::is_lowercase);
        let (value, gold) = match slot.to_uppercase().as_str() {
            "P" => (person(language, random), Some(Gold::Class(0))),
            "G" => (name(&language.given, random), Some(Gold::Class(0))),
            "F" => (name(&language.family, random), Some(Gold::Class(0))),
            "L" if random.chance(25) => (landmark(language, random), Some(Gold::Class(1))),
            "L" if !language.place.is_empty() && !random.chance(150) => {
                (random.pick(&language.place).clone(), Some(Gold::Class(1)))
            }
            "L" | "C" => (random.pick(&language.country).clone(), Some(Gold::Class(1))),
            "O" => (self.organisation(language, random), Some(Gold::Class(2))),
            "D" => (date(random), None),
            "A" => (
                (0..2 + random.below(3)).map(|_| capital(random)).collect(),
                None,
            ),
            "I" => (identifier(random), None),
            "U" => (
                name(&language.given, random).to_lowercase() + &random.below(99).to_string(),
                None,
            ),
            "E" => (
                format!(
                    "{}@{}.com",
                    name(&language.given, random)
                        .to_lowercase()
                        .replace(' ', "."),
                    random.pick(WORDS).to_lowercase()
                ),
                None,
            ),
            _ => (random.below(90_000).to_string(), None),
        };
        (if lower { value.to_lowercase() } else { value }, gold)
    }

    fn organisation(&self, language: &Language, random: &mut Random) -> String {
        let places = if language.place.is_empty() {
            &language.country
        } else {
            &language.place
        };
        let family = |random: &mut Random| name(&language.family, random);
        match random.below(15) {
            12 => format!("{}-{}", family(random), family(random)),
            13 => format!(
                "{}, {} and {}",
                family(random),
                family(random),
                family(random)
            ),
            14 => family(random) + &random.pick(WORDS).to_lowercase(),
            0..4 => random.pick(&self.companies).clone(),
            4 => format!("{} {}", name(&language.family, random), random.pick(FORMS)),
            5 => format!("{} {}", name(&language.family, random), random.pick(KINDS)),
            6 => format!(
                "{} {} {}",
                random.pick(WORDS),
                random.pick(KINDS),
                random.pick(FORMS)
            ),
            7 => format!(
                "{}{} {}",
                random.pick(WORDS),
                random.pick(WORDS).to_lowercase(),
                random.pick(KINDS)
            ),
            8 => format!(
                "{}{}",
                random.pick(WORDS),
                random.pick(WORDS).to_lowercase()
            ),
            9 => format!(
                "{} & {}",
                name(&language.family, random),
                name(&language.family, random)
            ),
            _ => random
                .pick(INSTITUTIONS)
                .replace("{}", random.pick::<String>(places)),
        }
    }
}

fn examples_are_english(language: &Language) -> bool {
    language.copies == COPIES
}

/// The values of a list that occur in one of the locales, as often as the locale is named.
fn of(list: &[Listed], locales: &str) -> Vec<String> {
    let mut by_locale: HashMap<&str, Vec<&Listed>> = HashMap::new();
    for listed in list {
        for locale in &listed.locales {
            by_locale.entry(locale).or_default().push(listed);
        }
    }
    let mut values = Vec::new();
    for locale in locales.split(' ') {
        for listed in by_locale.get(locale).into_iter().flatten() {
            // The census lists are long and their tails odd.
            let times = if listed.locales.iter().any(|locale| locale == "en_US") {
                listed.grade
            } else {
                2
            };
            values.extend((0..times).map(|_| listed.value.clone()));
        }
    }
    values
}

/// A name from the list, now and then with letters changed, so that it is in no list.
fn name(names: &[String], random: &mut Random) -> String {
    let name = random.pick(names).clone();
    if !random.chance(120) || name.chars().count() < 4 {
        return name;
    }
    let other: Vec<char> = random.pick(names).chars().collect();
    let mut letters: Vec<char> = name.chars().take(3).collect();
    letters.extend(other.iter().skip(other.len().min(2)));
    letters.into_iter().collect()
}

/// A place that bears somebody's or something's name.
fn landmark(language: &Language, random: &mut Random) -> String {
    const KINDS: [&str; 16] = [
        "Tower", "Park", "Bridge", "Airport", "Station", "Lake", "Square", "Museum", "Beach",
        "Valley", "County", "Island", "Stadium", "Hotel", "Castle", "Bay",
    ];
    const BEFORE: [&str; 9] = [
        "Lake", "Mount", "North", "South", "East", "West", "New", "Port", "St.",
    ];
    let base = match random.below(3) {
        0 => name(&language.family, random),
        1 => (*random.pick(WORDS)).to_owned(),
        _ => random
            .pick(if language.place.is_empty() {
                &language.country
            } else {
                &language.place
            })
            .clone(),
    };
    if random.chance(400) {
        format!("{} {base}", random.pick(&BEFORE))
    } else {
        format!("{base} {}", random.pick(&KINDS))
    }
}

fn person(language: &Language, random: &mut Random) -> String {
    let given = name(&language.given, random);
    let family = name(&language.family, random);
    match random.below(20) {
        0..13 => format!("{given} {family}"),
        13 => given,
        14 => format!("{given} {} {family}", name(&language.given, random)),
        15 => format!("{given} {}. {family}", capital(random)),
        16 if random.chance(500) => format!("{}. {family}", capital(random)),
        16 => format!("{}. {}. {family}", capital(random), capital(random)),
        17 => format!("{given}-{} {family}", name(&language.given, random)),
        18 => format!("{given} {family}-{}", name(&language.family, random)),
        _ => format!("{given} {family}"),
    }
}

fn capital(random: &mut Random) -> char {
    char::from(b'A' + random.below(26) as u8)
}

/// A name as programs have them.
fn identifier(random: &mut Random) -> String {
    let (first, second) = (*random.pick(WORDS), *random.pick(KINDS));
    match random.below(4) {
        0 => format!("{first}{second}").replace(' ', ""),
        1 => format!("{}{second}", first.to_lowercase()).replace(' ', ""),
        2 => format!("{first}_{second}").to_lowercase().replace(' ', "_"),
        _ => first.to_owned(),
    }
}

fn date(random: &mut Random) -> String {
    let (year, month, day) = (
        1_940 + random.below(90),
        1 + random.below(12),
        1 + random.below(28),
    );
    const MONTHS: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    match random.below(4) {
        0 => format!("{year}-{month:02}-{day:02}"),
        1 => format!("{day}.{month}.{year}"),
        2 => format!("{} {day}, {year}", MONTHS[month - 1]),
        _ => year.to_string(),
    }
}
