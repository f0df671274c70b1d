"""Pruning methods. Adding one is a file that defines it, and a line in ``METHODS``."""

from jaxprune.pruning.magnitude import Magnitude
from jaxprune.pruning.method import PruningMethod
from jaxprune.pruning.sparsegpt import SparseGPT
from jaxprune.pruning.wanda import Wanda

METHODS: dict[str, type[PruningMethod]] = {method.name: method for method in (Magnitude, Wanda, SparseGPT)}
