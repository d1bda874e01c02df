"""What tests inside other libraries share."""

import pytest


@pytest.fixture(scope="module")
def float64():
    """JAX in float64, as the interpreter of programs is."""
    jax = pytest.importorskip("jax")
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)
