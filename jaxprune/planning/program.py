"""What a compiled program does on one device: products, bytes to and from memory, bytes to other devices.

Read off the optimised program, because the compiler's own count has the body of a loop once, however often it runs.
An instruction costs the bytes that it reads and writes; what is only sliced or gathered from, costs what is taken.
What lies in a core's own memory (``S(1)`` in a TPU's layouts) costs nothing.
"""

import dataclasses
import math
import re
from collections.abc import Iterator

_TYPE = re.compile(r"\b(pred|bf16|f16|f32|f64|s4|u4|s8|u8|s16|u16|s32|u32|s64|u64|f8\w+)\[([\d,]*)\](\{[^}]*\})?")
_BITS = {"pred": 8, "bf16": 16}
_COMPUTATION = re.compile(r"^(?:ENTRY )?%?([\w.\-]+) \(.*\{\s*$")
_INSTRUCTION = re.compile(r"^\s+(ROOT )?%?([\w.\-]+) = (.*)$")
_FREE = frozenset({"parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all", "partition-id"})
# Of what goes through a group of n: parts of n-1 others arrive; an all-reduce does so twice.
_COLLECTIVES = {"all-gather": 1, "all-reduce": 2, "reduce-scatter": 1, "all-to-all": 1, "collective-permute": 1}


@dataclasses.dataclass(frozen=True)
class Costs:
    """Of one run of a program on one device.

    Attributes:
      flops: of matrix products of numbers of 16 bits (or rounded to them).
      wide_flops: of those of float32 numbers.
      bytes: read from and written to the device's memory.
      link_bytes: received from other devices.
    """

    flops: float = 0.0
    wide_flops: float = 0.0
    bytes: float = 0.0
    link_bytes: float = 0.0

    def __add__(self, other: "Costs") -> "Costs":
        """Returns both together."""
        return Costs(*(a + b for a, b in zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)))

    def __mul__(self, times: int | float) -> "Costs":
        """Returns the costs of so many runs."""
        return Costs(*(value * times for value in dataclasses.astuple(self)))


@dataclasses.dataclass(frozen=True)
class _Instruction:
    name: str
    type: str
    opcode: str
    operands: tuple[str, ...]
    attributes: str
    is_root: bool


def program_costs(text: str, *, open_trips: float = 1.0) -> Costs:
    """Adds up a program.

    Args:
      text: the optimised program, as ``Compiled.as_text`` gives it.
      open_trips: how often a loop runs whose bound the program itself computes. A loop that ends as soon as something
        has succeeded counts once, a search all its steps.
    """
    return _Program(text, open_trips).costs()


class _Program:
    def __init__(self, text: str, open_trips: float):
        self._computations: dict[str, dict[str, _Instruction]] = {}
        self._open_trips = open_trips
        self._entry = ""
        current: dict[str, _Instruction] = {}
        for line in text.splitlines():
            if found := _COMPUTATION.match(line):
                current = self._computations.setdefault(found[1], {})
                if line.startswith("ENTRY"):
                    self._entry = found[1]
            elif found := _INSTRUCTION.match(line):
                instruction = _parse(found[2], found[3], bool(found[1]))
                current[instruction.name] = instruction
        self._done: dict[str, Costs] = {}

    def costs(self) -> Costs:
        return self._of(self._entry)

    def _of(self, name: str) -> Costs:
        if name not in self._done:
            body = self._computations[name]
            self._done[name] = sum((self._instruction(each, body) for each in body.values()), Costs())
        return self._done[name]

    def _instruction(self, it: _Instruction, body: dict[str, _Instruction]) -> Costs:
        if it.opcode in _FREE or it.opcode.endswith(("-done", "-update")):
            return Costs()
        if it.opcode == "while":
            return self._of(_called(it, "body")) * self._trips(it)
        if it.opcode == "call":
            return self._of(_called(it, "to_apply"))
        if it.opcode == "conditional":
            branches = [self._of(name) for name in _branches(it)]
            return max(branches, key=lambda costs: (costs.wide_flops + costs.flops, costs.bytes), default=Costs())
        kind = it.opcode.removesuffix("-start")
        if kind in _COLLECTIVES:
            return Costs(bytes=float(self._traffic(it, body)), link_bytes=_link_bytes(it, kind, body))
        if it.opcode in ("dot", "convolution"):
            return _product(it, body) + Costs(bytes=float(self._traffic(it, body)))
        if it.opcode == "fusion":
            inner = self._computations[_called(it, "calls")]
            return self._inside(inner) + Costs(bytes=float(self._fusion_traffic(it, body, inner)))
        return Costs(bytes=float(self._traffic(it, body)))

    def _trips(self, loop: _Instruction) -> float:
        condition = self._computations[_called(loop, "condition")]
        # Ends on a flag that the loop carries: normally at its first attempt.
        if any(it.opcode == "get-tuple-element" and it.type.startswith("pred[]") for it in condition.values()):
            return 1.0
        bounds = [number for it in condition.values() if (number := _number(it)) is not None]
        if not bounds:
            return self._open_trips
        counters = [_index(it) for it in condition.values() if it.opcode == "get-tuple-element"]
        step = max((self._step(loop, counter) for counter in counters), default=1)
        return float(math.ceil(max(bounds) / step))

    def _step(self, loop: _Instruction, counter: int) -> int:
        """Returns by how much a loop counts; the compiler has some bodies do the work of two."""
        body = self._computations[_called(loop, "body")]
        root = next(it for it in body.values() if it.is_root)
        if root.opcode != "tuple":
            return 1
        following = body[root.operands[counter]]
        if following.opcode != "add":
            return 1
        return max((_number(body[name]) or 1 for name in following.operands if name in body), default=1)

    def _inside(self, body: dict[str, _Instruction]) -> Costs:
        """Returns the products and exchanges inside a fusion; what else it does stays inside."""
        costs = Costs()
        for it in body.values():
            if it.opcode in ("dot", "convolution"):
                costs += _product(it, body)
            elif it.opcode in _COLLECTIVES:
                costs += Costs(link_bytes=_link_bytes(it, it.opcode, body))
            elif it.opcode == "fusion":
                costs += self._inside(self._computations[_called(it, "calls")])
        return costs

    def _traffic(self, it: _Instruction, body: dict[str, _Instruction]) -> int:
        if it.opcode in ("dynamic-slice", "gather"):
            return 2 * _memory_bytes(it.type)
        if it.opcode == "dynamic-update-slice":
            return 2 * _memory_bytes(body[it.operands[1]].type)
        written = _first(it.type) if it.opcode.endswith("-start") else it.type
        return _memory_bytes(written) + sum(_memory_bytes(body[name].type) for name in it.operands if name in body)

    def _fusion_traffic(self, it: _Instruction, body: dict[str, _Instruction], inner: dict[str, _Instruction]) -> int:
        parameters = {int(each.operands[0]): each for each in inner.values() if each.opcode == "parameter"}
        total = 0
        updated: set[str] = set()
        for root in _roots(inner):
            if root.opcode == "dynamic-update-slice":
                total += 2 * _logical_bytes(inner[root.operands[1]].type) * bool(_memory_bytes(root.type))
                updated.add(_source(root.operands[0], inner))
            else:
                total += _memory_bytes(_type_of(root, it, inner))
        for number, name in enumerate(it.operands):
            parameter = parameters.get(number)
            outside = body[name].type
            if parameter is None or not _memory_bytes(outside) or parameter.name in updated:
                continue
            taken = self._taken(parameter.name, inner)
            total += _memory_bytes(outside) if taken is None else min(taken, _memory_bytes(outside))
        return total

    def _taken(self, name: str, inner: dict[str, _Instruction]) -> int | None:
        """Returns the bytes of a parameter that are used if every use takes a part of it; None: all of it."""
        total = 0
        for it in inner.values():
            if name not in it.operands:
                continue
            if it.opcode == "bitcast":
                part = self._taken(it.name, inner)
            elif it.opcode in ("dynamic-slice", "slice", "gather") and it.operands[0] == name:
                part = _logical_bytes(it.type)
            elif it.opcode == "fusion":
                nested = self._computations[_called(it, "calls")]
                number = str(it.operands.index(name))
                parameter = next(p for p in nested.values() if p.opcode == "parameter" and p.operands[0] == number)
                part = self._taken(parameter.name, nested)
            else:
                part = None
            if part is None:
                return None
            total += part
        return total


def _parse(name: str, rest: str, is_root: bool) -> _Instruction:
    end = _closing(rest, 0) + 1 if rest.startswith("(") else rest.index(" ")
    type_, rest = rest[:end], rest[end:].lstrip()
    opcode, _, _ = rest.partition("(")
    close = _closing(rest, len(opcode))
    inside = rest[len(opcode) + 1 : close]
    names = re.findall(r"%([\w.\-]+)", inside)
    operands = tuple(names) if names else tuple(part for part in map(str.strip, inside.split(",")) if part)
    return _Instruction(name, type_, opcode.strip(), operands, rest[close + 1 :], is_root)


def _closing(text: str, start: int) -> int:
    depth = 0
    for position in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[position], 0)
        if depth == 0 and text[position] == ")":
            return position
    raise ValueError(f"no closing parenthesis in {text[:80]!r}")


def _called(it: _Instruction, attribute: str) -> str:
    found = re.search(rf"\b{attribute}=%?([\w.\-]+)", it.attributes)
    assert found is not None, it
    return found[1]


def _branches(it: _Instruction) -> list[str]:
    found = re.search(r"branch_computations=\{([^}]*)\}", it.attributes)
    if found:
        return re.findall(r"%?([\w.\-]+)", found[1])
    return re.findall(r"(?:true|false)_computation=%?([\w.\-]+)", it.attributes)


def _arrays(type_: str) -> Iterator[tuple[int, bool]]:
    """Yields bytes, and whether they lie in the device's memory, of each array of a type."""
    for kind, shape, layout in _TYPE.findall(type_):
        bits = _BITS.get(kind) or int(re.findall(r"\d+", kind)[0])
        yield math.prod(_sizes(shape)) * bits // 8, "S(1)" not in layout


def _sizes(shape: str) -> list[int]:
    return [int(size) for size in shape.split(",") if size]


def _memory_bytes(type_: str) -> int:
    return sum(size for size, in_memory in _arrays(type_) if in_memory)


def _logical_bytes(type_: str) -> int:
    return sum(size for size, _ in _arrays(type_))


def _first(type_: str) -> str:
    found = _TYPE.search(type_)
    return found[0] if found else ""


def _roots(inner: dict[str, _Instruction]) -> list[_Instruction]:
    root = next(it for it in inner.values() if it.is_root)
    chosen = [inner[name] for name in root.operands] if root.opcode == "tuple" else [root]
    return [inner[it.operands[0]] if it.opcode == "bitcast" and it.operands[0] in inner else it for it in chosen]


def _type_of(root: _Instruction, it: _Instruction, inner: dict[str, _Instruction]) -> str:
    """Returns the type that a fusion's result has outside, where its layout says in which memory it lies."""
    return it.type if len(_roots(inner)) == 1 else root.type


def _source(name: str, inner: dict[str, _Instruction]) -> str:
    """Returns the parameter that a value is, through instructions that only look at it otherwise."""
    while inner[name].opcode == "bitcast":
        name = inner[name].operands[0]
    return name


def _product(it: _Instruction, body: dict[str, _Instruction]) -> Costs:
    result = math.prod(_shape(it.type))
    left, right = (_shape(body[name].type) for name in it.operands[:2])
    if it.opcode == "dot":
        axes = re.search(r"lhs_contracting_dims=\{([\d,]*)\}", it.attributes)
        contracted = math.prod(left[axis] for axis in _sizes(axes[1])) if axes else 1
    else:
        contracted = _contracted(it, right)
    flops = 2.0 * result * contracted
    is_wide = "f32" in body[it.operands[0]].type.split("[")[0] and "highest" in it.attributes
    return Costs(wide_flops=flops) if is_wide else Costs(flops=flops)


def _contracted(it: _Instruction, kernel: list[int]) -> int:
    """Returns how many products make up one number of a convolution, which is what TPUs call a matrix product."""
    labels = re.search(r"dim_labels=\w+_(\w+)->", it.attributes)
    assert labels is not None, it
    contracted = kernel[labels[1].index("i")]
    window = re.search(r"window=\{([^}]*)\}", it.attributes)
    fields = dict(part.split("=", 1) for part in window[1].split()) if window else {}
    if "size" in fields:
        sizes = [int(size) for size in fields["size"].split("x")]
        dilations = [int(size) for size in fields.get("lhs_dilate", "x".join("1" * len(sizes))).split("x")]
        # A window over inputs that are as far apart meets one of them: a batch, not a sum.
        contracted *= math.prod(size for size, apart in zip(sizes, dilations, strict=True) if apart == 1)
    return contracted


def _shape(type_: str) -> list[int]:
    found = _TYPE.search(type_)
    return _sizes(found[2]) if found else []


def _link_bytes(it: _Instruction, kind: str, body: dict[str, _Instruction]) -> float:
    if kind == "collective-permute":
        return float(_logical_bytes(body[it.operands[0]].type))
    size = _group_size(it.attributes)
    whole = sum(_logical_bytes(body[name].type) for name in it.operands if name in body)
    if kind == "all-gather":
        whole *= size
    return float(_COLLECTIVES[kind] * whole * (size - 1) / size)


def _group_size(attributes: str) -> int:
    if found := re.search(r"replica_groups=mesh\[([^\]]*)\][^{]*\{([^}]*)\}", attributes):
        sizes = dict(re.findall(r"'(\w+)'=(\d+)", found[1]))
        return math.prod(int(sizes[axis]) for axis in re.findall(r"'(\w+)'", found[2]))
    if found := re.search(r"replica_groups=\[(\d+),(\d+)\]", attributes):
        return int(found[2])
    found = re.search(r"replica_groups=\{\{([\d,]*)\}", attributes)
    assert found is not None, attributes[:200]
    return len(_sizes(found[1]))


def _number(it: _Instruction) -> int | None:
    """Returns the whole number that an instruction is."""
    if it.opcode == "constant" and re.match(r"[su]\d+\[\]", it.type) and it.operands[0].isdecimal():
        return int(it.operands[0])
    return None


def _index(it: _Instruction) -> int:
    found = re.search(r"\bindex=(\d+)", it.attributes)
    assert found is not None, it
    return int(found[1])
