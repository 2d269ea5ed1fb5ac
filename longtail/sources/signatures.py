"""Formats of pictures that are not read, by how their files begin: what to tell who has one."""

# The brands of ISO base media files (ISO/IEC 14496-12), which stand after "ftyp".
BRANDS = {
    "HEIC, as phones write it,": (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"),
    "AVIF": (b"avif", b"avis"),
    "a camera's raw format (CR3)": (b"crx ",),
    "a video": (b"isom", b"iso2", b"mp41", b"mp42", b"qt  ", b"M4V ", b"avc1"),
}
SIGNATURES = {
    "JPEG XL": (b"\xff\x0a", b"\x00\x00\x00\x0cJXL "),
    "a PDF": (b"%PDF-",),
    "EPS, a program that draws,": (b"%!PS", b"\xc5\xd0\xd3\xc6"),
    "SVG, a drawing without pixels": (b"<svg",),
}


def known_format(data: bytes) -> str | None:
    """Which of these formats the bytes of a file are in; None for anything else."""
    if data[4:8] == b"ftyp":
        return next((name for name, brands in BRANDS.items() if data[8:12] in brands), None)
    return next((name for name, starts in SIGNATURES.items() if data.startswith(starts)), None)
