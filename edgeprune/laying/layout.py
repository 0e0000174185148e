"""Where the elements of a graph value lie in a tensor of the network that is read.

Reshapes and permutations make no node: they change the layout. Every axis of the value (and the batch) is a product of atoms,
like the digits of a number; the tensor's dims are ordered lists of atoms. A reshape splits and joins the lists, a permutation
reorders them. Only what reads the tensor decides which rearrangement the graph needs, if any.

The batch is an atom that is followed like any other. A file may fix it at one; then it is no atom at all: the file says what
happens to one example, and any axis of size 1 can be it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from ..graph import Array, Shape, Value

# What an open batch counts while a network is read: no axis of a real one is that long, and primes never split.
OPEN_BATCHES = (13, 17)
# The axis numbers of atoms that are no axis of the value: the batch, and a repetition of the same elements.
BATCH_AXIS, STRETCHED = -1, -2


class Atom(NamedTuple):
    """A factor of one axis: the axis' index steps by `inner` when the atom's steps by one."""

    axis: int
    size: int
    inner: int = 1


Dim = tuple[Atom, ...]
Dims = tuple[Dim, ...]


@dataclass(frozen=True)
class Laid:
    """A graph value as a tensor of the network that is read.

    Not applied yet: `scale`, a factor; `unit`, (floor, atoms), a division by the length over these atoms; `integer`, a cut to a
    whole number, to look something up with.
    `maker` is where the layout was last changed: what the graph needs for it is named after that.
    """

    name: str
    dims: Dims
    maker: Any = field(default=None, compare=False)
    scale: float = 1.0
    unit: tuple[float, Dim] | None = None
    integer: bool = False

    @property
    def shape(self) -> Shape:
        return tuple(size(d) for d in self.dims)


def size(atoms: Sequence[Atom]) -> int:
    return math.prod(a.size for a in atoms)


def whole(axis: int, n: int) -> Dim:
    """A whole axis as a dim; nothing where its size is 1."""
    return (Atom(axis, n),) if n > 1 else ()


def batch_of(size: int) -> Dim:
    """The dim of a batch; nothing where it is fixed at one."""
    return (Atom(BATCH_AXIS, size),) if size > 1 else ()


def canonical(shape: Shape, batch: Dim) -> Dims:
    """The layout of a value as the graph keeps it, the batch in front."""
    return (batch, *(whole(i, n) for i, n in enumerate(shape)))


def joined(atoms: Sequence[Atom]) -> Dim:
    """The atoms, those that continue each other made one."""
    result: list[Atom] = []
    for atom in atoms:
        last = result[-1] if result else None
        if last and last.axis == atom.axis and (last.inner == atom.inner * atom.size or atom.axis == STRETCHED):
            result[-1] = Atom(atom.axis, last.size * atom.size, atom.inner)
        elif atom.size > 1:
            result.append(atom)
    return tuple(result)


def reshaped(dims: Dims, shape: Shape) -> Dims | None:
    """The layout after a reshape; None where the new dims cut an atom at no factor of its size."""
    atoms = [a for d in dims for a in d]
    result: list[Dim] = []
    for n in shape:
        dim: list[Atom] = []
        while n > 1:
            if not atoms:
                return None
            atom = atoms.pop(0)
            if n % atom.size == 0:
                dim.append(atom)
                n //= atom.size
            elif atom.size % n == 0 and atom.axis != BATCH_AXIS:
                # The dim takes the outer part of the atom, the next dim the rest.
                rest = atom.size // n
                dim.append(Atom(atom.axis, n, atom.inner * rest))
                atoms.insert(0, Atom(atom.axis, rest, atom.inner))
                n = 1
            else:
                return None
        result.append(joined(dim))
    return None if atoms else tuple(result)


def channel_dim(dims: Dims, value: Value) -> int | None:
    """The dim that holds the value's channels, all of them and nothing else; None when there is none."""
    for i, dim in enumerate(dims):
        if any(a.axis == value.axis for a in dim):
            return i if size(dim) == value.channels and all(a.axis == value.axis for a in dim) else None
    return None


def atoms_by_axis(dims: Dims, axes: int) -> list[list[Atom]]:
    """The atoms of each axis of the value, outermost first."""
    found: list[list[Atom]] = [[] for _ in range(axes)]
    for dim in dims:
        for atom in dim:
            if atom.axis >= 0:
                found[atom.axis].append(atom)
    return [sorted(atoms, key=lambda a: -a.inner) for atoms in found]


def narrowed(dims: Dims, dim: int, size_after: int) -> Dims:
    """The layout after a part of the one atom of `dim` was picked: outer atoms of the same axis move closer together."""
    (picked,) = dims[dim]
    result: list[Dim] = []
    for i, atoms in enumerate(dims):
        if i == dim:
            result.append((Atom(picked.axis, size_after, picked.inner),) if size_after > 1 else ())
            continue
        result.append(
            tuple(
                a._replace(inner=a.inner // picked.size * size_after)
                if a.axis == picked.axis and a.inner > picked.inner
                else a
                for a in atoms
            )
        )
    return tuple(result)


@dataclass(frozen=True)
class Frame:
    """How a tensor's dims map to the axes of the value it was taken as: where the batch sits, alone or merged with an axis."""

    # Per dim: (size of the axis before the batch, whether the batch is in it, the axis of the value or None).
    dims: tuple[tuple[int, bool, int | None], ...]
    batch: Dim

    @property
    def batch_first(self) -> bool:
        return self.dims[:1] == ((1, True, None),) and all(axis is not None for _, _, axis in self.dims[1:])

    def lay(self, name: str, value: Value, maker: Any = None) -> Laid:
        """A value of the same axes (of any sizes), as a tensor."""
        dims: list[Dim] = []
        for before, has_batch, axis in self.dims:
            n = 1 if axis is None else value.shape[axis]
            if not has_batch:
                dims.append(whole(axis, n) if axis is not None else ())
                continue
            outer = Atom(axis if axis is not None else 0, before, n // before)
            inner = Atom(axis if axis is not None else 0, n // before, 1)
            dims.append(tuple(a for a in (outer, *self.batch, inner) if a.size > 1))
        return Laid(name, tuple(dims), maker)


def per_axis(array: Array, dims: Dims, axes: Sequence[int], sizes: Shape) -> Array | None:
    """A constant that broadcasts against a tensor of layout `dims`, as an array over the value's axes; 1 where it is the same.

    `axes` and `sizes`: the value's axes in order. None when the constant differs along the batch or has dims the tensor lacks.
    """
    array = array.reshape((1,) * (len(dims) - array.ndim) + array.shape)
    if array.ndim != len(dims):
        return None
    factors: list[Atom] = []
    shape: list[int] = []
    for n, dim in zip(array.shape, dims, strict=True):
        if n != 1 and n != size(dim):
            return None
        factors.extend(dim)
        shape.extend([1] * len(dim) if n == 1 else [a.size for a in dim])
    array = array.reshape(shape)
    for i, atom in enumerate(factors):
        if atom.axis in (BATCH_AXIS, STRETCHED) and array.shape[i] > 1:
            first = array.take([0], i)
            if not (array == first).all():
                return None
            array = first
    # Axis by axis, outer factors first; an axis of which only some factors vary is written out.
    order = sorted(range(len(factors)), key=lambda i: (factors[i].axis, -factors[i].inner))
    array = array.transpose(order)
    factors = [factors[i] for i in order]
    result_shape: list[int] = []
    full: list[int] = []
    for axis, n in zip(axes, sizes, strict=True):
        mine = [i for i, a in enumerate(factors) if a.axis == axis]
        varies = any(array.shape[i] > 1 for i in mine)
        full.extend(factors[i].size if varies else 1 for i in mine)
        result_shape.append(n if varies else 1)
    skipped = [i for i, a in enumerate(factors) if a.axis < 0]
    array = array.reshape([array.shape[i] for i in range(len(factors)) if i not in skipped])
    return np.broadcast_to(array, full).reshape(result_shape)


def without_stretch(dims: Dims) -> Dims:
    """The layout with repeated dims of size 1 again."""
    return tuple(tuple(a for a in d if a.axis != STRETCHED) for d in dims)


def with_scale(laid: Laid, factor: float) -> Laid:
    return replace(laid, scale=laid.scale * factor)
