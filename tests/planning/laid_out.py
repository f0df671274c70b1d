"""What is planned in tests: tiny models on devices that need not be here."""

import jax.numpy as jnp

from jaxprune.jobs.plan import lay_out_work
from jaxprune.jobs.settings import parse_method
from jaxprune.planning.source import source_of_config
from jaxprune.pruning.patterns import parse_pattern

BF16 = jnp.dtype("bfloat16")


def lay(config, topology, method="wanda", **changes):
    chosen = parse_method(method, combine=changes.pop("combine", "sum"))
    settings = {"sequences": {"en": 24}, "length": 128, "sizes": None, "dtype": BF16, "compute_dtype": BF16, **changes}
    pattern = parse_pattern(settings.pop("pattern", "0.5"), None, chosen.default_scope)
    return lay_out_work(source_of_config(config, "the config"), topology, method=chosen, pattern=pattern, **settings)
