"""Bytes to text for mails whose label and bytes do not agree: as browsers read them, by the Encoding Standard."""

import codecs

FEW = 32
"""Non-ASCII bytes below which statistics say little: Windows' Latin is likelier than what they guess."""

SAMPLE = 1 << 16
"""Bytes of a text that its charset is guessed from."""

_WIDER = {"gbk": ("gb18030",), "gb2312": ("gb18030",), "iso2022_jp": ("iso2022_jp_2004", "iso2022_jp_ext")}
"""Codecs of which others read the same bytes alike, and those that mails have under the same label as well."""

_MARKS = {codecs.BOM_UTF16_BE: "utf-16-be", codecs.BOM_UTF16_LE: "utf-16-le"}
"""Byte order marks, which count more than a label."""

KNOWN, MENDED, GUESSED = "known", "mended", "guessed"


def decode(data: bytes, label: str) -> tuple[str, str]:
    """`data` as text, and how it was read: KNOWN (as its label says), MENDED (so, but for a few bytes), or GUESSED.

    A byte that does not fit is one replacement character, and not the end of everything around it.
    """
    labelled = [_MARKS[data[:2]]] if data[:2] in _MARKS else _codecs(label)
    shifted = any(name.startswith("iso2022") for name in labelled)  # all in ASCII bytes, so valid as UTF-8, too
    # Windows-1252 is the label of whoever knows none. What is valid UTF-8 is hardly ever anything else.
    order = labelled if shifted else ["utf-8", *labelled] if labelled == ["cp1252"] else [*labelled, "utf-8"]
    for name in order:
        if (text := _strict(data, name)) is not None:
            return text, KNOWN if name in labelled or (labelled and data.isascii()) else GUESSED
    for name in order:
        text = _as_labelled(data, name).decode(name, "replace")
        wrong = text.count("\ufffd")
        if wrong < sum(not letter.isascii() for letter in text) - wrong:
            return text, MENDED
    return data.decode(likeliest(data), "replace"), GUESSED


def _codecs(label: str) -> list[str]:
    """Python's codecs for a label, by the Encoding Standard first: what is called Latin-1 there is Windows-1252."""
    import webencodings

    for spelled in (label, label.replace("-", "").replace("_", "")):
        try:
            found = webencodings.lookup(spelled)
            # Some, such as ISO-2022-KR, browsers must refuse to read; old mails are written in them.
            info = found.codec_info if found and found.name != "replacement" else codecs.lookup(spelled)
            "".encode(info.name)  # not every codec is one of texts
        except (LookupError, ValueError):
            continue
        return list(_WIDER.get(info.name, (info.name,)))
    return []


def _strict(data: bytes, name: str) -> str | None:
    try:
        return _as_labelled(data, name).decode(name)
    except ValueError:
        return None


def _as_labelled(data: bytes, name: str) -> bytes:
    """JIS X 0208 shifted in as its superset JIS X 0213, so that what Windows adds to it is read."""
    return data.replace(b"\x1b$B", b"\x1b$(Q") if name == "iso2022_jp_2004" else data


def likeliest(data: bytes) -> str:
    """The codec of bytes without a label: by statistics where there is enough to count, else Windows' Latin."""
    from charset_normalizer import from_bytes

    if len(data.translate(None, bytes(range(128)))) >= FEW and (best := from_bytes(data[:SAMPLE]).best()):
        return best.encoding
    return "cp1252"
