"""Small sources of emoji in the shapes of the real ones, their drawings drawn here."""

import hashlib
import json
from pathlib import Path

from tasks.altogether.drawn.pictures import Drawn, draw_emoji
from tasks.altogether.drawn.titled import Titled, draw_titled
from tasks.altogether.records import Record, read_records
from tasks.altogether.texts.levels import Levels, align
from tasks.altogether.texts.splits import SPLITS
from tasks.altogether.texts.voices import Voices, gather

STYLES = ("openmoji", "twemoji", "noto")
SMALL = Levels(shown=16)

TONES = {"1F3FB": "light", "1F3FC": "medium-light", "1F3FD": "medium", "1F3FE": "medium-dark", "1F3FF": "dark"}
SKINS = {
    "light": "#f7dece",
    "medium-light": "#f3d2a2",
    "medium": "#d5ab88",
    "medium-dark": "#af7e57",
    "dark": "#7c533e",
}
ACTS = {"1F3C3": "running", "1F6B6": "walking", "1F3C4": "surfing", "1F3CA": "swimming", "1F647": "bowing",
        "1F64B": "raising hand", "1F937": "shrugging", "1F926": "facepalming", "1F9D7": "climbing",
        "1F938": "cartwheeling"}  # fmt: skip
COLOURS = {"red": "#d00", "orange": "#f80", "yellow": "#fd0", "green": "#0a0", "blue": "#06d", "purple": "#80c"}
SHAPES = {"heart": 0x1F493, "circle": 0x1F7E0, "square": 0x1F7E7, "book": 0x1F4D5}
THINGS = ("dog", "house", "tree", "boat", "moon", "hammer", "apple pie", "kite", "drum", "spoon", "lamp", "sock")


def entries() -> list[dict[str, object]]:
    """The list of emojibase: people with tones, genders and a direction, coloured shapes, things, flags, keycaps."""
    found: list[dict[str, object]] = []

    def add(code: str, label: str, **more: object) -> None:
        found.append({"hexcode": code, "label": label, "order": len(found), "version": 1.0, "group": 1, **more})

    def toned(code: str, label: str, joint: str = ": ") -> list[dict[str, object]]:
        first, _, rest = code.partition("-")
        return [
            {"hexcode": "-".join(filter(None, [first, tone, rest])), "label": f"{label}{joint}{name} skin tone",
             "order": 1000 + len(found) + n / 10, "version": 1.0, "group": 1}
            for n, (tone, name) in enumerate(TONES.items())
        ]  # fmt: skip

    for code, act in ACTS.items():
        for sign, who in (("", "person"), ("-200D-2642-FE0F", "man"), ("-200D-2640-FE0F", "woman")):
            add(code + sign, f"{who} {act}", tags=[act, "sport", who], skins=toned(code + sign, f"{who} {act}"))
    add("1F3C3-200D-27A1-FE0F", "person running: facing right", tags=["run"])
    add("1F9D1", "person", tags=["adult"])
    add("1F468-200D-1F9B0", "man: red hair", tags=["adult"])
    add("1F469-200D-1F9B1", "woman: curly hair", tags=["adult"])
    for shape, start in SHAPES.items():
        for n, colour in enumerate(COLOURS):
            add(f"{start + n:X}", f"{colour} {shape}", tags=[shape, "shape"])
    for n, thing in enumerate(THINGS):
        add(f"{0x1FA00 + n:X}", thing, tags=[f"tag{n}", "shared", "walk"])
    for n, land in enumerate(("Zubrowka", "Freedonia", "Ruritania")):
        add(f"1F1E6-{0x1F1E6 + n:X}", f"flag: {land}", tags=["flag"])
    for digit in "123":
        add(f"003{digit}-FE0F-20E3", f"keycap: {digit}", tags=["keycap"])
    found.append({"hexcode": "1F9B0", "label": "red hair", "order": 9999, "version": 1.0, "group": 2})
    return found


def flat() -> list[dict[str, object]]:
    return [each for entry in entries() for each in (entry, *entry.get("skins", ()))]  # type: ignore[misc]


def drawing(label: str, style: int) -> str:
    """An SVG: a body in its skin, a skirt for a woman, a coloured shape for a coloured thing; styles differ in form."""
    skin = next((SKINS[t] for t in sorted(SKINS, key=len, reverse=True) if f" {t} skin" in label), "#fc0")
    colour = next((value for name, value in COLOURS.items() if label.startswith(name)), skin)
    drawn = hashlib.sha256(label.encode()).hexdigest()
    place = int(drawn[:4], 16) % 30
    head = f'<circle cx="{30 + place}" cy="25" r="{14 + 2 * style}" fill="{colour}"/>'
    dress = '<path d="M30 90 L50 40 L70 90 Z" fill="#c0c"/>' if "woman" in label else ""
    trousers = '<rect x="40" y="40" width="20" height="50" fill="#046"/>' if label.startswith("man") else ""
    mark = f'<rect x="{place}" y="80" width="6" height="6" fill="#{drawn[:6]}"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100">{head}{dress}{trousers}{mark}</svg>'


def write_sources(root: Path) -> dict[str, Path]:
    """Write every source below `root`, as `fetch` lays them out, and return their folders by name."""
    names = ("emojibase", "openmoji", "emojilib", "emoji_names", "em_keyboard", "twemoji", "noto")
    folders = {name: root / name for name in names}
    for folder in folders.values():
        folder.mkdir(parents=True)
    write(folders["emojibase"] / "data.json", entries())
    codes = {str(e["hexcode"]): str(e["label"]) for e in entries() if e["group"] != 2}
    slug = {code: label.replace(" ", "_").replace(":", "") for code, label in codes.items()}
    write(folders["emojibase"] / "shortcodes" / "cldr.json", slug)
    # GitHub says the last word alone, and calls the red heart black.
    gemoji = {code: label.split()[-1] for code, label in codes.items()}
    write(folders["emojibase"] / "shortcodes" / "github.json", gemoji | {"1F493": ["heavy_black_heart", "love"]})
    crowd = {characters(c): [slug[c], f"crowd {n}", "sport", "shape", "shared", "walk"] for n, c in enumerate(codes)}
    write(folders["emojilib"] / "emoji-en-US.json", crowd)
    later = {s: [*said, "late"] if n % 9 == 0 else said for n, (s, said) in enumerate(crowd.items())}
    write(folders["em_keyboard"] / "emojis.json", later)
    named = {characters(code): {"en": f":{label.replace(' ', '_')}:"} for code, label in codes.items()}
    write(folders["emoji_names"] / "emoji.json", named)
    write(
        folders["openmoji"] / "data" / "openmoji.json",
        [
            {
                "hexcode": code,
                "annotation": label,
                "tags": ", ".join(tags(code)),
                "openmoji_tags": f"designer, shape, d{n}",
            }
            for n, (code, label) in enumerate(codes.items())
        ],
    )
    for style, folder, case in ((0, "openmoji/color/svg", str.upper), (1, "twemoji", str.lower)):
        (root / folder).mkdir(parents=True, exist_ok=True)
        for e in flat():
            path = root / folder / f"{case(str(e['hexcode']))}.svg"
            path.write_text(drawing(str(e["label"]), style))
    bodies = {str(e["hexcode"]).lower(): drawing(str(e["label"]), 2).partition(">")[2][:-6] for e in flat()}
    icons = {f"icon-{code}": {"body": body} for code, body in bodies.items()}
    write(folders["noto"] / "icons.json", {"icons": icons, "width": 100, "height": 100})
    write(folders["noto"] / "chars.json", {code: f"icon-{code}" for code in bodies})
    return folders


def write_titled(root: Path) -> dict[str, Path]:
    """Write clip art with titles and stamps with a sentence below `root`, and return their folders by set."""
    art, stamps = root / "openclipart", root / "stamps"
    for folder in (art, stamps):
        folder.mkdir(parents=True)
    for name, title, keyword in (("fox", "Sleeping fox", "animal"), ("star", "Golden star 1", "sky, night")):
        about = f"<dc:title>{title}</dc:title><dc:subject><rdf:li>{keyword}</rdf:li></dc:subject>"
        svg = drawing(title, 1).replace("<svg ", '<svg xmlns:dc="d" xmlns:rdf="r" ', 1)
        (art / f"{name}.svg").write_text(svg.replace(">", f"><metadata>{about}</metadata>", 1))
    for name, sentence in (("zebra-2", "A striped zebra."), ("red_fox", "A fox with a red heart.")):
        (stamps / f"{name}.svg").write_text(drawing(sentence, 2))
        (stamps / f"{name}.txt").write_text(f"{sentence}\nfr.utf8=Un animal.")
    return {"openclipart": art, "stamps": stamps}


def tags(code: str) -> list[str]:
    return next(e["tags"] for e in entries() if e["hexcode"] == code)  # type: ignore[return-value]


def characters(code: str) -> str:
    return "".join(chr(int(part, 16)) for part in code.split("-"))


def write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, ensure_ascii=False))


def build(sources: dict[str, Path], root: Path, config: Levels = SMALL) -> dict[str, Path]:
    """Run the data stages, each in a folder of its name below `root`."""
    out = {name: root / name for name in ("gathered", "pictures", "levels", "titled")}
    for folder in out.values():
        folder.mkdir()
    texts = {name: sources[name] for name in ("emojibase", "openmoji", "emojilib", "emoji_names", "em_keyboard")}
    gather(**texts, config=Voices(), out=out["gathered"])
    styles = {style: sources[style] for style in STYLES}
    draw_emoji(gathered=out["gathered"], styles=styles, config=Drawn(size=24), out=out["pictures"])
    align(gathered=out["gathered"], pictures=out["pictures"], config=config, out=out["levels"])
    draw_titled(sets=write_titled(root / "sets"), config=Titled(size=24), out=out["titled"])
    return out


def all_records(folder: Path) -> list[Record]:
    return [record for split in SPLITS for record in read_records(folder / f"{split}.json")]
