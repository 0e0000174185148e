"""Numbers as a person reads them."""

from __future__ import annotations

from collections.abc import Sequence

from ..profiling import Accelerator, Browser, Profile

NOTHING = "–"


def count(value: int | None) -> str:
    """12,345"""
    return NOTHING if value is None else f"{value:,}"


def size(value: int | None) -> str:
    """3,412 B, 1.06 MB: decimal units, three digits."""
    if value is None:
        return NOTHING
    if value < 10_000:
        return f"{value:,} B"
    return f"{_three(value, ('B', 'kB', 'MB', 'GB', 'TB'))}"


def operations(value: int | None) -> str:
    """259, 40.8 M"""
    if value is None:
        return NOTHING
    return f"{value:,}" if value < 100_000 else _three(value, ("", "k", "M", "G", "T"))


def _three(value: float, units: Sequence[str]) -> str:
    unit = 0
    while value >= 999.5 and unit < len(units) - 1:
        value, unit = value / 1000, unit + 1
    digits = 0 if value >= 99.95 else 1 if value >= 9.995 else 2
    return f"{value:.{digits}f} {units[unit]}"


def energy(millijoules: float | None) -> str:
    """0.0123 mJ"""
    return NOTHING if millijoules is None else f"{millijoules:.3g} mJ"


def accelerator(used: Accelerator) -> str:
    """llvmpipe by Vulkan (software), float16, 8.8e-04 off the CPU"""
    stands_in = " (software)" if used.software else ""
    return f"{used.device}{stands_in}, {used.precision}, {used.largest_relative_error:.1e} off the CPU"


def browser(used: Browser) -> str:
    """Chrome 150.0.7871.100, with SIMD, 9.0e-08 off the same C code here"""
    simd = "with" if used.simd else "without"
    another = "" if used.same_class else ", ANOTHER class"
    return f"{used.name}, {simd} SIMD, {used.largest_relative_error:.1e} off the same C code here{another}"


def runs_on(profile: Profile) -> str:
    """The accelerator or the browser; else the CPU."""
    if profile.browser:
        return browser(profile.browser)
    return accelerator(profile.accelerator) if profile.accelerator else "the CPU"


def module(used: Browser | None) -> str:
    """4,012 B, 196 kB"""
    return NOTHING if used is None else f"{size(used.module_bytes)}, {size(used.memory_bytes)}"


def share(value: float | None) -> str:
    """A fraction as 97.31 %"""
    return NOTHING if value is None else f"{100 * value:.2f} %"


def density(value: float | None) -> str:
    """A fraction as 12 %, 0.31 %"""
    return NOTHING if value is None else f"{100 * value:.3g} %"


def milliseconds(value: float | None) -> str:
    """3.51 µs, 12.1 ms, 2.5 s"""
    if value is None:
        return NOTHING
    if value < 0.1:
        return f"{1000 * value:.3g} µs"
    return f"{value:.3g} ms" if value < 1000 else f"{value / 1000:.3g} s"


def seconds(value: float) -> str:
    """4.1 s, 3 min 20 s, 2 h 05 min"""
    if value < 59.95:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def times(value: float | None) -> str:
    """1,028×, 4.0×"""
    if value is None:
        return NOTHING
    return f"{value:,.0f}×" if value >= 99.95 else f"{value:.1f}×" if value >= 9.995 else f"{value:.2f}×"


def gain(before: float | None, after: float | None) -> str:
    """How many times smaller."""
    return NOTHING if before is None or not after else times(before / after)


def shape(value: Sequence[int | str] | None) -> str:
    """300×784; `gone` for a layer that was removed"""
    return "gone" if value is None else "×".join(map(str, value))
