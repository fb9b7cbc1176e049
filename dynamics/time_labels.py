"""Read one time label, as biologists write them: "E8.5", "day 3", "12h", "1dpi", "390-450", "> 650"."""

import re
from dataclasses import dataclass
from itertools import pairwise

MISSING = {"", "nan", "na", "n/a", "none", "null", "<na>", "unknown", "unassigned", "not available", "-", "?"}

_SECOND, _MINUTE, _HOUR = 1 / 86400, 1 / 1440, 1 / 24
_WORDS = {
    "s": "s sec secs second seconds",
    "min": "min mins minute minutes",
    "h": "h hr hrs hour hours",
    "day": "d day days dd",
    "week": "w wk wks week weeks",
    "month": "mo mos mon month months",
    "year": "y yr yrs yo year years",
    "DIV": "div",
    "pcw": "pcw",
    "gw": "gw ga",
    "somites": "somite somites ss som",
    "stage": "stage st stg",
    "Carnegie stage": "cs carnegie",
    "HH stage": "hh",
    "Theiler stage": "ts theiler",
    "NF stage": "nf",
    "m": "m",
}
UNIT_OF = {word: unit for unit, words in _WORDS.items() for word in words.split()}
DAYS_IN = {
    "s": _SECOND,
    "min": _MINUTE,
    "h": _HOUR,
    "day": 1.0,
    "week": 7.0,
    "month": 30.4375,
    "year": 365.25,
    "DIV": 1.0,
    "pcw": 7.0,
    "gw": 7.0,
}
NEUTRAL = {"", "t", "time", "tp", "timepoint", "tpt", "timept", "point", "snapshot", "sample", "step", "bin"}
EMBRYONIC = {"e", "ed", "embryonic", "embryo", "embryonicday"}
POSTNATAL = {"p", "pd", "pn", "pnd", "postnatal", "postnatalday"}
_POST = re.compile(r"[hdw]p[a-z]{1,2}")

LONGEST = 64
"""Letters of a label that is nothing but a time; in longer ones it is looked for."""
_NUMBER = r"\d+(?:\.\d+)?"
_LABEL = re.compile(
    rf"(?P<open>>=?|<=?|≥|≤|more than|less than|over|under|after|before)?\s*"
    rf"(?P<prefix>[a-z]+(?:[. ]+[a-z]+)*)?[\s.:#=+]*(?P<dash>-)?\s*(?P<low>{_NUMBER})\s*(?P<unit>[a-z]+?)??"
    rf"(?:\s*(?:-|to|\.\.)\s*(?:[a-z]+)?\s*(?P<high>{_NUMBER}))?\s*(?P<suffix>[a-z]+)?\s*(?P<plus>\+)?"
    rf"(?P<tail>[\s-]*(?:post|after|of|in|old|p\.)[a-z\s.-]*)?"
)
_INTERVAL = re.compile(rf"[\[(]\s*(-?{_NUMBER})\s*,\s*(-?{_NUMBER})\s*[\])]")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_PART_AFTER = re.compile(rf"({_NUMBER})\s*([a-z]*)")
_PARTS_AFTER = re.compile(rf"{_NUMBER}\s*[a-z]+(?:[\s,:]*{_NUMBER}\s*[a-z]+)*[\s,:]*{_NUMBER}\s*[a-z]*")
_PART_BEFORE = re.compile(rf"([a-z]+)\s*({_NUMBER})")
_PARTS_BEFORE = re.compile(rf"(?:[a-z]{{3,}}\s*{_NUMBER}[\s,:]*){{2,}}")
_AFTER = re.compile(rf"(?<![a-z0-9.])(?P<number>{_NUMBER})[\s-]?(?P<word>[a-z]+)(?![a-z])")
_BEFORE = re.compile(rf"(?<![a-z0-9])(?P<word>[a-z]+)\s?(?P<number>{_NUMBER})(?![\d.])")


@dataclass(frozen=True)
class TimeLabel:
    """What one label says: a number or a range, its unit, and how it was written."""

    low: float
    high: float
    unit: str = ""
    family: str = ""
    """"E" for embryonic days, "P" for postnatal days, else empty."""
    open: str = ""
    """">" or "<" for an open end, as in "> 650"."""
    word: str = ""
    """A word before the number that is not a unit, as in "line 3"; all labels must then share it."""
    dashed: bool = False
    """A dash stood between word and number: a separator or a minus, which only the whole column can tell."""
    inside: bool = False
    """The time was found inside a longer label, as in "WT_12h_rep1"."""

    @property
    def middle(self) -> float:
        """The number, or the middle of the range."""
        return (self.low + self.high) / 2


def is_missing(label: str) -> bool:
    """Whether a label says that there is no time."""
    return label.strip().lower() in MISSING


def unit_of(word: str) -> str | None:
    """The unit that a word or abbreviation names ("hrs" → "h", "dpi" → "dpi"), None where it names none."""
    word = word.strip(" .").lower()
    if word in UNIT_OF:
        return UNIT_OF[word]
    return word if _POST.fullmatch(word) else None


def days_in(unit: str) -> float | None:
    """How many days one of the unit lasts, None for stages and other units that are not lengths of time."""
    if unit in DAYS_IN:
        return DAYS_IN[unit]
    return {"h": _HOUR, "d": 1.0, "w": 7.0}[unit[0]] if _POST.fullmatch(unit) else None


def clean(label: str) -> str:
    """Lower case, one kind of dash, points for decimal commas, single spaces."""
    text = re.sub(r"[‐-―−]", "-", label.strip().lower()).replace("_", " ")
    text = re.sub(r"\b(?:minus|neg|negative)\s*(?=\d)", "-", text)
    if re.fullmatch(r"[1-9]\d{0,2}(,\d{3})+", text):
        return text.replace(",", "")
    text = re.sub(r"(?<=\d),(?=\d)", ".", text)
    return re.sub(r"\s+", " ", text)


def parse_label(label: str) -> TimeLabel | None:
    """Read one label; None where it does not look like a time.

    Parameters
    ----------
    label
        As in the file, for instance "E8.5", "day 3", "12h", "Day 00-03", "> 650", "0,5".
    """
    interval = _INTERVAL.fullmatch(label.strip())
    if interval:
        return TimeLabel(float(interval[1]), float(interval[2]))
    text = clean(label)
    if _DATE.match(text):
        return None
    try:
        number = float(text)
    except ValueError:
        return _parse_words(text) or _added(text) or _find_inside(text)
    return TimeLabel(number, number) if abs(number) < float("inf") else None


def _parse_words(text: str) -> TimeLabel | None:
    match = _LABEL.fullmatch(text) if len(text) <= LONGEST else None  # steps grow with the cube of it
    if match is None:
        return None
    word = (match["prefix"] or "").strip(" .").replace(" day", "day")
    dashed = bool(match["dash"])
    low = float(match["low"]) * (-1 if dashed and not word else 1)
    high = float(match["high"]) if match["high"] else low
    unit, family, rest = _meaning(word, match["suffix"] or match["unit"] or "")
    if unit is None or high < low:
        return None
    sign = "<" if (match["open"] or "").startswith(("<", "≤", "less", "under", "before")) else ">"
    is_open = bool(match["open"] or match["plus"]) and match["high"] is None
    return TimeLabel(
        low, high, unit, family, open=sign if is_open else "", word=rest, dashed=dashed and bool(word)
    )


def _meaning(word: str, suffix: str) -> tuple[str | None, str, str]:
    """Unit, family and unexplained word of `word NUMBER suffix`; the unit is None when it makes no sense."""
    if suffix:
        unit = unit_of(suffix)
        return unit, "", "" if unit is None or unit_of(word) is not None or word in NEUTRAL else word
    if word in EMBRYONIC or word in POSTNATAL:
        return "day", "E" if word in EMBRYONIC else "P", ""
    if word in NEUTRAL or not word:
        return "", "", ""
    parts = word.split(" ")
    if parts[-1] == "e":  # "WT_E8.5"
        return "day", "E", ""
    unit = unit_of(word) or unit_of(parts[0]) or unit_of(parts[-1])
    return (unit, "", "") if unit is not None else ("", "", word)


def _added(text: str) -> TimeLabel | None:
    """A length of time in parts, such as "2w3d", "1h30" or "week 2 day 3"; None where it is none."""
    if _PARTS_AFTER.fullmatch(text):
        parts = [(float(number), word) for number, word in _PART_AFTER.findall(text)]
    elif _PARTS_BEFORE.fullmatch(text):
        parts = [(float(number), word) for word, number in _PART_BEFORE.findall(text)]
    else:
        return None
    units = [unit_of(word) for _, word in parts if word]
    units = ["min" if unit == "m" and "h" in units else "month" if unit == "m" else unit for unit in units]
    if len(parts) > len(units):  # the last number of "1h30" counts the next smaller unit
        units.append({"h": "min", "min": "s"}.get(units[-1] or ""))
    lengths = [days_in(unit) if unit else None for unit in units]
    if None in lengths or any(a <= b for a, b in pairwise(lengths)):
        return None
    total = sum(number * length for (number, _), length in zip(parts, lengths, strict=True)) / lengths[0]
    return TimeLabel(total, total, units[0])


def _find_inside(text: str) -> TimeLabel | None:
    """The one time inside a longer label, None where there is none or more than one."""
    found: set[tuple[float, str | None, str]] = set()
    samples: set[tuple[float, str | None, str]] = set()
    for match in [*_AFTER.finditer(text), *_BEFORE.finditer(text)]:
        word, number = match["word"], float(match["number"])
        if match.re is _BEFORE and word in EMBRYONIC | POSTNATAL:
            found.add((number, "day", "E" if word in EMBRYONIC else "P"))
        elif unit_of(word) is not None:
            found.add((number, unit_of(word), ""))
            samples |= {(number, unit_of(word), "")} if match.re is _BEFORE and word in ("s", "m") else set()
    if len(found) > 1:  # in "d10_s1" the second one is a sample, not a second
        found -= samples
    if len(found) != 1:
        return None
    number, unit, family = found.pop()
    return TimeLabel(number, number, unit, family, inside=True)
