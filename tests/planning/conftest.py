"""What is compiled for processors that are not there cannot be read back, so it is not kept."""

import jax
import pytest


@pytest.fixture(autouse=True, scope="package")
def nothing_is_kept():
    """Compiles anew in each test of this folder."""
    jax.config.update("jax_enable_compilation_cache", False)
    yield
    jax.config.update("jax_enable_compilation_cache", True)
